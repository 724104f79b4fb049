/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_INJECTOR_H
#define NVFS_FS_INJECTOR_H

/*
 * The nvinject program as a child, for one container that is known by its tree. It asks the daemon as
 * any other nvinject does, so nothing here waits for it: its pidfd is an event source.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct daemon;
struct error;
struct injector;

#define INJECTOR_AT_ONCE 4

/* How it ended. @err: NULL on success; else class, message and remedy as nvinject said them. @report: what
 * it printed with --json, may be NULL; borrowed. */
typedef void injector_done_fn(struct daemon *daemon, uint32_t tree, void *data,
			      const json_t *report, const struct error *err);

/** injector_new() - none is running; release with injector_free(), which ends those that run */
int injector_new(struct daemon *daemon, struct injector **ret, struct error *err);
void injector_free(struct injector *injector);

struct injector_job {
	const char *action; /* "--heal" or "--remove" */
	uint32_t tree;
	pid_t pid;   /* of a process of the container; 0: none is left */
	bool silent; /* what it says on stderr is in @err as well */
	injector_done_fn *done; /* called once, later; not where starting it fails */
	void *data;
};

/**
 * injector_run() - start it
 *
 * Return: 0, -EAGAIN (INJECTOR_AT_ONCE are running; ERROR_AGAIN), or why it could not be started.
 */
int injector_run(struct injector *injector, const struct injector_job *job, struct error *err);

/** injector_tick() - every few seconds: end what hangs */
void injector_tick(struct injector *injector);

#endif
