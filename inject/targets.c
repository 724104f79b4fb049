/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pin first, act later: everything of the target is opened here, once, and
 * from then on known by descriptor only.
 */
#include "inject/targets.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "inject/cgroup.h"
#include "inject/regular.h"
#include "inject/request.h"

#define CGROUP_TEXT_MAX (64 * 1024)
#define UID_MAP_MAX 16384 /* 340 lines, see user_namespaces(7) */
#define ID_LEN 64

static int open_pidfd(pid_t pid, struct error *err)
{
	int fd = sys_pidfd_open(pid, 0);

	if (fd >= 0)
		return fd;
	if (fd == -ESRCH)
		(void)error_setc(err, ERROR_USAGE, fd, "no process has the id %d", (int)pid);
	else if (fd == -EINVAL || fd == -ENOENT) /* which one depends on the kernel */
		(void)error_setc(err, ERROR_USAGE, fd = -EINVAL, "%d is a thread, not a process",
				 (int)pid);
	else
		(void)error_set(err, fd, "pin process %d", (int)pid);
	return fd;
}

static int open_proc_pid(pid_t pid, struct error *err)
{
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set(err, -errno, "open '%s'", path) : fd;
}

static int open_mntns(const struct targets *targets, struct error *err)
{
	int fd = sys_pidfd_get_mnt_namespace(targets->pidfd);

	if (fd < 0)
		fd = openat(targets->proc_pid, "ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	/* A process on its way out gives its namespaces back before its pidfd tells that it has ended. */
	if (errno == ENOENT || errno == ESRCH)
		return error_setc(err, ERROR_MOUNT, -ESRCH, "the process has ended");
	fd = error_set(err, -errno, "open its mount namespace");
	return fd == -EACCES || fd == -EPERM ? error_classify(err, fd, ERROR_PERMISSION) : fd;
}

static int is_own_mntns(int mntns, struct error *err)
{
	struct stat own, its;

	if (stat("/proc/self/ns/mnt", &own) < 0 || fstat(mntns, &its) < 0)
		return error_set(err, -errno, "stat a mount namespace");
	return own.st_dev == its.st_dev && own.st_ino == its.st_ino;
}

int targets_alive(const struct targets *targets, struct error *err)
{
	struct pollfd p = { .fd = targets->pidfd, .events = POLLIN };

	/* Readable once the process has ended, zombies included. */
	if (targets->pidfd >= 0 && poll(&p, 1, 0) != 0)
		return error_setc(err, ERROR_MOUNT, -ESRCH, "the process has ended");
	return 0;
}

bool targets_id_from_cgroup(const char *text, char ret[ID_LEN + 1])
{
	size_t digits = 0;
	bool found = false;

	for (; *text; text++) {
		digits = isxdigit((unsigned char)*text) ? digits + 1 : 0;
		if (digits == ID_LEN && !isxdigit((unsigned char)text[1])) {
			memcpy(ret, text - (ID_LEN - 1), ID_LEN);
			ret[ID_LEN] = '\0';
			found = true;
		}
	}
	return found;
}

int targets_name(const struct targets *targets, struct request *req, struct error *err)
{
	auto_free char *text = NULL;
	char id[ID_LEN + 1];
	int r;

	if (req->id)
		return 0;
	r = file_read_at(targets->proc_pid, "cgroup", CGROUP_TEXT_MAX, &text, NULL, err);
	if (r < 0)
		return error_classify(err, r, ERROR_MOUNT);
	if (!targets_id_from_cgroup(text, id))
		(void)snprintf(id, sizeof(id), "pid-%d", (int)req->pid);
	return request_set(&req->id, id, err);
}

static bool is_own_userns(int userns)
{
	struct stat own, its;

	return stat("/proc/self/ns/user", &own) < 0 || fstat(userns, &its) < 0 ||
	       (own.st_dev == its.st_dev && own.st_ino == its.st_ino);
}

/* Who has made a user namespace may do everything in it; in one of anybody else's he may not. */
static int open_userns(struct targets *targets, uid_t owner, struct error *err)
{
	uid_t its = 0;
	int fd = ioctl(targets->ns.mnt, NS_GET_USERNS);

	if (fd < 0)
		return error_set(err, -errno, "find the owner of its mount namespace");
	targets->ns.user = fd;
	targets->ns.owner = owner;
	if (!is_own_userns(fd) && ioctl(fd, NS_GET_OWNER_UID, &its) == 0 && its == owner)
		return 0;
	(void)error_setc(err, ERROR_PERMISSION, -EPERM,
			 "its mount namespace is not of a user namespace of uid %u", owner);
	return error_remedy(err, -EPERM, "inject it by hand");
}

static int open_process(struct targets *targets, struct request *req, bool hook, struct error *err)
{
	int r;

	targets->pidfd = r = open_pidfd(req->pid, err);
	if (r < 0)
		return r;
	targets->proc_pid = r = open_proc_pid(req->pid, err);
	if (r < 0)
		return r;
	targets->ns.mnt = r = open_mntns(targets, err);
	if (r < 0)
		return r;
	if (req->as_owner)
		r = open_userns(targets, req->owner, err);
	r = r < 0 ? r : is_own_mntns(targets->ns.mnt, err);
	if (r > 0 && hook) {
		req->standalone = true;
		req->cgroup = false;
		return 0;
	}
	if (r > 0)
		return error_remedy(
			err,
			error_setc(err, ERROR_MOUNT, -EINVAL,
				   "process %d is in our own mount namespace: no container",
				   (int)req->pid),
			"name a process of the container, or say --standalone");
	return r;
}

/* statx(2) asks no filesystem: the container's root may be a FUSE that does not answer. */
static int stat_root(int dirfd, const char *path, struct statx *ret, struct error *err)
{
	if (statx(dirfd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, ret) < 0)
		return error_set(err, -errno, "stat a root directory");
	return 0;
}

static int note_host_root(struct targets *targets, struct error *err)
{
	struct statx st;
	int r = stat_root(AT_FDCWD, "/", &st, err);

	targets->host_root.dev_major = st.stx_dev_major;
	targets->host_root.dev_minor = st.stx_dev_minor;
	targets->host_root.ino = st.stx_ino;
	return r;
}

/*
 * A service with a mount namespace of its own, or a process that has changed
 * its root to a host directory that it was given, shows the host's own files
 * where a container's should be.
 */
static int check_not_host_root(const struct targets *targets, struct error *err)
{
	struct statx st;
	int r = stat_root(targets->root, "", &st, err);

	if (r < 0)
		return r;
	if (st.stx_ino != targets->host_root.ino ||
	    st.stx_dev_major != targets->host_root.dev_major ||
	    st.stx_dev_minor != targets->host_root.dev_minor)
		return 0;
	(void)error_setc(err, ERROR_MOUNT, -EINVAL, "its root directory is the host's own");
	return error_remedy(err, -EINVAL, "name a process of a container");
}

static int open_rest(struct targets *targets, const struct request *req, struct error *err)
{
	int r = 0;

	if (!req->rootfs) {
		targets->root = openat(targets->proc_pid, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (targets->root < 0)
			return error_set(err, -errno, "open its root directory");
		r = check_not_host_root(targets, err);
		if (r < 0) /* a root that is open is one to work in */
			(void)close(take_fd(&targets->root));
	}
	/* As the namespace's owner the child can do no more than he, and sees uids as he does. */
	if (!req->as_owner)
		r = r ? r : owners_read(targets->proc_pid, targets->ns.mnt, &targets->owners, err);
	return r ? r : targets_alive(targets, err);
}

int targets_open_cgroup(struct targets *targets, const struct request *req, struct error *err)
{
	struct error why = { 0 };
	int r, alive;

	if (!req->pid || !req->cgroup)
		return 0;
	r = cgroup_target_open(req->pid, targets->proc_pid, &targets->cgroup, &why);
	/* What has ended is in no cgroup of its own: that is not what failed. */
	alive = targets_alive(targets, err);
	if (alive < 0)
		return error_classify(err, alive, ERROR_MOUNT);
	if (r < 0 && err)
		*err = why;
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

/*
 * A runtime that was started inside a user namespace can give its containers no rules for devices,
 * and we could change none. user_namespaces(7): the initial one maps every id to itself.
 */
static bool in_user_namespace(void)
{
	auto_free char *text = NULL;
	unsigned int inside, outside, count;

	return file_read_at(regular_host_proc(), "self/uid_map", UID_MAP_MAX, &text, NULL, NULL) ==
		       0 &&
	       sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 &&
	       (inside != 0 || outside != 0 || count != UINT32_MAX);
}

int targets_open(struct targets *targets, struct request *req, bool hook, struct error *err)
{
	struct stat dev, run;
	int r = note_host_root(targets, err);

	if (hook && req->cgroup && in_user_namespace())
		req->cgroup = false;
	if (stat("/dev", &dev) == 0)
		targets->host_dev = dev.st_dev;
	if (stat("/run", &run) == 0)
		targets->host_run = run.st_dev;
	if (r == 0 && req->pid)
		r = open_process(targets, req, hook, err);
	if (r == 0 && req->pid)
		r = open_rest(targets, req, err);
	if (req->standalone)
		req->cgroup = false;
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

int targets_open_root(struct targets *targets, const char *rootfs, struct error *err)
{
	int r;

	if (targets->root >= 0)
		return 0;
	targets->root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (targets->root < 0)
		return error_set(err, -errno, "open root '%.100s'", rootfs);
	r = check_not_host_root(targets, err);
	if (r < 0)
		(void)close(take_fd(&targets->root));
	return r;
}

void targets_done(struct targets *targets)
{
	cleanup_close(&targets->pidfd);
	cleanup_close(&targets->proc_pid);
	cleanup_close(&targets->ns.mnt);
	cleanup_close(&targets->ns.user);
	cleanup_close(&targets->root);
	cgroup_target_free(targets->cgroup);
	*targets = (struct targets)TARGETS_EMPTY;
}
