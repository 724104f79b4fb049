/* SPDX-License-Identifier: Apache-2.0 */
/* What was done to device cgroups, written as JSON, added up over runs, and read back. */
#include "inject/cgroup_record.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "common/varlink.h"

static json_t *rules_json(const struct cgroup_rule *rules, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_pack("[i, i, i]", (int)rules[i].major,
							    (int)rules[i].minor,
							    (int)rules[i].access));
	return list;
}

static bool read_rule(const json_t *rule, struct cgroup_rule *ret)
{
	json_int_t major = json_integer_value(json_array_get(rule, 0));
	json_int_t minor = json_integer_value(json_array_get(rule, 1));
	json_int_t access = json_integer_value(json_array_get(rule, 2));

	if (json_array_size(rule) != 3 || major < 0 || minor < 0 || access <= 0 || access > 7)
		return false;
	*ret = (struct cgroup_rule){ (unsigned int)major, (unsigned int)minor,
				     (unsigned int)access };
	return true;
}

size_t cgroup_record_rules(const json_t *list, struct cgroup_rule *rules, size_t max)
{
	const json_t *rule;
	size_t n = 0, i;

	json_array_foreach(list, i, rule) {
		if (n < max && read_rule(rule, &rules[n]))
			n++;
	}
	return n;
}

bool cgroup_record_is(const json_t *step)
{
	return strcmp(varlink_string(step, "step", ""), "cgroup") == 0;
}

const json_t *cgroup_record_find(const json_t *done)
{
	const json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		if (cgroup_record_is(step))
			return step;
	}
	return NULL;
}

/* The last ones count: with no room left the first one goes. */
static void put_original(uint32_t *ids, size_t *n, size_t max, uint32_t id)
{
	if (*n == max)
		memmove(ids, ids + 1, --*n * sizeof(*ids));
	ids[(*n)++] = id;
}

size_t cgroup_record_originals(const json_t *step, uint32_t *ids, size_t max)
{
	const json_t *level, *id;
	size_t n = 0, i, k;

	json_array_foreach(json_object_get(step, "levels"), i, level) {
		json_array_foreach(json_object_get(level, "replaced"), k, id) {
			put_original(ids, &n, max, (uint32_t)json_integer_value(id));
		}
	}
	return n;
}

/* A list of this name, made where there is none: what an old or foreign record lacks. */
static json_t *list_of(json_t *object, const char *key)
{
	json_t *list = json_object_get(object, key);

	if (json_is_array(list))
		return list;
	return json_object_set_new(object, key, json_array()) == 0 ? json_object_get(object, key)
								   : NULL;
}

/* Adds @rule to the list, or its access bits to the device that is there. */
static int put_rule(json_t *list, const struct cgroup_rule *rule)
{
	struct cgroup_rule have;
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (read_rule(item, &have) && have.major == rule->major &&
		    have.minor == rule->minor)
			return json_array_set_new(item, 2,
						  json_integer(have.access | rule->access));
	}
	return json_array_append_new(list, json_pack("[i, i, i]", (int)rule->major,
						     (int)rule->minor, (int)rule->access));
}

static int merge_rules(json_t *list, const json_t *more)
{
	struct cgroup_rule rule;
	const json_t *item;
	int r = 0;
	size_t i;

	json_array_foreach(more, i, item) {
		if (read_rule(item, &rule))
			r |= put_rule(list, &rule);
	}
	return r;
}

static json_t *find_level(const json_t *levels, const json_t *wanted)
{
	json_t *level;
	size_t i;

	json_array_foreach(levels, i, level) {
		if (strcmp(varlink_string(level, "path", ""), varlink_string(wanted, "path", "")) ==
			    0 &&
		    json_integer_value(json_object_get(level, "version")) ==
			    json_integer_value(json_object_get(wanted, "version")))
			return level;
	}
	return NULL;
}

/* The last ones count: programs of before have mostly gone. */
static int trim(json_t *ids)
{
	int r = 0;

	while (r == 0 && json_array_size(ids) > CGROUP_ORIGINALS_MAX)
		r = json_array_remove(ids, 0);
	return r;
}

/* @first: is @more older than what is there? */
static int merge_level(json_t *levels, const json_t *more, bool first)
{
	json_t *level = find_level(levels, more), *ids;
	int r;

	if (!level)
		return json_array_append_new(levels, json_deep_copy(more));
	r = merge_rules(list_of(level, "added"), json_object_get(more, "added"));
	if (!json_is_array(json_object_get(more, "replaced")))
		return r;
	ids = json_deep_copy(first ? json_object_get(more, "replaced")
				   : list_of(level, "replaced"));
	r |= json_array_extend(ids, first ? list_of(level, "replaced")
					  : json_object_get(more, "replaced"));
	r |= trim(ids);
	return r | json_object_set_new(level, "replaced", ids);
}

static json_t *level_json(const struct cgroup_change *c)
{
	json_t *level = json_pack("{s:i, s:s, s:o, s:[]}", "version", (int)c->version, "path",
				  c->path, "added", rules_json(c->added, c->n_added), "replaced");

	if (c->version == 2)
		(void)json_array_append_new(json_object_get(level, "replaced"),
					    json_integer(c->program_before));
	return level;
}

static int put_change(json_t *step, const struct cgroup_change *c)
{
	json_t *level = NULL;
	int r = 0;

	if (c->program_after)
		r = json_array_append_new(json_object_get(step, "programs"),
					  json_integer(c->program_after));
	if (c->n_added) {
		level = level_json(c);
		r |= level ? merge_level(json_object_get(step, "levels"), level, false) : -1;
	}
	json_decref(level);
	return r;
}

json_t *cgroup_record(const struct cgroup_undo *cgroup)
{
	const struct cgroup_rule *added = NULL, *asked = NULL;
	size_t n_added = cgroup_undo_added(cgroup, &added),
	       n_asked = cgroup_undo_asked(cgroup, &asked);
	char note[ERROR_TEXT_MAX];
	json_t *step;
	int r = 0;

	cgroup_undo_note(cgroup, note, sizeof(note));
	step = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:[], s:[]}", "step", "cgroup", "target",
			 "devices", "result", n_added ? "changed" : "unchanged", "note", note,
			 "added", rules_json(added, n_added), "asked", rules_json(asked, n_asked),
			 "programs", "levels");
	for (size_t i = 0; step && i < cgroup_undo_count(cgroup); i++)
		r |= put_change(step, cgroup_undo_at(cgroup, i));
	if (r == 0)
		return step;
	json_decref(step);
	return NULL;
}

int cgroup_record_merge(json_t *step, const json_t *old)
{
	json_t *level;
	size_t i;
	int r = merge_rules(list_of(step, "added"), json_object_get(old, "added"));

	json_array_foreach(json_object_get(old, "levels"), i, level) {
		if (json_is_object(level))
			r |= merge_level(list_of(step, "levels"), level, true);
	}
	if (json_array_size(json_object_get(step, "added")))
		r |= json_object_set_new(step, "result", json_string("changed"));
	return r ? -ENOMEM : 0;
}
