/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_LINES_H
#define NVFS_COMMON_LINES_H

#include <stddef.h>

/* A text in memory, line by line, for parsers that tell nobody the line that they are at, as libinih's. */
struct lines {
	const char *at; /* the rest of the text; borrowed */
	int number;     /* of the line that was given last; 0: none yet */
};

/**
 * lines_next() - as fgets(3): an ini_reader of libinih
 * @lines: struct lines
 *
 * A line that does not fit comes in several parts, which have one number; a comment (# or ;) is cut, and ends.
 *
 * Return: @buf, or NULL at the end.
 */
char *lines_next(char *buf, int size, void *lines);

/* What libinih takes of a line, as distributions build it: INI_MAX_LINE of ini.h, less the ends of line and string. */
#define LINES_INI_MAX 198

/** lines_too_long() - number of the first line, but for comments, that has more than @max bytes; 0: none */
int lines_too_long(const char *text, size_t max);

#endif
