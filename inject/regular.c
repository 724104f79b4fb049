/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files of a hostile image without touching its devices: see regular.h. */
#include "inject/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int regular_open(int dirfd, const char *name, uint64_t resolve)
{
	const struct sys_mount_attr nodev = { .attr_set = MOUNT_ATTR_NODEV };
	auto_close int path = sys_openat2(dirfd, name, O_PATH | O_NOFOLLOW, 0, resolve);
	auto_close int clone = -1;
	auto_close int fd = -1;
	int r;

	if (path < 0)
		return path;
	if (!is_regular(path))
		return -EMEDIUMTYPE;
	clone = sys_open_tree(dirfd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	if (clone < 0)
		return clone;
	r = sys_mount_setattr(clone, "", AT_EMPTY_PATH, &nodev);
	if (r < 0)
		return r;
	fd = sys_openat2(clone, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, resolve);
	if (fd < 0)
		return fd;
	return is_regular(fd) ? take_fd(&fd) : -EMEDIUMTYPE;
}
