/* SPDX-License-Identifier: Apache-2.0 */
/* What was done, written as JSON and read back. */
#include "inject/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "inject/apply.h"
#include "inject/cgroup_record.h"

static bool is_mount(const struct outcome *outcome)
{
	return strcmp(outcome->result, "mounted") == 0 || strcmp(outcome->result, "bound") == 0;
}

static void put_details(json_t *json, const struct step *step, const struct outcome *outcome)
{
	const struct place_identity *id = &outcome->identity;

	if (*outcome->note)
		(void)json_object_set_new(json, "note", json_string(outcome->note));
	if (outcome->dirs)
		(void)json_object_set_new(json, "dirs", json_integer(outcome->dirs));
	if (outcome->made)
		(void)json_object_set_new(json, "made", json_true());
	if (is_mount(outcome)) {
		(void)json_object_set_new(json, "dev",
					  json_sprintf("%u:%u", id->dev_major, id->dev_minor));
		(void)json_object_set_new(json, "ino", json_integer((json_int_t)id->ino));
	}
	if (step->kind == STEP_DEVICE)
		(void)json_object_set_new(json, "device",
					  json_sprintf("%u:%u", step->major, step->minor));
	if (step->kind == STEP_LINK)
		(void)json_object_set_new(json, "to", json_string(step->to));
	if (step->kind == STEP_FILE)
		(void)json_object_set_new(json, "content", json_stringn(step->data, step->len));
}

static json_t *step_record(const struct step *step, const struct outcome *outcome)
{
	const char *target = outcome->elsewhere ? step->alternative : step->target;
	json_t *json = json_pack("{s:s, s:s, s:s}", "step", step_name(step->kind), "target", target,
				 "result", outcome->result);

	if (json)
		put_details(json, step, outcome);
	return json;
}

json_t *record_all(const struct apply *apply, const struct cgroup_undo *cgroup)
{
	json_t *list = json_array();
	int r = list ? 0 : -1;

	for (size_t i = 0; r == 0 && i < apply->plan->n; i++) {
		if (apply->outcomes[i].result)
			r = json_array_append_new(
				list, step_record(&apply->plan->steps[i], &apply->outcomes[i]));
	}
	if (r == 0 && cgroup)
		r = json_array_append_new(list, cgroup_record(cgroup));
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

static bool same_step(const json_t *a, const json_t *b)
{
	return strcmp(varlink_string(a, "step", ""), varlink_string(b, "step", "")) == 0 &&
	       strcmp(varlink_string(a, "target", ""), varlink_string(b, "target", "")) == 0;
}

static bool did_nothing(const json_t *record)
{
	const char *result = varlink_string(record, "result", "");

	return strcmp(result, "already") == 0 || strcmp(result, "unchanged") == 0 ||
	       strcmp(result, "kept") == 0 || strcmp(result, "omitted") == 0;
}

/* What was made for the thing is still ours to remove, also where the thing itself was done anew. */
static int inherit_made(json_t *record, const json_t *old)
{
	static const char *const keys[] = { "made", "dirs" };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *value = json_object_get(old, keys[i]);

		if (value && !json_object_get(record, keys[i]))
			r |= json_object_set(record, keys[i], value);
	}
	return r;
}

int record_merge_old(json_t *done, const json_t *old)
{
	size_t n = json_array_size(done), i, k;
	json_t *was;
	int r = 0;

	json_array_foreach(old, i, was) {
		for (k = 0; k < n && !same_step(json_array_get(done, k), was);)
			k++;
		if (k == n)
			r |= json_array_append(done, was);
		else if (cgroup_record_is(was))
			r |= cgroup_record_merge(json_array_get(done, k), was);
		else if (did_nothing(json_array_get(done, k)))
			r |= json_array_set(done, k, was);
		else
			r |= inherit_made(json_array_get(done, k), was);
	}
	return r ? -ENOMEM : 0;
}

bool record_is_mount(const json_t *record, const struct place_identity *id)
{
	char dev[32];

	(void)snprintf(dev, sizeof(dev), "%u:%u", id->dev_major, id->dev_minor);
	return id->mount_root && strcmp(varlink_string(record, "dev", ""), dev) == 0 &&
	       json_integer_value(json_object_get(record, "ino")) == (json_int_t)id->ino;
}
