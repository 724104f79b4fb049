/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_OPS_H
#define NVFS_FS_OPS_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdbool.h>

struct store;

/* Userdata of the FUSE session. */
struct ops_context {
	struct store *store;
	bool passthrough; /* set once, before the first open */
};

/** ops_table() - the operations of the filesystem; static */
const struct fuse_lowlevel_ops *ops_table(void);

#endif
