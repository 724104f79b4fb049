/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

static char dir[] = "/tmp/nvfs-regular-XXXXXX";
static int fd;

/* A tmpfs of our own needs a mount namespace of our own; where none can be had nothing is checked. */
static bool open_dir(void)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		fprintf(stderr, "test_regular: no mount namespace to be had, nothing checked\n");
		return false;
	}
	ck_assert_int_eq(regular_init(), 0);
	(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(mount("t", dir, "tmpfs", 0, NULL), 0);
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return true;
}

static void close_dir(void)
{
	(void)close(fd);
	(void)umount2(dir, MNT_DETACH);
	(void)rmdir(dir);
}

START_TEST(a_regular_file_is_opened_and_nothing_else)
{
	char byte = 0;
	int file;

	if (!open_dir())
		return;
	file = openat(fd, "file", O_CREAT | O_WRONLY, 0644);
	ck_assert_int_eq(write(file, "x", 1), 1);
	(void)close(file);
	ck_assert_int_eq(mkfifoat(fd, "fifo", 0644), 0);
	ck_assert_int_eq(mkdirat(fd, "dir", 0755), 0);
	ck_assert_int_eq(symlinkat("file", fd, "link"), 0);
	file = regular_open(fd, "file", HERE);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(read(file, &byte, 1), 1);
	ck_assert_int_eq(byte, 'x');
	(void)close(file);
	ck_assert_int_eq(regular_open(fd, "fifo", HERE), -EMEDIUMTYPE);
	ck_assert_int_eq(regular_open(fd, "dir", HERE), -EMEDIUMTYPE);
	ck_assert_int_lt(regular_open(fd, "link", HERE), 0);
	ck_assert_int_eq(regular_open(fd, "nothing", HERE), -ENOENT);
	close_dir();
}
END_TEST

START_TEST(a_device_node_is_not_opened)
{
	if (!open_dir())
		return;
	if (mknodat(fd, "node", S_IFCHR | 0666, makedev(1, 3)) == 0)
		ck_assert_int_eq(regular_open(fd, "node", HERE), -EMEDIUMTYPE);
	close_dir();
}
END_TEST

UNIT_MAIN("regular", a_regular_file_is_opened_and_nothing_else, a_device_node_is_not_opened)
