/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DEVNODE_IMPL_H
#define NVFS_NVML_DEVNODE_IMPL_H

/* The inside of devnode*.c. */

#include "nvml/devnode.h"

struct devnode_majors {
	int dxg; /* its minor; below 0: this is not WSL2 */
	int nvidia;
	int uvm, caps, imex, nvswitch; /* below 0: there is no such driver */
};

struct devnode_gathering {
	const struct devnode_request *request;
	int dev_fd;
	struct devnode_majors majors;
	struct devnode *nodes; /* room for all that may come */
	size_t n, room;
};

enum devnode_state { DEVNODE_RIGHT, DEVNODE_MISSING, DEVNODE_WRONG };

/**
 * devnode_check() - is the host's node there, and the right one?
 * @node: its mode is set where it is
 * @why:  "" for yes, else what is wrong with it
 */
enum devnode_state devnode_check(int dev_fd, struct devnode *node, char *why, size_t size);

/** devnode_add_nvcaps() - of chosen MIG devices, and to divide and watch GPUs; as devnode_list() */
int devnode_add_nvcaps(struct devnode_gathering *g, struct error *err);

/** devnode_add_imex() - IMEX channels; as devnode_list() */
int devnode_add_imex(struct devnode_gathering *g, struct error *err);

#define DEVNODE_NVSWITCHES_MAX 64 /* a host of 16 GPUs has 12 */

/** devnode_add_nvswitches() - the fabric's switches, and their control node; as devnode_list() */
int devnode_add_nvswitches(struct devnode_gathering *g, struct error *err);

#endif
