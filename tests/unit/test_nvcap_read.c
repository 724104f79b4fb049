/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities as a made-up /proc has them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define DIR "driver/nvidia/capabilities/"

static struct gpu gpus[] = { { .index = 0, .minor = 3, .usable = true },
			     { .index = 1, .minor = 1, .usable = true },
			     { .index = 2, .minor = 0, .usable = false } };
static struct gpu_list list = { .gpus = gpus, .n = 3 };
static char root[64];

static void add_text(const char *name, const char *text)
{
	char path[128];

	(void)snprintf(path, sizeof(path), DIR "%s", name);
	scratch_text(root, path, text);
}

static void add(const char *name, unsigned int minor, unsigned int mode)
{
	char text[128];

	(void)snprintf(text, sizeof(text),
		       "DeviceFileMinor: %u\nDeviceFileMode: %u\nDeviceFileModify: 1\n", minor,
		       mode);
	add_text(name, text);
}

/* "kind gpu gi ci minor mode" of each, with commas */
static void is_read(const char *expected)
{
	struct nvcap_list caps;
	char text[1024] = "";
	size_t used = 0;

	ck_assert_int_eq(nvcap_list_read(root, &list, &caps, NULL), 0);
	for (size_t i = 0; i < caps.n; i++) {
		const struct nvcap *c = &caps.caps[i];

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%d %u %u %u %u %o",
					 i ? "," : "", (int)c->kind, c->gpu, c->gi, c->ci, c->minor,
					 c->mode);
	}
	ck_assert_str_eq(text, expected);
	nvcap_list_done(&caps);
}

START_TEST(what_has_a_file_is_there_holes_and_all)
{
	scratch_new(root);
	add("mig/config", 1, 0400);
	add("mig/monitor", 2, 0444);
	add("fabric-imex-mgmt", 4323, 0400);
	add("gpu3/mig/gi13/access", 400, 0444);
	add("gpu3/mig/gi13/ci1/access", 402, 0444);
	add("gpu3/mig/gi13/ci0/access", 401, 0444);
	add("gpu1/mig/gi2/access", 30, 0400);
	add("gpu0/mig/gi1/access", 12, 0444); /* of a GPU that nobody can use */
	add("gpu9/mig/gi1/access", 900, 0444);
	is_read("0 0 0 0 1 400,1 0 0 0 2 444,2 0 0 0 4323 400,3 1 2 0 30 400,3 3 13 0 400 444,"
		"4 3 13 0 401 444,4 3 13 1 402 444");
	scratch_remove(root);
}
END_TEST

START_TEST(names_that_are_none_are_skipped)
{
	scratch_new(root);
	add("gpu1/mig/gi/access", 1, 0444);
	add("gpu1/mig/gi-1/access", 2, 0444);
	add("gpu1/mig/gi99999999999/access", 3, 0444);
	add("gpu1/mig/gi1024/access", 4, 0444);
	add("gpu1/mig/xgi1/access", 5, 0444);
	add("gpu1/mig/gi1x/access", 6, 0444);
	add("gpu1/mig/gi1/ci/access", 7, 0444);
	add("gpu1/mig/gi1/ci0x/access", 8, 0444);
	is_read("");
	scratch_remove(root);
}
END_TEST

START_TEST(without_a_module_there_are_none)
{
	scratch_new(root);
	is_read("");
	scratch_remove(root);
}
END_TEST

START_TEST(a_file_that_is_cut_short_is_made_up_for_by_the_list_of_all)
{
	scratch_new(root);
	add_text("mig/config", "DeviceFileMin");
	add_text("mig/monitor", "");
	add_text("gpu3/mig/gi1/access", "DeviceFileMinor: 1048576\n");
	add_text("gpu3/mig/gi1/ci0/access", "DeviceFileMinor: -1\n");
	is_read("");
	scratch_text(root, "driver/nvidia-caps/mig-minors",
		     "config 1\nmonitor\ngpu3/gi1/access 120\ngpu3/gi1/ci0/access "
		     "99999999\ngpu3/gi2/access 7");
	is_read("0 0 0 0 1 444,3 3 1 0 120 444");
	scratch_remove(root);
}
END_TEST

