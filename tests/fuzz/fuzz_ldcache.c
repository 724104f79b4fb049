/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever the image holds, a cache that parses merges; what merge writes is
 * read back whole, in the order that ld.so's search needs, with the driver
 * first; and merging again changes no byte.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/ldcache.h"
#include "tests/fuzz/fuzz.h"

#define PREFIX "/usr/local/nvidia"

static const struct ldcache_add driver[] = {
	{ "libcuda.so.1", PREFIX "/lib64/libcuda.so.1", 0x303 },
	{ "libcuda.so", PREFIX "/lib64/libcuda.so", 0x303 },
	{ "libcuda.so.1", PREFIX "/lib32/libcuda.so.1", 0x003 },
	{ "other-name.so.2", PREFIX "/lib64/libfoo.so.2", 0x303 },
};

/* The comparison of ld.so, told by tokens: a number beats a character beats the end. */
static int order(const char *a, const char *b)
{
	while (*a || *b) {
		int a_digit = *a >= '0' && *a <= '9', b_digit = *b >= '0' && *b <= '9';

		if (a_digit && b_digit) {
			char *a_end, *b_end;
			long x = strtol(a, &a_end, 10), y = strtol(b, &b_end, 10);

			if (x != y)
				return x < y ? -1 : 1;
			a = a_end;
			b = b_end;
			continue;
		}
		if (a_digit != b_digit)
			return a_digit ? 1 : -1;
		if (*a != *b)
			return *a < *b ? -1 : 1;
		a++;
		b++;
	}
	return 0;
}

static void check_order(const struct ldcache *cache)
{
	for (size_t i = 1; i < ldcache_count(cache); i++)
		require(order(ldcache_at(cache, i - 1)->key, ldcache_at(cache, i)->key) >= 0);
}

static void check_driver_first(const struct ldcache *cache)
{
	for (size_t i = 0; i < ARRAY_SIZE(driver); i++) {
		size_t at = 0;

		while (at < ldcache_count(cache) &&
		       order(ldcache_at(cache, at)->key, driver[i].soname) != 0)
			at++;
		require(at < ldcache_count(cache));
		require(strncmp(ldcache_at(cache, at)->value, PREFIX "/", strlen(PREFIX) + 1) == 0);
	}
}

static size_t count_kept(const struct ldcache *cache)
{
	size_t kept = 0;

	for (size_t i = 0; i < ldcache_count(cache); i++) {
		const char *value = ldcache_at(cache, i)->value;
		size_t len = strlen(PREFIX);

		kept += strncmp(value, PREFIX, len) != 0 || (value[len] && value[len] != '/');
	}
	return kept;
}

static void check_merge(const struct ldcache *image)
{
	auto_ldcache struct ldcache *merged = NULL;
	auto_free void *once = NULL, *twice = NULL;
	size_t once_len, twice_len;
	int r;

	r = ldcache_merge(image, driver, ARRAY_SIZE(driver), PREFIX, &once, &once_len, NULL);
	if (r == -EFBIG)
		return;
	require(r == 0);
	require(ldcache_parse(once, once_len, &merged, NULL) == 0);
	require(ldcache_count(merged) == count_kept(image) + ARRAY_SIZE(driver));
	check_order(merged);
	check_driver_first(merged);
	require(ldcache_merge(merged, driver, ARRAY_SIZE(driver), PREFIX, &twice, &twice_len,
			      NULL) == 0);
	require(once_len == twice_len && memcmp(once, twice, once_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_ldcache struct ldcache *image = NULL;

	if (ldcache_parse(data, size, &image, NULL) == 0)
		check_merge(image);
	return 0;
}
