/* SPDX-License-Identifier: Apache-2.0 */
/* What nvfs needs of the host: kernel, FUSE, its own configuration and daemon, the mount, cgroups. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/varlink.h"
#include "fs/devcg.h"
#include "fs/features.h"
#include "fs/mountpoint.h"

#define FUSE_MAJOR 10 /* Documentation/admin-guide/devices.txt: misc, fuse */
#define FUSE_MINOR 229
#define MOUNTINFO_MAX (64UL * 1024 * 1024)
#define JOURNAL "nvfs status; journalctl -u nvfs"

/* kernel and FUSE */

static void say_features(const json_t *features, json_t *report)
{
	char in_use[128] = "", missing[128] = "";
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)features, name, value) {
		char *list = json_is_true(value) ? in_use : missing;
		size_t len = strlen(list);

		(void)snprintf(list + len, sizeof(in_use) - len, "%s%s", len ? ", " : "", name);
	}
	doctor_say(report, "kernel", DOCTOR_OK, NULL, "in use: %s; not in use: %s",
		   *in_use ? in_use : "nothing", *missing ? missing : "nothing");
}

static void check_fuse(json_t *report)
{
	auto_close int fd = -1;
	struct stat st;

	if (stat("/dev/fuse", &st) < 0) {
		doctor_say(report, "fuse", DOCTOR_FAIL, "modprobe fuse", "'/dev/fuse': %s",
			   strerror(errno));
		return;
	}
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(FUSE_MAJOR, FUSE_MINOR)) {
		doctor_say(report, "fuse", DOCTOR_FAIL, "remove it, then modprobe fuse",
			   "'/dev/fuse' is not the device %d:%d", FUSE_MAJOR, FUSE_MINOR);
		return;
	}
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		doctor_say(report, "fuse", DOCTOR_FAIL,
			   errno == EPERM ? "the cgroup that this runs in does not permit it: run "
					    "nvfs on the host"
					  : "modprobe fuse; run this as root",
			   "'/dev/fuse' cannot be opened: %s", strerror(errno));
	else
		doctor_say(report, "fuse", DOCTOR_OK, NULL, "'/dev/fuse' can be opened");
}

void doctor_kernel(const struct doctor *doctor, json_t *report)
{
	struct utsname kernel = { 0 };
	unsigned int version = 0, patch = 0;
	struct error err = { 0 };

	(void)uname(&kernel);
	(void)sscanf(kernel.release, "%u.%u", &version, &patch);
	if (features_require(&err) < 0)
		doctor_say(report, "kernel", DOCTOR_FAIL, err.remedy, "%s", err.text);
	else
		doctor_say(
			report, "kernel", DOCTOR_OK, NULL, "Linux %s%s", kernel.release,
			version < 6 || (version == 6 && patch < 9)
				? ", on which the daemon reads for containers: 6.9 has passthrough"
				: "");
	if (doctor->status)
		say_features(json_object_get(doctor->status, "features"), report);
	check_fuse(report);
}

/* configuration */

struct config_report {
	const struct doctor *doctor;
	json_t *report;
	unsigned int keys, unknown;
};

static void count_key(void *data, const char *key, int line)
{
	struct config_report *config = data;

	(void)key;
	(void)line;
	config->keys++;
}

static void tell_unknown(void *data, const char *section, const char *key, int line)
{
	struct config_report *config = data;

	config->unknown++;
	doctor_say(config->report, "config", DOCTOR_WARN, "nvfs.conf(5) has the keys",
		   "%s:%d: %s%s%skey '%s' is unknown", config->doctor->config_path, line,
		   *section ? "section [" : "", section, *section ? "], " : "", key);
}

void doctor_config(const struct doctor *doctor, json_t *report)
{
	struct config_report seen = { .doctor = doctor, .report = report };
	const struct config_watcher watcher = { count_key, tell_unknown, &seen };
	struct config config = { 0 };
	struct error err = { 0 };
	int r = config_init(&config);

	r = r ? r
	      : config_read_watched(&config, doctor->config_path, doctor->config_optional, &watcher,
				    &err);
	if (r < 0)
		doctor_say(report, "config", DOCTOR_FAIL,
			   *err.remedy ? err.remedy : "nvfs.conf(5); nvfs serve does not start so",
			   "%s", err.text);
	else if (!seen.unknown && !seen.keys)
		doctor_say(report, "config", DOCTOR_OK, NULL,
			   "'%s' is not there or sets nothing: all keys have their defaults",
			   doctor->config_path);
	else if (!seen.unknown)
		doctor_say(report, "config", DOCTOR_OK, NULL, "'%s' sets %u key%s",
			   doctor->config_path, seen.keys, seen.keys == 1 ? "" : "s");
	config_done(&config);
}

/* daemon */

void doctor_daemon(const struct doctor *doctor, json_t *report)
{
	const char *state = varlink_string(doctor->check, "state", "down");
	const char *version = varlink_string(doctor->status, "version", NULL);
	const json_t *reason;
	size_t i;

	json_array_foreach(json_object_get(doctor->check, "reasons"), i, reason) {
		if (strcmp(state, "down") == 0)
			doctor_say(report, "daemon", DOCTOR_FAIL,
				   "systemctl start nvfs; journalctl -u nvfs", "%s",
				   json_string_value(reason));
		else
			doctor_say(report, "daemon", DOCTOR_WARN, JOURNAL, "%s",
				   json_string_value(reason));
	}
	if (version && strcmp(version, NVFS_VERSION) != 0)
		doctor_say(report, "daemon", DOCTOR_WARN, "nvfs handover",
			   "it is nvfs %s, and this program %s", version, NVFS_VERSION);
	if (strcmp(state, "ok") == 0)
		doctor_say(report, "daemon", DOCTOR_OK, NULL,
			   "answers, pid %lld, keeper %lld, %lld container%s",
			   query_number(doctor->check, "daemon_pid"),
			   query_number(doctor->check, "keeper_pid"),
			   query_number(doctor->check, "containers"),
			   query_number(doctor->check, "containers") == 1 ? "" : "s");
}

