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

/* MIG: GPU 0 has three devices with a hole, GPU 2 one of an old driver; GPU 3 cannot be used. */
static struct gpu mig_gpus[] = {
	{ .index = 0, .bus_id = "0000:01:00.0", .usable = true,
	  .uuid = "GPU-9caf6bc3-46be-f1a2-99ef-f61d756ddecf" },
	{ .index = 1, .bus_id = "0000:02:00.0", .uuid = "GPU-11", .usable = true },
	{ .index = 2, .bus_id = "0001:02:00.0", .uuid = "GPU-22", .usable = true },
	{ .index = 3, .bus_id = "000a:0b:1c.0", .uuid = "GPU-33", .note = "lost" },
};
static struct mig_device migs[] = {
	{ .gpu = 0,
	  .index = 0,
	  .gi = 3,
	  .ci = 0,
	  .uuid = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f" },
	{ .gpu = 0,
	  .index = 1,
	  .gi = 5,
	  .ci = 0,
	  .uuid = "MIG-0c757cd7-e942-5726-a0b8-0e8fb7067135" },
	{ .gpu = 0, .index = 6, .gi = 13, .ci = 1, .uuid = "MIG-7" },
	{ .gpu = 2, .index = 0, .gi = 1, .ci = 2, .uuid = "MIG-GPU-22/1/2" },
	{ .gpu = 2, .index = 1, .gi = 2, .ci = 0, .uuid = "" },
	{ .gpu = 3, .index = 0, .gi = 1, .ci = 0, .uuid = "MIG-33" },
};
static const struct gpu_list mig_list = { .gpus = mig_gpus, .n = 4, .migs = migs, .n_migs = 6 };

/* "0 2: 1 3": GPUs, then MIG devices. */
static void mig_selects(const char *rule, const char *devices, const char *expected)
{
	struct gpu_selection selection = { 0 };
	struct error err = { 0 };
	char text[ERROR_TEXT_MAX] = "";
	size_t used = 0;
	int r = gpu_select(&mig_list, devices, &selection, &err);

	if (r < 0) {
		ck_assert_str_ne(err.remedy, "");
		(void)snprintf(text, sizeof(text), "%s", err.text);
	}
	for (size_t i = 0; i < selection.n; i++)
		used += (size_t)sprintf(text + used, i ? " %zu" : "%zu", selection.at[i]);
	if (r == 0)
		used += (size_t)sprintf(text + used, ":");
	for (size_t i = 0; i < selection.n_migs; i++)
		used += (size_t)sprintf(text + used, " %zu", selection.migs[i]);
	ck_assert_msg(!strcmp(text, expected), "%s: '%s' gives '%s', expected '%s'", rule, devices,
		      text, expected);
	gpu_selection_done(&selection);
}

START_TEST(mig_devices_are_chosen_by_each_of_their_names)
{
	static const char *const samples[][3] = {
		{ "all: GPUs and MIG devices", "all", "0 1 2: 0 1 2 3 4" },
		{ "all ends the list", "1,ALL,nonsense", "1 0 2: 0 1 2 3 4" },
		{ "none", "none", ":" },
		{ "index of a divided GPU: no MIG device", "0", "0:" },
		{ "UUID of a divided GPU", "GPU-9caf6bc3-46be-f1a2-99ef-f61d756ddecf", "0:" },
		{ "unique prefix", "GPU-9", "0:" },
		{ "bus id, domain of 16 bits", "0001:02:00.0", "2:" },
		{ "bus id, domain of 32 bits", "00000001:02:00.0", "2:" },
		{ "bus id without domain", "02:00.0", "1:" },
		{ "bus id, one digit for each number", "0:1:0.0,1:2:0.0", "0 2:" },
		{ "bus id in any case", "000A:0B:1C.0", "000A:0B:1C.0: unusable GPU: lost" },
		{ "bus id, a domain of 9 digits", "000000001:02:00.0",
		  "000000001:02:00.0: unknown device" },
		{ "bus id, another function", "0000:01:00.1", "0000:01:00.1: unknown device" },
		{ "bus id, surplus", "0000:01:00.0x", "0000:01:00.0x: unknown device" },
		{ "index, leading zeros", "00", "0:" },
		{ "index, hexadecimal", "0x0", "0x0: unknown device" },
		{ "UUID: GPU- alone is none", "GPU-", "GPU-: unknown device" },
		{ "UUID: longer than any", "GPU-11x", "GPU-11x: unknown device" },
		{ "unknown behind what is known", "0,1,GPU-x", "GPU-x: unknown device" },
		{ "G:M", "0:1", "0: 1" },
		{ "G:M, behind a hole", "0:6", "0: 2" },
		{ "G:M, in the hole", "0:2", "0:2: unknown device" },
		{ "G:M, no such GPU", "9:0", "9:0: unknown device" },
		{ "G:M, GPU without MIG", "1:0", "1:0: unknown device" },
		{ "MIG UUID", "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "0: 0" },
		{ "MIG UUID in any case", "mig-C6D4F1EF-42e4-5de3-91c7-45d71c87eb3f", "0: 0" },
		{ "MIG UUID, whole", "MIG-c6d4f1ef", "MIG-c6d4f1ef: unknown device" },
		{ "MIG UUID, unknown", "MIG-", "MIG-: unknown device" },
		{ "old MIG UUID", "MIG-GPU-22/1/2", "2: 3" },
		{ "old form on a new driver", "MIG-GPU-9caf6bc3-46be-f1a2-99ef-f61d756ddecf/13/1",
		  "0: 2" },
		{ "old form in any case", "mig-gpu-9CAF6bc3-46be-f1a2-99ef-f61d756ddecf/5/0",
		  "0: 1" },
		{ "old form where the UUID is unknown", "MIG-GPU-22/2/0", "2: 4" },
		{ "old form, GPU UUID whole", "MIG-GPU-9caf/5/0",
		  "MIG-GPU-9caf/5/0: unknown device" },
		{ "old form, no such instance", "MIG-GPU-22/2/1",
		  "MIG-GPU-22/2/1: unknown device" },
		{ "old form, not whole", "MIG-GPU-22/2", "MIG-GPU-22/2: unknown device" },
		{ "old form, surplus", "MIG-GPU-22/2/0/0", "MIG-GPU-22/2/0/0: unknown device" },
		{ "the parent once", "0:0,0:1,0", "0: 0 1" },
		{ "duplicates by different names", "MIG-7,0:6, 0:6 ,", "0: 2" },
		{ "in the order asked for", "MIG-GPU-22/1/2,0:0", "2 0: 3 0" },
		{ "blanks and empty items", " ,0:1 ,, MIG-7,", "0: 1 2" },
		{ "on an unusable GPU", "3:0", "3:0: unusable GPU: lost" },
		{ "on an unusable GPU", "MIG-33", "MIG-33: unusable GPU: lost" },
		{ "name of CDI", "nvidia.com/gpu=0", "0:" },
		{ "name of CDI, all", "nvidia.com/gpu=all", "0 1 2: 0 1 2 3 4" },
		{ "names of CDI, MIG", "nvidia.com/gpu=0:1,nvidia.com/gpu=GPU-11", "0 1: 1" },
		{ "name of CDI, another kind", "nvidia.com/nic=0",
		  "nvidia.com/nic=0: unknown device" },
		{ "name of CDI, empty", "nvidia.com/gpu=", "nvidia.com/gpu=: unknown device" },
		{ "numbers only", "0:+1", "0:+1: unknown device" },
		{ "numbers only", "0: 1", "0: 1: unknown device" },
		{ "numbers only", "0 :1", "0 :1: unknown device" },
		{ "two numbers", "0:1:2", "0:1:2: unknown device" },
		{ "a number beyond 32 bits", "0:99999999999", "0:99999999999: unknown device" },
		{ "the first bad item is named", "0:1,8,9", "8: unknown device" },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++)
		mig_selects(samples[i][0], samples[i][1], samples[i][2]);
}
END_TEST

START_TEST(an_empty_uuid_is_nobodys_name)
{
	mig_selects("MIG- and nothing", "MIG-,0", "MIG-: unknown device");
	mig_selects("a slash and nothing", "MIG-/2/0", "MIG-/2/0: unknown device");
}
END_TEST

START_TEST(mig_can_be_configured_only_as_a_whole)
{
	static const struct {
		const char *rule, *devices, *word;
		int result;
		const char *text;
	} samples[] = {
		{ "not asked", "0:1", "", 0, "" },
		{ "all, and all devices", "all", "all", 1, "" },
		{ "all in any case", "all", "ALL", 1, "" },
		{ "all, and whole GPUs", "0,GPU-11", "all", 1, "" },
		{ "all, and no GPU", "none", "all", 1, "" },
		{ "only all", "all", "0", -EINVAL,
		  "0: only 'all' devices are currently supported" },
		{ "only all", "all", "0,1", -EINVAL,
		  "0,1: only 'all' devices are currently supported" },
		{ "a MIG device was chosen", "1,0:1", "all", -EINVAL,
		  "cannot enable mig-config with specific MIG devices selected" },
		{ "a MIG device was chosen, and all", "0:1,all", "all", 1, "" },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct gpu_selection selection = { 0 };
		struct error err = { 0 };

		ck_assert_int_eq(gpu_select(&mig_list, samples[i].devices, &selection, NULL), 0);
		ck_assert_msg(gpu_select_mig_control(&selection, "mig-config", samples[i].word,
						     &err) == samples[i].result,
			      "%s: %s", samples[i].rule, err.text);
		ck_assert_str_eq(err.text, samples[i].text);
		gpu_selection_done(&selection);
	}
}
END_TEST

/* NVML has not told yet: what may be the name of a device is no unknown one. */
START_TEST(names_that_may_come_are_to_be_tried_again)
{
	static struct gpu two[] = {
		{ .index = 0, .uuid = "GPU-00", .bus_id = "0000:06:00.0", .usable = true },
		{ .index = 1, .bus_id = "0000:07:00.0", .usable = true }, /* its UUID is not known */
	};
	static struct mig_device some[] = { { .gpu = 0, .index = 0, .gi = 1, .ci = 2 } };
	struct gpu_list early = { .gpus = two,
				  .n = 2,
				  .migs = some,
				  .n_migs = 1,
				  .has_nvcaps = true,
				  .provisional = true };
	static const struct {
		const char *devices;
		int result;
	} samples[] = {
		{ "MIG-a", -EAGAIN }, { "mig-a", -EAGAIN }, { "0:0", -EAGAIN },
		{ "0,0:0", -EAGAIN }, { "GPU-b", -EAGAIN }, { "GPU-00", 0 },
		{ "0", 0 },	      { "all", 0 },	    { "MIG-GPU-00/1/2", 0 },
		{ "0:1", -ENODEV },   { "9", -ENODEV },	    { "none", 0 },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct gpu_selection selection = { 0 };
		struct error err = { 0 };

		ck_assert_msg(gpu_select(&early, samples[i].devices, &selection, &err) ==
				      samples[i].result,
			      "%s: %s", samples[i].devices, err.text);
		if (samples[i].result == -EAGAIN)
			ck_assert_int_eq(err.class, ERROR_AGAIN);
		gpu_selection_done(&selection);
	}
	/* The module has no MIG devices: NVML cannot name one. */
	early.n_migs = 0;
	ck_assert_int_eq(gpu_select(&early, "MIG-a", &(struct gpu_selection){ 0 }, NULL), -ENODEV);
	/* Every GPU's UUID is known. */
	early.n = 1;
	ck_assert_int_eq(gpu_select(&early, "GPU-b", &(struct gpu_selection){ 0 }, NULL), -ENODEV);
	/* NVML has told. */
	early.n = 2;
	early.n_migs = 1;
	early.provisional = false;
	ck_assert_int_eq(gpu_select(&early, "MIG-a", &(struct gpu_selection){ 0 }, NULL), -ENODEV);
}
END_TEST

UNIT_MAIN("select", names_that_may_come_are_to_be_tried_again,
	  mig_can_be_configured_only_as_a_whole, mig_devices_are_chosen_by_each_of_their_names,
	  an_empty_uuid_is_nobodys_name, words_stand_for_all_none_and_nothing,
	  indices_uuids_and_bus_ids_mean_gpus, duplicates_collapse_and_empty_items_are_skipped,
	  an_unknown_device_is_named, a_prefix_of_two_uuids_is_ambiguous,
	  an_unusable_gpu_is_refused_with_its_reason, none_and_void_stand_alone,
	  more_gpus_than_bits_in_a_word_and_long_lists_work,
	  a_host_without_gpus_gives_none_for_all_and_refuses_the_rest)
