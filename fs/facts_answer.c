/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer of NVML changes in the present generation, and what is said of it. */
#include "fs/facts_impl.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/changeover.h"
#include "fs/daemon.h"
#include "fs/derive.h"
#include "fs/events.h"
#include "fs/generation.h"
#include "nvml/answer.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"

#define RETRY_MS 60000 /* after a failure; each one doubles it, to */
#define RETRY_MAX_MS 3600000

struct generation *facts_present(const struct facts *facts)
{
	return facts->daemon->generation;
}

static void note(struct finding_list *list, const struct finding_list *more)
{
	for (size_t i = 0; i < more->n; i++)
		(void)finding_add(list, more->items[i].problem, "%s", more->items[i].text);
}

/* What is new is said once. */
static void say(struct daemon *daemon, const struct finding_list *before,
		const struct finding_list *now)
{
	for (size_t i = 0; i < now->n; i++) {
		if (finding_has(before, now->items[i].text))
			continue;
		log_warning("%s, ignoring", now->items[i].text);
		events_finding(daemon, now->items[i].text);
	}
}

void facts_set_findings(struct facts *facts, struct generation *g, struct finding_list *now)
{
	say(facts->daemon, &g->nvml.findings, now);
	finding_list_done(&g->nvml.findings);
	g->nvml.findings = *now;
}

void facts_save(struct facts *facts)
{
	struct error err = { 0 };

	if (generation_save(facts->daemon->generation, facts->daemon->store, &err) < 0)
		log_warning("%s, ignoring", err.text);
}

static bool has_failed(const struct answer *answer)
{
	for (size_t i = 0; i < answer->n_failures; i++)
		if (answer->failures[i].gpu == ANSWER_NO_GPU)
			return true;
	return !answer->whole;
}

/* The lists of /proc first, then what NVML says over them. */
static void apply(struct facts *facts, const struct answer *answer, struct finding_list *findings)
{
	struct daemon *daemon = facts->daemon;
	struct generation *g = daemon->generation;
	bool had_migs = g->gpus->n_migs > 0;

	fact_fill(g->driver, g->gpus);
	if (mig_list_read(daemon->config.proc_root, g->gpus, NULL) < 0 ||
	    answer_apply(answer, g->driver, g->gpus, findings) < 0)
		log_warning("out of memory: not all that NVML tells is known, ignoring");
	/* What is remembered names MIG devices by their places in the list; brands and CUDA decide about the
	 * image's libraries. */
	if (had_migs || g->gpus->n_migs)
		changeover_told(daemon);
	else
		deriver_forget(daemon->deriver);
}

void facts_retry_later(struct facts *facts)
{
	int64_t after = facts->retry_after_ms ? facts->retry_after_ms * 2 : RETRY_MS;

	facts->retry_after_ms = after < RETRY_MAX_MS ? after : RETRY_MAX_MS;
	facts->retry_ms = clock_ms() + facts->retry_after_ms;
}

/* @again: another process follows, without a GPU that this one did not come back from */
void facts_finish(struct facts *facts, struct finding_list *findings, bool again)
{
	const struct answer *answer = nvmlbox_answer(facts->box);
	struct generation *g = facts_present(facts);

	facts->is_over = true;
	if (!g || g->number != facts->box_generation) {
		finding_list_done(findings);
		return;
	}
	apply(facts, answer, findings);
	note(findings, &facts->skips);
	facts_set_findings(facts, g, findings);
	g->nvml.took_ms = (unsigned int)nvmlbox_since_ms(facts->box);
	if (!again) {
		g->nvml.state = has_failed(answer) ? GENERATION_NVML_FAILED : GENERATION_NVML_TOLD;
		g->gpus->provisional = false;
		if (g->nvml.state == GENERATION_NVML_FAILED)
			facts_retry_later(facts);
		else
			facts->retry_ms = facts->retry_after_ms = 0;
		log_info("NVML %s %zu GPU%s, %zu MIG device%s, after %u ms",
			 g->nvml.state == GENERATION_NVML_FAILED ? "failed, it told of" : "told of",
			 answer->n_gpus, answer->n_gpus == 1 ? "" : "s", answer->n_migs,
			 answer->n_migs == 1 ? "" : "s", g->nvml.took_ms);
	}
	facts_save(facts);
}
