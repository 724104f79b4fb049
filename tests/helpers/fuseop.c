/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuseop OPERATION PATH: makes the kernel ask a FUSE filesystem for one thing, and says what came of
 * it: "ok", or the name of the error on one line. Exit status 0 if the operation did what it does on
 * any filesystem.
 *
 *   lookup    a name that is not there: "ok" when it isn't; give a new name each time
 *   getattr statx readlink statfs open read readdir list lseek getxattr listxattr fsync poll ioctl
 *   interrupt a lookup that is interrupted by a signal after 50 ms
 *
 * LINK: -static
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <linux/fs.h>
#include <unistd.h>

static int op_lookup(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		errno = EEXIST;
	return errno == ENOENT ? 0 : -1;
}

static int op_getattr(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);
}

static int op_statx(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS | STATX_BTIME, &st);
}

static int op_readlink(const char *path)
{
	char target[256];

	return readlink(path, target, sizeof(target)) > 0 ? 0 : -1;
}

static int op_statfs(const char *path)
{
	struct statfs st;

	return statfs(path, &st);
}

static int op_open(int fd)
{
	(void)fd;
	return 0;
}

static int op_read(int fd)
{
	char buf[64];

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return read(fd, buf, sizeof(buf)) > 0 ? 0 : -1;
}

/* In pieces as small as they come: the first one is READDIRPLUS, the next ones may be READDIR. */
static int op_list(int fd)
{
	_Alignas(8) char buf[512];
	long n, all = 0;

	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
		all += n;
	return n < 0 || !all ? -1 : 0;
}

static int op_lseek(int fd)
{
	return lseek(fd, 0, SEEK_HOLE) >= 0 ? 0 : -1;
}

/* What the filesystem does not have is an answer too. */
static int or_unsupported(long r)
{
	return r >= 0 || errno == EOPNOTSUPP || errno == ENODATA || errno == ENOTTY ||
			       errno == EINVAL || errno == ENOSYS
		       ? 0
		       : -1;
}

static int op_getxattr(const char *path)
{
	char value[64];

	return or_unsupported(getxattr(path, "user.x", value, sizeof(value)));
}

static int op_listxattr(const char *path)
{
	char names[64];

	return or_unsupported(listxattr(path, names, sizeof(names)));
}

static int op_fsync(int fd)
{
	return or_unsupported(fsync(fd));
}

static int op_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 ? 0 : -1;
}

static int op_ioctl(int fd)
{
	long flags;

	return or_unsupported(ioctl(fd, FS_IOC_GETFLAGS, &flags));
}

static void on_alarm(int sig)
{
	(void)sig;
}

static int op_interrupt(const char *path)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value.tv_usec = 50000 };

	(void)sigaction(SIGALRM, &action, NULL);
	(void)setitimer(ITIMER_REAL, &soon, NULL);
	return op_lookup(path);
}

int main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		int (*on_path)(const char *path);
		int (*on_fd)(int fd);
	} operations[] = {
		{ "lookup", op_lookup, NULL },	   { "getattr", op_getattr, NULL },
		{ "statx", op_statx, NULL },	   { "readlink", op_readlink, NULL },
		{ "statfs", op_statfs, NULL },	   { "open", NULL, op_open },
		{ "read", NULL, op_read },	   { "list", NULL, op_list },
		{ "lseek", NULL, op_lseek },	   { "getxattr", op_getxattr, NULL },
		{ "listxattr", op_listxattr, NULL }, { "fsync", NULL, op_fsync },
		{ "poll", NULL, op_poll },	   { "ioctl", NULL, op_ioctl },
		{ "interrupt", op_interrupt, NULL },
	};
	int r = -1, fd;

	errno = EINVAL;
	for (size_t i = 0; argc == 3 && i < sizeof(operations) / sizeof(*operations); i++) {
		if (strcmp(argv[1], operations[i].name) != 0)
			continue;
		if (operations[i].on_path) {
			r = operations[i].on_path(argv[2]);
			continue;
		}
		fd = open(argv[2], O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -1 : operations[i].on_fd(fd);
	}
	puts(r < 0 ? strerrorname_np(errno) : "ok");
	return r < 0;
}
