/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/imageenv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

/* Words divided by newlines, as the array of process.env. */
static json_t *env_of(const char *words)
{
	auto_free char *copy = strdup(words);
	json_t *env = json_array();

	for (char *save = NULL, *word = strtok_r(copy, "\n", &save); word;
	     word = strtok_r(NULL, "\n", &save))
		(void)json_array_append_new(env, json_string(word));
	return env;
}

static void joined(const json_t *list, char *text, size_t size)
{
	const json_t *item;
	size_t i, used = 0;

	text[0] = '\0';
	json_array_foreach(list, i, item)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "",
					 json_string_value(item));
}

START_TEST(requirements_follow_the_toolkit_rule_by_rule)
{
	static const struct {
		const char *rule, *env, *expected; /* NULL: refused */
	} samples[] = {
		{ "nothing set", "PATH=/bin", "" },
		{ "each NVIDIA_REQUIRE_* is one",
		  "NVIDIA_REQUIRE_CUDA=cuda>=12.4\nNVIDIA_REQUIRE_ARCH=arch>=7",
		  "cuda>=12.4|arch>=7" },
		{ "any name", "NVIDIA_REQUIRE_X=brand=tesla driver>=1", "brand=tesla driver>=1" },
		{ "any name, the empty one", "NVIDIA_REQUIRE_=cuda>=9", "cuda>=9" },
		{ "not Jetpack",
		  "NVIDIA_REQUIRE_JETPACK=csv-mounts=all\nNVIDIA_REQUIRE_JETPACK_HOST_MOUNTS=x",
		  "" },
		{ "an empty one asks for nothing", "NVIDIA_REQUIRE_CUDA=", "" },
		{ "the last of a name counts",
		  "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_REQUIRE_CUDA=cuda>=9", "cuda>=9" },
		{ "the last of a name counts",
		  "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_REQUIRE_CUDA=", "" },
		{ "case counts", "nvidia_require_cuda=cuda>=99", "" },
		{ "a whole prefix", "XNVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_REQUIRE=cuda>=99", "" },
		{ "no value", "NVIDIA_REQUIRE_CUDA", "" },
		{ "disabled", "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_DISABLE_REQUIRE=1", "" },
		{ "disabled", "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_DISABLE_REQUIRE=t", "" },
		{ "disabled", "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_DISABLE_REQUIRE=T", "" },
		{ "disabled", "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_DISABLE_REQUIRE=true", "" },
		{ "disabled", "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_DISABLE_REQUIRE=True", "" },
		{ "disabled", "NVIDIA_REQUIRE_CUDA=cuda>=99\nNVIDIA_DISABLE_REQUIRE=TRUE", "" },
		{ "not disabled", "NVIDIA_REQUIRE_CUDA=cuda>=9\nNVIDIA_DISABLE_REQUIRE=0",
		  "cuda>=9" },
		{ "not disabled",
		  "NVIDIA_REQUIRE_CUDA=cuda>=9\nNVIDIA_DISABLE_REQUIRE=", "cuda>=9" },
		{ "not disabled: mere presence",
		  "NVIDIA_REQUIRE_CUDA=cuda>=9\nNVIDIA_DISABLE_REQUIRE=yes", "cuda>=9" },
		{ "not disabled: another case",
		  "NVIDIA_REQUIRE_CUDA=cuda>=9\nNVIDIA_DISABLE_REQUIRE=tRUE", "cuda>=9" },
		{ "legacy image", "CUDA_VERSION=8.0.61", "cuda>=8.0" },
		{ "legacy image: major alone", "CUDA_VERSION=9", "cuda>=9.0" },
		{ "legacy image: major and minor", "CUDA_VERSION=11.8", "cuda>=11.8" },
		{ "legacy image: a v in front", "CUDA_VERSION=v10.2.89", "cuda>=10.2" },
		{ "legacy image: pre-release", "CUDA_VERSION=11.0.0-rc1", "cuda>=11.0" },
		{ "legacy image: NVIDIA_REQUIRE_CUDA is empty",
		  "CUDA_VERSION=9.2\nNVIDIA_REQUIRE_CUDA=", "cuda>=9.2" },
		{ "legacy image: others add up", "CUDA_VERSION=9.2\nNVIDIA_REQUIRE_ARCH=arch>=7",
		  "arch>=7|cuda>=9.2" },
		{ "legacy image, disabled", "CUDA_VERSION=9.2\nNVIDIA_DISABLE_REQUIRE=1", "" },
		{ "no legacy image", "CUDA_VERSION=12.4.1\nNVIDIA_REQUIRE_CUDA=cuda>=12.4",
		  "cuda>=12.4" },
		{ "no legacy image", "CUDA_VERSION=", "" },
		{ "legacy image: no version", "CUDA_VERSION=cu121", NULL },
		{ "legacy image: no version", "CUDA_VERSION=v", NULL },
		{ "legacy image: no version", "CUDA_VERSION=9.", NULL },
		{ "legacy image: no version", "CUDA_VERSION=9.2.", NULL },
		{ "legacy image: no version", "CUDA_VERSION=.2", NULL },
		{ "legacy image: four parts", "CUDA_VERSION=9.2.1.1", NULL },
		{ "legacy image: leading zeros", "CUDA_VERSION=09.2", NULL },
		{ "legacy image: a blank", "CUDA_VERSION=9.2 ", NULL },
		{ "legacy image: a short pre-release", "CUDA_VERSION=9.2-rc1", NULL },
		{ "legacy image: a large number", "CUDA_VERSION=99999999999.1", NULL },
		{ "legacy image: no version, disabled",
		  "CUDA_VERSION=cu121\nNVIDIA_DISABLE_REQUIRE=1", "" },
	};
	char text[512];

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		json_t *env = env_of(samples[i].env), *list = NULL;
		struct error err = { 0 };
		int r = imageenv_requirements(env, &list, &err);

		joined(list, text, sizeof(text));
		ck_assert_msg(samples[i].expected
				      ? r == 0 && !strcmp(text, samples[i].expected)
				      : r == -EINVAL && err.class == ERROR_REQUIREMENT &&
						err.remedy[0],
			      "%s: '%s' gives '%s' (%d, %s)", samples[i].rule, samples[i].env, text,
			      r, err.text);
		json_decref(list);
		json_decref(env);
	}
}
END_TEST

