/* SPDX-License-Identifier: Apache-2.0 */
/* fgets(3) from memory, which counts. */
#include "common/lines.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

char *lines_next(char *buf, int size, void *data)
{
	struct lines *lines = data;
	const char *end = strchr(lines->at, '\n');
	size_t len = end ? (size_t)(end - lines->at) + 1 : strlen(lines->at), part;
	bool begins;

	if (!len || size < 2)
		return NULL;
	begins = lines->number == 0 || lines->at[-1] == '\n';
	part = len > (size_t)size - 1 ? (size_t)size - 1 : len;
	lines->number += begins;
	memcpy(buf, lines->at, part);
	buf[part] = '\0';
	/* The rest comes as a line of its own, as of fgets(3); that of a comment would be taken for a key. */
	lines->at += begins && strchr("#;", *buf) ? len : part;
	return buf;
}
