/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_RENEWAL_JUDGE_H
#define NVFS_FS_RENEWAL_JUDGE_H

/* The decisions of renewal.c, from facts alone. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/generation.h"

#define RENEWAL_RETRY_MS 10000 /* between two looks for a driver that fits the module */

struct renewal_facts {
	const char *version;  /* of the driver that is given out; NULL: there is none, or it is damaged */
	bool module_changed;  /* one is loaded, and it is not the one that this driver was found with */
	int result;           /* of the last look: 0 or a negative errno, with */
	const char *error;    /* what it said; "" where it said nothing */
	enum generation_change change;
	bool is_quiet;        /* the driver's directories have settled */
	bool is_changed;      /* something in them has changed since the last look */
	bool is_noted;        /* what is wrong is known already */
	int64_t since_look_ms;
};

/** renewal_wants_look() - is it time to look at the driver? */
bool renewal_wants_look(const struct renewal_facts *facts);

/**
 * renewal_verdict() - what the last look means to a person
 * @left_out: paths that did not answer
 * @ret:      "" when all is well; cut to @size
 */
void renewal_verdict(const struct renewal_facts *facts, char *const *left_out, size_t n_left_out,
		     char *ret, size_t size);

#endif
