/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container, by what the kernel says of its mounts and cgroups, and by the record of what was done to
 * it. Names in it are looked up in its own root, without magic links, and nothing in it is executed,
 * opened for writing or, a device, opened at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "fs/devcg.h"
#include "fs/mountpoint.h"

#define MOUNTINFO_MAX (64UL * 1024 * 1024)
#define CACHE_MAX (16UL * 1024 * 1024) /* as nvinject has it */
#define CONTAINER "container"
#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static char *mountinfo_of(pid_t pid, int *ret)
{
	char name[64], *text = NULL;

	(void)snprintf(name, sizeof(name), "/proc/%d/mountinfo", (int)pid);
	*ret = file_read_at(AT_FDCWD, name, MOUNTINFO_MAX, &text, NULL, NULL);
	return text;
}

/* "/ID", and not "/", "/ID/proc" or the reference tree */
static bool is_tree(const struct mountpoint_mount *mount)
{
	return mount->root[0] == '/' && mount->root[1] && !strchr(mount->root + 1, '/');
}

static bool find_tree(const char *mountinfo, struct mountpoint_mount *ret)
{
	while (mountpoint_next(&mountinfo, ret)) {
		if (is_tree(ret))
			return true;
	}
	return false;
}

bool doctor_tree_name(pid_t pid, char *ret, size_t size)
{
	struct mountpoint_mount mount;
	int r;
	auto_free char *mountinfo = mountinfo_of(pid, &r);

	if (r < 0 || !find_tree(mountinfo, &mount))
		return false;
	(void)snprintf(ret, size, "%s", mount.root + 1);
	return true;
}

/* the tree */

/* As NVIDIA's own tools leave a container: each library is a mount of its own. */
static bool has_nvidias_mounts(const char *mountinfo)
{
	return strstr(mountinfo, "/libcuda.so.") || strstr(mountinfo, "/libnvidia-ml.so.");
}

static void say_no_tree(const struct doctor *doctor, const char *mountinfo, json_t *report)
{
	if (has_nvidias_mounts(mountinfo))
		doctor_say(report, CONTAINER, DOCTOR_WARN,
			   "take its hook, runtime or CDI file away, where nvfs is to give GPUs",
			   "no tree is mounted, and NVIDIA's own tool has mounted libraries");
	else
		doctor_say(report, CONTAINER, DOCTOR_FAIL,
			   "nvinject --pid PID --devices all; or see the engine's log for the "
			   "hook's word",
			   "no tree is mounted in the container of process %d", (int)doctor->pid);
}

/* The filesystem that the present daemon serves: its mount here, as the kernel numbers it. */
static bool is_served(const char *dev)
{
	int r;
	auto_free char *own = mountinfo_of(getpid(), &r);
	const char *cursor = own;
	struct mountpoint_mount mount;
	bool found = false;

	while (r == 0 && !found && mountpoint_next(&cursor, &mount))
		found = strcmp(mount.root, "/") == 0 && strcmp(mount.dev, dev) == 0;
	return found;
}

static void check_mount(const struct doctor *doctor, const struct mountpoint_mount *tree,
			json_t *report)
{
	if (!doctor->status)
		doctor_say(report, CONTAINER, DOCTOR_WARN,
			   "systemctl start nvfs: it takes over, or injects anew",
			   "its tree '%s' is mounted on '%s', and no daemon answers",
			   tree->root + 1, tree->point);
	else if (!is_served(tree->dev))
		doctor_say(report, CONTAINER, DOCTOR_FAIL,
			   "nvinject --pid PID, or restart the container",
			   "its tree on '%s' is of filesystem %s, which the daemon does not serve "
			   "here",
			   tree->point, tree->dev);
	else
		doctor_say(report, CONTAINER, DOCTOR_OK, NULL, "its tree '%s' is mounted on '%s'",
			   tree->root + 1, tree->point);
}

/* what the record says was done */

static void check_device(int root, const json_t *step, json_t *report, unsigned int *right)
{
	const char *target = varlink_string(step, "target", "");
	const char *number = varlink_string(step, "device", "");
	unsigned int dev_major, dev_minor;
	auto_close int fd = -1;
	struct stat st;

	if (sscanf(number, "%u:%u", &dev_major, &dev_minor) != 2)
		return;
	fd = sys_openat2(root, target, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, IN_ROOT);
	if (fd < 0 || fstat(fd, &st) < 0)
		doctor_say(report, CONTAINER, DOCTOR_FAIL, "nvinject --pid PID", "'%s' in it: %s",
			   target, strerror(fd < 0 ? -fd : errno));
	else if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(dev_major, dev_minor))
		doctor_say(report, CONTAINER, DOCTOR_FAIL,
			   "remove what stands there, then nvinject --pid PID",
			   "'%s' in it is not the device %s", target, number);
	else
		(*right)++;
}

