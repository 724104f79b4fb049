/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks and mounts of config.json: the engine's own word. */
#include "inject/engine.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"

static const char *const stages[] = { "prestart", "createRuntime", "createContainer" };

/* The value of the option, "--cdi-device X" or "--cdi-device=X"; NULL where it is another's hook. */
static const char *device_of(const json_t *hook)
{
	const json_t *args = json_object_get(hook, "args");
	size_t len = strlen(ENGINE_CDI_OPTION);

	for (size_t i = 1; i < json_array_size(args); i++) {
		const char *arg = json_string_value(json_array_get(args, i));

		if (!arg || strncmp(arg, ENGINE_CDI_OPTION, len) != 0)
			continue;
		if (arg[len] == '=')
			return arg + len + 1;
		if (!arg[len])
			return json_string_value(json_array_get(args, i + 1));
	}
	return NULL;
}

static int append(char **list, const char *device, struct error *err)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? "," : "", device) < 0)
		return error_set(err, -ENOMEM, "copy a list");
	free(*list);
	*list = longer;
	return 0;
}

/* "none" is the driver alone: beside GPUs it says nothing. */
static bool is_none(const char *device)
{
	return strcmp(device, "none") == 0;
}

static int collect(const json_t *config, char **list, const char **first, struct error *err)
{
	const json_t *hooks = json_object_get(config, "hooks"), *hook;
	size_t i;
	int r = 0;

	for (size_t s = 0; s < ARRAY_SIZE(stages); s++) {
		json_array_foreach(json_object_get(hooks, stages[s]), i, hook) {
			const char *device = device_of(hook);

			if (!device)
				continue;
			*first = *first ? *first : device;
			if (!is_none(device))
				r = append(list, device, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int engine_cdi_devices(const json_t *config, const char *own, char **ret, bool *ret_is_first,
		       struct error *err)
{
	auto_free char *list = NULL;
	const char *first = NULL;
	int r = collect(config, &list, &first, err);

	/* An engine that keeps its hooks elsewhere runs each by itself. */
	if (r == 0 && !list)
		r = append(&list, first ? first : own, err);
	if (r < 0)
		return r;
	*ret_is_first = !first || strcmp(first, own) == 0;
	*ret = take_ptr(&list);
	return 0;
}

/* libcuda.so.580.95.05: a version, not the number of an interface. */
static bool is_versioned(const char *path, const char *library)
{
	const char *name = strrchr(path, '/');
	size_t len = strlen(library);

	return name && strncmp(name + 1, library, len) == 0 &&
	       isdigit((unsigned char)name[1 + len]) && strchr(name + 1 + len, '.');
}

const char *engine_driver_file(const json_t *config)
{
	const json_t *mounts = json_object_get(config, "mounts"), *mount;
	size_t i;

	json_array_foreach(mounts, i, mount) {
		const char *where = json_string_value(json_object_get(mount, "destination"));

		if (where &&
		    (is_versioned(where, "libcuda.so.") || is_versioned(where, "libnvidia-ml.so.")))
			return where;
	}
	return NULL;
}
