/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_COUNTERS_H
#define NVFS_FS_COUNTERS_H

/*
 * Requests by operation and by how long their answer took, and errors. The
 * numbers lie in the state, so that the daemon that replaces another one goes
 * on counting.
 *
 * Each worker thread has a part of its own, which nobody else writes: counting
 * is two looks at the clock and a handful of plain stores. Who reads gets each
 * number whole, but not all of one moment.
 */

#include <jansson.h>
#include <stdint.h>

#define COUNTERS_WORKERS 16
/* Bucket i counts what took less than 2^i us and did not fit i - 1; the last one all the rest. */
#define COUNTERS_BUCKETS 25
#define COUNTERS_ERRNOS 24 /* those that answers are made of; the first one counts all others */

enum counters_op {
	COUNTERS_OTHER,
	COUNTERS_LOOKUP,
	COUNTERS_FORGET,
	COUNTERS_GETATTR,
	COUNTERS_READLINK,
	COUNTERS_OPEN,
	COUNTERS_READ,
	COUNTERS_STATFS,
	COUNTERS_RELEASE,
	COUNTERS_GETXATTR,
	COUNTERS_OPENDIR,
	COUNTERS_READDIR,
	COUNTERS_ACCESS,
	COUNTERS_INTERRUPT,
	COUNTERS_OPS
};

struct counters_worker {
	_Alignas(64) uint64_t begun_ns; /* the request in work, CLOCK_MONOTONIC; 0: none */
	uint64_t requests[COUNTERS_OPS][COUNTERS_BUCKETS];
	uint64_t total_ns[COUNTERS_OPS];
	uint64_t errors[COUNTERS_OPS][COUNTERS_ERRNOS];
	uint64_t passthrough_opens;
};

struct counters {
	int64_t since_s;    /* CLOCK_REALTIME */
	uint64_t takeovers; /* daemons that went on for another one since */
	uint64_t lost;      /* what was open when a connection ended: nobody closes it any more */
	struct counters_worker workers[COUNTERS_WORKERS];
};

/** counters_init() - begin; @counters is zeroed */
void counters_init(struct counters *counters);

/** counters_takeover() - another process goes on counting, before its workers start */
void counters_takeover(struct counters *counters);

/** counters_disconnect() - another connection is served from now on, before its workers start */
void counters_disconnect(struct counters *counters);

/** counters_thread() - what this thread serves is counted as worker @number's, whose only thread it is */
void counters_thread(struct counters *counters, unsigned int number);

/**
 * counters_begin() - a request has come; not for a thread without counters_thread()
 * @opcode: of linux/fuse.h
 */
void counters_begin(uint32_t opcode);

/** counters_end() - it has been answered */
void counters_end(void);

/**
 * counters_error() - the answer to the request in work is this errno (positive)
 *
 * Nothing for a thread that serves nothing, as for counters_passthrough().
 */
void counters_error(int error);

/** counters_passthrough() - a file was opened that the kernel reads without us */
void counters_passthrough(void);

/** counters_op() - what an opcode of linux/fuse.h is counted as */
enum counters_op counters_op(uint32_t opcode);

/** counters_bucket() - where a duration is counted */
unsigned int counters_bucket(uint64_t ns);

/** counters_sum() - all workers' numbers; begun_ns is that of the oldest request in work, 0 for none */
void counters_sum(const struct counters *counters, struct counters_worker *ret);

/** counters_longest_ms() - age of the oldest request in work, 0 for none */
uint64_t counters_longest_ms(const struct counters *counters);

/**
 * counters_json() - {"since", "takeovers", "requests", "errors", "errors_by_operation", "open_files",
 * "passthrough_opens", "latency"}
 *
 * requests has every operation, errors each errno that was answered (by name; "other"),
 * errors_by_operation the same for each operation that had some, open_files what was opened,
 * directories too, and not closed again,
 * latency the operations that were asked: {"bounds_us": [1, 2, 4, ...],
 * "operations": {"open": {"sum_us": N, "buckets": [...]}}} with one bucket more
 * than there are bounds.
 *
 * Return: a new object, or NULL (out of memory).
 */
json_t *counters_json(const struct counters *counters);

#endif
