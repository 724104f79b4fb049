/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries for CUDA forward compatibility, as far as the daemon must know of
 * them: their names, and where libcuda's note can stand. As with the
 * ld.so.cache the directory is a stranger's: bounded in every way, no device of
 * it is opened, no mount in it is entered.
 */
#include "inject/imagecompat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compatlist.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "inject/regular.h"

#define RESOLVE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
#define ENTRIES_MAX 4096 /* of the directory, read at most */

struct collector {
	int dir;
	int out; /* memfd */
	size_t names;
	char libcuda[COMPATLIST_NAME_MAX]; /* "": none */
	bool several; /* of them */
};

__attribute__((format(printf, 2, 3))) static int put(struct collector *c, const char *format, ...)
{
	char line[2 * COMPATLIST_NAME_MAX + 16];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return file_write_all(c->out, line, (size_t)len);
}

static int add_file(struct collector *c, const char *name)
{
	if (compatlist_is_libcuda(name)) {
		c->several = *c->libcuda;
		(void)stpcpy(c->libcuda, name); /* a name of ours fits */
	}
	return c->names++ == COMPATLIST_NAMES_MAX ? -EFBIG : put(c, "file %s\n", name);
}

/* Only a link to a neighbour: what else it may lead to is nobody's library here. */
static int add_link(struct collector *c, const char *name)
{
	char target[COMPATLIST_NAME_MAX];
	ssize_t len = readlinkat(c->dir, name, target, sizeof(target));

	if (len < 0 || (size_t)len == sizeof(target))
		return 0;
	target[len] = '\0';
	if (!compatlist_is_name(target))
		return 0;
	return c->names++ == COMPATLIST_NAMES_MAX ? -EFBIG : put(c, "link %s %s\n", name, target);
}

/* What is a directory, a device or a mount is passed over. */
static int add(struct collector *c, const char *name)
{
	auto_close int fd = -1;
	struct stat st;

	if (!compatlist_is_name(name))
		return 0;
	fd = sys_openat2(c->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	if (S_ISLNK(st.st_mode))
		return add_link(c, name);
	return S_ISREG(st.st_mode) ? add_file(c, name) : 0;
}

static int add_all(struct collector *c, DIR *dir)
{
	const struct dirent *entry;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ENTRIES_MAX; i++) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		r = add(c, entry->d_name);
	}
	return r ? r : -EFBIG;
}

static int copy(int from, off_t offset, size_t len, int to)
{
	while (len > 0) {
		ssize_t n = sendfile(to, from, &offset, len);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* it has become shorter */
		len -= (size_t)n;
	}
	return 0;
}

/* Both ends of it, or all of a small one. */
static int add_libcuda(struct collector *c)
{
	auto_close int fd = regular_open(c->dir, c->libcuda, RESOLVE);
	size_t head, tail;
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	head = st.st_size < COMPATLIST_PIECE_MAX ? (size_t)st.st_size : COMPATLIST_PIECE_MAX;
	tail = (size_t)st.st_size - head;
	tail = tail < COMPATLIST_PIECE_MAX ? tail : COMPATLIST_PIECE_MAX;
	r = put(c, "elf %jd %zu\n\n", (intmax_t)st.st_size, head);
	r = r ? r : copy(fd, 0, head, c->out);
	return r ? r : copy(fd, st.st_size - (off_t)tail, tail, c->out);
}

static int collect(struct collector *c)
{
	auto_closedir DIR *dir = NULL;
	int fd = fcntl(c->dir, F_DUPFD_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	r = add_all(c, dir);
	if (r < 0 || !c->names)
		return r;
	r = *c->libcuda && !c->several ? add_libcuda(c) : put(c, "\n");
	return r ? r : file_memfd_seal(c->out);
}

int imagecompat_read(int root, int *ret, struct error *err)
{
	auto_close int dir = sys_openat2(
		root, COMPATLIST_DIR, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC, 0, RESOLVE);
	auto_close int out = -1;
	struct collector c = { .dir = dir };
	int r;

	*ret = -1;
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0;
	if (dir < 0)
		return error_set(err, dir, "open '/" COMPATLIST_DIR "'");
	c.out = out = memfd_create("cuda-compat", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (out < 0)
		return error_set(err, -errno, "memfd_create");
	r = collect(&c);
	if (r < 0)
		return error_set(err, r, "read '/" COMPATLIST_DIR "'");
	if (c.names)
		*ret = take_fd(&out);
	return 0;
}
