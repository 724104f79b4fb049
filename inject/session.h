/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_SESSION_H
#define NVFS_INJECT_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "inject/client.h"
#include "inject/enter.h"
#include "inject/request.h"
#include "inject/targets.h"

struct error;

/* One run of the program: what it holds is given back by the end of the process. */
struct session {
	struct request request;
	struct targets targets;
	struct client client;
	struct enter enter;      /* who works inside the container */
	struct timespec started; /* CLOCK_MONOTONIC */
	bool hook;
	int image_cache;     /* sealed memfd; -1: none, or not to be had */
	const char *result;  /* "done", "plan", "nothing", "removed" */
	json_t *report;      /* what --json adds to the result: {"id", "steps", ...} */
};

#define SESSION_EMPTY                                                                            \
	{ .targets = TARGETS_EMPTY, .client = { .sock = -1 }, .enter = ENTER_EMPTY, .image_cache = -1 }

/** session_left_ms() - what is left of the time limit; at least 1 */
unsigned int session_left_ms(const struct session *session);

/**
 * session_pin() - pin the target, enter it once to open its root and read its ld.so.cache
 *
 * A cache that is too large, no file or slow is a warning: the driver's own
 * entries are used then.
 *
 * Return: 0, -ETIMEDOUT (the root's filesystem holds whoever asks it) or
 * another negative errno.
 */
int session_pin(struct session *session, struct error *err);

/** session_inject() - REQUEST_INJECT from the first to the last step; whole or nothing */
int session_inject(struct session *session, struct error *err);

/** session_remove() - REQUEST_REMOVE */
int session_remove(struct session *session, struct error *err);

#endif
