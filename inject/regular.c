/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading files of a hostile image without touching its devices: see regular.h.
 * The host's /proc is the one thing kept for the whole process: it is opened
 * before anything is entered, and never changes.
 */
#include "inject/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"

static int host_proc = -1;

int regular_init(void)
{
	if (host_proc < 0)
		host_proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return host_proc < 0 ? -errno : 0;
}

int regular_host_proc(void)
{
	return host_proc;
}

int regular_find(int dirfd, const char *name, uint64_t resolve, off_t *ret_size)
{
	auto_close int fd = sys_openat2(dirfd, name, O_PATH | O_NOFOLLOW, 0, resolve);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	*ret_size = st.st_size;
	return take_fd(&fd);
}

int regular_open_found(int found)
{
	char again[32];
	int fd;

	/* proc(5): the link leads to the open file itself, whatever its name is now */
	(void)snprintf(again, sizeof(again), "self/fd/%d", found);
	fd = openat(host_proc, again, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int regular_open(int dirfd, const char *name, uint64_t resolve)
{
	off_t size;
	auto_close int found = regular_find(dirfd, name, resolve, &size);

	return found < 0 ? found : regular_open_found(found);
}
