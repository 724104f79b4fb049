/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of before against numbers now: see moved.h. */
#include "inject/moved.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/varlink.h"
#include "inject/cgroup_record.h"
#include "inject/record.h"

static bool same_device(const struct cgroup_rule *a, const struct cgroup_rule *b)
{
	return a->major == b->major && a->minor == b->minor;
}

static bool read_device(const json_t *record, struct cgroup_rule *ret)
{
	*ret = (struct cgroup_rule){ 0 };
	return sscanf(varlink_string(record, "device", ""), "%u:%u", &ret->major, &ret->minor) == 2;
}

static bool was(const json_t *record, const char *result)
{
	return strcmp(varlink_string(record, "result", ""), result) == 0;
}

/* A node that was given, or was there. */
static bool is_node(const json_t *record)
{
	return strcmp(varlink_string(record, "step", ""), step_name(STEP_DEVICE)) == 0 &&
	       (was(record, "mounted") || was(record, "already") || was(record, RECORD_LEFT));
}

static const json_t *find_node(const json_t *done, const char *target)
{
	const json_t *record;
	size_t i;

	json_array_foreach(done, i, record) {
		if (is_node(record) && strcmp(varlink_string(record, "target", ""), target) == 0)
			return record;
	}
	return NULL;
}

/* Made by us, to lead elsewhere. */
static const json_t *find_link(const json_t *done, const struct step *step)
{
	const json_t *record;
	size_t i;

	json_array_foreach(done, i, record) {
		if (strcmp(varlink_string(record, "step", ""), step_name(STEP_LINK)) == 0 &&
		    was(record, "created") &&
		    strcmp(varlink_string(record, "target", ""), step->target) == 0)
			return strcmp(varlink_string(record, "to", ""), step->to) != 0 ? record
										       : NULL;
	}
	return NULL;
}

static bool has_device(const struct cgroup_rule *rules, size_t n, const struct cgroup_rule *device)
{
	size_t i = 0;

	while (i < n && !same_device(&rules[i], device))
		i++;
	return i < n;
}

/* By the plan, or by a node of before that the plan does not name. */
static bool is_needed(const struct plan *plan, const json_t *done, const struct cgroup_rule *rule)
{
	const json_t *record;
	size_t i;

	for (i = 0; i < plan->n; i++) {
		const struct step *step = &plan->steps[i];
		const struct cgroup_rule device = { .major = step->major, .minor = step->minor };

		if (step->kind == STEP_DEVICE && same_device(&device, rule))
			return true;
	}
	json_array_foreach(done, i, record) {
		const char *target = varlink_string(record, "target", "");
		struct cgroup_rule device;
		size_t at = 0;

		if (!is_node(record) || !read_device(record, &device) ||
		    !same_device(&device, rule))
			continue;
		while (at < plan->n && strcmp(plan->steps[at].target, target) != 0)
			at++;
		if (at == plan->n)
			return true;
	}
	return false;
}

static size_t added_rules(const json_t *done, struct cgroup_rule *rules, size_t max)
{
	return cgroup_record_rules(json_object_get(cgroup_record_find(done), "added"), rules, max);
}

/* Those of @rules that were given for a node which has another number now. */
static void find_rules(const struct plan *plan, const json_t *done, struct moved *ret)
{
	struct cgroup_rule rules[PLAN_STEPS_MAX];
	size_t n = added_rules(done, rules, PLAN_STEPS_MAX);

	for (size_t i = 0; i < plan->n; i++) {
		struct cgroup_rule device;

		if (!plan->steps[i].before || !read_device(plan->steps[i].before, &device))
			continue;
		for (size_t k = 0; k < n; k++) {
			if (same_device(&rules[k], &device) &&
			    !has_device(ret->rules, ret->n, &device) &&
			    !is_needed(plan, done, &device))
				ret->rules[ret->n++] = rules[k];
		}
	}
}

void moved_find(struct plan *plan, const json_t *done, struct moved *ret)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct step *step = &plan->steps[i];
		const json_t *record = step->kind == STEP_DEVICE ? find_node(done, step->target)
								 : NULL;
		const struct cgroup_rule now = { .major = step->major, .minor = step->minor };
		struct cgroup_rule device;

		if (record && read_device(record, &device) &&
		    (was(record, RECORD_LEFT) || !same_device(&device, &now)))
			step->before = record;
		if (step->kind == STEP_LINK)
			step->before = find_link(done, step);
	}
	*ret = (struct moved){ 0 };
	find_rules(plan, done, ret);
	ret->n_originals = cgroup_record_originals(cgroup_record_find(done), ret->originals,
						   CGROUP_ORIGINALS_ALL);
}

int moved_revoke(struct moved *moved, struct cgroup_target *target, struct error *err)
{
	if (!target || !moved->n)
		return 0;
	cgroup_target_originals(target, moved->originals, moved->n_originals);
	moved->revoked = target; /* in part, where it fails */
	return cgroup_revoke(target, moved->rules, moved->n, err);
}

