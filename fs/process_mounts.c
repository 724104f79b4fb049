/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which directories of a filesystem are mounted somewhere. The kernel lists the mounts of a
 * namespace (Linux 6.11); before, /proc/PID/mountinfo is read, which shows what
 * lies below the root of that process.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "fs/process.h"
#include "fs/process_walk.h"

struct question {
	dev_t dev;
	struct process_mounted *asked;
	size_t n, left; /* that have no answer yet */
};

static struct question question(dev_t dev, struct process_mounted *asked, size_t n)
{
	for (size_t i = 0; i < n; i++)
		asked[i].is_mounted = false;
	return (struct question){ .dev = dev, .asked = asked, .n = n, .left = n };
}

/* @root: of a mount of that filesystem, followed by @end */
static void answer(struct question *question, const char *root, char end)
{
	for (size_t i = 0; i < question->n; i++) {
		struct process_mounted *asked = &question->asked[i];
		size_t len = strlen(asked->root);

		if (asked->is_mounted || strncmp(root, asked->root, len) != 0 ||
		    (root[len] != end && root[len] != '/'))
			continue;
		asked->is_mounted = true;
		question->left--;
	}
}

static void answer_all(struct question *question)
{
	for (size_t i = 0; i < question->n; i++)
		question->asked[i].is_mounted = true;
	question->left = 0;
}

/* proc_pid_mountinfo(5): "36 35 98:0 /root /mount-point ..." */
static void read_line(const char *line, struct question *question)
{
	unsigned int dev_major, dev_minor;
	int at = 0;

	if (sscanf(line, "%*d %*d %u:%u %n", &dev_major, &dev_minor, &at) == 2 && at &&
	    makedev(dev_major, dev_minor) == question->dev)
		answer(question, line + at, ' ');
}

static void read_mounts(const struct process_walk *walk, struct question *question)
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
	while (f && question->left && getline(&line, &room, f) >= 0)
		read_line(line, question);
}

/* A view of a mount namespace: who has another root sees other mounts of it. */
struct view {
	uint64_t mnt_ns, root_mount, root_ino;
};

/* proc_pid_root(5). The filesystem is not asked: that of a container may not answer. */
static struct view view_of(const struct process_walk *walk)
{
	struct view view = { .mnt_ns = walk->mnt_ns };
	struct statx root;
	char path[32];

	(void)snprintf(path, sizeof(path), "%s/root", walk->pid);
	if (statx(dirfd(walk->proc), path, AT_STATX_DONT_SYNC, STATX_MNT_ID | STATX_INO, &root) ==
	    0) {
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

static void ask_proc(struct question *question)
{
	auto_walk struct process_walk walk = process_walk_begin();
	struct seen seen = { 0 };

	if (!walk.proc)
		answer_all(question);
	while (question->left && process_walk_next(&walk)) {
		const struct view view = view_of(&walk);
		int r = seen_add(&seen, &view);

		if (r > 0)
			read_mounts(&walk, question);
		else if (r < 0)
			answer_all(question);
	}
	free(seen.views);
}

void process_mounts_in_proc(dev_t dev, struct process_mounted *asked, size_t n)
{
	struct question q = question(dev, asked, n);

	ask_proc(&q);
}

/* by the kernel's own list of a namespace, which nobody's root cuts short */

static int namespace_id(const struct process_walk *walk, uint64_t *ret)
{
	char path[32];
	auto_close int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/ns/mnt", walk->pid);
	fd = openat(dirfd(walk->proc), path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : sys_mnt_ns_id(fd, ret);
}

/* 0 or a negative errno; a mount that is gone by now is none. */
static int ask_mount(uint64_t ns_id, uint64_t mnt_id, struct question *question)
{
	_Alignas(struct sys_statmount) char buf[sizeof(struct sys_statmount) + PATH_MAX];
	struct sys_statmount *mount = (struct sys_statmount *)(void *)buf;
	const uint64_t mask = STATMOUNT_SB_BASIC | STATMOUNT_MNT_ROOT;
	int r = sys_statmount_in(ns_id, mnt_id, STATMOUNT_SB_BASIC, mount, sizeof(*mount));

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (makedev(mount->sb_dev_major, mount->sb_dev_minor) != question->dev)
		return 0;
	r = sys_statmount_in(ns_id, mnt_id, mask, mount, sizeof(buf));
	if (r < 0 || (mount->mask & mask) != mask || mount->mnt_root >= PATH_MAX)
		return r == -ENOENT ? 0 : r < 0 ? r : -ENODATA;
	buf[sizeof(buf) - 1] = '\0';
	answer(question, mount->text + mount->mnt_root, '\0');
	return 0;
}

static int ask_namespace(uint64_t ns_id, struct question *question)
{
	uint64_t ids[256], last = 0;
	int n, r;

	while (question->left &&
	       (n = sys_listmount_in(ns_id, LSMT_ROOT, last, ids, ARRAY_SIZE(ids))) != 0) {
		if (n < 0)
			return n;
		for (int i = 0; i < n && question->left; i++) {
			r = ask_mount(ns_id, ids[i], question);
			if (r < 0)
				return r;
		}
		last = ids[n - 1];
	}
	return 0;
}

/* Whoever the walk is at has ended, or has gone to another namespace: its own may be gone by now, too. */
static bool has_left(const struct process_walk *walk)
{
	char path[32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/ns/mnt", walk->pid);
	if (fstatat(dirfd(walk->proc), path, &st, 0) < 0)
		return errno == ENOENT || errno == ESRCH;
	return st.st_ino != walk->mnt_ns;
}

/* 0, or a negative errno: the kernel does not tell. */
static int ask_namespaces(struct question *question)
{
	auto_walk struct process_walk walk = process_walk_begin();
	struct seen seen = { 0 };
	uint64_t ns_id;
	int r = walk.proc ? 0 : -ENOENT;

	while (r >= 0 && question->left && process_walk_next(&walk)) {
		r = seen_add(&seen, &(struct view){ .mnt_ns = walk.mnt_ns });
		if (r <= 0)
			continue;
		r = namespace_id(&walk, &ns_id);
		r = r < 0 ? r : ask_namespace(ns_id, question);
		if (r < 0 && has_left(&walk)) { /* another one will do, if there is one */
			seen.n--;
			r = 0;
		}
	}
	free(seen.views);
	return r < 0 ? r : 0;
}

void process_mounts_each(dev_t dev, struct process_mounted *asked, size_t n)
{
	struct question q = question(dev, asked, n);

	/* What the kernel has told stands: /proc may not show it, where everybody is chrooted out of its sight. */
	if (ask_namespaces(&q) < 0)
		ask_proc(&q);
}
