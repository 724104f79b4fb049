/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a target, and processes that are none. Cgroups themselves: tests/e2e/30-cgroup.sh. */
#include "inject/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "inject/cgroup_impl.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

START_TEST(of_programs_the_last_ones_are_kept_in_their_order)
{
	struct cgroup_target target = { .proc_fd = -1 };
	uint32_t ids[CGROUP_ORIGINALS_ALL + 5];

	for (uint32_t i = 0; i < ARRAY_SIZE(ids); i++)
		ids[i] = 100 + i;
	cgroup_target_originals(&target, ids, 3);
	ck_assert_uint_eq(target.n_originals, 3);
	ck_assert_uint_eq(target.originals[0], 100);
	cgroup_target_originals(&target, ids, CGROUP_ORIGINALS_ALL);
	ck_assert_uint_eq(target.n_originals, CGROUP_ORIGINALS_ALL);
	ck_assert_uint_eq(target.originals[0], 100);
	cgroup_target_originals(&target, ids, ARRAY_SIZE(ids));
	ck_assert_uint_eq(target.n_originals, CGROUP_ORIGINALS_ALL);
	ck_assert_uint_eq(target.originals[0], 105);
	ck_assert_uint_eq(target.originals[CGROUP_ORIGINALS_ALL - 1], 100 + ARRAY_SIZE(ids) - 1);
	cgroup_target_originals(&target, NULL, 0);
	ck_assert_uint_eq(target.n_originals, 0);
}
END_TEST

START_TEST(a_process_that_has_ended_is_said_to_have)
{
	struct cgroup_target *target = NULL;
	struct error err = { 0 };
	char root[64], path[512];
	int fd;

	scratch_new(root);
	scratch_text(root, "4711/cgroup", "0::/\n"); /* what is left of /proc/4711 has no namespaces */
	scratch_path(path, root, "4711");
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(cgroup_target_open(4711, fd, &target, &err), -ESRCH);
	ck_assert_int_eq(err.class, ERROR_MOUNT);
	ck_assert_ptr_nonnull(strstr(err.text, "process 4711 has ended"));
	ck_assert_ptr_null(target);
	cgroup_target_free(NULL);
	(void)close(fd);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("cgroup_target", of_programs_the_last_ones_are_kept_in_their_order,
	  a_process_that_has_ended_is_said_to_have)
