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
#include "fs/given.h"
#include "nvml/gpu.h"
#include "nvml/mig_name.h"
#include "nvml/select.h"

static void add(struct reinject_command *command, const char *option, const char *value)
{
	if (command->n + 3 > REINJECT_ARGS_MAX)
		return;
	command->argv[command->n++] = option;
	if (value)
		command->argv[command->n++] = value;
}

static void print_given(FILE *out, const json_t *spec, const struct gpu_list *gpus,
			const struct gpu_selection *given)
{
	char name[MIG_NAME_MAX];

	for (size_t i = 0; i < given->n; i++)
		fprintf(out, "%s%s", i ? "," : "", gpus->gpus[given->at[i]].uuid);
	/* Who divides GPUs has what is on them by that; by name they would be too many to be asked for. */
	for (size_t i = 0; i < given->n_migs && !given_has_mig_control(spec); i++) {
		mig_name(gpus, &gpus->migs[given->migs[i]], name);
		fprintf(out, "%s%s", i || given->n ? "," : "", name);
	}
	if (!given->n && !given->n_migs)
		fputs("none", out);
}

static char *given_devices(const struct reinject_request *request, const json_t *spec)
{
	struct gpu_selection given = { 0 };
	char *list = NULL;
	size_t len = 0;
	FILE *out;

	if (given_select(spec, request->gpus, &given) < 0)
		return NULL;
	out = open_memstream(&list, &len);
	if (out)
		print_given(out, spec, request->gpus, &given);
	gpu_selection_done(&given);
	if (out && fclose(out) == 0)
		return list;
	free(list);
	return NULL;
}

/* "0,7"; "" for none */
static char *given_imex(const json_t *spec)
{
	const json_t *id;
	char *list = NULL;
	size_t len = 0, i;
	FILE *out = open_memstream(&list, &len);

	if (!out)
		return NULL;
	json_array_foreach(json_object_get(spec, "imex_channels"), i, id)
		fprintf(out, "%s%" JSON_INTEGER_FORMAT, i ? "," : "", json_integer_value(id));
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
	char self[PATH_MAX];
	const char *slash;
	ssize_t n;

	if (configured) {
		(void)snprintf(ret, PATH_MAX, "%s", configured);
	} else {
		n = readlink("/proc/self/exe", self, sizeof(self) - sizeof("/nvinject"));
		if (n <= 0)
			return error_set(err, n < 0 ? -errno : -ENOENT, "read '/proc/self/exe'");
		self[n] = '\0';
		slash = strrchr(self, '/');
		(void)snprintf(ret, PATH_MAX, "%.*s/nvinject", slash ? (int)(slash - self) : 0,
			       self);
	}
	if (access(ret, X_OK) == 0)
		return 0;
	(void)error_set(err, -errno, "run '%s'", ret);
	return error_remedy(err, -ENOENT,
			    "install nvinject beside nvfs, or set nvinject in nvfs.conf");
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
	ret->imex = given_imex(ret->spec);
	if (!ret->devices || !ret->imex)
		return error_set(err, -ENOMEM, "repeat the request");
	(void)snprintf(ret->pid, sizeof(ret->pid), "%d", request->pid);
	add(ret, "nvinject", NULL);
	add(ret, "--socket", request->socket);
	add(ret, "--client", "nvfs");
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
	if (given_flag(ret->spec, "mig_config"))
		add(ret, "--mig-config", "all");
	if (given_flag(ret->spec, "mig_monitor"))
		add(ret, "--mig-monitor", "all");
	if (given_flag(ret->spec, "nvswitch"))
		add(ret, "--fabric", "nvswitch");
	if (given_flag(ret->spec, "imex_mgmt"))
		add(ret, "--fabric", "imex-mgmt");
	if (*ret->imex)
		add(ret, "--imex-channel", ret->imex);
	if (*varlink_string(ret->spec, "without", ""))
		add(ret, "--without", varlink_string(ret->spec, "without", ""));
	if (json_is_true(json_object_get(ret->spec, "classic_paths")))
		add(ret, "--classic-paths", NULL);
	if (!had_cgroup(request))
		add(ret, "--no-cgroup", NULL);
	return 0;
}

void reinject_command_done(struct reinject_command *command)
{
	free(command->devices);
	free(command->imex);
	json_decref(command->spec);
}
