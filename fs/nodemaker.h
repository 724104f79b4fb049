/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_NODEMAKER_H
#define NVFS_FS_NODEMAKER_H

struct daemon;

/*
 * hostnodes_make() in a process of its own, as `nvfs nodes`: what the daemon must not do by itself once it has
 * limited itself. It has CAP_MKNOD and CAP_CHOWN, which the daemon hands on.
 *
 * Threads: the control thread's.
 */

/** nodemaker_start() - the driver has changed; does nothing where load_kmods of nvfs.conf(5) says no */
void nodemaker_start(struct daemon *daemon);

/** nodemaker_tick() - every two seconds: take its end in */
void nodemaker_tick(struct daemon *daemon);

/** nodemaker_main() - `nvfs nodes DEV_ROOT PROC_ROOT`; gives the exit status */
int nodemaker_main(const char *dev_root, const char *proc_root);

#endif
