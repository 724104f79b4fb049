/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_NODES_H
#define NVFS_FS_NODES_H

#include <jansson.h>

/*
 * Are the device nodes that a container was given still the driver's? Majors
 * move when a module is loaded anew, and by its old number a node leads
 * nowhere, or to somebody else's device.
 */

struct nodes {
	unsigned int stale; /* of a major that is not the driver's any more */
	unsigned int ready; /* of these: the host has the node of the new one, or it can be made */
};

/**
 * nodes_check() - compare what was done to a container with the driver now
 * @done:   list of steps, as io.nvfs.Commit brought it; NULL is an empty one
 * @majors: the driver's lines of /proc/devices; NULL: no module, nothing can be told
 * @dev_fd: the host's /dev
 *
 * Counts nodes that were given and those that the container had by itself. One
 * whose module is not loaded now does not count: it comes back, and is stale then.
 */
struct nodes nodes_check(const json_t *done, const char *majors, int dev_fd);

#endif
