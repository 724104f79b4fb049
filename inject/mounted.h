/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_MOUNTED_H
#define NVFS_INJECT_MOUNTED_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What kind of mount is this? Told by the kernel's mount table alone: statfs(2)
 * and stat(2) would ask the filesystem, and a FUSE server that has taken a
 * request and never answers it holds the caller for ever, beyond SIGKILL.
 */

/**
 * mounted_magic() - the type of filesystem that a descriptor lies on
 * @fd:  any descriptor, O_PATH included, in our mount namespace
 * @ret: as in linux/magic.h; TMPFS_MAGIC for devtmpfs, too. Before Linux 6.8
 *       only tmpfs, ramfs and procfs are told apart, and 0 is every other.
 *
 * Return: 0 or a negative errno.
 */
int mounted_magic(int fd, uint32_t *ret);

#define MOUNTED_TYPE_MAX 64
#define MOUNTED_ROOT_MAX 320

/* One line of mountinfo, see proc(5). */
struct mounted {
	char type[MOUNTED_TYPE_MAX]; /* "fuse.nvfs"; cut where it is longer */
	char root[MOUNTED_ROOT_MAX]; /* the directory of that filesystem which is mounted, escaped */
};

/**
 * mounted_describe() - the mount that a descriptor lies on
 *
 * Reads all of mountinfo: not for every injection.
 * Return: 0, -ENOENT (a mount that is not in our namespace) or a negative errno.
 */
int mounted_describe(int fd, struct mounted *ret);

#endif