/* the mount: mountinfo alone is read, since a filesystem whose daemon has died answers nothing */

static int mount_type(const char *pid, const char *path, char *ret, size_t size)
{
	auto_free char *text = NULL;
	char name[64];
	int r;

	(void)snprintf(name, sizeof(name), "/proc/%s/mountinfo", pid);
	r = file_read_at(AT_FDCWD, name, MOUNTINFO_MAX, &text, NULL, NULL);
	if (r == 0)
		mountpoint_find_type(text, path, ret, size);
	return r;
}

/* What runtimes see that are started by the first process. */
static void check_first_namespace(const char *path, json_t *report)
{
	char type[32] = "";
	int r = mount_type("1", path, type, sizeof(type));

	if (r < 0)
		doctor_say(report, "mount", DOCTOR_WARN, "run this as root, on the host",
			   "the mounts of process 1 cannot be read: %s", strerror(-r));
	else if (strcmp(type, "fuse.nvfs") != 0)
		doctor_say(report, "mount", DOCTOR_WARN,
			   "start nvfs in the host's mount namespace: no PrivateTmp=, "
			   "ProtectSystem= and the like",
			   "process 1 does not see the mount on '%s'", path);
	else
		doctor_say(report, "mount", DOCTOR_OK, NULL, "process 1 sees it");
}

void doctor_mount(const struct doctor *doctor, json_t *report)
{
	const char *path = varlink_string(doctor->status, "mountpoint", doctor->config.mountpoint);
	char type[32] = "";

	(void)mount_type("self", path, type, sizeof(type));
	if (strcmp(type, "fuse.nvfs") != 0) {
		if (doctor->status)
			doctor_say(report, "mount", DOCTOR_FAIL,
				   "umount what lies over it, or systemctl restart nvfs",
				   "'%s' is %s%s here, and not nvfs's filesystem", path,
				   *type ? "of type " : "no mount point", type);
		else
			doctor_say(report, "mount", DOCTOR_OK, NULL,
				   "nothing of nvfs is mounted on '%s'", path);
		return;
	}
	if (!doctor->status) {
		doctor_say(report, "mount", DOCTOR_WARN,
			   "systemctl start nvfs: it takes over or replaces the mount",
			   "a daemon that does not answer, or has died, has left its mount on '%s'",
			   path);
		return;
	}
	doctor_say(report, "mount", DOCTOR_OK, NULL, "'%s' is nvfs's filesystem", path);
	check_first_namespace(path, report);
}

/* cgroups */

static void check_v2(const struct devcg *devcg, json_t *report)
{
	int n = devcg_programs(devcg);

	if (n == -EPERM)
		doctor_say(report, "cgroup", DOCTOR_WARN, "run this as root, on the host",
			   "v2: programs may not be asked for");
	else if (n < 0)
		doctor_say(report, "cgroup", DOCTOR_FAIL,
			   "a kernel with CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL",
			   "v2: no device programs in this kernel: %s", strerror(-n));
	else
		doctor_say(report, "cgroup", DOCTOR_OK, NULL, "v2, with device programs");
}

static void check_systemd(const struct doctor *doctor, json_t *report)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/run/systemd/system", doctor->root);
	if (lstat(path, &st) < 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/run/dbus/system_bus_socket", doctor->root);
	if (stat(path, &st) == 0)
		doctor_say(report, "cgroup", DOCTOR_OK, NULL,
			   "units are systemd's, and its bus is there to permit devices");
	else
		doctor_say(report, "cgroup", DOCTOR_WARN, "install and start dbus",
			   "systemd without a system bus: daemon-reload takes devices away until "
			   "the daemon heals that");
}

void doctor_cgroup(const struct doctor *doctor, json_t *report)
{
	auto_free char *mountinfo = devcg_mountinfo();
	struct devcg devcg = DEVCG_EMPTY;
	struct error err = { 0 };
	int r = mountinfo ? devcg_open(getpid(), mountinfo, &devcg, &err) :
			    error_set(&err, -ENOENT, "read '/proc/self/mountinfo'");

	if (r < 0)
		doctor_say(report, "cgroup", DOCTOR_FAIL,
			   "mount /proc and /sys/fs/cgroup; run this on the host", "%s", err.text);
	else if (devcg.v1 < 0 && devcg.v2 < 0)
		doctor_say(report, "cgroup", DOCTOR_FAIL,
			   "mount /sys/fs/cgroup; run this on the host",
			   "no hierarchy that holds this process is mounted");
	if (devcg.v1 >= 0)
		doctor_say(report, "cgroup", DOCTOR_OK, NULL, "v1, with the controller devices");
	else if (devcg.v2 >= 0)
		check_v2(&devcg, report);
	check_systemd(doctor, report);
	devcg_close(&devcg);
}
