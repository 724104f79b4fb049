/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_AUDIT_H
#define NVFS_FS_AUDIT_H

/*
 * What was done to which container, or refused to whom, as a line of the log. Where that is the journal, the
 * line has fields of its own by which journalctl(1) finds it: NVFS_CONTAINER_ID, NVFS_PID, NVFS_UID,
 * NVFS_DEVICES, NVFS_TRACE and a MESSAGE_ID, in the form of systemd.journal-fields(7). The catalog,
 * contrib/nvfs.catalog, says by that number what it means.
 */

#include <stdint.h>
#include <sys/types.h>

struct daemon;

enum audit_what {
	AUDIT_INJECTED,
	AUDIT_HEALED,
	AUDIT_REMOVED,
	AUDIT_REFUSED,
};

/* Who asked for what, and did not get it. */
struct audit_asker {
	const char *id, *devices; /* as asked */
	pid_t pid;                /* the asker's own */
	uid_t uid;
	const char *trace;
};

/**
 * audit_tree() - a line about the container of this tree, which must be there
 * @trace: of the call; NULL for none
 *
 * A journal that does not take it at once, or is not there, gets the line without fields, by
 * standard error. Threads: the control thread's.
 */
void audit_tree(const struct daemon *daemon, uint32_t tree, enum audit_what what, const char *trace,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** audit_refused() - a line about what was refused, as audit_tree() */
void audit_refused(const struct audit_asker *asker, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
