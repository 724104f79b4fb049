/* SPDX-License-Identifier: Apache-2.0 */
/* Identity of processes, from pidfds and /proc. */
#include "fs/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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

/* all processes */

/* A walk through /proc; those that end on the way are left out. */
struct walk {
	DIR *proc;
	char pid[16];
	uint64_t mnt_ns;
};

static struct walk walk_begin(void)
{
	return (struct walk){ .proc = opendir("/proc") };
}

static void walk_end(struct walk *walk)
{
	if (walk->proc)
		(void)closedir(walk->proc);
}
#define auto_walk __attribute__((cleanup(walk_end)))

/* False at the end, and where /proc cannot be read. */
static bool walk_next(struct walk *walk)
{
	const struct dirent *entry;

	while (walk->proc && (entry = readdir(walk->proc))) {
		char path[32];
		struct stat st;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || strlen(entry->d_name) >= sizeof(walk->pid))
			continue;
		strcpy(walk->pid, entry->d_name);
		(void)snprintf(path, sizeof(path), "%s/ns/mnt", walk->pid);
		if (fstatat(dirfd(walk->proc), path, &st, 0) < 0)
			continue;
		walk->mnt_ns = st.st_ino;
		return true;
	}
	return false;
}

static bool has_tree(const struct walk *walk, const char *name)
{
	auto_free char *mountinfo = NULL;
	char path[32];

	(void)snprintf(path, sizeof(path), "%s/mountinfo", walk->pid);
	return file_read_at(dirfd(walk->proc), path, MOUNTINFO_MAX, &mountinfo, NULL, NULL) == 0 &&
	       mountpoint_shows(mountinfo, name);
}

void process_find_each(struct process_wanted *wanted, size_t n)
{
	auto_walk struct walk walk = walk_begin();
	size_t left = n;

	for (size_t i = 0; i < n; i++)
		wanted[i].pid = 0;
	while (left && walk_next(&walk)) {
		for (size_t i = 0; i < n; i++) {
			struct process_wanted *w = &wanted[i];

			if (w->pid || w->mnt_ns != walk.mnt_ns || (w->tree && !has_tree(&walk, w->tree)))
				continue;
			w->pid = (pid_t)strtol(walk.pid, NULL, 10);
			left--;
		}
	}
}

pid_t process_find(uint64_t mnt_ns, const char *tree)
{
	struct process_wanted wanted = { .mnt_ns = mnt_ns, .tree = tree };

	process_find_each(&wanted, 1);
	return wanted.pid;
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

static bool mounts_in(const struct walk *walk, dev_t dev, const char *root)
{
	auto_fclose FILE *f = NULL;
	auto_free char *line = NULL;
	char path[32];
	size_t room = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/mountinfo", walk->pid);
	fd = openat(dirfd(walk->proc), path, O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		cleanup_close(&fd);
	while (f && getline(&line, &room, f) >= 0) {
		if (is_mount_of(line, dev, root))
			return true;
	}
	return false;
}

/* A view of a mount namespace: who has another root sees other mounts of it. */
struct view {
	uint64_t mnt_ns, root_mount, root_ino;
};

/* proc_pid_root(5). The filesystem is not asked: that of a container may not answer. */
static struct view view_of(const struct walk *walk)
{
	struct view view = { .mnt_ns = walk->mnt_ns };
	struct statx root;
	char path[32];

	(void)snprintf(path, sizeof(path), "%s/root", walk->pid);
	if (statx(dirfd(walk->proc), path, AT_STATX_DONT_SYNC, STATX_MNT_ID | STATX_INO, &root) == 0) {
		view.root_mount = root.stx_mnt_id;
		view.root_ino = root.stx_ino;
	}
	return view;
}

/* Views that have been looked at. */
struct seen {
	struct view *views;
	size_t n, room;
};

/* 1: it was not among them and is now; 0; -ENOMEM */
static int seen_add(struct seen *seen, const struct view *view)
{
	for (size_t i = 0; i < seen->n; i++) {
		if (memcmp(&seen->views[i], view, sizeof(*view)) == 0)
			return 0;
	}
	if (seen->n == seen->room) {
		size_t room = seen->room ? 2 * seen->room : 64;
		struct view *bigger = realloc(seen->views, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		seen->views = bigger;
		seen->room = room;
	}
	seen->views[seen->n++] = *view;
	return 1;
}

bool process_mounts(dev_t dev, const char *root)
{
	auto_walk struct walk walk = walk_begin();
	struct seen seen = { 0 };
	bool found = false;

	while (!found && walk_next(&walk)) {
		const struct view view = view_of(&walk);
		int r = seen_add(&seen, &view);

		found = r < 0 || (r > 0 && mounts_in(&walk, dev, root));
	}
	free(seen.views);
	return found;
}
