/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_TESTS_FUZZ_H
#define NVFS_TESTS_FUZZ_H

/* What fuzz targets share. A promise that an input breaks ends in abort(). */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_require(int condition, const char *words, const char *file, int line)
{
	if (condition)
		return;
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, words);
	abort();
}
#define require(condition) fuzz_require(!!(condition), #condition, __FILE__, __LINE__)

/* The input as a string, in memory of exactly its size; the caller frees it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* The lowest free descriptor: the same before and after, or one was lost. */
static inline int fuzz_lowest_fd(void)
{
	int fd = dup(STDERR_FILENO);

	require(fd >= 0);
	(void)close(fd);
	return fd;
}

#endif
