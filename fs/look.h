/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_LOOK_H
#define NVFS_FS_LOOK_H

/*
 * A look at the driver: discovery in a process of its own. A host's filesystem
 * may not answer, and who asks it then may wait for ever, where not even
 * SIGKILL ends it; so the daemon never asks. It starts this program anew as
 * `nvfs look`, hears what was found and gets the open files.
 *
 *   daemon --request (memfd)--> looker --files (SCM_RIGHTS), result (memfd)--> daemon
 *                               |
 *                               +--> the path that it is at, in shared memory
 *
 * A looker that stays at one path too long is given up. The next one is told to
 * leave that path out.
 *
 * Files that were found before, and that nobody has open any more, are opened
 * again in the same way (look_request.reopen): no discovery then.
 *
 * Threads: the control thread's.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "nvml/finding.h"

struct error;
struct generation;
struct look;
struct store;

/* A file as it was found: only the same one is opened again. */
struct look_file {
	const char *path; /* below the driver root */
	uint64_t dev, ino, size;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
};

struct look_request {
	const char *driver_root, *proc_root, *sys_root;
	const char *rules_dir;          /* the admin's rules, watched too */
	uint32_t number;                /* of the generation to be made */
	const struct generation *known; /* whose files the daemon has already; NULL for none */
	const struct store *store;      /* where they are recorded */
	char *const *left_out;          /* paths that did not answer */
	size_t n_left_out;
	int inotify_fd; /* gets a watch on each of the driver's directories; -1: nobody watches */
	const struct look_file *reopen; /* open these, and look at nothing else; NULL: look */
	size_t n_reopen;
};

struct look_result {
	/* Files that are among the known ones have fd -1; generation_free() it. */
	struct generation *generation;
	struct finding_list rewritten; /* known files that are others under the same inode */
	/* Of look_request.reopen, one each: -1 for a file that is not there or is another one. */
	int *reopened; /* the caller closes them and frees it; NULL after a look */
};

#define LOOK_STALL_MS 2000 /* a path that has not answered for so long is left out */
#define LOOK_LEFT_OUT_MAX 8 /* with more it is the driver root that does not answer */

/** look_file_of() - a recorded file of a generation; the path is the generation's */
void look_file_of(const struct generation *generation, const struct store *store, size_t i,
		  struct look_file *ret);

/**
 * look_start() - start a looker
 * @request: borrowed for the call
 * @ret:     release with look_free()
 *
 * Return: 0, -ENOMEM, or the errno of memfd_create(2), socketpair(2) or posix_spawn(3).
 */
int look_start(const struct look_request *request, struct look **ret, struct error *err);

/** look_free() - done, or given up: the looker is killed, and not waited for; NULL is fine */
void look_free(struct look *look);

/** look_fd() - readable (poll(2)) when look_receive() has something */
int look_fd(const struct look *look);

/**
 * look_receive() - take what the looker has sent
 * @ret: filled when it is done, with either a generation or reopened files
 *
 * Return: 1 (done), 0 (not yet), or what discovery said: see generation_discover();
 * -EPIPE (it died), -EBADMSG or -ENOMEM.
 */
int look_receive(struct look *look, struct look_result *ret, struct error *err);

/** look_path() - where it is now, and since when: milliseconds; "" before the first path */
const char *look_path(struct look *look, int64_t *ret_since_ms);

/** look_reap() - take in lookers that were given up and have ended; returns how many are left */
size_t look_reap(void);

/** look_main() - the looker itself, as `nvfs look`; gives the exit status */
int look_main(void);

/** look_add_rewritten() - the line about a file of the host, by its path below the driver root; once */
void look_add_rewritten(struct finding_list *list, const char *path);

#endif
