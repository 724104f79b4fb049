/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_PLANNER_H
#define NVFS_FS_PLANNER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/varlink.h"

struct devnode;
struct donors;
struct error;
struct fixed_links;
struct ipc_list;

/*
 * The plan that the injector is to carry out, and the descriptors that go with
 * it: a detached mount for each thing to be mounted, with its flags set, so
 * that the injector looks up nothing of the host.
 */

struct planned {
	json_t *steps; /* array; owned */
	int fds[VARLINK_FDS_MAX];
	size_t n_fds;
};

struct planner_input {
	int root_fd; /* O_PATH: root of our superblock; -1: a dry run, no descriptors */
	int dev_fd;  /* O_PATH: where the device nodes are */
	const char *mountpoint, *dev_root; /* the same two, as paths in our mount namespace */
	bool locked; /* for another user namespace: mounts come from the lock donor */
	struct donors *donors; /* NULL where not locked, and no node is made */
	bool may_make; /* the container may have nodes of its own, of those that the host has not, or not so
			* that its root could open them */
	uid_t root_uid; /* of the container's root, as we see it; with may_make */
	gid_t root_gid;
	const char *name; /* of the tree */
	const char *target;
	const struct devnode *nodes;
	size_t n_nodes;
	bool permit_only; /* the nodes: they are not bound */
	bool replace_stale; /* links are made in the place of links and empty files too */
	int cache_fd; /* sealed memfd with the merged ld.so.cache; duplicated */
	const struct fixed_links *links; /* at fixed paths, into the tree */
	const struct ipc_list *ipcs;     /* sockets of the host */
	bool compat32; /* the tree has lib32 */
	bool has_proc; /* the tree has proc/driver/nvidia/version */
};

/**
 * planner_warm() - have the kernel learn the names in a new tree, which planner_build() clones
 * @root_fd: as in struct planner_input
 *
 * For who has to wait for something else in the meantime. The caller holds no lock of the store.
 */
void planner_warm(int root_fd, const char *name);

/**
 * planner_build() - steps and descriptors, in the order in which they are to be done
 * @ret: release with planned_done(), also after a failure
 * @err: ERROR_MOUNT or ERROR_DEVICE
 *
 * A node that has no permission for others is of no use to who is root in another user namespace alone: with
 * may_make the container gets one with the same permission for its own root, see donor.h.
 *
 * The caller holds no lock of the store: cloning a mount asks the filesystem.
 * Sources: open_tree(2), mount_setattr(2).
 *
 * Return: 0 or a negative errno.
 */
int planner_build(const struct planner_input *input, struct planned *ret, struct error *err);
void planned_done(struct planned *plan);

#endif
