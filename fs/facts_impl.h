/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_FACTS_IMPL_H
#define NVFS_FS_FACTS_IMPL_H

/* What facts.c and facts_answer.c share; nobody else includes this. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/facts.h"
#include "fs/generation.h"
#include "fs/loop.h"
#include "fs/nvmlbox.h"

/*
 *   box         the process: of box_generation
 *   is_over     its answer has been applied; it has only to end
 *   skipped     GPUs, by NVML's index, that the next one leaves out
 */
struct facts {
	struct loop_source heard, ended, uevents; /* in on_* these lead back here */
	struct daemon *daemon;
	bool is_ready;
	struct nvmlbox *box; /* NULL: none */
	uint32_t box_generation;
	bool is_over;
	uint32_t skipped[NVMLBOX_SKIPPED_MAX];
	size_t n_skipped;
	struct finding_list skips; /* why they are */
	int64_t begun_ms;          /* the last one, CLOCK_MONOTONIC */
	int64_t retry_ms, retry_after_ms; /* when, likewise; 0: not */
	uint64_t gpus_seen;        /* of mig_print, at the last look */
};

/** facts_present() - the daemon's generation; borrowed, NULL while there is no driver */
struct generation *facts_present(const struct facts *facts);

/** facts_set_findings() - what was found at the last asking; @now is taken over. What is new is logged, and an event */
void facts_set_findings(struct facts *facts, struct generation *g, struct finding_list *now);

/** facts_save() - the present generation into the store; a failure is logged */
void facts_save(struct facts *facts);

/** facts_retry_later() - ask again after a while that doubles with each failure */
void facts_retry_later(struct facts *facts);

/**
 * facts_finish() - the box has told all that it will: apply it, and say so
 * @findings: taken over
 * @again:    another process follows, without a GPU that this one did not come back from
 */
void facts_finish(struct facts *facts, struct finding_list *findings, bool again);

#endif
