/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to files below a driver root. Two steps, always: an O_PATH descriptor
 * first, which opens nothing, then, once it is known to be a regular file, the
 * same inode for reading. Its resolved path is asked of the kernel, so that no
 * second implementation of link resolution can disagree with it.
 */
#include "nvml/driver_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"

#define RESOLVE_CONFINED (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static void self_fd_path(int fd, char path[32])
{
	(void)snprintf(path, 32, "/proc/self/fd/%d", fd);
}

/* Where the inode behind a descriptor lies, seen from our own root. */
static int fd_path(int fd, char **ret)
{
	char link[32], path[PATH_MAX];
	ssize_t n;

	self_fd_path(fd, link);
	n = readlink(link, path, sizeof(path));
	if (n < 0)
		return -errno;
	if (n == sizeof(path))
		return -ENAMETOOLONG;
	*ret = strndup(path, (size_t)n);
	return *ret ? 0 : -ENOMEM;
}

int driver_root_open(const char *path, struct driver_root *ret, struct error *err)
{
	auto_free char *real = NULL;
	auto_close int fd = -1;
	int r;

	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR) {
		(void)error_setc(err, ERROR_USAGE, -ENOTDIR, "driver root '%s' is no directory",
				 path);
		return error_remedy(err, -ENOTDIR, "give the directory that holds usr/ or etc/");
	}
	if (fd < 0) {
		r = error_set(err, -errno, "open driver root '%s'", path);
		return error_classify(err, r, r == -ENOENT ? ERROR_USAGE : ERROR_OTHER);
	}
	r = fd_path(fd, &real);
	if (r < 0)
		return error_set(err, r, "resolve driver root '%s'", path);
	if (!strcmp(real, "/"))
		real[0] = '\0';
	ret->fd = take_fd(&fd);
	ret->real = take_ptr(&real);
	ret->guard = NULL;
	return 0;
}

int driver_guard_enter(const struct driver_guard *guard, const char *path)
{
	return guard ? guard->enter(guard->data, path) : 0;
}

void driver_root_done(struct driver_root *root)
{
	cleanup_close(&root->fd);
	free(root->real);
	*root = (struct driver_root){ .fd = -1 };
}

static int open_path(const struct driver_root *root, const char *path, char **ret_path,
		     struct stat *st)
{
	auto_free char *full = NULL;
	auto_close int fd = -1;
	size_t prefix = strlen(root->real);
	int r = driver_guard_enter(root->guard, path);

	if (r < 0)
		return r;
	fd = sys_openat2(root->fd, path, O_PATH | O_CLOEXEC, 0, RESOLVE_CONFINED);
	if (fd < 0)
		return fd;
	r = fd_path(fd, &full); /* asks no filesystem: with O_PATH nothing has been opened yet */
	if (r == 0 && strncmp(full, root->real, prefix) == 0)
		r = driver_guard_enter(root->guard, full + prefix);
	if (r < 0)
		return r;
	if (fstat(fd, st) < 0)
		return -errno;
	/* An unlinked file has " (deleted)" in its path; one moved away isn't ours any more. */
	if (st->st_nlink == 0 || strncmp(full, root->real, prefix) != 0 || full[prefix] != '/')
		return -ENOENT;
	*ret_path = strdup(full + prefix);
	if (!*ret_path)
		return -ENOMEM;
	return take_fd(&fd);
}

int driver_root_resolve(const struct driver_root *root, const char *path, char **ret,
			struct stat *st)
{
	auto_close int fd = open_path(root, path, ret, st);

	return fd < 0 ? fd : 0;
}

int driver_root_open_file(const struct driver_root *root, const char *path, char **ret_path,
			  struct stat *st)
{
	auto_free char *resolved = NULL;
	auto_close int path_fd = -1, fd = -1;
	char link[32];

	path_fd = open_path(root, path, &resolved, st);
	if (path_fd < 0)
		return path_fd;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	self_fd_path(path_fd, link);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (ret_path)
		*ret_path = take_ptr(&resolved);
	return take_fd(&fd);
}

int driver_root_open_dir(const struct driver_root *root, const char *path, DIR **ret)
{
	auto_close int fd = -1;
	DIR *dir;
	int r = driver_guard_enter(root->guard, path);

	if (r < 0)
		return r;
	fd = sys_openat2(root->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_CONFINED);
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)take_fd(&fd); /* dir's now */
	*ret = dir;
	return 0;
}
