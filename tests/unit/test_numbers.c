/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of a status. Trees of a real daemon: tests/e2e/58-inspect.sh. */
#include "fs/numbers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "tests/unit/unit.h"

static long long number(json_t *json, const char *key)
{
	ck_assert(json_is_integer(json_object_get(json, key)));
	return json_integer_value(json_object_get(json, key));
}

START_TEST(a_process_knows_its_own)
{
	json_t *before = numbers_process(), *after;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	after = numbers_process();
	ck_assert_int_gt(number(before, "resident_bytes"), 4096);
	ck_assert_int_ge(number(before, "open_fds"), 1);
	ck_assert_int_eq(number(after, "open_fds"), number(before, "open_fds") + 1);
	ck_assert_int_ge(number(after, "max_fds"), number(after, "open_fds"));
	ck_assert_int_ge(number(after, "cpu_us"), number(before, "cpu_us"));
	ck_assert_int_eq(close(fd), 0);
	json_decref(before);
	json_decref(after);
}
END_TEST

START_TEST(without_trees_all_are_none)
{
	struct generation generation = { .number = 1 };
	struct daemon daemon = { .generation = &generation };
	json_t *json;

	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &daemon.store, NULL), 0);
	json = numbers_views(&daemon);
	ck_assert_int_eq(number(json, "in_use"), 0);
	ck_assert_int_eq(number(json, "ending"), 0);
	ck_assert_int_eq(number(json, "reference"), 0);
	ck_assert_int_eq(number(json, "stale"), 0);
	json_decref(json);
	store_free(daemon.store);
}
END_TEST

UNIT_MAIN("numbers", a_process_knows_its_own, without_trees_all_are_none)
