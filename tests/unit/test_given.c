/* SPDX-License-Identifier: Apache-2.0 */
/* What a container was given, looked for in what there is now: never more than it had. */
#include "fs/given.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "nvml/gpu.h"
#include "nvml/select.h"
#include "tests/unit/unit.h"

static struct gpu gpus[] = { { .index = 0, .uuid = "GPU-a", .usable = true },
			     { .index = 1, .uuid = "GPU-b", .usable = true },
			     { .index = 2, .uuid = "", .usable = true } };
static struct mig_device migs[] = {
	{ .gpu = 0, .index = 0, .gi = 1, .ci = 0, .uuid = "MIG-x" },
	{ .gpu = 0, .index = 1, .gi = 2, .ci = 0, .uuid = "" }, /* NVML has not told */
	{ .gpu = 1, .index = 0, .gi = 1, .ci = 0, .uuid = "MIG-y" },
};
static const struct gpu_list list = { .gpus = gpus, .n = 3, .migs = migs, .n_migs = 3 };

#define MIG(name, uuid) "{\"name\":\"" name "\",\"uuid\":\"" uuid "\"}"

START_TEST(each_rule_of_what_is_still_there_has_a_case)
{
	static const struct {
		const char *rule, *spec, *expected; /* GPUs: MIG devices, by their places */
	} samples[] = {
		{ "in the order they were given", "{\"gpus\":[\"GPU-b\",\"GPU-a\"]}", "1 0:" },
		{ "one that has gone is left out", "{\"gpus\":[\"GPU-a\",\"GPU-z\"]}", "0:" },
		{ "UUIDs to the letter", "{\"gpus\":[\"gpu-a\",\"GPU-\"]}", ":" },
		{ "a GPU without a UUID is nobody's", "{\"gpus\":[\"\"]}", ":" },
		{ "more names than GPUs", "{\"gpus\":[\"GPU-a\",\"GPU-a\",\"GPU-a\",\"GPU-a\"]}",
		  "0 0 0:" },
		{ "MIG devices by their ids",
		  "{\"migs\":[" MIG("MIG-GPU-a/2/0", "") "," MIG("MIG-GPU-b/1/0", "") "]}",
		  ": 1 2" },
		{ "and by UUID, where both have one",
		  "{\"migs\":[" MIG("MIG-GPU-a/1/0", "MIG-x") "]}", ": 0" },
		{ "the same ids, another device", "{\"migs\":[" MIG("MIG-GPU-a/1/0", "MIG-w") "]}",
		  ":" },
		{ "a UUID that is not known yet", "{\"migs\":[" MIG("MIG-GPU-a/2/0", "MIG-v") "]}",
		  ": 1" },
		{ "a UUID alone is no device", "{\"migs\":[" MIG("", "MIG-x") "]}", ":" },
		{ "other shapes are nothing", "{\"gpus\":{\"0\":\"GPU-a\"},\"migs\":\"MIG-x\"}",
		  ":" },
		{ "other shapes are nothing",
		  "{\"gpus\":[0,null,[]],\"migs\":[7,null,\"MIG-GPU-a/1/0\"]}", ":" },
		{ "other shapes are nothing", "[]", ":" },
		{ "nothing", "{}", ":" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		json_t *spec = json_loads(samples[i].spec, 0, NULL);
		struct gpu_selection given = { 0 };
		char text[64] = "";

		ck_assert_ptr_nonnull(spec);
		ck_assert_int_eq(given_select(spec, &list, &given), 0);
		ck_assert(given.wanted);
		for (size_t k = 0; k < given.n; k++)
			(void)sprintf(text + strlen(text), k ? " %zu" : "%zu", given.at[k]);
		(void)strcat(text, ":");
		for (size_t k = 0; k < given.n_migs; k++)
			(void)sprintf(text + strlen(text), " %zu", given.migs[k]);
		ck_assert_msg(!strcmp(text, samples[i].expected), "%s: '%s'", samples[i].rule,
			      text);
		gpu_selection_done(&given);
		json_decref(spec);
	}
}
END_TEST

START_TEST(on_a_host_without_gpus_nothing_is_left)
{
	const struct gpu_list empty = { 0 };
	struct gpu_selection given = { 0 };
	json_t *spec = json_pack("{s:[s], s:[{s:s}]}", "gpus", "GPU-a", "migs", "name",
				 "MIG-GPU-a/1/0");

	ck_assert_int_eq(given_select(spec, &empty, &given), 0);
	ck_assert_uint_eq(given.n + given.n_migs, 0);
	gpu_selection_done(&given);
	json_decref(spec);
}
END_TEST

START_TEST(flags_are_true_or_not_given)
{
	static const struct {
		const char *spec;
		bool mig_control, nvswitch;
	} samples[] = {
		{ "{\"mig_config\":true}", true, false },
		{ "{\"mig_monitor\":true,\"nvswitch\":true}", true, true },
		{ "{\"mig_config\":false,\"nvswitch\":false}", false, false },
		{ "{\"mig_config\":\"all\",\"mig_monitor\":1,\"nvswitch\":\"true\"}", false,
		  false },
		{ "{}", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		json_t *spec = json_loads(samples[i].spec, 0, NULL);

		ck_assert_msg(given_has_mig_control(spec) == samples[i].mig_control, "%s",
			      samples[i].spec);
		ck_assert_msg(given_flag(spec, "nvswitch") == samples[i].nvswitch, "%s",
			      samples[i].spec);
		json_decref(spec);
	}
	ck_assert(!given_flag(NULL, "nvswitch"));
}
END_TEST

UNIT_MAIN("given", each_rule_of_what_is_still_there_has_a_case,
	  on_a_host_without_gpus_nothing_is_left, flags_are_true_or_not_given)
