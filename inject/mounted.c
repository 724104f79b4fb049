/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own knowledge of a mount, without a word to its filesystem. */
#include "inject/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/sys.h"
#include "inject/regular.h"

#define MOUNTINFO_MAX (16 * 1024 * 1024)

/* Returns @mask as far as the kernel told it: which kind of id @ret is. */
static int mount_id(int fd, unsigned int mask, uint64_t *ret)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, &x) < 0)
		return -errno;
	*ret = x.stx_mnt_id;
	return (int)(x.stx_mask & mask);
}

/* "36 35 98:0 /root /point rw,noatime master:1 - type source options" */
static bool parse_line(const char *line, uint64_t id, struct mounted *ret)
{
	const char *dash = strstr(line, " - ");
	uint64_t its;

	memset(ret, 0, sizeof(*ret));
	return dash && sscanf(line, "%" SCNu64 " %*u %*s %319s", &its, ret->root) == 2 &&
	       its == id && sscanf(dash, " - %63s", ret->type) == 1;
}

int mounted_describe(int fd, struct mounted *ret)
{
	auto_free char *text = NULL;
	char *line, *rest;
	uint64_t id = 0;
	int r = mount_id(fd, STATX_MNT_ID, &id);

	if (r < 0)
		return r;
	r = file_read_at(regular_host_proc(), "self/mountinfo", MOUNTINFO_MAX, &text, NULL, NULL);
	if (r < 0)
		return r;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (parse_line(line, id, ret))
			return 0;
	}
	return -ENOENT;
}

static int magic_by_name(int fd, uint32_t *ret)
{
	static const struct {
		const char *type;
		uint32_t magic;
	} known[] = { { "tmpfs", TMPFS_MAGIC },
		      { "devtmpfs", TMPFS_MAGIC },
		      { "ramfs", RAMFS_MAGIC },
		      { "proc", PROC_SUPER_MAGIC } };
	struct mounted mounted;
	int r = mounted_describe(fd, &mounted);

	*ret = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(known); i++) {
		if (strcmp(mounted.type, known[i].type) == 0)
			*ret = known[i].magic;
	}
	return r;
}

int mounted_magic(int fd, uint32_t *ret)
{
	struct sys_statmount mount = { 0 };
	uint64_t id = 0;
	int r = mount_id(fd, STATX_MNT_ID_UNIQUE, &id);

	if (r < 0)
		return r;
	if (r & STATX_MNT_ID_UNIQUE)
		r = sys_statmount(id, STATMOUNT_SB_BASIC, &mount, sizeof(mount));
	if (r < 0 || !(mount.mask & STATMOUNT_SB_BASIC))
		return magic_by_name(fd, ret);
	*ret = (uint32_t)mount.sb_magic;
	return 0;
}
