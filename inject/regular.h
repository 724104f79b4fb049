/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_REGULAR_H
#define NVFS_INJECT_REGULAR_H

#include <stdint.h>
#include <sys/types.h>

/**
 * regular_init() - keep a way to our own descriptors; once, before any container is entered
 *
 * Return: 0 or the errno of open(2).
 */
int regular_init(void);

/** regular_host_proc() - the host's /proc, O_PATH, also from inside a container; ours */
int regular_host_proc(void);

/**
 * regular_open() - open a file of the container for reading, if it is a regular one
 * @dirfd:   directory or root of the container
 * @name:    path below it; a link in the last component is not followed
 * @resolve: RESOLVE_* of openat2(2)
 *
 * Opening a device node acts on the host's hardware (a watchdog starts, a tape
 * rewinds), and an image chooses what stands in it. So the file is looked at by
 * O_PATH, and that very inode is then opened through the host's /proc: what a
 * running container puts in its place between the two is never touched.
 *
 * Return: a descriptor, -EMEDIUMTYPE (not a regular file), -EBADF (not
 * initialised), or the errno of openat2(2) and openat(2).
 */
int regular_open(int dirfd, const char *name, uint64_t resolve);

/**
 * regular_find() - the first half of that: an O_PATH descriptor, and the size
 *
 * Opening a file of an overlay for reading takes 40 us: whoever is done when he knows the size spares it.
 */
int regular_find(int dirfd, const char *name, uint64_t resolve, off_t *ret_size);

/** regular_open_found() - the second half; @found stays the caller's */
int regular_open_found(int found);

#endif
