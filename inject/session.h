/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_SESSION_H
#define NVFS_INJECT_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "common/error.h"
#include "inject/classic.h"
#include "inject/client.h"
#include "inject/enter.h"
#include "inject/request.h"
#include "inject/targets.h"

/* One run of the program: what it holds is given back by the end of the process. */
struct session {
	struct request request;
	struct targets targets;
	struct client client;
	struct enter enter;      /* who works inside the container */
	struct timespec started; /* CLOCK_MONOTONIC */
	bool hook;
	bool is_foreign;     /* a hook only: NVIDIA's tool has been in the container, by its tmpfs on /proc/driver/nvidia */
	struct classic classic; /* --classic-paths: where libraries get links */
	bool shares_json;    /* the child is to see the plan: shared_json(), once the process is pinned */
	int image_cache;     /* sealed memfd; -1: none, or not to be had */
	int image_compat;    /* sealed memfd: see imagecompat.h; -1: none */
	char cache_why[ERROR_TEXT_MAX]; /* why it is not to be had; "": it is, or there is none */
	const char *result;  /* "done", "plan", "nothing", "removed" */
	json_t *report;      /* what --json adds to the result: {"id", "steps", ...} */
};

#define SESSION_EMPTY                                                                     \
	{                                                                                 \
		.targets = TARGETS_EMPTY, .client = { .sock = -1 }, .enter = ENTER_EMPTY, \
		.image_cache = -1, .image_compat = -1                                     \
	}

/** session_left_ms() - what is left of the time limit; at least 1 */
unsigned int session_left_ms(const struct session *session);

/**
 * session_lost_daemon() - did the daemon go away in the middle?
 * @r, @err: of the call that failed
 *
 * A daemon that dies is replaced within milliseconds, and its successor knows nothing of what was under way.
 */
bool session_lost_daemon(const struct session *session, int r, const struct error *err);

/** session_has_time() - for another try */
bool session_has_time(const struct session *session);

/** session_pause() - disconnect, and wait a moment before another try */
void session_pause(struct session *session);

/**
 * session_pin() - pin the target, enter it once to open its root and read its ld.so.cache, and connect meanwhile
 *
 * A cache that is too large, no file or slow is no error; @session says why
 * it was not read. Nor is it one if what the image has for CUDA forward
 * compatibility cannot be read: then the driver's libraries serve, and a warning tells.
 *
 * Return: 0, -ETIMEDOUT (the root's filesystem holds whoever asks it) or
 * another negative errno.
 */
int session_pin(struct session *session, struct error *err);

/** session_open_cgroup() - after session_pin(): pin the device cgroups too, once */
int session_open_cgroup(struct session *session, struct error *err);

/** session_inject() - REQUEST_INJECT from the first to the last step; whole or nothing */
int session_inject(struct session *session, struct error *err);

/**
 * session_inject_or_skip() - session_inject(), or @session->result "nothing" with the reason in @session->report
 *
 * Nothing is done, and that is no failure, where nobody listens at the socket and --on-daemon-down, or the
 * configuration for it, says skip.
 */
int session_inject_or_skip(struct session *session, struct error *err);

/** session_remove() - REQUEST_REMOVE */
int session_remove(struct session *session, struct error *err);

/**
 * session_heal() - REQUEST_HEAL: the devices that the daemon has a record of, permitted once more
 *
 * Enters nothing, and changes device cgroups alone. Whole or nothing.
 */
int session_heal(struct session *session, struct error *err);

#endif
