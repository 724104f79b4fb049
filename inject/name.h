/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_NAME_H
#define NVFS_INJECT_NAME_H

#include <stdbool.h>
#include <sys/types.h>

struct place_roots;

/*
 * One name in a directory that is held by descriptor: made, moved, taken away. No link is followed and
 * no path resolved. What is made belongs to the directory's owner, so that it works, and stays the
 * container's own, in a user namespace.
 *
 * @within: the container's roots; where its root is mounted read-only, the name is changed through a
 * clone of that mount (writable.h), and a directory of somebody whom the container's user namespace has
 * no id for is left alone (owners.h): -EACCES. NULL: what is read-only stays so, and all are the same.
 */

/**
 * name_make() - make a directory, a symbolic link or an empty file
 * @mode: S_IFDIR, S_IFLNK or S_IFREG, and permissions, which a link has none of
 * @to:   of a link, else NULL
 * @ret_through: whether it went through the clone, whose mount a file's fd then is on; may be NULL
 *
 * Return: 0, of a file an fd of the caller's for writing; -EEXIST where anything stands, or another errno.
 */
int name_make(struct place_roots *within, int dirfd, const char *name, mode_t mode, const char *to,
	      bool *ret_through);

/** name_rename() - within the directory; over what stands there. 0 or the errno of renameat(2) */
int name_rename(struct place_roots *within, int dirfd, const char *from, const char *to);

/** name_unlink() - @flags: 0 or AT_REMOVEDIR. 0 or the errno of unlinkat(2) */
int name_unlink(struct place_roots *within, int dirfd, const char *name, int flags);

#endif
