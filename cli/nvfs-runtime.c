/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvfs-runtime: another OCI runtime with one hook more. Before "create" and "run" a container that asks for
 * GPUs gets nvinject's hook in its config.json; then, and for every other command, this process becomes runc,
 * or the runtime that NVFS_RUNTIME or nvfs.conf(5) names, with the same command line.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/runtime_args.h"
#include "cli/runtime_config.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/seed.h"
#include "fs/config.h"

#define ENV_RUNTIME "NVFS_RUNTIME"
#define ENV_CONFIG "NVFS_CONFIG"
#define ENV_PID "NVFS_RUNTIME_PID" /* of who has become a runtime: when it comes back, that was ourselves */

static int read_config(struct config *config, struct error *err)
{
	const char *path = getenv(ENV_CONFIG);
	int r = config_init(config);

	if (r < 0)
		return error_set(err, r, "read the configuration");
	return config_read(config, path ? path : CONFIG_PATH, !path, err);
}

/* The program beside ours, unless the configuration names another one. */
static int find_nvinject(const struct config *config, char ret[PATH_MAX], struct error *err)
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - sizeof("nvinject"));
	char *slash;

	if (config->nvinject) {
		(void)snprintf(ret, PATH_MAX, "%s", config->nvinject);
		return 0;
	}
	if (n < 0)
		return error_set(err, -errno, "find nvinject");
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	if (!slash)
		return error_set(err, -ENOENT, "find nvinject beside '%.80s'", ret);
	memcpy(slash + 1, "nvinject", sizeof("nvinject"));
	return 0;
}

static int add_hook(const struct config *config, const struct runtime_call *call, struct error *err)
{
	char nvinject[PATH_MAX];
	const struct runtime_hook hook = { .nvinject = nvinject,
					   .socket = config->socket,
					   .on_daemon_down = config->on_daemon_down,
					   .swarm = config->swarm_resource };
	int r;

	if (call->config)
		return error_setc(
			err, ERROR_USAGE, -EINVAL,
			"--config '%.60s': a hook reads the bundle's config.json, no other",
			call->config);
	r = find_nvinject(config, nvinject, err);
	return r ? r : runtime_config_apply(call->bundle, &hook, err);
}

/* Only returns when it fails. */
static int become(const char *runtime, char *argv[], struct error *err)
{
	char pid[16];
	const char *before = getenv(ENV_PID);

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (before && strcmp(before, pid) == 0) {
		(void)error_setc(err, ERROR_USAGE, -ELOOP,
				 "the runtime below is nvfs-runtime again");
		return error_remedy(err, -ELOOP,
				    "set 'runtime' in nvfs.conf to the path of runc or crun");
	}
	if (setenv(ENV_PID, pid, 1) < 0)
		return error_set(err, -errno, "set " ENV_PID);
	argv[0] = (char *)runtime;
	(void)execvp(runtime, argv);
	return error_set(err, -errno, "run '%.80s'", runtime);
}

static int become_any(const struct config *config, char *argv[], struct error *err)
{
	const char *named = getenv(ENV_RUNTIME);
	int r;

	if (!named || !*named)
		named = config->runtime;
	if (named && *named)
		return become(named, argv, err);
	r = become("runc", argv, err);
	if (r != -ENOENT)
		return r;
	*err = (struct error){ 0 };
	r = become("crun", argv, err);
	if (r == -ENOENT)
		(void)error_remedy(err, r, "install runc or crun, or set 'runtime' in nvfs.conf");
	return r;
}

int main(int argc, char *argv[])
{
	struct runtime_call call;
	struct config config;
	struct error err = { 0 };
	char line[ERROR_LINE_MAX];
	int r;

	if (argc < 1)
		return ERROR_USAGE;
	log_open("nvfs-runtime", LOG_LEVEL_INFO);
	seed_json();
	runtime_args_parse(argv, &call);
	r = read_config(&config, &err);
	if (r == 0 && call.makes)
		r = add_hook(&config, &call, &err);
	r = r ? r : become_any(&config, argv, &err);
	error_line(&err, NULL, line);
	(void)fprintf(stderr, "nvfs-runtime: %s\n", line);
	config_done(&config);
	return error_exit_status(&err);
}
