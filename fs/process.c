/* SPDX-License-Identifier: Apache-2.0 */
/* Identity of processes, from pidfds and /proc. */
#include "fs/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/mountpoint.h"

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

/* proc_pid_attr(5): without a module that labels, reading is EINVAL for all alike. */
static bool same_label(int proc_fd)
{
	auto_free char *its = NULL, *ours = NULL;
	int a = file_read_at(proc_fd, "attr/current", TEXT_MAX, &its, NULL, NULL);
	int b = file_read_at(AT_FDCWD, "/proc/self/attr/current", TEXT_MAX, &ours, NULL, NULL);

	return a < 0 || b < 0 ? a == b && (a == -EINVAL || a == -ENOENT) : strcmp(its, ours) == 0;
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
	auto_close int pidfd = sys_pidfd_open(pid, PIDFD_THREAD);
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

static void mark_used(uint64_t inode, const uint64_t *mnt_ns, bool *used, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (mnt_ns[i] == inode)
			used[i] = true;
	}
}

void process_mnt_ns_used(const uint64_t *mnt_ns, bool *used, size_t n)
{
	auto_closedir DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		char path[300];
		struct stat st;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "%s/ns/mnt", entry->d_name);
		if (fstatat(dirfd(proc), path, &st, 0) == 0)
			mark_used(st.st_ino, mnt_ns, used, n);
	}
}

/* proc_pid_mountinfo(5): "36 35 98:0 /root /mount-point ..." */
static bool is_mount_of(const char *line, dev_t dev, const char *root)
{
	unsigned int dev_major, dev_minor;
	size_t len = strlen(root);
	int at = 0;

	if (sscanf(line, "%*d %*d %u:%u %n", &dev_major, &dev_minor, &at) != 2 || !at)
		return false;
	return makedev(dev_major, dev_minor) == dev && strncmp(line + at, root, len) == 0 &&
	       (line[at + len] == ' ' || line[at + len] == '/');
}

static bool mounts_in(int proc_fd, const char *pid, dev_t dev, const char *root)
{
	auto_fclose FILE *f = NULL;
	auto_free char *line = NULL;
	char path[300];
	size_t room = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/mountinfo", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		cleanup_close(&fd);
	while (f && getline(&line, &room, f) >= 0) {
		if (is_mount_of(line, dev, root))
			return true;
	}
	return false;
}

/* Namespaces that have been looked at. */
struct seen {
	uint64_t *inodes;
	size_t n, room;
};

/* 1: it was not among them and is now; 0; -ENOMEM */
static int seen_add(struct seen *seen, uint64_t inode)
{
	for (size_t i = 0; i < seen->n; i++) {
		if (seen->inodes[i] == inode)
			return 0;
	}
	if (seen->n == seen->room) {
		size_t room = seen->room ? 2 * seen->room : 64;
		uint64_t *bigger = realloc(seen->inodes, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		seen->inodes = bigger;
		seen->room = room;
	}
	seen->inodes[seen->n++] = inode;
	return 1;
}

bool process_mounts(dev_t dev, const char *root)
{
	auto_closedir DIR *proc = opendir("/proc");
	struct seen seen = { 0 };
	const struct dirent *entry;
	bool found = false;

	while (proc && !found && (entry = readdir(proc))) {
		char path[300];
		struct stat st;
		int r;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "%s/ns/mnt", entry->d_name);
		if (fstatat(dirfd(proc), path, &st, 0) < 0)
			continue;
		r = seen_add(&seen, st.st_ino);
		found = r < 0 || (r > 0 && mounts_in(dirfd(proc), entry->d_name, dev, root));
	}
	free(seen.inodes);
	return found;
}

static bool has_tree(int proc, const char *pid, const char *name)
{
	auto_free char *mountinfo = NULL;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/mountinfo", pid);
	return file_read_at(proc, path, MOUNTINFO_MAX, &mountinfo, NULL, NULL) == 0 &&
	       mountpoint_shows(mountinfo, name);
}

pid_t process_find(uint64_t mnt_ns, const char *name)
{
	auto_closedir DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		char path[300];
		struct stat st;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "%s/ns/mnt", entry->d_name);
		if (fstatat(dirfd(proc), path, &st, 0) == 0 && st.st_ino == mnt_ns &&
		    has_tree(dirfd(proc), entry->d_name, name))
			return (pid_t)strtol(entry->d_name, NULL, 10);
	}
	return 0;
}
