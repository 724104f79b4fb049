/* SPDX-License-Identifier: Apache-2.0 */
/* Identity of processes, from pidfds and /proc. */
#include "fs/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/mountpoint.h"
#include "fs/process_walk.h"

#define BIT(cap) (1ULL << (cap)) /* of a set in /proc/PID/status */
#define TEXT_MAX 8192
#define MOUNTINFO_MAX (64UL * 1024 * 1024)

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* linux/pidfd.h, 6.9 */
#endif

bool process_pidfd_is_dead(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* pidfd_open(2): /proc/self/fdinfo/N has a line "Pid:\t1234"; 0 or -1 where it is none of ours */
static int pid_of(int pidfd, pid_t *ret)
{
	auto_free char *text = NULL;
	char path[64], *line;
	long pid;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (file_read_at(AT_FDCWD, path, TEXT_MAX, &text, NULL, NULL) < 0)
		return -EBADF;
	line = strstr(text, "\nPid:\t");
	if (!line)
		return -EBADF;
	pid = strtol(line + strlen("\nPid:\t"), NULL, 10);
	if (pid <= 0)
		return -ESRCH;
	*ret = (pid_t)pid;
	return 0;
}

static int ns_inode(int proc_fd, const char *name, uint64_t *ret)
{
	struct stat st;

	if (fstatat(proc_fd, name, &st, 0) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

/* proc_pid_stat(5): the command in parentheses may hold anything; field 22 counts behind it */
static int start_time(int proc_fd, uint64_t *ret)
{
	auto_free char *text = NULL;
	char *at;
	int r = file_read_at(proc_fd, "stat", TEXT_MAX, &text, NULL, NULL);

	if (r < 0)
		return r;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, "%" SCNu64, ret) != 1)
		return -EBADMSG;
	return 0;
}

static int process_read(const char *pid, struct process *ret, struct error *err)
{
	auto_close int proc_fd = -1;
	char path[32];
	struct stat st;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%s", pid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return error_set(err, -errno, "open '%s'", path);
	if (fstat(proc_fd, &st) < 0)
		return error_set(err, -errno, "stat '%s'", path);
	ret->uid = st.st_uid;
	r = start_time(proc_fd, &ret->start_time);
	if (r == 0)
		r = ns_inode(proc_fd, "ns/mnt", &ret->mnt_ns);
	if (r == 0)
		r = ns_inode(proc_fd, "ns/user", &ret->user_ns);
	if (r == 0)
		r = ns_inode(proc_fd, "ns/pid", &ret->pid_ns);
	return r < 0 ? error_set(err, r, "read '%s'", path) : 0;
}

static int root_in_map(pid_t pid, const char *name, unsigned int *ret)
{
	auto_free char *text = NULL;
	const char *cursor, *line;
	char path[48];
	size_t len;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	r = file_read_at(AT_FDCWD, path, TEXT_MAX, &text, NULL, NULL);
	if (r < 0)
		return r;
	cursor = text;
	while ((line = parse_field(&cursor, '\n', &len))) {
		unsigned int inside, outside;

		/* Entries do not overlap, so that 0 is the first of its own. */
		if (len && sscanf(line, "%u %u", &inside, &outside) == 2 && inside == 0) {
			*ret = outside;
			return 0;
		}
	}
	return -ENXIO;
}

int process_root(pid_t pid, struct process_root *ret)
{
	unsigned int uid, gid;
	int r = root_in_map(pid, "uid_map", &uid);

	r = r ? r : root_in_map(pid, "gid_map", &gid);
	if (r == 0)
		*ret = (struct process_root){ .uid = uid, .gid = gid };
	return r;
}

int process_from_pidfd(int pidfd, struct process *ret, struct error *err)
{
	struct process process = { 0 };
	char pid[16];
	int r = pid_of(pidfd, &process.pid);

	if (r < 0)
		return error_classify(err, error_set(err, r, "container's pidfd"), ERROR_MOUNT);
	(void)snprintf(pid, sizeof(pid), "%d", process.pid);
	r = process_read(pid, &process, err);
	if (r < 0 || process_pidfd_is_dead(pidfd)) {
		r = error_set(err, -ESRCH, "process %d", process.pid);
		return error_classify(err, r, ERROR_MOUNT);
	}
	*ret = process;
	return 0;
}

static int namespace_of(int pidfd, unsigned int which, uint64_t *ret)
{
	auto_close int fd = sys_pidfd_get_namespace(pidfd, which);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

static bool without_pidfd_ns;

void process_use_proc(void)
{
	without_pidfd_ns = true;
}

int process_namespaces(int pidfd, pid_t pid, struct process *ret)
{
	struct process process = { .pid = pid };
	int r = without_pidfd_ns ? -EOPNOTSUPP : 0;

	r = r ? r : namespace_of(pidfd, PIDFD_GET_MNT_NAMESPACE, &process.mnt_ns);
	r = r ? r : namespace_of(pidfd, PIDFD_GET_USER_NAMESPACE, &process.user_ns);
	r = r ? r : namespace_of(pidfd, PIDFD_GET_PID_NAMESPACE, &process.pid_ns);
	if (r == 0)
		*ret = process;
	return r;
}

int process_from_pid(pid_t pid, struct process *ret, struct error *err)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", pid);
	ret->pid = pid;
	return process_read(text, ret, err);
}

static uint64_t permitted_of(int proc_fd)
{
	auto_free char *text = NULL;
	uint64_t caps = 0;
	char *line;

	if (file_read_at(proc_fd, "status", TEXT_MAX, &text, NULL, NULL) < 0)
		return 0;
	line = strstr(text, "\nCapPrm:\t");
	return line && sscanf(line, "\nCapPrm:\t%" SCNx64, &caps) == 1 ? caps : 0;
}

bool process_labels_match(int its_r, const char *its, int our_r, const char *ours)
{
	if (its_r < 0 || our_r < 0)
		return its_r == our_r && (its_r == -EINVAL || its_r == -ENOENT);
	return strcmp(its, ours) == 0;
}

static bool same_label(int proc_fd)
{
	auto_free char *its = NULL, *ours = NULL;
	int a = file_read_at(proc_fd, "attr/current", TEXT_MAX, &its, NULL, NULL);
	int b = file_read_at(AT_FDCWD, "/proc/self/attr/current", TEXT_MAX, &ours, NULL, NULL);

	return process_labels_match(a, its, b, ours);
}

/* A filesystem that does not answer must not be asked: inode and device are known without. */
static bool same_root(int proc_fd)
{
	auto_close int root = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const int how = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
	struct statx its, ours;

	return root >= 0 && statx(root, "", how, STATX_INO, &its) == 0 &&
	       statx(AT_FDCWD, "/", AT_STATX_DONT_SYNC, STATX_INO, &ours) == 0 &&
	       its.stx_ino == ours.stx_ino && its.stx_dev_major == ours.stx_dev_major &&
	       its.stx_dev_minor == ours.stx_dev_minor;
}

bool process_could_enter(const struct process *process, const struct process *self)
{
	const uint64_t wanted = BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_CHROOT) | BIT(CAP_SYS_PTRACE);
	auto_close int proc_fd = -1;
	char path[32];

	if (process->user_ns != self->user_ns || process->pid_ns != self->pid_ns)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d", process->pid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return proc_fd >= 0 && (permitted_of(proc_fd) & wanted) == wanted && same_label(proc_fd) &&
	       same_root(proc_fd);
}

