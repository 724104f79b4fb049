/* SPDX-License-Identifier: Apache-2.0 */
/* Modules by modprobe(8), as the kernel itself would load them. */
#include "fs/kmods.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/hostnodes.h"

#define MODPROBE "/sbin/modprobe" /* the kernel's own default */
#define LIMIT_MS 60000            /* a module that brings GPUs up takes seconds */
#define TEXT_MAX (4UL * 1024 * 1024)

static char *proc_text(const char *proc_root, const char *name)
{
	auto_free char *path = NULL;
	char *text = NULL;

	if (asprintf(&path, "%s/%s", proc_root, name) < 0)
		path = NULL;
	if (path)
		(void)file_read_at(AT_FDCWD, path, TEXT_MAX, &text, NULL, NULL);
	return text;
}

bool kmods_maps_all(const char *map)
{
	unsigned int inside, outside, n;
	char rest;

	return map && sscanf(map, "%u %u %u %c", &inside, &outside, &n, &rest) == 3 &&
	       inside == 0 && outside == 0 && n == 4294967295U;
}

static int check_root(struct error *err)
{
	auto_free char *uids = proc_text("/proc", "self/uid_map"),
		       *gids = proc_text("/proc", "self/gid_map");

	if (geteuid() == 0 && kmods_maps_all(uids) && kmods_maps_all(gids))
		return 0;
	(void)error_setc(err, ERROR_PERMISSION, -EPERM,
			 "kernel modules are for root of the initial user namespace");
	return error_remedy(err, -EPERM, "load them on the host, and set load_kmods = no");
}

/* A module has no '-' in its name there: nvidia-uvm is nvidia_uvm. */
bool kmods_is_loaded(const char *proc_root, const char *name)
{
	auto_free char *text = proc_text(proc_root, "modules");
	const char *cursor = text, *line;
	size_t len, n = strlen(name);

	while (cursor && (line = parse_field(&cursor, '\n', &len))) {
		size_t i = 0;

		while (i < n && i < len && line[i] == (name[i] == '-' ? '_' : name[i]))
			i++;
		if (i == n && i < len && line[i] == ' ')
			return true;
	}
	return false;
}

/* "0030\t10de2330\t...": without such a device the module would only refuse to load. */
bool kmods_has_device(const char *proc_root)
{
	auto_free char *text = proc_text(proc_root, "bus/pci/devices");
	const char *cursor = text, *line;
	size_t len;

	while (cursor && (line = parse_field(&cursor, '\n', &len)))
		if (len > 9 && strncasecmp(line + 4, "\t10de", 5) == 0)
			return true;
	return false;
}

static char *find_modprobe(const char *proc_root)
{
	char *path = proc_text(proc_root, "sys/kernel/modprobe");

	if (path)
		path[strcspn(path, "\n")] = '\0';
	if (path && *path == '/')
		return path;
	free(path);
	return strdup(MODPROBE);
}

/* Its exit status, or a negative errno. */
static int wait_for(pid_t pid)
{
	auto_close int pidfd = sys_pidfd_open(pid, 0);
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	int status = 0, r;

	do
		r = pidfd < 0 ? 1 : poll(&end, 1, LIMIT_MS);
	while (r < 0 && errno == EINTR);
	if (r == 0) {
		(void)kill(pid, SIGKILL);
		/* In the module's own init no signal ends it. */
		(void)waitpid(pid, NULL, WNOHANG);
		return -ETIMEDOUT;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static int run(const char *modprobe, const char *name)
{
	char *argv[] = { (char[]){ "modprobe" }, strdup(name), NULL };
	char *env[] = { (char[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin" }, NULL };
	posix_spawn_file_actions_t files;
	pid_t pid = 0;
	int r;

	if (!argv[1] || posix_spawn_file_actions_init(&files) != 0) {
		free(argv[1]);
		return -ENOMEM;
	}
	(void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	(void)posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
	r = -posix_spawn(&pid, modprobe, &files, NULL, argv, env);
	(void)posix_spawn_file_actions_destroy(&files);
	free(argv[1]);
	return r < 0 ? r : wait_for(pid);
}

static void load(const char *proc_root, const char *modprobe, const char *name)
{
	int r;

	if (kmods_is_loaded(proc_root, name))
		return;
	r = run(modprobe, name);
	if (r < 0)
		log_warning("'%s %s': %s, ignoring", modprobe, name, strerror(-r));
	else if (!kmods_is_loaded(proc_root, name))
		log_warning("'%s %s' ended with %d and the module is not loaded, ignoring",
			    modprobe, name, r);
	else
		log_info("loaded the module %s", name);
}

int kmods_load(const char *dev_root, const char *proc_root, struct error *err)
{
	static const char *const names[] = { "nvidia", "nvidia-uvm", "nvidia-modeset" };
	auto_free char *modprobe = NULL;
	struct hostnodes_report report;
	int r = check_root(err);

	if (r < 0)
		return r;
	if (!kmods_has_device(proc_root)) {
		log_warning("no PCI device of NVIDIA's: no module is loaded, ignoring");
		return 0;
	}
	modprobe = find_modprobe(proc_root);
	if (!modprobe)
		return error_set(err, -ENOMEM, "load the driver's modules");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		load(proc_root, modprobe, names[i]);
	r = hostnodes_make(dev_root, proc_root, &report, err);
	if (r == 0 && (report.made || report.mended))
		log_info("device nodes in '%s': %u made, %u mended", dev_root, report.made,
			 report.mended);
	return r;
}
