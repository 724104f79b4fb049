/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory is found again below the clone by its path, which proc(5) tells of the descriptor. The
 * clone has none of the mounts that lie on the container's root, so that the path may lead below one
 * there: what is found must be the very directory.
 *
 * One clone for all: to give a mount back takes an RCU grace period (namespace_unlock(), fs/namespace.c).
 */
#include "inject/writable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "inject/place.h"
#include "inject/regular.h"

#define IN_CLONE (RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)

static int look(int dirfd, const char *path, struct statx *ret)
{
	return statx(dirfd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID,
		     ret) < 0
		       ? -errno
		       : 0;
}

static bool same_inode(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor;
}

/* setns(2) has made the namespace's root ours: the container's, unless its process has another. */
static int check_is_root_of_namespace(int root)
{
	struct statx its, ours;
	int r = look(root, "", &its);

	r = r ? r : look(AT_FDCWD, "/", &ours);
	if (r < 0)
		return r;
	return same_inode(&its, &ours) && its.stx_mnt_id == ours.stx_mnt_id ? 0 : -EROFS;
}

/* Mounts that a user namespace has inherited are locked together with those on them: EINVAL. */
static int clone_root(int root)
{
	const unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	const struct sys_mount_attr writable = { .attr_clr = MOUNT_ATTR_RDONLY };
	auto_close int fd = -1;
	int r = check_is_root_of_namespace(root);

	if (r < 0)
		return r;
	fd = sys_open_tree(root, "", flags);
	if (fd == -EINVAL)
		fd = sys_open_tree(root, "", flags | AT_RECURSIVE);
	r = fd < 0 ? fd : sys_mount_setattr(fd, "", AT_EMPTY_PATH, &writable);
	if (r == -EPERM || r == -EINVAL || r == -ENOSYS)
		return -EROFS;
	return r < 0 ? r : take_fd(&fd);
}

static int path_of(int fd, char ret[PATH_MAX])
{
	char link[32];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "self/fd/%d", fd);
	n = readlinkat(regular_host_proc(), link, ret, PATH_MAX);
	if (n < 0)
		return -errno;
	if (n == PATH_MAX || *ret != '/')
		return -EROFS;
	ret[n] = '\0';
	return 0;
}

/* A mount on the root may be of the same filesystem, and have reasons of its own to be read-only. */
static int check_is_on_root(int root, const struct statx *dir)
{
	struct statx its;
	int r = look(root, "", &its);

	return r < 0 ? r : its.stx_mnt_id == dir->stx_mnt_id ? 0 : -EROFS;
}

int writable_open(struct place_roots *within, int dirfd)
{
	auto_close int fd = -1;
	struct statx its, ours;
	char path[PATH_MAX];
	int r;

	if (!within)
		return -EROFS;
	r = look(dirfd, "", &its);
	r = r ? r : check_is_on_root(within->root, &its);
	if (r == 0 && within->writable < 0)
		r = within->writable = clone_root(within->root);
	r = r < 0 ? r : path_of(dirfd, path);
	if (r < 0)
		return r;
	fd = sys_openat2(within->writable, path, O_PATH | O_DIRECTORY, 0, IN_CLONE);
	r = fd < 0 ? fd : look(fd, "", &ours);
	if (r == 0 && same_inode(&its, &ours))
		return take_fd(&fd);
	return -EROFS; /* removed or renamed meanwhile, or behind a mount */
}
