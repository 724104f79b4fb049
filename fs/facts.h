/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_FACTS_H
#define NVFS_FS_FACTS_H

/*
 * When NVML is asked, and what its answers are good for. Once for each generation, when the daemon is
 * ready; again when MIG devices have come or gone, and by nvfs rescan. A container that starts never
 * waits for it: what it asks for by a name that only NVML tells is "try again" until NVML has told, and
 * what NVML never tells is unknown. All else is known from /proc and tables (nvml/fact.h).
 *
 * A GPU in whose turn NVML hangs or crashes is left out the next time, so that the others are told of.
 *
 * Threads: the control thread's.
 */

#include <jansson.h>
#include <stdbool.h>

struct daemon;
struct error;
struct facts;

/** facts_new() - nothing is asked yet; release with facts_free() */
int facts_new(struct daemon *daemon, struct facts **ret, struct error *err);
void facts_free(struct facts *facts);

/** facts_ready() - the daemon serves: from now on NVML may be asked */
void facts_ready(struct facts *facts);

/** facts_of_generation() - the daemon's generation is another one, or was loaded: what is known of it is what
 * it was made or saved with */
void facts_of_generation(struct facts *facts);

/** facts_again() - ask again, now; meanwhile what was told counts */
void facts_again(struct facts *facts);

/** facts_tick() - every two seconds: have GPUs or MIG devices come or gone, does NVML hang? */
void facts_tick(struct facts *facts);

/**
 * facts_status() - of the present generation
 * @with_findings: they name GPUs, of which a container is to know its own alone
 *
 * Return: state: "pending", "told", "failed", "off"; took_ms; findings: [text]; a new reference.
 */
json_t *facts_status(const struct daemon *daemon, bool with_findings);

#endif
