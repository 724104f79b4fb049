/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_AUDIT_H
#define NVFS_FS_AUDIT_H

/*
 * What was done to which container, as a line of the log. Where that is the journal, the line has
 * fields of its own by which journalctl(1) finds it: NVFS_CONTAINER_ID, NVFS_PID, NVFS_UID and
 * NVFS_DEVICES, in the form of systemd.journal-fields(7).
 */

#include <stdint.h>

struct daemon;

/**
 * audit_tree() - a line about the container of this tree, which must be there
 *
 * A journal that does not take it at once, or is not there, gets the line without fields, by
 * standard error. Threads: the control thread's.
 */
void audit_tree(const struct daemon *daemon, uint32_t tree, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
