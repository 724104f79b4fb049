/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device cgroups of a process: found by the texts of /proc, pinned by fd, and from then on only used
 * by fd.
 */
#include "inject/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cgroup_text.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "inject/cgroup_impl.h"

#define MOUNTINFO_MAX (64 << 20)

static void hierarchy_done(struct cgroup_hierarchy *h)
{
	for (size_t i = 0; i < h->n; i++) {
		(void)close(h->levels[i].fd);
		free(h->levels[i].path);
	}
	free(h->levels);
	h->levels = NULL;
	h->n = 0;
}

/* Takes over the fd, also on failure. */
static int level_add(struct cgroup_hierarchy *h, int fd, const char *path)
{
	auto_close int owned = fd;
	struct cgroup_level *levels;
	char *copy;

	if (h->n == CGROUP_LEVELS_MAX)
		return -ELOOP;
	levels = realloc(h->levels, (h->n + 1) * sizeof(*levels));
	if (!levels)
		return -ENOMEM;
	h->levels = levels;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	levels[h->n++] = (struct cgroup_level){ .fd = take_fd(&owned), .path = copy };
	return 0;
}

static bool is_cgroup_dir(int fd, unsigned int version)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
	       fs.f_type == (version == 1 ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC);
}

static int open_below(int fd, const char *name)
{
	return sys_openat2(fd, name, O_RDONLY | O_DIRECTORY, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* Opens each cgroup from the mount's top down to @below. 1: all open, 0: not under this mount. */
static int levels_open(struct cgroup_hierarchy *h, const char *point, const char *below,
		       struct error *err)
{
	auto_free char *path = malloc(strlen(point) + strlen(below) + 2);
	int fd, r;

	if (!path)
		return error_set(err, -ENOMEM, "open");
	strcpy(path, point);
	fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (!is_cgroup_dir(fd, h->version)) {
		(void)close(fd);
		return 0;
	}
	for (;;) {
		char *name;
		size_t len;

		r = level_add(h, fd, path);
		if (r < 0)
			return error_set(err, r, "open '%s'", path);
		if (!*below)
			return 1;
		len = strcspn(below, "/");
		name = path + strlen(path);
		*name++ = '/';
		memcpy(name, below, len);
		name[len] = '\0';
		below += len + (below[len] == '/');
		fd = open_below(h->levels[h->n - 1].fd, name);
		if (fd < 0)
			return fd == -ENOENT ? 0 : error_set(err, fd, "open '%s'", path);
	}
}

/* Tries every mount of the hierarchy: one may be hidden below another. */
static int hierarchy_open(struct cgroup_target *target, struct cgroup_hierarchy *h,
			  const char *path, const char *mountinfo, struct error *err)
{
	bool mounted = false;
	int r;

	for (const char *cursor = mountinfo;;) {
		struct cgroup_mount mount = { 0 };
		const char *below;

		r = cgroup_text_mount(&cursor, h->version, &mount);
		if (r <= 0)
			break;
		mounted = true;
		below = cgroup_text_below(path, mount.root);
		r = below ? levels_open(h, mount.point, below, err) : 0;
		cgroup_mount_done(&mount);
		if (r > 0)
			r = cgroup_members_has(h->levels[h->n - 1].fd, target->pid, err);
		if (r != 0)
			break;
		hierarchy_done(h);
	}
	if (r < 0)
		return error_wrap(err, r, "cgroup '%s'", path);
	if (r > 0 || !mounted)
		return 0;
	return error_setc(err, ERROR_AGAIN, -ESRCH, "process %d is not in its cgroup '%s'",
			  (int)target->pid, path);
}

/*
 * Where the hierarchies are as a rule. A host with many containers has thousands of mounts, whose list takes
 * longer than all the rest: it is read where this does not find the process. A process is in one cgroup, so one
 * that is in it has been found by its own path.
 */
static bool hierarchy_open_usual(struct cgroup_target *target, struct cgroup_hierarchy *h,
				 const char *path)
{
	static const struct {
		unsigned int version;
		const char *point;
	} usual[] = { { 1, "/sys/fs/cgroup/devices" },
		      { 2, "/sys/fs/cgroup" },
		      { 2, "/sys/fs/cgroup/unified" } };

	for (size_t i = 0; i < ARRAY_SIZE(usual); i++) {
		const char *below = cgroup_text_below(path, "/");

		if (usual[i].version != h->version || !below)
			continue;
		if (levels_open(h, usual[i].point, below, NULL) > 0 &&
		    cgroup_members_has(h->levels[h->n - 1].fd, target->pid, NULL) > 0)
			return true;
		hierarchy_done(h);
	}
	return false;
}

static int path_failed(int r, struct error *err)
{
	if (r == -EXDEV)
		return error_setc(err, ERROR_PERMISSION, r,
				  "the container's cgroup lies outside this cgroup namespace");
	if (r == -ENOENT)
		return error_setc(err, ERROR_AGAIN, -ESRCH, "the container's cgroup was removed");
	return error_set(err, r, "read /proc/PID/cgroup");
}

static int hierarchies_open(struct cgroup_target *target, int proc_pid_fd, struct error *err)
{
	auto_free char *text = NULL, *mountinfo = NULL;
	int r;

	r = file_read_at(proc_pid_fd, "cgroup", CGROUP_PROC_TEXT_MAX, &text, NULL, err);
	for (unsigned int version = 1; r == 0 && version <= 2; version++) {
		struct cgroup_hierarchy *h = &target->hierarchy[version - 1];
		auto_free char *path = NULL;

		h->version = version;
		r = cgroup_text_path(text, version, &path);
		if (r < 0)
			return path_failed(r, err);
		if (!path || hierarchy_open_usual(target, h, path))
			continue;
		if (!mountinfo)
			r = file_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mountinfo,
					 NULL, err);
		r = r ? r : hierarchy_open(target, h, path, mountinfo, err);
	}
	return r;
}

static int target_fill(struct cgroup_target *target, int proc_pid_fd, struct error *err)
{
	int r;

	target->proc_fd = openat(proc_pid_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target->proc_fd < 0)
		return error_set(err, -errno, "open /proc");
	r = cgroup_ns_read(proc_pid_fd, "ns/mnt", &target->mnt_ns);
	r = r ? r : cgroup_ns_read(proc_pid_fd, "ns/pid", &target->pid_ns);
	r = r ? r : cgroup_ns_read(target->proc_fd, "self/ns/mnt", &target->our_mnt_ns);
	r = r ? r : cgroup_ns_read(target->proc_fd, "self/ns/pid", &target->our_pid_ns);
	if (r == -ENOENT || r == -ESRCH)
		return error_setc(err, ERROR_MOUNT, -ESRCH, "process %d has ended",
				  (int)target->pid);
	if (r < 0) {
		(void)error_set(err, r, "read the namespaces of process %d", (int)target->pid);
		return error_classify(err, r, ERROR_PERMISSION);
	}
	return hierarchies_open(target, proc_pid_fd, err);
}

int cgroup_target_open(pid_t pid, int proc_pid_fd, struct cgroup_target **ret, struct error *err)
{
	struct cgroup_target *target = calloc(1, sizeof(*target));
	int r;

	if (!target)
		return error_set(err, -ENOMEM, "open cgroups");
	target->pid = pid;
	target->proc_fd = -1;
	r = target_fill(target, proc_pid_fd, err);
	if (r < 0) {
		cgroup_target_free(target);
		return r;
	}
	*ret = target;
	return 0;
}

void cgroup_target_adopt(struct cgroup_target *target)
{
	target->adopt = true;
}

void cgroup_target_originals(struct cgroup_target *target, const uint32_t *ids, size_t n)
{
	size_t first = n > CGROUP_ORIGINALS_ALL ? n - CGROUP_ORIGINALS_ALL : 0;

	target->n_originals = n - first;
	if (n)
		memcpy(target->originals, ids + first, (n - first) * sizeof(*ids));
}

bool cgroup_target_has(const struct cgroup_target *target, unsigned int version, const char *path)
{
	for (size_t h = 0; h < ARRAY_SIZE(target->hierarchy); h++) {
		const struct cgroup_hierarchy *hierarchy = &target->hierarchy[h];

		for (size_t i = 0; hierarchy->version == version && i < hierarchy->n; i++) {
			if (strcmp(hierarchy->levels[i].path, path) == 0)
				return true;
		}
	}
	return false;
}

void cgroup_target_free(struct cgroup_target *target)
{
	if (!target)
		return;
	cleanup_close(&target->proc_fd);
	for (size_t i = 0; i < ARRAY_SIZE(target->hierarchy); i++)
		hierarchy_done(&target->hierarchy[i]);
	free(target);
}
