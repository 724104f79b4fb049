/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static const char *describe(void *data, enum layout_kind kind, uint32_t ref)
{
	static char text[32];

	(void)data;
	(void)kind;
	(void)snprintf(text, sizeof(text), "#%u", ref);
	return text;
}

static struct layout *sample(bool backwards)
{
	static const struct {
		const char *path;
		enum layout_kind kind;
		uint32_t ref;
		unsigned int mode;
	} adds[] = {
		{ "lib64/libcuda.so.535.1", LAYOUT_HOST, 7, 0644 },
		{ "lib64/libcuda.so.1", LAYOUT_LINK, 1, 0777 },
		{ "lib", LAYOUT_LINK, 2, 0777 },
		{ "bin/nvidia-smi", LAYOUT_HOST, 8, 0755 },
		{ "etc/ld.so.cache", LAYOUT_TEXT, 3, 0444 },
		{ "share", LAYOUT_DIR, 0, 0555 },
	};
	struct layout_builder *builder = layout_builder_new();
	struct layout *layout;
	size_t n = sizeof(adds) / sizeof(adds[0]);

	for (size_t i = 0; i < n; i++) {
		size_t at = backwards ? n - 1 - i : i;

		ck_assert_int_eq(layout_add(builder, adds[at].path, adds[at].kind, adds[at].ref,
					    adds[at].mode, NULL), 0);
	}
	layout = layout_finish(builder);
	layout_builder_free(builder);
	return layout;
}

START_TEST(a_tree_prints_as_text)
{
	struct layout *layout = sample(false);
	char *text = layout_print(layout, describe, NULL);

	ck_assert_str_eq(text, "dir 0555 bin/\n"
			       "host 0755 bin/nvidia-smi #8\n"
			       "dir 0555 etc/\n"
			       "text 0444 etc/ld.so.cache #3\n"
			       "link 0777 lib #2\n"
			       "dir 0555 lib64/\n"
			       "link 0777 lib64/libcuda.so.1 #1\n"
			       "host 0644 lib64/libcuda.so.535.1 #7\n"
			       "dir 0555 share/\n");
	free(text);
	free(layout);
}
END_TEST

START_TEST(the_order_of_additions_does_not_change_a_byte)
{
	struct layout *one = sample(false), *two = sample(true);

	ck_assert_uint_eq(one->size, two->size);
	ck_assert_int_eq(memcmp(one, two, one->size), 0);
	free(one);
	free(two);
}
END_TEST

START_TEST(lookup_finds_what_is_there_and_nothing_else)
{
	struct layout *layout = sample(false);
	char path[64];
	int lib64, file;

	lib64 = layout_lookup(layout, 0, "lib64");
	ck_assert_int_gt(lib64, 0);
	file = layout_lookup(layout, (uint32_t)lib64, "libcuda.so.535.1");
	ck_assert_int_gt(file, 0);
	ck_assert_uint_eq(layout->nodes[file].ref, 7);
	ck_assert_int_eq(layout_path(layout, (uint32_t)file, path, sizeof(path)), 0);
	ck_assert_str_eq(path, "lib64/libcuda.so.535.1");
	ck_assert_int_eq(layout_path(layout, (uint32_t)file, path, 8), -ENAMETOOLONG);
	ck_assert_int_eq(layout_lookup(layout, 0, "lib6"), -ENOENT);
	ck_assert_int_eq(layout_lookup(layout, 0, ""), -ENOENT);
	ck_assert_int_eq(layout_lookup(layout, (uint32_t)file, "x"), -ENOTDIR);
	ck_assert_int_eq(layout_lookup(layout, (uint32_t)layout_lookup(layout, 0, "share"), "x"),
			 -ENOENT);
	free(layout);
}
END_TEST

START_TEST(bad_paths_are_refused_and_leave_the_tree_usable)
{
	static const char *const bad[] = { "", "/a", "a//b", "a/", "../x", "a/./b", "a/../b" };
	struct layout_builder *builder = layout_builder_new();
	char name[300];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(layout_add(builder, bad[i], LAYOUT_TEXT, 0, 0444, NULL), -EINVAL);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(layout_add(builder, name, LAYOUT_TEXT, 0, 0444, NULL), -EINVAL);
	ck_assert_int_eq(layout_add(builder, "f", LAYOUT_TEXT, 0, 0444, NULL), 0);
	ck_assert_int_eq(layout_add(builder, "f", LAYOUT_TEXT, 0, 0444, NULL), -EEXIST);
	ck_assert_int_eq(layout_add(builder, "f/g", LAYOUT_TEXT, 0, 0444, NULL), -ENOTDIR);
	layout_builder_free(builder);
}
END_TEST

START_TEST(too_many_nodes_are_refused)
{
	struct layout_builder *builder = layout_builder_new();
	char name[32];
	int r = 0;

	for (int i = 0; i < LAYOUT_SLOTS_MAX - 1; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		r = layout_add(builder, name, LAYOUT_TEXT, 0, 0444, NULL);
	}
	ck_assert_int_eq(r, -ENOSPC);
	layout_builder_free(builder);
}
END_TEST

UNIT_MAIN("layout", a_tree_prints_as_text, the_order_of_additions_does_not_change_a_byte,
	  lookup_finds_what_is_there_and_nothing_else,
	  bad_paths_are_refused_and_leave_the_tree_usable, too_many_nodes_are_refused)
