/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permission in a container's device cgroups (cgroup_target.c finds them). An allow plans both
 * hierarchies first, which changes nothing and refuses what must be refused, and then applies; on a
 * failure the steps done are undone in reverse.
 */
#include "inject/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "inject/cgroup_impl.h"
#include "inject/devprog.h"

#define TRIES 32 /* of a plan that programs change under: others inject here too */

struct cgroup_step *cgroup_step_add(struct cgroup_undo *plan, unsigned int version,
				    const struct cgroup_level *level,
				    const struct cgroup_rule *added, size_t n_added)
{
	struct cgroup_step *steps = realloc(plan->steps, (plan->n + 1) * sizeof(*steps)), *step;

	if (!steps)
		return NULL;
	plan->steps = steps;
	step = &steps[plan->n];
	*step = (struct cgroup_step){ .old_fd = -1, .new_fd = -1, .pending = n_added > 0 };
	step->dir_fd = fcntl(level->fd, F_DUPFD_CLOEXEC, 0);
	step->path = strdup(level->path);
	step->added = calloc(n_added ? n_added : 1, sizeof(*added));
	plan->n++; /* from here on cgroup_undo_free() releases it */
	if (step->dir_fd < 0 || !step->path || !step->added)
		return NULL;
	if (n_added)
		memcpy(step->added, added, n_added * sizeof(*added));
	step->change = (struct cgroup_change){ .version = version,
					       .path = step->path,
					       .result = "unchanged",
					       .added = step->added,
					       .n_added = n_added };
	return step;
}

static int plan_make(const struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		     struct cgroup_undo *plan, struct error *err)
{
	int r = cgroup1_plan(target, &target->hierarchy[0], rules, n, plan, err);

	return r ? r : cgroup2_plan(target, &target->hierarchy[1], rules, n, plan, err);
}

/* Backwards: v2 first, and in each hierarchy from the top down, as v1 needs it. */
static int plan_apply(struct cgroup_undo *plan, struct error *err)
{
	for (size_t i = plan->n; i-- > 0;) {
		struct cgroup_step *step = &plan->steps[i];
		int r;

		if (!step->pending)
			continue;
		step->pending = false;
		r = step->change.version == 1 ? cgroup1_apply(step, err) : cgroup2_apply(step, err);
		/* A v1 step may be done in part; what was done of it is in change.n_added. */
		step->done = r == 0 || step->change.version == 1;
		if (r < 0)
			return r;
		step->change.result = step->detach ? "detached" : "changed";
	}
	return 0;
}

/* What later removal needs: each device once. */
static int plan_sum(struct cgroup_undo *plan, struct error *err)
{
	auto_free struct devprog_rules *sum = calloc(1, sizeof(*sum));

	if (!sum)
		return error_set(err, -ENOMEM, "sum up cgroup rules");
	for (size_t i = 0; i < plan->n; i++) {
		const struct cgroup_change *c = &plan->steps[i].change;

		for (size_t k = 0; k < c->n_added; k++) {
			int r = devprog_rules_add(sum, &c->added[k]);

			if (r < 0)
				return error_set(err, r, "sum up cgroup rules");
		}
	}
	plan->added = calloc(sum->n ? sum->n : 1, sizeof(*plan->added));
	if (!plan->added)
		return error_set(err, -ENOMEM, "sum up cgroup rules");
	memcpy(plan->added, sum->rule, sum->n * sizeof(*plan->added));
	plan->n_added = sum->n;
	return 0;
}

static int plan_keep_asked(struct cgroup_undo *plan, const struct cgroup_rule *rules, size_t n,
			   struct error *err)
{
	plan->asked = calloc(n ? n : 1, sizeof(*plan->asked));
	if (!plan->asked)
		return error_set(err, -ENOMEM, "plan cgroup rules");
	if (n)
		memcpy(plan->asked, rules, n * sizeof(*plan->asked));
	plan->n_asked = n;
	return 0;
}

