/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_OPENS_H
#define NVFS_FS_OPENS_H

#include <sys/types.h>

struct store;

/**
 * opens_count() - a process opens a file: count it for its container's tree
 * @pid: of the thread that opened it, as the request says; 0 for none of our pid namespace
 *
 * A host file has one inode in all trees, so it is the process that tells the
 * tree: by its mount namespace, which is remembered for a moment. For any
 * thread; it must not hold the store's lock, and calls before it answers: who has its answer may end, and its
 * pid tells nothing any more.
 */
void opens_count(struct store *store, pid_t pid);

#endif
