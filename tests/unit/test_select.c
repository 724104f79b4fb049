/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/select.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "nvml/gpu.h"
#include "tests/unit/unit.h"

static struct gpu gpus[] = {
	{ .index = 0, .bus_id = "0000:01:00.0", .uuid = "GPU-aabb0000-1", .usable = true },
	{ .index = 1, .bus_id = "0000:02:00.0", .uuid = "GPU-aacc0000-2", .usable = true },
	{ .index = GPU_NO_INDEX, .bus_id = "0000:03:00.0", .uuid = "GPU-dd", .note = "excluded" },
	{ .index = 2, .bus_id = "0001:04:00.0", .uuid = "GPU-ee", .usable = true },
};
static const struct gpu_list list = { .gpus = gpus, .n = 4 };

/* The selection as text: "0 3", "none", "void". */
static const char *selected(const char *devices, char text[64])
{
	struct gpu_selection selection = { 0 };
	size_t used = 0;

	ck_assert_int_eq(gpu_select(&list, devices, &selection, NULL), 0);
	(void)strcpy(text, selection.wanted ? "none" : "void");
	for (size_t i = 0; i < selection.n; i++)
		used += (size_t)sprintf(text + used, i ? " %zu" : "%zu", selection.at[i]);
	gpu_selection_done(&selection);
	return text;
}

static void refused(const char *devices, int code, const char *why)
{
	struct gpu_selection selection = { .n = 4711 };
	struct error err = { 0 };

	ck_assert_int_eq(gpu_select(&list, devices, &selection, &err), code);
	ck_assert_int_eq(err.class, ERROR_DEVICE);
	ck_assert_msg(strstr(err.text, why) != NULL, "'%s' lacks '%s'", err.text, why);
	ck_assert_str_ne(err.remedy, "");
	ck_assert_uint_eq(selection.n, 4711); /* untouched */
}

START_TEST(words_stand_for_all_none_and_nothing)
{
	char text[64];

	ck_assert_str_eq(selected("all", text), "0 1 3");
	ck_assert_str_eq(selected("ALL", text), "0 1 3");
	ck_assert_str_eq(selected("none", text), "none");
	ck_assert_str_eq(selected("void", text), "void");
	ck_assert_str_eq(selected("", text), "void");
	ck_assert_str_eq(selected(" , ,", text), "void");
	ck_assert_str_eq(selected(NULL, text), "void");
}
END_TEST

START_TEST(indices_uuids_and_bus_ids_mean_gpus)
{
	char text[64];

	ck_assert_str_eq(selected("2,0", text), "3 0");
	ck_assert_str_eq(selected("GPU-aabb0000-1", text), "0");
	ck_assert_str_eq(selected("gpu-AAC", text), "1");
	ck_assert_str_eq(selected("0000:02:00.0", text), "1");
	ck_assert_str_eq(selected("00000001:04:00.0, 01:00.0", text), "3 0");
}
END_TEST

START_TEST(duplicates_collapse_and_empty_items_are_skipped)
{
	char text[64];

	ck_assert_str_eq(selected(",1,, 1 ,GPU-aacc0000-2,0000:02:00.0,0", text), "1 0");
	ck_assert_str_eq(selected("1,all", text), "1 0 3");
}
END_TEST

START_TEST(an_unknown_device_is_named)
{
	/* clang-format off */
	static const char *const bad[] = {
		"3", "7", "-1", "0x1", "GPU-", "GPU-f", "MIG-1", "0:0", "gpu0", "1 2",
		"99999999999999999999999", "0000:09:00.0",
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		refused(bad[i], -ENODEV, "unknown device");
		refused(bad[i], -ENODEV, bad[i]);
	}
	refused("0,GPU-f", -ENODEV, "GPU-f: unknown device");
}
END_TEST

START_TEST(a_prefix_of_two_uuids_is_ambiguous)
{
	refused("GPU-aa", -ENODEV, "more than one GPU");
}
END_TEST

START_TEST(an_unusable_gpu_is_refused_with_its_reason)
{
	refused("GPU-dd", -ENODEV, "excluded");
	refused("0000:03:00.0", -ENODEV, "excluded");
}
END_TEST

START_TEST(none_and_void_stand_alone)
{
	char text[64];

	refused("none,0", -EINVAL, "'none' beside other devices");
	refused("0,VOID", -EINVAL, "'VOID' beside other devices");
	refused("none,void", -EINVAL, "beside other devices");
	ck_assert_str_eq(selected("none,none", text), "none");
}
END_TEST

START_TEST(more_gpus_than_bits_in_a_word_and_long_lists_work)
{
	struct gpu many[100] = { 0 };
	struct gpu_list long_list = { .gpus = many, .n = 100 };
	struct gpu_selection selection = { 0 };
	char devices[8000] = "", item[4000];

	for (unsigned int i = 0; i < 100; i++) {
		many[i].index = i;
		many[i].usable = true;
		(void)sprintf(many[i].bus_id, "0000:%02x:00.0", i);
		(void)sprintf(devices + strlen(devices), "%u,%u,", 99 - i, i);
	}
	ck_assert_int_eq(gpu_select(&long_list, devices, &selection, NULL), 0);
	ck_assert_uint_eq(selection.n, 100);
	ck_assert_uint_eq(selection.at[0], 99);
	gpu_selection_done(&selection);
	memset(item, '0', sizeof(item) - 1);
	item[sizeof(item) - 1] = '\0';
	refused(item, -ENODEV, "unknown device");
}
END_TEST

START_TEST(a_host_without_gpus_gives_none_for_all_and_refuses_the_rest)
{
	const struct gpu_list empty = { 0 };
	struct gpu_selection selection = { 0 };
	struct error err = { 0 };

	ck_assert_int_eq(gpu_select(&empty, "all", &selection, NULL), 0);
	ck_assert(selection.wanted);
	ck_assert_uint_eq(selection.n, 0);
	gpu_selection_done(&selection);
	ck_assert_int_eq(gpu_select(&empty, "0", &selection, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.remedy, "no GPU"));
}
END_TEST

UNIT_MAIN("select", words_stand_for_all_none_and_nothing, indices_uuids_and_bus_ids_mean_gpus,
	  duplicates_collapse_and_empty_items_are_skipped, an_unknown_device_is_named,
	  a_prefix_of_two_uuids_is_ambiguous, an_unusable_gpu_is_refused_with_its_reason,
	  none_and_void_stand_alone, more_gpus_than_bits_in_a_word_and_long_lists_work,
	  a_host_without_gpus_gives_none_for_all_and_refuses_the_rest)