static int allow_once(const struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		      struct cgroup_undo **ret, struct error *err)
{
	struct cgroup_undo *plan = calloc(1, sizeof(*plan));
	int r;

	if (!plan)
		return error_set(err, -ENOMEM, "plan cgroup rules");
	r = plan_make(target, rules, n, plan, err);
	r = r ? r : plan_sum(plan, err);
	r = r ? r : plan_keep_asked(plan, rules, n, err);
	r = r ? r : plan_apply(plan, err);
	if (r < 0) {
		(void)cgroup_undo(plan, NULL);
		cgroup_undo_free(plan);
		return r;
	}
	*ret = plan;
	return 0;
}

static int rules_check(const struct cgroup_rule *rules, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (devprog_rule_check(&rules[i]) < 0)
			return error_set(err, -EINVAL, "device rule %u:%u, access %u",
					 rules[i].major, rules[i].minor, rules[i].access);
	}
	return 0;
}

static void error_clear(struct error *err)
{
	if (err)
		*err = (struct error){ 0 };
}

int cgroup_allow(struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		 struct cgroup_undo **ret, struct error *err)
{
	int r = rules_check(rules, n, err);

	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i)
			error_clear(err);
		r = allow_once(target, rules, n, ret, err);
	}
	return r;
}

int cgroup_revoke(struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		  struct error *err)
{
	int r = rules_check(rules, n, err);

	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i)
			error_clear(err);
		r = cgroup1_revoke(target, &target->hierarchy[0], rules, n, err);
		r = r ? r : cgroup2_revoke(target, &target->hierarchy[1], rules, n, err);
	}
	return r;
}

int cgroup_undo(struct cgroup_undo *undo, struct error *err)
{
	int first = 0;

	/* apply went through the steps backwards */
	for (size_t i = 0; i < undo->n; i++) {
		struct cgroup_step *step = &undo->steps[i];
		struct error *e = first ? NULL : err;
		int r;

		if (!step->done)
			continue;
		step->done = false;
		r = step->change.version == 1 ? cgroup1_undo(step, e) : cgroup2_undo(step, e);
		first = first ? first : r;
	}
	return first;
}

void cgroup_undo_free(struct cgroup_undo *undo)
{
	if (!undo)
		return;
	for (size_t i = 0; i < undo->n; i++) {
		struct cgroup_step *step = &undo->steps[i];

		cleanup_close(&step->dir_fd);
		cleanup_close(&step->old_fd);
		cleanup_close(&step->new_fd);
		free(step->path);
		free(step->added);
		free(step->insns);
	}
	free(undo->steps);
	free(undo->added);
	free(undo->asked);
	free(undo);
}

/* --- the record --- */

size_t cgroup_undo_count(const struct cgroup_undo *undo)
{
	return undo->n;
}

const struct cgroup_change *cgroup_undo_at(const struct cgroup_undo *undo, size_t i)
{
	return i < undo->n ? &undo->steps[i].change : NULL;
}

size_t cgroup_undo_added(const struct cgroup_undo *undo, const struct cgroup_rule **ret)
{
	*ret = undo->added;
	return undo->n_added;
}

size_t cgroup_undo_asked(const struct cgroup_undo *undo, const struct cgroup_rule **ret)
{
	*ret = undo->asked;
	return undo->n_asked;
}

void cgroup_undo_note(const struct cgroup_undo *undo, char *buf, size_t size)
{
	size_t used = 0;

	(void)snprintf(buf, size, "unchanged");
	for (size_t i = 0; i < undo->n; i++) {
		const struct cgroup_change *c = &undo->steps[i].change;
		int len;

		if (strcmp(c->result, "unchanged") == 0 || used >= size)
			continue;
		len = snprintf(buf + used, size - used, "%s%s '%s'", used ? ", " : "", c->result,
			       c->path);
		used += len > 0 ? (size_t)len : 0;
		if (c->program_after == c->program_before || !c->program_after || used >= size)
			continue;
		len = snprintf(buf + used, size - used, " (program %u -> %u)", c->program_before,
			       c->program_after);
		used += len > 0 ? (size_t)len : 0;
	}
}
