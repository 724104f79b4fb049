/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nvinject does, done here by its own code, from its command line on: a second program would cost more than
 * the injection itself. dropin_inject_init() makes this process what nvinject is from its first line.
 */
#include "cli/dropin_inject.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "inject/enter.h"
#include "inject/privilege.h"
#include "inject/session.h"

#define WARNINGS_MAX (1024 * 1024) /* bytes */
#define ARGS_MAX 128               /* two for each of 32 requirements, and some 25 */

struct command {
	char id[256];
	const char *argv[ARGS_MAX]; /* ends in NULL */
	size_t n;
};

static void add(struct command *command, const char *option, const char *value)
{
	if (command->n + 3 > ARGS_MAX)
		abort();
	command->argv[command->n++] = option;
	if (value)
		command->argv[command->n++] = value;
}

static void add_list(struct command *command, const char *option, const char *value)
{
	if (value && *value)
		add(command, option, value);
}

void dropin_id(const char *rootfs, unsigned long long mnt_ns, char *buf, size_t size)
{
	uint32_t hash = 2166136261U; /* FNV-1a */
	char name[65];
	size_t end = strlen(rootfs), start, n = 0;

	while (end > 0 && rootfs[end - 1] == '/')
		end--;
	for (start = end; start > 0 && rootfs[start - 1] != '/';)
		start--;
	for (size_t i = 0; i < end; i++)
		hash = (hash ^ (unsigned char)rootfs[i]) * 16777619U;
	for (; start < end && n + 1 < sizeof(name); start++)
		name[n++] = isalnum((unsigned char)rootfs[start]) || rootfs[start] == '-'
				    ? rootfs[start]
				    : '_';
	name[n] = '\0';
	(void)snprintf(buf, size, "%s-%08x-%llu", name, hash, mnt_ns);
}

static int add_container(struct command *command, const struct dropin_container *container,
			 struct error *err)
{
	struct stat st;

	add(command, "--rootfs", container->rootfs);
	if (container->pid) {
		add(command, "--pid", container->pid);
		return 0;
	}
	if (stat("/proc/self/ns/mnt", &st) < 0)
		return error_set(err, -errno, "stat our mount namespace");
	dropin_id(container->rootfs, st.st_ino, command->id, sizeof(command->id));
	add(command, "--standalone", NULL);
	add(command, "--id", command->id);
	return 0;
}

static int build(const struct dropin *dropin, const struct dropin_container *container,
		 struct command *ret, struct error *err)
{
	const char *devices = container->devices.list;
	int r;

	add(ret, "nvinject", NULL);
	add(ret, "--classic-paths", NULL);
	add(ret, "--client", "nvidia-container-cli");
	add(ret, "--on-daemon-down", "config");
	add(ret, "--socket", dropin->socket);
	r = add_container(ret, container, err);
	add(ret, "--devices", devices && *devices ? devices : "none");
	add(ret, "--driver-capabilities", container->caps ? container->caps : "none");
	add_list(ret, "--mig-config", container->devices.mig_config);
	add_list(ret, "--mig-monitor", container->devices.mig_monitor);
	add_list(ret, "--imex-channel", container->devices.imex);
	add_list(ret, "--without", container->without);
	add_list(ret, "--cuda-compat-mode", container->compat_mode);
	if (container->no_cgroups || !container->pid)
		add(ret, "--no-cgroup", NULL);
	for (size_t i = 0; i < container->n_requirements; i++)
		add(ret, "--require", container->requirements[i]);
	return r;
}

static void log_command(const struct dropin *dropin, const struct command *command)
{
	if (!dropin->log)
		return;
	for (size_t i = 1; i < command->n; i++)
		dropin_log(dropin, 'I', "%s: %s", i == 1 ? command->argv[0] : "  ...",
			   command->argv[i]);
}

static void log_warnings(const struct dropin *dropin, int fd)
{
	auto_free char *text = NULL;
	char *line, *rest;

	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    file_read_fd(fd, WARNINGS_MAX, &text, NULL, NULL) < 0)
		return;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		if (*line)
			dropin_log(dropin, 'W', "%s", line);
	}
}

int dropin_inject_init(const struct dropin *dropin, struct error *err)
{
	int r = privilege_init(dropin->log ? DROPIN_LOG_FD + 1 : DROPIN_LOG_FD, err);

	log_open("nvinject", LOG_LEVEL_INFO);
	log_to(-1); /* a caller reads our standard error as one error */
	return r;
}

/* The caller goes on as if all were well: a person should know. */
static void tell_nothing(const struct dropin *dropin, const char *why)
{
	(void)fprintf(stderr, DROPIN_NAME ": no GPU for this container: %s\n", why);
	dropin_log(dropin, 'W', "no GPU for this container: %s", why);
}

static int run(const struct dropin *dropin, const struct command *command, struct error *err)
{
	struct session session = SESSION_EMPTY;
	int r;

	(void)clock_gettime(CLOCK_MONOTONIC, &session.started);
	r = request_parse(&session.request, (int)command->n, (char **)(uintptr_t)command->argv,
			  err);
	r = r ? r : session_inject_or_skip(&session, err);
	enter_done(&session.enter);
	if (r == 0 && strcmp(session.result, "nothing") == 0)
		tell_nothing(dropin, varlink_string(session.report, "why", "not said why"));
	if (r == 0)
		dropin_log(dropin, 'I', "%s", session.result);
	return r; /* what is open and allocated goes with the process, as nvinject's */
}

int dropin_inject(const struct dropin *dropin, const struct dropin_container *container,
		  struct error *err)
{
	auto_free struct command *command = calloc(1, sizeof(*command));
	auto_close int warnings = dropin->log ? memfd_create("warnings", MFD_CLOEXEC) : -1;
	int r;

	if (!command)
		return error_set(err, -ENOMEM, "inject");
	r = build(dropin, container, command, err);
	if (r < 0)
		return r;
	log_command(dropin, command);
	log_to(warnings);
	r = run(dropin, command, err);
	log_to(-1);
	log_warnings(dropin, warnings);
	return r;
}

void dropin_inject_end(void)
{
	if (enter_left_behind()) /* our caller need not wait for it */
		(void)sys_close_range(0, ~0U, 0);
}