START_TEST(an_environment_of_another_shape_asks_for_nothing)
{
	static const char *const shapes[] = { "null", "{}", "7", "[null,7,{},[]]",
					      "\"NVIDIA_REQUIRE_A=x\"" };

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		json_t *env = json_loads(shapes[i], JSON_DECODE_ANY, NULL), *list = NULL;

		ck_assert_int_eq(imageenv_requirements(env, &list, NULL), 0);
		ck_assert_uint_eq(json_array_size(list), 0);
		ck_assert_ptr_null(imageenv_value(env, "PATH"));
		json_decref(list);
		json_decref(env);
	}
}
END_TEST

START_TEST(more_or_longer_requirements_than_anybody_needs_are_refused)
{
	json_t *env = json_array(), *list = NULL;
	struct error err = { 0 };
	char text[16384];

	for (int i = 0; i < 33; i++)
		(void)json_array_append_new(env, json_sprintf("NVIDIA_REQUIRE_%d=cuda>=1", i));
	ck_assert_int_eq(imageenv_requirements(env, &list, &err), -EINVAL);
	ck_assert_str_eq(err.text, "too many requirements");
	(void)json_array_remove(env, 0);
	ck_assert_int_eq(imageenv_requirements(env, &list, NULL), 0);
	ck_assert_uint_eq(json_array_size(list), 32);
	json_decref(list);
	(void)json_array_clear(env);
	memset(text, '1', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)json_array_append_new(env, json_sprintf("NVIDIA_REQUIRE_CUDA=%s", text));
	ck_assert_int_eq(imageenv_requirements(env, &list, NULL), -EINVAL);
	json_decref(env);
}
END_TEST

START_TEST(dividing_and_watching_gpus_is_for_privileged_containers)
{
	static const struct {
		const char *env, *name, *value; /* "!": refused */
		bool privileged;
	} samples[] = {
		{ "PATH=/bin", "NVIDIA_MIG_CONFIG_DEVICES", NULL, false },
		{ "NVIDIA_MIG_CONFIG_DEVICES=", "NVIDIA_MIG_CONFIG_DEVICES", NULL, false },
		{ "NVIDIA_MIG_CONFIG_DEVICES=all", "NVIDIA_MIG_CONFIG_DEVICES", "all", true },
		{ "NVIDIA_MIG_CONFIG_DEVICES=0", "NVIDIA_MIG_CONFIG_DEVICES", "0", true },
		{ "NVIDIA_MIG_CONFIG_DEVICES=all", "NVIDIA_MIG_MONITOR_DEVICES", NULL, false },
		{ "NVIDIA_MIG_MONITOR_DEVICES=all", "NVIDIA_MIG_MONITOR_DEVICES", "!", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		json_t *env = env_of(samples[i].env);
		const char *value = NULL;
		struct error err = { 0 };
		int r = imageenv_mig_control(env, samples[i].name, samples[i].privileged, &value,
					     &err);
		const char *expected = samples[i].value ? samples[i].value : "";

		ck_assert_str_eq(r < 0 ? "!" : value ? value : "", expected);
		if (r < 0) {
			ck_assert_int_eq(err.class, ERROR_PERMISSION);
			ck_assert_str_eq(
				err.text,
				"cannot set MIG_MONITOR_DEVICES in non privileged container");
		}
		json_decref(env);
	}
}
END_TEST

UNIT_MAIN("imageenv", requirements_follow_the_toolkit_rule_by_rule,
	  an_environment_of_another_shape_asks_for_nothing,
	  more_or_longer_requirements_than_anybody_needs_are_refused,
	  dividing_and_watching_gpus_is_for_privileged_containers)