int process_self(struct process *ret, struct error *err)
{
	ret->pid = getpid();
	return process_read("self", ret, err);
}

/*
 * By descriptors alone where the kernel can (6.11). A look at /proc leaves entries for the process
 * there, which it must take away itself when it exits: 20 us of every short-lived process.
 */
uint64_t process_mnt_ns(pid_t pid)
{
	auto_close int pidfd = without_pidfd_ns ? -EOPNOTSUPP : sys_pidfd_open(pid, PIDFD_THREAD);
	auto_close int ns = pidfd < 0 ? pidfd : sys_pidfd_get_mnt_namespace(pidfd);
	char path[32];
	struct stat st;

	if (ns >= 0)
		return fstat(ns, &st) < 0 ? 0 : st.st_ino;
	if (pidfd == -ESRCH)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

/* all processes */

/* NULL: it has ended, or there is no memory */
static char *read_mountinfo(const struct process_walk *walk)
{
	char path[32], *text = NULL;

	(void)snprintf(path, sizeof(path), "%s/mountinfo", walk->pid);
	(void)file_read_at(dirfd(walk->proc), path, MOUNTINFO_MAX, &text, NULL, NULL);
	return text;
}

/* Is the present process an answer? Returns to how many of them. */
static size_t answer(const struct process_walk *walk, struct process_wanted *wanted, size_t n)
{
	auto_free char *mountinfo = NULL;
	bool was_read = false;
	size_t answered = 0;

	for (size_t i = 0; i < n; i++) {
		struct process_wanted *w = &wanted[i];

		if (w->pid || w->mnt_ns != walk->mnt_ns)
			continue;
		if (w->tree && !was_read)
			mountinfo = read_mountinfo(walk);
		was_read = was_read || w->tree;
		if (w->tree && !(mountinfo && mountpoint_shows(mountinfo, w->tree)))
			continue;
		w->pid = (pid_t)strtol(walk->pid, NULL, 10);
		answered++;
	}
	return answered;
}

void process_find_each(struct process_wanted *wanted, size_t n)
{
	auto_walk struct process_walk walk = process_walk_begin();
	size_t left = n;

	for (size_t i = 0; i < n; i++)
		wanted[i].pid = 0;
	while (left && process_walk_next(&walk))
		left -= answer(&walk, wanted, n);
}

pid_t process_find(uint64_t mnt_ns, const char *tree)
{
	struct process_wanted wanted = { .mnt_ns = mnt_ns, .tree = tree };

	process_find_each(&wanted, 1);
	return wanted.pid;
}
