/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/why.h"

#include <errno.h>
#include <string.h>

#include "cli/why.h"
#include "tests/unit/unit.h"

static struct why_question question;

static void ck_question(const char *path, const char *id, const char *kind, const char *tree,
			const char *inside)
{
	ck_assert_int_eq(why_classify(path, id, "/run/nvfs", &question, NULL), 0);
	ck_assert_str_eq(question.kind, kind);
	ck_assert_str_eq(question.tree, tree);
	ck_assert_str_eq(question.path, inside);
}

START_TEST(a_path_below_the_mount_names_its_tree)
{
	ck_question("/run/nvfs/abc/lib64/libcuda.so.1", NULL, "tree", "abc", "/lib64/libcuda.so.1");
	ck_question("/run/nvfs//abc/", NULL, "tree", "abc", "/");
	ck_question("/run/nvfs/host", NULL, "tree", "host", "");
	ck_question("/run/nvfs/by-pid/42/bin", NULL, "tree", "", "/bin");
	ck_assert_uint_eq(question.pid, 42);
}
END_TEST

START_TEST(other_paths_go_by_how_they_look)
{
	ck_question("/usr/lib/libcuda.so.1", NULL, "host", "host", "/usr/lib/libcuda.so.1");
	ck_question("/run/nvfsd/nvfs.sock", NULL, "host", "host", "/run/nvfsd/nvfs.sock");
	ck_question("/usr/lib/libcuda.so.1", "abc", "container", "", "/usr/lib/libcuda.so.1");
	ck_assert_str_eq(question.id, "abc");
	ck_question("lib64/libcuda.so", NULL, "tree", "host", "lib64/libcuda.so");
	ck_question("lib64/libcuda.so", "abc", "tree", "", "lib64/libcuda.so");
	ck_question("libcuda.so.1", NULL, "name", "host", "libcuda.so.1");
}
END_TEST

START_TEST(a_path_that_names_no_tree_or_two_is_refused)
{
	static const char *const bad[] = { "",
					   "/run/nvfs",
					   "/run/nvfs/",
					   "/run/nvfs/by-pid",
					   "/run/nvfs/by-pid/x",
					   "/run/nvfs/by-pid/0" };
	static char longest[PATH_MAX + 10];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(why_classify(bad[i], NULL, "/run/nvfs", &question, NULL), -EINVAL);
	ck_assert_int_eq(why_classify("/run/nvfs/abc", "abc", "/run/nvfs", &question, NULL),
			 -EINVAL);
	memset(longest, 'a', sizeof(longest) - 1);
	ck_assert_int_eq(why_classify(longest, NULL, "/run/nvfs", &question, NULL), -ENAMETOOLONG);
	memcpy(longest, "/run/nvfs/", strlen("/run/nvfs/"));
	ck_assert_int_eq(why_classify(longest, NULL, "/run/nvfs", &question, NULL), -EINVAL);
}
END_TEST

START_TEST(the_exit_status_goes_by_the_rule)
{
	ck_assert_int_eq(why_exit_status(1, "gpu"), 0);
	ck_assert_int_eq(why_exit_status(0, "gpu"), 3);
	ck_assert_int_eq(why_exit_status(0, "version"), 8);
	ck_assert_int_eq(why_exit_status(0, "missing"), 8);
	ck_assert_int_eq(why_exit_status(0, "driver-capability"), 1);
	ck_assert_int_eq(why_exit_status(0, "unknown"), 1);
	ck_assert_int_eq(why_exit_status(0, ""), 1);
}
END_TEST

START_TEST(kinds_have_names)
{
	enum why_kind kind = WHY_TREE;

	ck_assert_int_eq(why_kind_by_name("host", &kind), 0);
	ck_assert_int_eq(kind, WHY_HOST);
	ck_assert_int_eq(why_kind_by_name("container", &kind), 0);
	ck_assert_int_eq(kind, WHY_CONTAINER);
	ck_assert_int_eq(why_kind_by_name("", &kind), -EINVAL);
	ck_assert_int_eq(why_kind_by_name("hosts", &kind), -EINVAL);
}
END_TEST

UNIT_MAIN("why", a_path_below_the_mount_names_its_tree, other_paths_go_by_how_they_look,
	  a_path_that_names_no_tree_or_two_is_refused, the_exit_status_goes_by_the_rule,
	  kinds_have_names)
