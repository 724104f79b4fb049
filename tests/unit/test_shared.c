/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/shared.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static unsigned long kib_of(const char *file, const char *key)
{
	unsigned long kib = 0;
	FILE *in = fopen(file, "re");
	char line[256];

	ck_assert_ptr_nonnull(in);
	while (fgets(line, sizeof(line), in)) {
		if (strncmp(line, key, strlen(key)) == 0)
			(void)sscanf(line + strlen(key), "%lu", &kib);
	}
	(void)fclose(in);
	return kib;
}

/* Bytes of strings until there is no more memory. */
static size_t fill(void)
{
	char text[4096];
	size_t n = 0;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	while (json_string(text))
		n += sizeof(text);
	return n;
}

START_TEST(memory_is_taken_as_it_is_used)
{
	unsigned long before = kib_of("/proc/self/status", "RssShmem:");

	ck_assert_int_eq(shared_json(), 0);
	ck_assert_ptr_nonnull(json_string("a"));
	ck_assert_uint_lt(kib_of("/proc/self/status", "RssShmem:") - before, 64);
}
END_TEST

START_TEST(there_is_an_end_of_it_and_what_is_there_stays_whole)
{
	json_t *first;
	size_t n;

	ck_assert_int_eq(shared_json(), 0);
	first = json_string("first");
	n = fill();
	ck_assert_uint_le(n, SHARED_JSON_MAX);
	ck_assert_uint_gt(n, SHARED_JSON_MAX / 2);
	ck_assert_str_eq(json_string_value(first), "first");
}
END_TEST

START_TEST(what_is_made_later_is_seen_by_a_child)
{
	int status, go[2];
	char c;
	json_t **place = shared_new(sizeof(*place));
	pid_t pid;

	ck_assert_int_eq(shared_json(), 0);
	ck_assert_int_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0)
		_exit(read(go[0], &c, 1) == 1 && strcmp(json_string_value(*place), "last") == 0
			      ? 7
			      : 1);
	for (int i = 0; i < 1000; i++) /* the file grows some times */
		ck_assert_ptr_nonnull(json_pack("[s, i, {s:[i, i, i]}]",
						"a longer text than most are", i, "key", i, i, i));
	*place = json_string("last");
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

START_TEST(few_addresses_are_enough)
{
#ifndef __SANITIZE_ADDRESS__ /* which takes more addresses than any limit */
	struct rlimit limit = { .rlim_cur = (kib_of("/proc/self/status", "VmSize:") + 3 * 1024) *
					    1024,
				.rlim_max = RLIM_INFINITY };
	size_t n;

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_int_eq(shared_json(), 0);
	n = fill();
	ck_assert_uint_gt(n, 512 * 1024);
	ck_assert_uint_le(n, 2 * 1024 * 1024);
#endif
}
END_TEST

UNIT_MAIN("shared", memory_is_taken_as_it_is_used,
	  there_is_an_end_of_it_and_what_is_there_stays_whole,
	  what_is_made_later_is_seen_by_a_child, few_addresses_are_enough)
