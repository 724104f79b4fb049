/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_LOOK_WIRE_H
#define NVFS_FS_LOOK_WIRE_H

/*
 * Between daemon and looker, which are one program: look.c and look_main.c.
 * Both JSON texts are memfds.
 *
 *   request: driver_root, proc_root, sys_root, rules_dir, number, left_out: [path], known: [path, dev,
 *            ino, size, mtime_sec, mtime_nsec]; or driver_root, left_out and
 *            reopen, which is a list like known
 *   result:  generation (see generation_describe(); a file that is a known one has
 *            "known": true) and rewritten: [path]; or reopened, indexes of
 *            reopen; or code, class, text
 */

#include <limits.h>
#include <stdatomic.h>

/* Descriptors that a looker starts with. */
enum look_fd {
	LOOK_SOCKET = 3,
	LOOK_REQUEST,
	LOOK_PROGRESS,
	LOOK_INOTIFY,
	LOOK_FD_END,
};

/* Shared: where the looker is. */
struct look_progress {
	atomic_uint paths; /* how many it has come to */
	char path[PATH_MAX];
};

/* Messages of the looker: one byte, with descriptors. */
#define LOOK_FILES 'F'  /* of the files that are not known, or are open again, in order */
#define LOOK_RESULT 'R' /* the last one: the result */
#define LOOK_FDS_MAX 200

#endif
