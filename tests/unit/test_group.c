/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static int find(const char *text, const char *name, gid_t *ret)
{
	char path[] = "/tmp/nvfs-group-XXXXXX";
	int fd = mkstemp(path), r;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	r = group_find(path, name, ret);
	(void)unlink(path);
	return r;
}

START_TEST(a_group_is_found_by_its_name)
{
	gid_t gid = 7;

	ck_assert_int_eq(find("root:x:0:\nvideo:x:44:alice,bob\nvid:x:45:\n", "video", &gid), 0);
	ck_assert_uint_eq(gid, 44);
	ck_assert_int_eq(find("root:x:0:\n# video\nnonsense\nvideo:x:46:\n", "video", &gid), 0);
	ck_assert_uint_eq(gid, 46);
}
END_TEST

START_TEST(one_that_is_not_there_is_told)
{
	gid_t gid = 7;

	ck_assert_int_eq(find("root:x:0:\n", "video", &gid), -ENOENT);
	ck_assert_int_eq(find("video:x:no\n", "video", &gid), -ENOENT);
	ck_assert_int_eq(find("root:x:0:\n", "", &gid), -ENOENT);
	ck_assert_int_eq(group_find("/nonexistent/group", "video", &gid), -ENOENT);
	ck_assert_uint_eq(gid, 7);
}
END_TEST

START_TEST(a_number_needs_no_file)
{
	gid_t gid = 7;

	ck_assert_int_eq(group_find("/nonexistent/group", "1000", &gid), 0);
	ck_assert_uint_eq(gid, 1000);
	ck_assert_int_eq(group_find("/nonexistent/group", "4294967295", &gid), -ENOENT);
}
END_TEST

UNIT_MAIN("group", a_group_is_found_by_its_name, one_that_is_not_there_is_told,
	  a_number_needs_no_file)
