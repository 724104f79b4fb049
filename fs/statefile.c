/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the state file: whose it is, whether it is used, what it holds. */
#include "fs/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/store.h"

#define OPEN_TRIES 8
#define LOCK_MS 1000
#define LOCK_STEP_MS 10

static int directory_of(const char *socket, char *buf, size_t size)
{
	const char *slash = strrchr(socket, '/');
	int n = snprintf(buf, size, "%.*s", slash && slash != socket ? (int)(slash - socket) : 1,
			 slash ? socket : ".");

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int statefile_path(const char *socket, char *buf, size_t size)
{
	int r = directory_of(socket, buf, size);
	size_t len = r < 0 ? 0 : strlen(buf);

	if (r < 0 || len + sizeof("/" STATEFILE_NAME) > size)
		return -ENAMETOOLONG;
	(void)snprintf(buf + len, size - len, "%s" STATEFILE_NAME,
		       len == 1 && *buf == '/' ? "" : "/");
	return 0;
}

static int refuse(struct error *err, const char *path, const char *why)
{
	(void)error_setc(err, ERROR_PERMISSION, -EPERM, "'%s' %s", path, why);
	return error_remedy(err, -EPERM, "put the socket into a directory that is root's alone");
}

/* Its last component must not be a link, and nobody else may put or exchange files in it. */
static int open_directory(const char *path, struct error *err)
{
	auto_close int fd = -1;
	struct stat st;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set(err, -errno, "make '%s'", path);
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, -errno, "open '%s'", path);
	if (st.st_uid != geteuid())
		return refuse(err, path, "belongs to somebody else");
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return refuse(err, path, "can be written by others");
	return take_fd(&fd);
}

static int check_file(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return refuse(err, path, "is no regular file");
	if (st.st_uid != geteuid() || st.st_mode & 077)
		return refuse(err, path, "could be read or changed by others");
	if (st.st_nlink > 1)
		return refuse(err, path, "has another name too");
	return st.st_nlink == 0 ? -EAGAIN : 0;
}

/* Who was killed a moment ago may still be closing it. */
static int lock(int fd)
{
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_STEP_MS) {
		if (errno != EWOULDBLOCK || waited >= LOCK_MS)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
		(void)usleep(LOCK_STEP_MS * 1000);
	}
	return 0;
}

/* Opened and locked, and still the one under that name. */
static int open_locked(int dirfd, const char *path, struct error *err)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		/* O_NONBLOCK: a FIFO must not make us wait. */
		auto_close int fd = openat(dirfd, STATEFILE_NAME,
					   O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
					   0600);
		int r;

		if (fd < 0)
			return error_set(err, -errno, "open '%s'", path);
		r = lock(fd);
		if (r < 0) {
			(void)error_setc(err, ERROR_OTHER, r, "another daemon serves from '%s'",
					 path);
			return error_remedy(err, r, "nvfs status; nvfs shutdown ends it");
		}
		r = check_file(fd, path, err);
		if (r != -EAGAIN)
			return r < 0 ? r : take_fd(&fd);
	}
	return error_set(err, -EAGAIN, "open '%s'", path);
}

/* 1: a state of this layout and this start of the machine; 0: none, and empty now. */
static int look_into(int fd, const char *path, struct error *err)
{
	struct error why = { 0 };
	int r = store_check(fd, &why);

	if (r == -ESTALE)
		log_info("'%s' is from before the machine started, making it anew", path);
	if (r == -ESTALE || r == -ENODATA)
		return ftruncate(fd, 0) < 0 ? error_set(err, -errno, "empty '%s'", path) : 0;
	if (r == 0)
		return 1;
	(void)error_setc(err, why.class, r, "'%s': %s", path, why.text);
	return error_remedy(
		err, r, "serve with the nvfs that wrote it; or remove it, and restart containers");
}

int statefile_open(const char *socket, bool *ret_left, struct error *err)
{
	char dir[PATH_MAX], path[PATH_MAX];
	auto_close int dirfd = -1, fd = -1;
	int r;

	if (directory_of(socket, dir, sizeof(dir)) < 0 ||
	    statefile_path(socket, path, sizeof(path)) < 0)
		return error_setc(err, ERROR_USAGE, -ENAMETOOLONG,
				  "socket path '%.80s' is too long", socket);
	r = dirfd = open_directory(dir, err);
	if (r >= 0)
		r = fd = open_locked(dirfd, path, err);
	if (r >= 0)
		r = look_into(fd, path, err);
	if (r < 0)
		return error_wrap(err, r, "state");
	*ret_left = r > 0;
	return take_fd(&fd);
}

int statefile_look(const char *socket)
{
	char dir[PATH_MAX], path[PATH_MAX];
	auto_close int dirfd = -1, fd = -1;

	if (directory_of(socket, dir, sizeof(dir)) < 0 ||
	    statefile_path(socket, path, sizeof(path)) < 0)
		return -ENAMETOOLONG;
	dirfd = open_directory(dir, NULL);
	if (dirfd < 0)
		return dirfd;
	fd = openat(dirfd, STATEFILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return check_file(fd, path, NULL) < 0 ? -EPERM : take_fd(&fd);
}

void statefile_remove(const char *socket)
{
	char path[PATH_MAX];

	if (statefile_path(socket, path, sizeof(path)) == 0)
		(void)unlink(path);
}
