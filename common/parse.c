/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place where text becomes numbers: strtoul() and friends accept
 * signs, blanks and junk, and text here comes from containers and from /proc.
 */
#include "common/parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

int parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		unsigned int digit = (unsigned int)*s - '0';

		if (digit > 9)
			return -EINVAL;
		if (value > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		value = value * 10 + digit;
	}
	if (value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int parse_bool(const char *s, bool *ret)
{
	static const char *const words[][2] = {
		{ "0", "1" }, { "no", "yes" }, { "false", "true" }, { "off", "on" }
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (int value = 0; value < 2; value++) {
			if (strcasecmp(s, words[i][value]) == 0) {
				*ret = value;
				return 0;
			}
		}
	}
	return -EINVAL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const char *parse_field(const char **cursor, char separator, size_t *ret_len)
{
	const char *start = *cursor, *end;

	if (!start)
		return NULL;
	end = strchr(start, separator);
	*cursor = end ? end + 1 : NULL;
	if (!end)
		end = start + strlen(start);
	while (start < end && is_blank(*start))
		start++;
	while (end > start && is_blank(end[-1]))
		end--;
	*ret_len = (size_t)(end - start);
	return start;
}

bool parse_list_has(const char *list, const char *word)
{
	const char *item;
	size_t len;

	while ((item = parse_field(&list, ',', &len))) {
		if (len == strlen(word) && memcmp(item, word, len) == 0)
			return true;
	}
	return false;
}
