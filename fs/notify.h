/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_NOTIFY_H
#define NVFS_FS_NOTIFY_H

/**
 * notify_systemd() - tell the service manager a state, "READY=1"
 *
 * One datagram to the socket that $NOTIFY_SOCKET names; nothing where it is
 * not set. Source: sd_notify(3), which describes the protocol as stable and
 * open to programs without libsystemd.
 */
void notify_systemd(const char *state);

#endif