int moved_undo(struct moved *moved, struct error *err)
{
	struct cgroup_undo *undo = NULL;
	int r = 0;

	if (moved->revoked)
		r = cgroup_allow(moved->revoked, moved->rules, moved->n, &undo, err);
	cgroup_undo_free(undo);
	moved->revoked = NULL;
	return r;
}

/* the record */

static json_t *rule_json(const struct cgroup_rule *rule)
{
	return json_pack("[i, i, i]", (int)rule->major, (int)rule->minor, (int)rule->access);
}

static void put_rule(struct cgroup_rule *rules, size_t *n, size_t max,
		     const struct cgroup_rule *rule)
{
	for (size_t i = 0; i < *n; i++) {
		if (same_device(&rules[i], rule)) {
			rules[i].access |= rule->access;
			return;
		}
	}
	if (*n < max)
		rules[(*n)++] = *rule;
}

/*
 * Also the rule of a node that was moved, where the one of before was ours: a run that was killed
 * may have added it, and could tell nobody.
 */
static void put_moved(struct cgroup_rule *rules, size_t *n, size_t max, const struct plan *plan,
		      const struct moved *moved)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct step *step = &plan->steps[i];
		const struct cgroup_rule now = { step->major, step->minor, step->access };
		struct cgroup_rule device;

		if (step->before && read_device(step->before, &device) &&
		    has_device(moved->rules, moved->n, &device))
			put_rule(rules, n, max, &now);
	}
}

static json_t *find_cgroup(const json_t *record)
{
	json_t *entry;
	size_t i;

	json_array_foreach(record, i, entry) {
		if (strcmp(varlink_string(entry, "step", ""), "cgroup") == 0)
			return entry;
	}
	return NULL;
}

/* An injection that found a node in place has made nothing, and its entry gave way to the one of before. */
static int merge_node(json_t *record, const json_t *now, const struct step *step)
{
	json_t *found = NULL, *entry;
	size_t i;

	json_array_foreach(now, i, entry) {
		if (is_node(entry) && was(entry, "already") &&
		    strcmp(varlink_string(entry, "target", ""), step->target) == 0)
			found = entry;
	}
	for (i = 0; found && i < json_array_size(record); i++) {
		if (json_array_get(record, i) == step->before)
			return json_array_set(record, i, found) < 0 ? -ENOMEM : 0;
	}
	return 0;
}

static json_t *rules_json(const struct cgroup_rule *rules, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, rule_json(&rules[i]));
	return list;
}

/* Of one level: what it added, without what was taken back. */
static int forget_moved(json_t *level, const struct moved *moved)
{
	struct cgroup_rule rules[PLAN_STEPS_MAX];
	size_t n = cgroup_record_rules(json_object_get(level, "added"), rules, PLAN_STEPS_MAX),
	       kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (!has_device(moved->rules, moved->n, &rules[i]))
			rules[kept++] = rules[i];
	}
	return kept == n ? 0 : json_object_set_new(level, "added", rules_json(rules, kept));
}

static int correct_cgroup(json_t *record, const struct moved *moved,
			  const struct cgroup_rule *rules, size_t n)
{
	json_t *entry = find_cgroup(record), *level;
	size_t i;
	int r = json_object_set_new(entry, "added", rules_json(rules, n));

	/* Not "unchanged": an entry that says so would give way to the one of before. */
	r |= json_object_set_new(entry, "result", json_string("changed"));
	json_array_foreach(json_object_get(entry, "levels"), i, level)
		r |= forget_moved(level, moved);
	return r ? -ENOMEM : 0;
}

static int merge_rules(json_t *record, const json_t *now, const json_t *before,
		       const struct plan *plan, const struct moved *moved)
{
	struct cgroup_rule rules[PLAN_STEPS_MAX], added[PLAN_STEPS_MAX];
	size_t n = 0, n_before = added_rules(before, added, PLAN_STEPS_MAX), n_now;

	if (!find_cgroup(now)) /* cgroups were left alone */
		return 0;
	for (size_t i = 0; i < n_before; i++) {
		if (!has_device(moved->rules, moved->n, &added[i]))
			put_rule(rules, &n, PLAN_STEPS_MAX, &added[i]);
	}
	n_now = added_rules(now, added, PLAN_STEPS_MAX);
	for (size_t i = 0; i < n_now; i++)
		put_rule(rules, &n, PLAN_STEPS_MAX, &added[i]);
	put_moved(rules, &n, PLAN_STEPS_MAX, plan, moved);
	return n || moved->n ? correct_cgroup(record, moved, rules, n) : 0;
}

int moved_merge(json_t *record, const json_t *now, const json_t *before, const struct plan *plan,
		const struct moved *moved)
{
	int r = merge_rules(record, now, before, plan, moved);

	for (size_t i = 0; i < plan->n && r == 0; i++) {
		if (plan->steps[i].before)
			r = merge_node(record, now, &plan->steps[i]);
	}
	return r;
}
