/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/classic.h"

#include <fcntl.h>

#include "common/cleanup.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static char root[64];

static struct classic find(void)
{
	auto_close int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct classic classic;

	classic_find(fd, &classic);
	return classic;
}

static void make_dir(const char *name)
{
	char path[512];

	scratch_path(path, root, name);
	scratch_parents(path);
	ck_assert_int_eq(mkdir(path, 0755), 0);
}

START_TEST(debian_has_its_directories_by_architecture)
{
	struct classic classic;

	scratch_new(root);
	scratch_text(root, "etc/debian_version", "12.0\n");
	make_dir("usr/lib64");
	classic = find();
#if defined(__x86_64__)
	ck_assert_str_eq(classic.lib64, "/usr/lib/x86_64-linux-gnu");
	ck_assert_str_eq(classic.lib32, "/usr/lib/i386-linux-gnu");
#else
	ck_assert_str_eq(classic.lib64, "/usr/lib/aarch64-linux-gnu");
	ck_assert_ptr_null(classic.lib32);
#endif
	scratch_remove(root);
}
END_TEST

START_TEST(others_have_lib64_and_one_of_two_for_32_bits)
{
	scratch_new(root);
	make_dir("usr/lib64");
	ck_assert_str_eq(find().lib64, "/usr/lib64");
	ck_assert_str_eq(find().lib32, "/usr/lib32");
	make_dir("usr/lib");
	ck_assert_str_eq(find().lib32, "/usr/lib");
	make_dir("usr/lib32");
	ck_assert_str_eq(find().lib32, "/usr/lib32");
	scratch_remove(root);
}
END_TEST

START_TEST(one_directory_by_two_names_is_not_taken_for_both)
{
	scratch_new(root);
	make_dir("usr/lib");
	scratch_link(root, "usr/lib64", "lib");
	ck_assert_str_eq(find().lib32, "/usr/lib32");
	scratch_remove(root);
}
END_TEST

START_TEST(a_link_out_of_the_root_leads_back_into_it)
{
	scratch_new(root);
	scratch_link(root, "etc/debian_version", "../../../../../../../proc/self/status");
	ck_assert_str_eq(find().lib64, "/usr/lib64");
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("classic", debian_has_its_directories_by_architecture,
	  others_have_lib64_and_one_of_two_for_32_bits,
	  one_directory_by_two_names_is_not_taken_for_both,
	  a_link_out_of_the_root_leads_back_into_it)
