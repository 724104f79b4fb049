/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_REGULAR_H
#define NVFS_INJECT_REGULAR_H

#include <stdint.h>

/**
 * regular_open() - open a file of the container for reading, if it is a regular one
 * @dirfd:   directory or root of the container
 * @name:    path below it; a link in the last component is not followed
 * @resolve: RESOLVE_* of openat2(2)
 *
 * Opening a device node acts on the host's hardware (a watchdog starts, a tape
 * rewinds), and an image chooses what stands in it. So the file is looked at by
 * O_PATH, and then opened in a detached clone of the mount that is nodev: what
 * a running container puts in its place between the two is no device there.
 *
 * Return: a descriptor, -EMEDIUMTYPE (not a regular file), or the errno of
 * openat2(2), open_tree(2) or mount_setattr(2).
 */
int regular_open(int dirfd, const char *name, uint64_t resolve);

#endif
