/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_PARSE_H
#define NVFS_COMMON_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * parse_u64() - a decimal number and nothing else
 * @s:   digits only: no sign, blank, prefix or suffix
 * @max: largest value accepted
 * @ret: untouched on failure
 *
 * Return: 0, -EINVAL (empty or not a number) or -ERANGE (above @max).
 */
int parse_u64(const char *s, uint64_t max, uint64_t *ret);

/**
 * parse_bool() - 1/yes/true/on or 0/no/false/off, in any case
 *
 * Return: 0 or -EINVAL; @ret is untouched on failure.
 */
int parse_bool(const char *s, bool *ret);

/**
 * parse_field() - next item of a list, without blanks around it
 * @cursor:    walks the string; set to NULL when the list is at its end
 * @separator: what divides the items
 * @ret_len:   length of the item; 0 for an empty one
 *
 * Return: the item (not terminated, part of the string), or NULL at the end.
 */
const char *parse_field(const char **cursor, char separator, size_t *ret_len);

/** parse_list_has() - is @word an item of a comma list? Blanks around items do not count */
bool parse_list_has(const char *list, const char *word);

#endif
