/* SPDX-License-Identifier: Apache-2.0 */
/* A container's requirements against the facts of a generation: texts and numbers, no NVML. */
#include "fs/requirement.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "fs/generation.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/require.h"
#include "nvml/select.h"

/* As many as the existing tool takes. */
#define REQUIREMENTS_MAX 32

static int check_form(const json_t *list, struct error *err)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'requirements' is not an array");
	if (json_array_size(list) > REQUIREMENTS_MAX)
		return error_setc(err, ERROR_REQUIREMENT, -EINVAL, "too many requirements");
	json_array_foreach(list, i, item) {
		if (!json_is_string(item))
			return error_setc(err, ERROR_USAGE, -EINVAL,
					  "a requirement is not a string");
		if (json_string_length(item) >= REQUIRE_TEXT_MAX)
			return error_setc(err, ERROR_REQUIREMENT, -EINVAL,
					  "a requirement of %zu bytes is too long",
					  json_string_length(item));
	}
	return 0;
}

static int check_one(const json_t *list, const struct require_facts *facts, struct error *err)
{
	const json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(list, i, item) {
		r = require_check(json_string_value(item), facts, err);
		if (r < 0)
			break;
	}
	return r;
}

/* One kind of GPU is judged once: eight of them are no different from one. */
static bool is_judged(const struct gpu_list *gpus, const struct gpu_selection *selection, size_t i)
{
	const struct gpu *gpu = &gpus->gpus[selection->at[i]];

	for (size_t j = 0; j < i; j++) {
		const struct gpu *before = &gpus->gpus[selection->at[j]];

		if (!strcmp(gpu->arch, before->arch) && !strcmp(gpu->brand, before->brand))
			return true;
	}
	return false;
}

int requirement_check(const json_t *list, const struct generation *generation,
		      const struct gpu_selection *selection, struct error *err)
{
	struct require_facts facts = { .cuda = generation->driver->cuda,
				       .driver = generation->driver->version,
				       .arch = "",
				       .brand = "" };
	char name[32];
	int r = list ? check_form(list, err) : 0;

	if (!list || r < 0)
		return r;
	if (selection->n == 0)
		return check_one(list, &facts, err);
	for (size_t i = 0; i < selection->n && r == 0; i++) {
		const struct gpu *gpu = &generation->gpus->gpus[selection->at[i]];

		if (is_judged(generation->gpus, selection, i))
			continue;
		(void)snprintf(name, sizeof(name), "GPU %u", gpu->index);
		facts.gpu = name;
		facts.arch = gpu->arch;
		facts.brand = gpu->brand;
		r = check_one(list, &facts, err);
	}
	return r;
}
