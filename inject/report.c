/* SPDX-License-Identifier: Apache-2.0 */
/* What an injection left alone, in words. The same is in the record, for programs. */
#include "inject/report.h"

#include <string.h>

#include "common/log.h"
#include "inject/apply.h"

static bool is(const struct outcome *outcome, const char *result)
{
	return outcome->result && strcmp(outcome->result, result) == 0;
}

static const char *tree_target(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].kind == STEP_TREE)
			return plan->steps[i].target;
	}
	return "";
}

/* Programs find the driver's libraries by the cache; where it stays as it was there is one other way. */
static void report_cache(const struct apply *apply, const struct outcome *outcome, const char *why)
{
	if (is(outcome, "omitted"))
		log_warning("the container's ld.so.cache is not changed (%s): its programs need "
			    "LD_LIBRARY_PATH=%s/lib64",
			    *why ? why : outcome->note, tree_target(apply->plan));
	else if (*why)
		log_warning("ld.so.cache of the container: %s, using the driver's entries only",
			    why);
}

static void report_file(const struct step *step, const struct outcome *outcome)
{
	if (outcome->elsewhere && !is(outcome, "kept"))
		log_info("'%s' is the container's own and stays, '%s' does its work", step->target,
			 step->alternative);
	else if (is(outcome, "kept") && *outcome->note)
		log_warning("'%s' and '%s' are the container's own and stay: after an ldconfig in "
			    "the container "
			    "its programs do not find the driver; rename one of them",
			    step->target, step->alternative);
}

void report_left(const struct apply *apply, const char *cache_why)
{
	for (size_t i = 0; i < apply->plan->n; i++) {
		const struct step *step = &apply->plan->steps[i];
		const struct outcome *outcome = &apply->outcomes[i];

		if (step->kind == STEP_CACHE)
			report_cache(apply, outcome, cache_why);
		else if (step->kind == STEP_FILE && step->alternative)
			report_file(step, outcome);
		else if (step->kind != STEP_FILE && is(outcome, "kept"))
			log_info("'%s' is the container's own and stays", step->target);
	}
}
