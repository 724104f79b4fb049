/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_SERVE_H
#define NVFS_FS_SERVE_H

struct config;
struct error;
struct keeper_fds;

/**
 * serve() - be the daemon until told to stop
 * @config: borrowed for the call
 * @fds:    from the keeper; borrowed
 * @err:    message chain
 *
 * Tells the keeper when the socket answers, and at the end that all is done.
 * SIGTERM ends it when no container has a tree.
 *
 * Privilege: CAP_SYS_ADMIN. Return: 0 or a negative errno.
 */
int serve(const struct config *config, const struct keeper_fds *fds, struct error *err);

#endif
