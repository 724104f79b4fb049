/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CLOSER_H
#define NVFS_FS_CLOSER_H

/*
 * Closing files of the host without waiting for it. The last close of a file
 * that was unlinked frees its blocks, and on FUSE every close may ask the
 * filesystem: a slow disk's time, or for ever. A thread does it, which is there
 * only while there is something to close.
 *
 * Threads: one thread uses a closer. It is never freed: its own thread may wait
 * for ever.
 */

struct closer;
struct error;

/**
 * closer_new() - no thread yet
 * @fuse_fd: of the connection whose backing ids are closed; duplicated
 *
 * Return: 0, -ENOMEM or the errno of fcntl(2).
 */
int closer_new(int fuse_fd, struct closer **ret, struct error *err);

/** closer_close() - close a descriptor, soon; -1 is fine */
void closer_close(struct closer *closer, int fd);

/** closer_close_backing() - FUSE_DEV_IOC_BACKING_CLOSE, soon */
void closer_close_backing(struct closer *closer, int id);

#endif
