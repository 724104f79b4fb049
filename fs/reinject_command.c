/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of nvinject: see reinject_command.h. */
#include "fs/reinject_command.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/varlink.h"
#include "nvml/gpu.h"

static void add(struct reinject_command *command, const char *option, const char *value)
{
	if (command->n + 3 > REINJECT_ARGS_MAX)
		return;
	command->argv[command->n++] = option;
	if (value)
		command->argv[command->n++] = value;
}

static bool has_gpu(const struct gpu_list *gpus, const char *uuid)
{
	for (size_t i = 0; i < gpus->n; i++) {
		if (strcmp(gpus->gpus[i].uuid, uuid) == 0)
			return true;
	}
	return false;
}

static char *given_devices(const struct reinject_request *request, const json_t *spec)
{
	const json_t *uuids = json_object_get(spec, "gpus"), *uuid;
	char *list = NULL;
	size_t len = 0, i, n = 0;
	FILE *out = open_memstream(&list, &len);

	if (!out)
		return NULL;
	json_array_foreach(uuids, i, uuid) {
		const char *text = json_string_value(uuid);

		if (text && *text && has_gpu(request->gpus, text))
			fprintf(out, "%s%s", n++ ? "," : "", text);
	}
	if (!n)
		fputs("none", out);
	if (fclose(out) == 0)
		return list;
	free(list);
	return NULL;
}

static bool had_cgroup(const struct reinject_request *request)
{
	json_t *done = request->done ? json_loads(request->done, 0, NULL) : NULL, *step;
	bool had = false;
	size_t i;

	json_array_foreach(done, i, step)
		had = had || strcmp(varlink_string(step, "step", ""), "cgroup") == 0;
	json_decref(done);
	return had;
}

int reinject_program(const char *configured, char ret[PATH_MAX], struct error *err)
{
	ssize_t n;
	char *slash;

	if (configured) {
		(void)snprintf(ret, PATH_MAX, "%s", configured);
	} else {
		n = readlink("/proc/self/exe", ret, PATH_MAX - sizeof("/nvinject"));
		if (n <= 0)
			return error_set(err, n < 0 ? -errno : -ENOENT, "read '/proc/self/exe'");
		ret[n] = '\0';
		slash = strrchr(ret, '/');
		strcpy(slash ? slash : ret, "/nvinject");
	}
	if (access(ret, X_OK) == 0)
		return 0;
	(void)error_set(err, -errno, "run '%s'", ret);
	return error_remedy(err, -ENOENT, "install nvinject beside nvfs, or set nvinject in nvfs.conf");
}

int reinject_command_build(const struct reinject_request *request, struct reinject_command *ret,
			   struct error *err)
{
	int r = reinject_program(request->program, ret->program, err);

	if (r < 0)
		return r;
	ret->spec = json_loads(request->spec, 0, NULL);
	if (!ret->spec)
		return error_set(err, -EBADMSG, "repeat the request");
	ret->devices = given_devices(request, ret->spec);
	if (!ret->devices)
		return error_set(err, -ENOMEM, "repeat the request");
	(void)snprintf(ret->pid, sizeof(ret->pid), "%d", request->pid);
	add(ret, "nvinject", NULL);
	add(ret, "--socket", request->socket);
	add(ret, "--pid", ret->pid);
	add(ret, "--id", varlink_string(ret->spec, "id", ""));
	add(ret, "--devices", ret->devices);
	add(ret, "--driver-capabilities", varlink_string(ret->spec, "driver_capabilities", ""));
	add(ret, "--target", varlink_string(ret->spec, "target", ""));
	if (request->owner >= 0) {
		(void)snprintf(ret->owner, sizeof(ret->owner), "%u", (unsigned int)request->owner);
		add(ret, "--owner", ret->owner);
	}
	if (*varlink_string(ret->spec, "cuda_compat_mode", ""))
		add(ret, "--cuda-compat-mode", varlink_string(ret->spec, "cuda_compat_mode", ""));
	if (!had_cgroup(request))
		add(ret, "--no-cgroup", NULL);
	return 0;
}

void reinject_command_done(struct reinject_command *command)
{
	free(command->devices);
	json_decref(command->spec);
}
