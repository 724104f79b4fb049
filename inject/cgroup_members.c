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
#include <inttypes.h>
#include <linux/capability.h>
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
#define STATUS_MAX 65536

/* systemd-nspawn's cgroups in its unit: create_subcgroup(), src/nspawn/nspawn-cgroup.c of systemd */
#define PAYLOAD "payload"
#define SUPERVISOR "supervisor"

struct search {
	const struct cgroup_target *target;
	bool supervised; /* the level has a supervisor of the container in it */
	char who[16];	 /* a process that is foreign; one that we cannot see is "0" */
};

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

/*
 * Is it the host's root, all of whose power we have no more than? What a device program of its cgroup
 * denies it can permit itself, so that nothing is granted to it.
 */
static bool pid_is_hosts_root(const struct cgroup_target *target, const char *pid)
{
	auto_close int fd = openat(target->proc_fd, pid, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_free char *status = NULL;
	struct cgroup_ns its = { 0 }, ours = { 0 };
	uint64_t caps = 0;
	const char *line;

	if (fd < 0 || cgroup_ns_read(fd, "ns/user", &its) < 0 ||
	    cgroup_ns_read(target->proc_fd, "self/ns/user", &ours) < 0 || !ns_equal(&its, &ours) ||
	    file_read_at(fd, "status", STATUS_MAX, &status, NULL, NULL) < 0)
		return false;
	line = strstr(status, "\nCapPrm:\t");
	return line && sscanf(line, "\nCapPrm:\t%" SCNx64, &caps) == 1 &&
	       (caps & (UINT64_C(1) << CAP_SYS_ADMIN));
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

static bool is_foreign(const struct search *search, const char *pid, bool supervisors)
{
	if (strcmp(pid, "0") == 0)
		return true;
	return pid_belongs(search->target, pid) == 0 &&
	       !(supervisors && pid_is_hosts_root(search->target, pid));
}

/* Of this directory alone; @supervisors: the host's root is at home here. 1: found, 0: none. */
static int find_here(struct search *search, int dir_fd, bool supervisors, struct error *err)
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
		if (!is_foreign(search, s, supervisors))
			continue;
		(void)snprintf(search->who, sizeof(search->who), "%s", s);
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

static bool is_child(const struct dirent *entry)
{
	return entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

static int find_foreign(struct search *search, int dir_fd, bool supervisors, int depth,
			struct error *err)
{
	auto_closedir DIR *dir = NULL;
	struct dirent *entry;
	int r;

	r = find_here(search, dir_fd, supervisors, err);
	if (r != 0)
		return r;
	if (depth == CGROUP_LEVELS_MAX)
		return error_set(err, -ELOOP, "look for processes");
	r = open_dir(dir_fd, &dir);
	if (r < 0)
		return error_set(err, r, "open cgroup directory");
	while (r == 0 && (entry = readdir(dir))) {
		auto_close int child = -1;

		if (!is_child(entry))
			continue;
		child = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		supervisors = search->supervised && depth == 0 &&
			      strcmp(entry->d_name, SUPERVISOR) == 0;
		if (child >= 0)
			r = find_foreign(search, child, supervisors, depth + 1, err);
		else if (errno != ENOENT)
			r = error_set(err, -errno, "open '%s'", entry->d_name);
	}
	return r;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Is it a unit that has the container in a cgroup, and systemd-nspawn, which runs it, in one beside that? */
static bool is_supervised(const struct cgroup_target *target, const struct cgroup_level *level)
{
	const struct cgroup_hierarchy *h = &target->hierarchy[1];

	for (size_t i = 0; i + 1 < h->n; i++) {
		if (&h->levels[i] == level)
			return (ends_with(level->path, ".scope") ||
				ends_with(level->path, ".service")) &&
			       ends_with(h->levels[i + 1].path, "/" PAYLOAD);
	}
	return false;
}

int cgroup_members_check(const struct cgroup_target *target, const struct cgroup_level *level,
			 struct error *err)
{
	struct search search = { .target = target, .supervised = is_supervised(target, level) };
	struct timespec wait = { .tv_nsec = FIRST_WAIT_NS };
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		r = find_foreign(&search, level->fd, false, 0, err);
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
		"process %s is not the container's, but shares the cgroup that denies: '%s'",
		search.who, level->path);
	return error_remedy(err, -EPERM, "give the container a cgroup of its own");
}