START_TEST(huge_files_and_nul_bytes_do_no_harm)
{
	static char big[100000];

	memset(big, '1', sizeof(big) - 1);
	scratch_new(root);
	add_text("mig/config", big);
	scratch_write(root, DIR "mig/monitor", "DeviceFileMinor: 2\n\0DeviceFileMinor: 3\n", 38);
	scratch_write(root, DIR "gpu3/mig/gi1/access", "\0DeviceFileMinor: 3\n", 20);
	is_read("1 0 0 0 2 444");
	scratch_remove(root);
}
END_TEST

START_TEST(a_mode_that_would_let_anybody_more_is_the_usual_one)
{
	static const struct {
		const char *text;
		unsigned int mode;
	} samples[] = {
		{ "DeviceFileMinor: 1\nDeviceFileMode: 256\n", 0400 },
		{ "DeviceFileMinor: 1\nDeviceFileMode: 438\n", 0666 },
		{ "DeviceFileMinor: 1\nDeviceFileMode: 2541\n", 0444 }, /* 04755 */
		{ "DeviceFileMinor: 1\nDeviceFileMode: 511\n", 0444 },
		{ "DeviceFileMinor: 1\nDeviceFileMode: 0\n", 0444 },
		{ "DeviceFileMinor: 1\nDeviceFileMode: x\n", 0444 },
		{ "DeviceFileMinor: 1\n", 0444 },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct nvcap cap = { 0 };

		ck_assert_int_eq(nvcap_file_parse(samples[i].text, &cap), 0);
		ck_assert_msg(cap.mode == samples[i].mode, "%s: %o", samples[i].text, cap.mode);
	}
}
END_TEST

/* As many as the largest list names, and still no more than a tree can show. */
START_TEST(more_instances_than_any_gpu_has_are_cut_off)
{
	struct nvcap_list caps;
	char name[64];

	scratch_new(root);
	for (unsigned int gi = 0; gi < 300; gi++) {
		for (unsigned int ci = 0; ci < 15; ci++) {
			(void)snprintf(name, sizeof(name), "gpu1/mig/gi%u/ci%u/access", gi, ci);
			add(name, gi * 16 + ci, 0444);
		}
	}
	ck_assert_int_eq(nvcap_list_read(root, &list, &caps, NULL), 0);
	ck_assert_uint_eq(caps.n, 4096);
	nvcap_list_done(&caps);
	scratch_remove(root);
}
END_TEST

START_TEST(a_copy_of_what_is_unsound_is_refused)
{
	const struct nvcap good[] = { { .kind = NVCAP_CI, .gpu = 1, .minor = 9, .mode = 0444 },
				      { .kind = NVCAP_GI, .gpu = 1, .minor = 8, .mode = 0444 } };
	const struct nvcap bad[] = { { .kind = NVCAP_KINDS },
				     { .minor = 1 << 20 },
				     { .mode = 04444 } };
	struct nvcap_list caps;

	ck_assert_int_eq(nvcap_list_copy(good, 2, &caps), 0);
	ck_assert_int_eq(nvcap_minor(&caps, NVCAP_GI, 1, 0, 0), 8);
	nvcap_list_done(&caps);
	ck_assert_int_eq(nvcap_list_copy(NULL, 0, &caps), 0);
	ck_assert_int_eq(nvcap_minor(&caps, NVCAP_GI, 1, 0, 0), -ENOENT);
	nvcap_list_done(&caps);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(nvcap_list_copy(&bad[i], 1, &caps), -EBADMSG);
}
END_TEST

START_TEST(each_capability_has_its_file)
{
	const struct nvcap cap = {
		.kind = NVCAP_CI, .gpu = 4294967295, .gi = 4294967295, .ci = 4294967295
	};
	char name[NVCAP_NAME_MAX];

	nvcap_file_name(&cap, name);
	ck_assert_str_eq(name, "gpu4294967295/mig/gi4294967295/ci4294967295/access");
}
END_TEST

UNIT_MAIN("nvcap_read", what_has_a_file_is_there_holes_and_all, names_that_are_none_are_skipped,
	  without_a_module_there_are_none,
	  a_file_that_is_cut_short_is_made_up_for_by_the_list_of_all,
	  huge_files_and_nul_bytes_do_no_harm, a_mode_that_would_let_anybody_more_is_the_usual_one,
	  more_instances_than_any_gpu_has_are_cut_off, a_copy_of_what_is_unsound_is_refused,
	  each_capability_has_its_file)