static void check_devices(int root, const json_t *done, json_t *report)
{
	unsigned int right = 0;
	const json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "step", ""), "device") == 0)
			check_device(root, step, report, &right);
	}
	if (right)
		doctor_say(report, CONTAINER, DOCTOR_OK, NULL, "%u device nodes are there", right);
}

static const json_t *step_of(const json_t *done, const char *name)
{
	const json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "step", ""), name) == 0)
			return step;
	}
	return NULL;
}

static void check_permission(const struct doctor *doctor, const json_t *done, json_t *report)
{
	const json_t *step = step_of(done, "cgroup");
	auto_free char *mountinfo = devcg_mountinfo();
	struct devcg devcg = DEVCG_EMPTY;
	struct error err = { 0 };
	int r;

	if (!step) {
		doctor_say(report, CONTAINER, DOCTOR_OK, NULL,
			   "its device cgroup was not to be changed");
		return;
	}
	r = mountinfo ? devcg_open(doctor->pid, mountinfo, &devcg, &err)
		      : error_set(&err, -ENOENT, "read mountinfo");
	if (r < 0)
		doctor_say(report, CONTAINER, DOCTOR_WARN, "run this as root, on the host", "%s",
			   err.text);
	else if (!devcg_is_as_recorded(&devcg, step))
		doctor_say(
			report, CONTAINER, DOCTOR_FAIL,
			"the daemon heals it within seconds, see heal in nvfs.conf(5); nvfs show",
			"somebody has changed what its cgroup '%s' permits",
			devcg.path ? devcg.path : "?");
	else
		doctor_say(report, CONTAINER, DOCTOR_OK, NULL, "its cgroup permits the devices");
	devcg_close(&devcg);
}

/* the linker's cache */

/* A regular file of the container's, whole; a FIFO or device is not opened. */
static int read_in(int root, const char *path, char **ret, size_t *ret_len)
{
	auto_close int pinned = sys_openat2(root, path, O_PATH | O_CLOEXEC, 0, IN_ROOT), fd = -1;
	char name[64];
	struct stat st;

	if (pinned < 0)
		return pinned;
	if (fstat(pinned, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", pinned);
	fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : file_read_fd(fd, CACHE_MAX, ret, ret_len, NULL);
}

/* Its format is not looked at: the paths of the tree stand in it as they are, or don't. */
static void check_cache(int root, const char *point, json_t *report)
{
	auto_free char *cache = NULL;
	char wanted[400];
	size_t len = 0;
	int r = read_in(root, "/etc/ld.so.cache", &cache, &len);

	(void)snprintf(wanted, sizeof(wanted), "%s/lib64/", point);
	if (r == -ENOENT)
		doctor_say(report, CONTAINER, DOCTOR_OK, NULL, "it has no /etc/ld.so.cache");
	else if (r < 0)
		doctor_say(report, CONTAINER, DOCTOR_WARN, "nvfs show",
			   "its /etc/ld.so.cache cannot be read: %s", strerror(-r));
	else if (!memmem(cache, len, wanted, strlen(wanted)))
		doctor_say(report, CONTAINER, DOCTOR_FAIL,
			   "run ldconfig in the container, or nvinject --pid PID",
			   "its /etc/ld.so.cache does not name '%s'", wanted);
	else
		doctor_say(report, CONTAINER, DOCTOR_OK, NULL,
			   "its /etc/ld.so.cache names the tree");
}

/* all of it */

static void check_inside(const struct doctor *doctor, const struct mountpoint_mount *tree,
			 json_t *report)
{
	const json_t *done = json_object_get(doctor->tree, "done");
	auto_close int root = -1;
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/%d/root", (int)doctor->pid);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		doctor_say(report, CONTAINER, DOCTOR_WARN, "run this as root", "'%s': %s", name,
			   strerror(errno));
		return;
	}
	check_cache(root, tree->point, report);
	if (done) {
		check_devices(root, done, report);
		check_permission(doctor, done, report);
	} else if (doctor->status) {
		doctor_say(report, CONTAINER, DOCTOR_FAIL, "nvinject --pid PID",
			   "the daemon knows no tree of this container");
	}
}

void doctor_container(const struct doctor *doctor, json_t *report)
{
	struct mountpoint_mount tree;
	auto_free char *mountinfo = NULL;
	int r = 0;

	if (!doctor->pid)
		return;
	mountinfo = mountinfo_of(doctor->pid, &r);
	if (r < 0) {
		doctor_say(report, CONTAINER, DOCTOR_FAIL,
			   r == -ENOENT || r == -ESRCH ? "name a process that lives"
						       : "run this as root",
			   "process %d: %s", (int)doctor->pid, strerror(-r));
		return;
	}
	if (!find_tree(mountinfo, &tree)) {
		say_no_tree(doctor, mountinfo, report);
		return;
	}
	check_mount(doctor, &tree, report);
	check_inside(doctor, &tree, report);
}
