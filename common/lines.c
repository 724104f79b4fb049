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
	bool begins, cut;

	if (!len || size < 2)
		return NULL;
	begins = lines->number == 0 || lines->at[-1] == '\n';
	cut = len > (size_t)size - 1;
	part = cut ? (size_t)size - 1 : len;
	lines->number += begins;
	memcpy(buf, lines->at, part);
	buf[part] = '\0';
	if (!cut || !begins || !strchr("#;", *buf)) {
		lines->at += part;
		return buf;
	}
	/* The rest of a comment would be taken for a key, or what has no end would be read on into the next line. */
	buf[part - 1] = '\n';
	lines->at += len;
	return buf;
}

int lines_too_long(const char *text, size_t max)
{
	for (int number = 1; *text; number++) {
		size_t len = strcspn(text, "\n");

		if (len > max && !strchr("#;", *text))
			return number;
		text += len + (text[len] == '\n');
	}
	return 0;
}
