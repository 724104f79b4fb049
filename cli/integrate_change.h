/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_CHANGE_H
#define NVFS_CLI_INTEGRATE_CHANGE_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/integrate_client.h"

struct error;

/*
 * A client made to use nvfs, and back. What was written, and what stood there before, is kept in RECORDS/CLIENT.json
 * below the root: taking back needs nothing else. It is written before the first change, so that a run which was cut
 * off can be taken back too.
 */
#define INTEGRATE_RECORDS "/var/lib/nvfs/integrate"

/* Where, and how. */
struct integrate_run {
	int root; /* descriptor of the root directory */
	const struct integrate_paths *paths;
	bool dry_run;
	json_t *report;	   /* array that gets {"path", "what"} of each file: created, changed, restored, removed, ... */
	char *by_hand;	   /* on a refusal: what to add by hand, and where; NULL. The caller frees it */
};

/**
 * integrate_apply() - make the client use nvfs
 *
 * All files are read and decided on before the first is written. Where a later one fails the earlier ones are taken
 * back. A second time nothing is written. What an earlier run has left half done, or would be other now, is taken back
 * first: where the new one fails then, neither is there, @err says so, and by_hand stays NULL.
 *
 * Return: 0, -EEXIST (somebody else's setting is in the way), -EINVAL (a file is not understood, or not UTF-8),
 * -ENOENT (the program or the client is not installed), -EPERM, -ENOMEM, or the errno of a system call.
 */
int integrate_apply(struct integrate_run *run, const struct integrate_client *client,
		    struct error *err);

/**
 * integrate_revert() - take it back
 *
 * A file that nobody else has changed since is exactly what it was. From one that was changed our lines are taken, and
 * where that cannot be done nothing is changed at all. Nothing was done: nothing is to be taken back.
 *
 * Return: 0, -EEXIST (changed by somebody else), -EINVAL, -ENOMEM, or the errno of a system call.
 */
int integrate_revert(struct integrate_run *run, const struct integrate_client *client,
		     struct error *err);

#endif
