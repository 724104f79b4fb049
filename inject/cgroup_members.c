/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose processes are in a cgroup? A device program holds for all of them, so it
 * may be changed only when every one is the container's. The answer is as old as
 * the reading: a process moved in later gets what the container has.
 */
#include "inject/cgroup_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"

#define PROCS_MAX (16 << 20) /* bytes of one cgroup.procs */
#define TRIES 6
#define FIRST_WAIT_NS 1000000 /* doubles: 31 ms in all */

int cgroup_ns_read(int dir_fd, const char *link, struct cgroup_ns *ret)
{
	struct stat st;

	if (fstatat(dir_fd, link, &st, 0) < 0)
		return -errno;
	*ret = (struct cgroup_ns){ .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

static bool ns_equal(const struct cgroup_ns *a, const struct cgroup_ns *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* A pid namespace below the container's is the container's too: it runs containers itself. */
static bool pid_ns_below(const struct cgroup_target *target, const char *link)
{
	auto_close int fd = openat(target->proc_fd, link, O_RDONLY | O_CLOEXEC);

	while (fd >= 0) { /* ends: MAX_PID_NS_LEVEL is 32 */
		struct cgroup_ns ns;
		struct stat st;
		int parent;

		if (fstat(fd, &st) < 0)
			return false;
		ns = (struct cgroup_ns){ .dev = st.st_dev, .ino = st.st_ino };
		if (ns_equal(&ns, &target->pid_ns))
			return true;
		parent = ioctl(fd, NS_GET_PARENT); /* EPERM above our own */
		(void)close(fd);
		fd = parent;
	}
	return false;
}

/* 1: the container's, 0: foreign, -ESRCH: gone */
static int pid_belongs(const struct cgroup_target *target, const char *pid)
{
	struct cgroup_ns ns = { 0 };
	char link[64];
	int r;

	(void)snprintf(link, sizeof(link), "%s/ns/mnt", pid);
	r = cgroup_ns_read(target->proc_fd, link, &ns);
	if (r == -ENOENT || r == -ESRCH) /* dead; a zombie has no mount namespace */
		return -ESRCH;
	if (r == 0 && ns_equal(&ns, &target->mnt_ns) && !ns_equal(&ns, &target->our_mnt_ns))
		return 1;
	if (ns_equal(&target->pid_ns, &target->our_pid_ns))
		return 0;
	(void)snprintf(link, sizeof(link), "%s/ns/pid", pid);
	return pid_ns_below(target, link);
}

/* A threaded cgroup lists threads only; /proc/TID serves as well. */
static int procs_read(int dir_fd, char **ret, struct error *err)
{
	int r = file_read_at(dir_fd, "cgroup.procs", PROCS_MAX, ret, NULL, NULL);

	if (r == -EOPNOTSUPP)
		return file_read_at(dir_fd, "cgroup.threads", PROCS_MAX, ret, NULL, err);
	return r < 0 ? error_set(err, r, "read 'cgroup.procs'") : 0;
}

int cgroup_members_has(int dir_fd, pid_t pid, struct error *err)
{
	auto_free char *procs = NULL;
	char *saved = NULL;
	uint64_t value;
	int r;

	r = procs_read(dir_fd, &procs, err);
	if (r < 0)
		return r;
	for (char *s = strtok_r(procs, "\n", &saved); s; s = strtok_r(NULL, "\n", &saved)) {
		if (parse_u64(s, INT32_MAX, &value) == 0 && (pid_t)value == pid)
			return 1;
	}
	return 0;
}

/* Foreign pid of this directory alone into @who: 1 found, 0 none. A pid that we cannot see is "0".
 */
static int find_here(const struct cgroup_target *target, int dir_fd, char who[16],
		     struct error *err)
{
	auto_free char *procs = NULL;
	char *saved = NULL;
	int r;

	r = procs_read(dir_fd, &procs, err);
	if (r == -ENODEV || r == -ENOENT) /* the cgroup has been removed */
		return 0;
	if (r < 0)
		return r;
	for (char *s = strtok_r(procs, "\n", &saved); s; s = strtok_r(NULL, "\n", &saved)) {
		if (strcmp(s, "0") != 0 && pid_belongs(target, s) != 0)
			continue;
		(void)snprintf(who, 16, "%s", s);
		return 1;
	}
	return 0;
}

/* A stream of its own, so that @fd keeps its position. */
static int open_dir(int fd, DIR **ret)
{
	auto_close int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (copy < 0)
		return -errno;
	*ret = fdopendir(copy);
	if (!*ret)
		return -errno;
	(void)take_fd(&copy);
	return 0;
}

static int find_foreign(const struct cgroup_target *target, int dir_fd, int depth, char who[16],
			struct error *err)
{
	auto_closedir DIR *dir = NULL;
	struct dirent *entry;
	int r;

	r = find_here(target, dir_fd, who, err);
	if (r != 0)
		return r;
	if (depth == CGROUP_LEVELS_MAX)
		return error_set(err, -ELOOP, "look for processes");
	r = open_dir(dir_fd, &dir);
	if (r < 0)
		return error_set(err, r, "open cgroup directory");
	while (r == 0 && (entry = readdir(dir))) {
		auto_close int child = -1;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		child = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (child >= 0)
			r = find_foreign(target, child, depth + 1, who, err);
		else if (errno != ENOENT)
			r = error_set(err, -errno, "open '%s'", entry->d_name);
	}
	return r;
}

int cgroup_members_check(const struct cgroup_target *target, const struct cgroup_level *level,
			 struct error *err)
{
	struct timespec wait = { .tv_nsec = FIRST_WAIT_NS };
	char who[16] = "";
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		r = find_foreign(target, level->fd, 0, who, err);
		if (r < 0)
			return error_wrap(err, r, "cgroup '%s'", level->path);
		if (r == 0)
			return 0;
		if (i + 1 < TRIES)
			(void)nanosleep(&wait, NULL);
		wait.tv_nsec *= 2;
	}
	(void)error_setc(
		err, ERROR_PERMISSION, -EPERM,
		"process %s is not the container's, but shares the cgroup that denies: '%s'", who,
		level->path);
	return error_remedy(err, -EPERM, "give the container a cgroup of its own");
}
