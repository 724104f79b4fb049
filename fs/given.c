/* SPDX-License-Identifier: Apache-2.0 */
/* See given.h. */
#include "fs/given.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/varlink.h"
#include "nvml/gpu.h"
#include "nvml/mig_name.h"
#include "nvml/select.h"

bool given_flag(const json_t *spec, const char *key)
{
	return json_is_true(json_object_get(spec, key));
}

bool given_has_mig_control(const json_t *spec)
{
	return given_flag(spec, "mig_config") || given_flag(spec, "mig_monitor");
}

static void select_gpus(const json_t *spec, const struct gpu_list *gpus, struct gpu_selection *ret)
{
	const json_t *uuid;
	size_t i;

	json_array_foreach(json_object_get(spec, "gpus"), i, uuid) {
		const char *text = json_string_value(uuid);

		for (size_t g = 0; text && g < gpus->n; g++) {
			if (*text && strcmp(gpus->gpus[g].uuid, text) == 0 && ret->n < gpus->n)
				ret->at[ret->n++] = g;
		}
	}
}

/* The same ids may be another MIG device's by now: its UUID tells, if anything does. */
static bool is_mig(const json_t *given, const struct gpu_list *gpus, const struct mig_device *mig)
{
	const char *uuid = varlink_string(given, "uuid", "");
	char name[MIG_NAME_MAX];

	mig_name(gpus, mig, name);
	return strcmp(varlink_string(given, "name", ""), name) == 0 &&
	       (!*uuid || !mig->uuid[0] || strcmp(uuid, mig->uuid) == 0);
}

static void select_migs(const json_t *spec, const struct gpu_list *gpus, struct gpu_selection *ret)
{
	const json_t *given;
	size_t i;

	json_array_foreach(json_object_get(spec, "migs"), i, given) {
		for (size_t m = 0; m < gpus->n_migs; m++) {
			if (is_mig(given, gpus, &gpus->migs[m]) && ret->n_migs < gpus->n_migs)
				ret->migs[ret->n_migs++] = m;
		}
	}
}

int given_select(const json_t *spec, const struct gpu_list *gpus, struct gpu_selection *ret)
{
	struct gpu_selection selection = { .wanted = true };

	selection.at = calloc(gpus->n + 1, sizeof(*selection.at));
	selection.is_parent = calloc(gpus->n + 1, sizeof(*selection.is_parent));
	selection.migs = calloc(gpus->n_migs + 1, sizeof(*selection.migs));
	if (!selection.at || !selection.is_parent || !selection.migs) {
		gpu_selection_done(&selection);
		return -ENOMEM;
	}
	select_gpus(spec, gpus, &selection);
	select_migs(spec, gpus, &selection);
	*ret = selection;
	return 0;
}
