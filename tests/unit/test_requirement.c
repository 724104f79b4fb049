/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/requirement.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/generation.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/require.h"
#include "nvml/select.h"
#include "tests/unit/unit.h"

static struct gpu gpus[] = {
	{ .index = 0, .arch = "9.0", .brand = "Nvidia", .usable = true },
	{ .index = 1, .arch = "9.0", .brand = "Nvidia", .usable = true },
	{ .index = 2, .arch = "7.0", .brand = "Tesla", .usable = true },
	{ .index = 3, .usable = true }, /* nothing is known */
};
static struct mig_device migs[] = { { .gpu = 0, .index = 0, .uuid = "MIG-1" },
				    { .gpu = 2, .index = 0, .uuid = "MIG-2" } };
static struct gpu_list list = { .gpus = gpus, .n = 4, .migs = migs, .n_migs = 2 };
static struct driver driver = { .version = "535.261.03", .cuda = "12.2" };
static struct generation generation = { .driver = &driver, .gpus = &list };

static int check(const char *json, const char *devices, struct error *err)
{
	json_t *requirements = json ? json_loads(json, JSON_DECODE_ANY, NULL) : NULL;
	struct gpu_selection selection = { 0 };
	int r;

	*err = (struct error){ 0 };
	ck_assert_int_eq(gpu_select(&list, devices, &selection, NULL), 0);
	r = requirement_check(requirements, &generation, &selection, err);
	gpu_selection_done(&selection);
	json_decref(requirements);
	return r;
}

START_TEST(every_expression_must_hold_for_every_gpu)
{
	static const struct {
		const char *rule, *json, *devices, *remedy;
		int result;
	} samples[] = {
		{ "none said", NULL, "all", "", 0 },
		{ "an empty list", "[]", "all", "", 0 },
		{ "holds for each", "[\"arch>=9 brand=tesla\"]", "0,1,2", "", 0 },
		{ "several are one and", "[\"cuda>=12\",\"arch>=9\"]", "0,1", "", 0 },
		{ "several are one and", "[\"cuda>=12\",\"driver>=550\"]", "0",
		  "the driver has version 535.261.03", -ENOTSUP },
		{ "each GPU that was chosen", "[\"arch>=9\"]", "0,1,2", "GPU 2 has arch 7.0",
		  -ENOTSUP },
		{ "and no other", "[\"arch>=9\"]", "0,1", "", 0 },
		{ "each may hold by another alternative", "[\"arch>=9 driver>=535\"]", "0,2,3", "",
		  0 },
		{ "a MIG device is judged as its GPU", "[\"arch>=9\"]", "0:0", "", 0 },
		{ "a MIG device is judged as its GPU", "[\"arch>=9\"]", "0,2:0",
		  "GPU 2 has arch 7.0", -ENOTSUP },
		{ "all: every GPU of the host", "[\"arch>=9 brand=tesla\"]", "all",
		  "see `nvfs devices`; NVIDIA_DISABLE_REQUIRE=1 skips the check", -ENODATA },
		{ "without a GPU: the driver alone", "[\"arch>=99,brand=x\"]", "none", "", 0 },
		{ "without a GPU: the driver alone", "[\"cuda>=13\"]", "none",
		  "the driver has CUDA 12.2", -ENOTSUP },
		{ "unknown facts are said", "[\"arch>=7\"]", "2,3",
		  "see `nvfs devices`; NVIDIA_DISABLE_REQUIRE=1 skips the check", -ENODATA },
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		ck_assert_msg(check(samples[i].json, samples[i].devices, &err) == samples[i].result,
			      "%s: %d %s", samples[i].rule, err.code, err.text);
		ck_assert_str_eq(err.remedy, samples[i].remedy);
		ck_assert(err.code == 0 || err.class == ERROR_REQUIREMENT);
	}
}
END_TEST

START_TEST(a_list_of_another_shape_is_refused)
{
	struct error err;
	json_t *json = json_array();
	char text[REQUIRE_TEXT_MAX + 1];
	auto_free char *many = NULL, *big = NULL;

	ck_assert_int_eq(check("{}", "0", &err), -EINVAL);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	ck_assert_int_eq(check("\"cuda>=1\"", "0", &err), -EINVAL);
	ck_assert_int_eq(check("[7]", "0", &err), -EINVAL);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	ck_assert_int_eq(check("[\"cuda>=1\",null]", "0", &err), -EINVAL);
	for (int i = 0; i < 33; i++)
		(void)json_array_append_new(json, json_string("cuda>=1"));
	many = json_dumps(json, 0);
	ck_assert_int_eq(check(many, "0", &err), -EINVAL);
	ck_assert_str_eq(err.text, "too many requirements");
	(void)json_array_clear(json);
	memset(text, ' ', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)json_array_append_new(json, json_string(text));
	big = json_dumps(json, 0);
	ck_assert_int_eq(check(big, "0", &err), -EINVAL);
	json_decref(json);
}
END_TEST

UNIT_MAIN("requirement", every_expression_must_hold_for_every_gpu,
	  a_list_of_another_shape_is_refused)
