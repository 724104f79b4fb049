/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_NOTIFY_H
#define NVFS_FS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/**
 * notify_systemd() - tell the service manager a state, "READY=1"
 *
 * One datagram to the socket that $NOTIFY_SOCKET names; nothing where it is
 * not set. Source: sd_notify(3), which describes the protocol as stable and
 * open to programs without libsystemd.
 */
void notify_systemd(const char *state);

/** notify_systemd_fd() - the same, with a descriptor for the service manager's store */
void notify_systemd_fd(const char *state, int fd);

/**
 * notify_watchdog_ms() - how often the service manager wants to hear WATCHDOG=1 from this process
 *
 * Return: milliseconds; 0: never. Source: sd_watchdog_enabled(3), $WATCHDOG_USEC and $WATCHDOG_PID.
 */
int64_t notify_watchdog_ms(void);

/** notify_is_there() - is there a service manager that listens? */
bool notify_is_there(void);

#endif
