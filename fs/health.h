/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_HEALTH_H
#define NVFS_FS_HEALTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;

/*
 * Is all well? From what the daemon knows: no file is looked at and nothing is
 * asked of the mount, so that the answer comes at once whatever hangs.
 */

#define HEALTH_SLOW_MS 5000 /* a request that has been in work for so long is stuck */

/* What the answer depends on. Strings are borrowed; NULL where there is nothing to say. */
struct health_facts {
	bool has_driver;
	const char *note;      /* why there is no driver, or what is wrong with it; "" is nothing */
	const char *missing;   /* a library without which little runs */
	const char *rewritten; /* a driver file that was changed in place, in words */
	unsigned int by_reads; /* driver files that passthrough is in use for, but not these */
	unsigned int given_up; /* containers that could not be injected anew */
	bool odd_fallback;     /* no passthrough, and neither the kernel's age nor the operator says why */
	bool has_keeper;
	bool is_mounted;
	uint64_t longest_ms; /* the oldest request in work */
};

/** health_look() - the facts now; they point into the daemon's state */
void health_look(const struct daemon *daemon, struct health_facts *ret);

/**
 * health_reasons() - what is not well, one sentence each
 *
 * Return: a new array, empty when all is well; NULL when out of memory.
 */
json_t *health_reasons(const struct health_facts *facts);

#endif
