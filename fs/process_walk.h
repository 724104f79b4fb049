/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_PROCESS_WALK_H
#define NVFS_FS_PROCESS_WALK_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

/* A walk through /proc; processes that end on the way are left out. */
struct process_walk {
	DIR *proc;
	/* Of the present process: */
	char pid[16];
	uint64_t mnt_ns; /* inode of its mount namespace */
};

struct process_walk process_walk_begin(void);
void process_walk_end(struct process_walk *walk);
#define auto_walk __attribute__((cleanup(process_walk_end)))

/** process_walk_next() - false at the end, and where /proc cannot be read */
bool process_walk_next(struct process_walk *walk);

#endif
