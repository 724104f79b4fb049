/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_WRITABLE_H
#define NVFS_INJECT_WRITABLE_H

struct place_roots;

/*
 * A container whose root is mounted read-only on a filesystem that can be written: names are made and
 * taken away through a clone of the root's mount, which is ours alone, never attached, and gone with
 * us. The container's own mount stays as it is.
 *
 * Only the mount that the namespace has as its root is cloned. Who has changed his root to another one,
 * a volume that he was given read-only for one, does not have it written to by us.
 */

/**
 * writable_open() - a directory, through a mount that may be written
 * @within: the container's roots; the clone is kept in there. NULL: there is no such mount
 * @dirfd:  O_PATH, a directory of the container; borrowed
 *
 * To be called inside the container's mount namespace. Kernel: mount_setattr(2), Linux 5.12.
 * Privilege: CAP_SYS_ADMIN. In a container with a user namespace the mount may be one that was
 * read-only before the namespace was made: then the flag is locked, for everybody
 * (can_change_locked_flags(), fs/namespace.c), and counts as the filesystem's own.
 *
 * Return: an O_PATH fd of the caller's, -EROFS where that is not to be had, or another errno of
 * open_tree(2), mount_setattr(2) or openat2(2).
 */
int writable_open(struct place_roots *within, int dirfd);

#endif
