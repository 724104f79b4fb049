/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_SERVE_H
#define NVFS_FS_SERVE_H

struct config;
struct error;

/**
 * serve() - be the daemon, in the foreground, until told to stop
 * @config: borrowed for the call
 * @err:    message chain
 *
 * Says "serving MOUNTPOINT" on stderr and READY=1 to systemd when the socket
 * answers. SIGTERM and SIGINT end it when no container has a tree.
 *
 * Privilege: CAP_SYS_ADMIN. Return: 0 or a negative errno.
 */
int serve(const struct config *config, struct error *err);

#endif
