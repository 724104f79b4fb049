/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files in and out of memory, with a limit on every size, and sealed memfds. */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define FIRST_READ 4096
#define XATTRS_MAX 65536 /* XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h */

int file_read_fd(int fd, size_t max, char **ret, size_t *ret_len, struct error *err)
{
	auto_free char *buf = NULL;
	size_t len = 0, room = 0;
	struct stat st;

	/* /proc files say 0; others tell what to expect. */
	if (fstat(fd, &st) == 0 && st.st_size > 0 && (size_t)st.st_size <= max)
		room = (size_t)st.st_size + 1;
	for (;;) {
		ssize_t n;

		if (len + 1 >= room || !buf) {
			char *bigger;

			room = buf ? room * 2 : (room > FIRST_READ ? room : FIRST_READ);
			bigger = realloc(buf, room + 1);
			if (!bigger)
				return error_set(err, -ENOMEM, "read");
			buf = bigger;
		}
		n = read(fd, buf + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, -errno, "read");
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return error_set(err, -EFBIG, "read more than %zu bytes", max);
	}
	buf[len] = '\0';
	*ret = take_ptr(&buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int file_read_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len,
		 struct error *err)
{
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0)
		return error_set(err, -errno, "open '%s'", name);
	r = file_read_fd(fd, max, ret, ret_len, err);
	return r < 0 ? error_wrap(err, r, "'%s'", name) : 0;
}

int file_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int file_memfd_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

static int write_like(int fd, const struct stat *like, const void *buf, size_t len)
{
	int r = file_write_all(fd, buf, len);

	if (r == 0 && like && (like->st_uid != geteuid() || like->st_gid != getegid()) &&
	    fchown(fd, like->st_uid, like->st_gid) < 0)
		r = -errno;
	/* After the owner, whose change takes bits away. */
	if (r == 0 && fchmod(fd, like ? like->st_mode & 07777 : 0644) < 0)
		r = -errno;
	return r;
}

/* An empty one under the name that it has until it is whole. */
static int make_temporary(int dirfd, const char *name, char temporary[NAME_MAX + 1],
			  struct error *err)
{
	int n = snprintf(temporary, NAME_MAX + 1, ".%s.new", name), fd;

	if (n < 0 || n > NAME_MAX)
		return error_set(err, -ENAMETOOLONG, "'%.60s'", name);
	(void)unlinkat(dirfd, temporary, 0);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? error_set(err, -errno, "make '%.60s'", temporary) : fd;
}

int file_replace_at(int dirfd, const char *name, const struct stat *like, const void *buf,
		    size_t len, struct error *err)
{
	char temporary[NAME_MAX + 1];
	auto_close int fd = make_temporary(dirfd, name, temporary, err);
	int r;

	if (fd < 0)
		return fd;
	r = write_like(fd, like, buf, len);
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	(void)unlinkat(dirfd, temporary, 0);
	return error_set(err, r, "write '%.60s'", name);
}

static int copy_xattr(int from, int to, const char *name, char *value)
{
	ssize_t len = fgetxattr(from, name, value, XATTRS_MAX);

	return len < 0 || fsetxattr(to, name, value, (size_t)len, 0) < 0 ? -errno : 0;
}

static int copy_xattrs(int from, int to)
{
	auto_free char *names = malloc(XATTRS_MAX), *value = malloc(XATTRS_MAX);
	ssize_t len = names && value ? flistxattr(from, names, XATTRS_MAX) : -1;
	int r = 0;

	if (!names || !value)
		return -ENOMEM;
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *name = names; r == 0 && name < names + len; name += strlen(name) + 1)
		r = copy_xattr(from, to, name, value);
	return r;
}

static int write_synced(int fd, int like, const void *buf, size_t len)
{
	struct stat st;
	int r;

	if (like >= 0 && fstat(like, &st) < 0)
		return -errno;
	r = write_like(fd, like >= 0 ? &st : NULL, buf, len);
	if (r == 0 && like >= 0)
		r = copy_xattrs(like, fd);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int file_replace_synced_at(int dirfd, const char *name, int like, const void *buf, size_t len,
			   struct error *err)
{
	char temporary[NAME_MAX + 1];
	auto_close int fd = make_temporary(dirfd, name, temporary, err);
	int r;

	if (fd < 0)
		return fd;
	r = write_synced(fd, like, buf, len);
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, temporary, 0);
		return error_set(err, r, "write '%.60s'", name);
	}
	return fsync(dirfd) < 0 ? error_set(err, -errno, "write the directory of '%.60s'", name)
				: 0;
}

int file_memfd(const char *name, const void *buf, size_t len)
{
	auto_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = file_write_all(fd, buf, len);
	if (r == 0)
		r = file_memfd_seal(fd);
	return r < 0 ? r : take_fd(&fd);
}

ssize_t file_memfd_sealed_size(int fd, size_t max)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (size_t)st.st_size > max)
		return -EFBIG;
	return st.st_size;
}
