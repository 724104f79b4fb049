/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_REINJECT_H
#define NVFS_FS_REINJECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/nodes.h"

/*
 * Injecting anew into containers that have been injected: the same request, by
 * the nvinject program, started here. It mounts over what is dead, makes what
 * is missing, replaces device nodes whose majors have moved, and leaves what is
 * right. Nodes for which the host has none yet are waited for.
 *
 * Which trees wait for it is in the store (STORE_TREE_REINJECT), so a daemon
 * that goes on with the work of another one goes on with this too. A few run at
 * a time; one that fails for a reason that may pass is tried again.
 */

struct daemon;
struct daemon_viewer;
struct error;
struct reinjector;

/** reinjector_new() - none is running; release with reinjector_free(), which ends those that run */
int reinjector_new(struct daemon *daemon, struct reinjector **ret, struct error *err);
void reinjector_free(struct reinjector *reinjector);

/**
 * reinject_tree() - run nvinject anew for the container of a tree, soon
 * @tree: of a container; asking again while it waits or runs is fine
 *
 * Returns at once; what comes of it is in the log.
 */
void reinject_tree(struct daemon *daemon, uint32_t tree);

/** reinject_is_due() - is nvinject at work on the tree's container, or about to be started? */
bool reinject_is_due(const struct daemon *daemon, uint32_t tree);

/** reinject_nodes() - the device nodes of a tree's container, against the driver now */
struct nodes reinject_nodes(const struct daemon *daemon, uint32_t tree);

/** reinject_process() - a living process of a tree's container, its init if that lives; 0: none */
pid_t reinject_process(const struct daemon *daemon, uint32_t tree);

/**
 * reinject_fits() - is this a container that the caller may have meant?
 * @caller: pid of a client; one that is not a child of ours may mean any
 * @mnt_ns: of the process that it names
 *
 * The pid that a child was given may be another process's by the time that it is used.
 */
bool reinject_fits(const struct daemon *daemon, pid_t caller, uint64_t mnt_ns);

/** reinject_is_child() - is this the nvinject that injects a container anew, for whoever has its tree? */
bool reinject_is_child(const struct daemon *daemon, pid_t pid);

/**
 * reinject_status() - "waiting": how many containers are to be injected anew; "failed": names of those
 * that could not be
 * @viewer: who asks; names of others' containers are not told
 *
 * Return: a new reference, or NULL (out of memory).
 */
json_t *reinject_status(const struct daemon *daemon, const struct daemon_viewer *viewer);

/** reinject_tick() - every few seconds: start what waits, end what hangs */
void reinject_tick(struct reinjector *reinjector);

#endif
