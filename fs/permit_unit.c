/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DeviceAllow= of the unit that a container's cgroup is: given after an injection or a heal, taken back
 * at a removal. What was added stands in the record as a step "unit", so that the way back is known to
 * every later daemon.
 *
 * One conversation about a unit at a time: a removal that comes meanwhile waits for its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/daemon.h"
#include "fs/permit.h"
#include "fs/permit_impl.h"
#include "fs/record.h"
#include "fs/server.h"
#include "fs/store.h"
#include "fs/unitbus.h"
#include "fs/unitlist.h"

#define UNIT_AGAIN_S 60 /* after a unit could not be told */

/* Entries of that unit which the record's step "unit" has, and nothing needs. */
static void find_stale(struct permit *permit, const json_t *done)
{
	const json_t *step = record_step(done, "unit");
	const char *unit = json_string_value(json_object_get(step, "target"));

	json_decref(permit->stale);
	permit->stale = NULL;
	if (permit->rules && unit && strcmp(unit, permit->unit) == 0)
		permit->stale = unitlist_stale(json_object_get(step, "added"), permit->rules);
}

/* Which unit it is in, what the injector had to add there, and what of before is not ours to keep there. */
void permit_find_unit(struct permit *permit, const json_t *done)
{
	const json_t *step = record_step(done, "cgroup"), *level;
	size_t len, i;

	permit->unit[0] = '\0';
	json_decref(permit->rules);
	permit->rules = NULL;
	json_decref(permit->stale);
	permit->stale = NULL;
	if (!permit->devcg.path || !unitlist_unit(permit->devcg.path, permit->unit, &len))
		return;
	json_array_foreach(json_object_get(step, "levels"), i, level) {
		const char *path = json_string_value(json_object_get(level, "path"));
		size_t n = path ? strlen(path) : 0;

		if (n >= len && memcmp(path + n - len, permit->devcg.path, len) == 0)
			permit->rules = json_incref(json_object_get(level, "added"));
	}
	find_stale(permit, done);
	if (!json_array_size(permit->rules) && !json_array_size(permit->stale))
		permit->unit[0] = '\0';
}

struct unit_call {
	struct permits *permits;
	uint32_t tree, serial;
	char unit[256];
	json_t *stale; /* what is taken back; NULL: all of it, or nothing */
};

static void unit_call_free(struct unit_call *call)
{
	if (call)
		json_decref(call->stale);
	free(call);
}

static void cleanup_unit_call(struct unit_call **call)
{
	unit_call_free(*call);
}

#define auto_unit_call __attribute__((cleanup(cleanup_unit_call)))

static struct unit_call *unit_call_new(const struct permit *permit, const char *unit)
{
	struct unit_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	*call = (struct unit_call){ .permits = permit->owner, .tree = permit->tree, .serial = permit->serial };
	(void)snprintf(call->unit, sizeof(call->unit), "%s", unit);
	return call;
}

static void report_unit(struct permits *permits, const char *unit, int r, const struct error *err)
{
	bool no_bus = r == -ENOENT || r == -ECONNREFUSED || r == -EOPNOTSUPP || r == -ENOTCONN;

	if (no_bus && permits->said_no_bus)
		return;
	permits->said_no_bus = permits->said_no_bus || no_bus;
	log_warning("unit '%s' cannot be told of its container's devices: %s, using heals alone",
		    unit, err->text);
}

/* @all: reference taken over, NULL: out of memory */
static void put_unit_step(struct daemon *daemon, uint32_t tree, const char *unit, json_t *all)
{
	if (!all || record_put(daemon, tree,
			       json_pack("{s:s, s:s, s:s, s:O}", "step", "unit", "target", unit,
					 "result", "changed", "added", all),
			       NULL) < 0)
		log_error("unit '%s' has another DeviceAllow= of ours than the record says", unit);
	json_decref(all);
}

/* All that the unit has of ours: with @added, without @removed. */
static void change_unit_step(struct permit *permit, const char *unit, const json_t *added,
			     const json_t *removed)
{
	struct daemon *daemon = permit->owner->daemon;
	json_t *done = record_load(daemon, permit->tree), *all;
	const json_t *old = json_object_get(record_step(done, "unit"), "added");

	if (removed) {
		all = unitlist_remove(old, removed);
	} else {
		all = json_deep_copy(added);
		if (unitlist_merge(all, old) < 0) {
			json_decref(all);
			all = NULL;
		}
	}
	put_unit_step(daemon, permit->tree, unit, all);
	json_decref(done);
	done = record_load(daemon, permit->tree);
	find_stale(permit, done);
	json_decref(done);
}

static void remove_begin(struct permit *permit);

/* What it came to, said; NULL: the tree has gone meanwhile. */
static struct permit *unit_told(const struct unit_call *call, int r, const struct error *err)
{
	struct permit *permit = permit_still(call->permits, call->tree, call->serial);

	if (r < 0)
		report_unit(call->permits, call->unit, r, err);
	else
		call->permits->said_no_bus = false;
	if (!permit)
		return NULL;
	permit->unit_busy = false;
	permit->unit_not_before = r < 0 ? clock_s() + UNIT_AGAIN_S : 0;
	return permit;
}

/* What had to wait for the unit's answer. */
static void go_on(struct permit *permit)
{
	struct permits *permits = permit->owner;

	if (permit->removing)
		remove_begin(permit); /* the end of @permit, perhaps */
	else
		permit_tell_unit(permit);
	permit_heal_due(permits);
}

static void unit_allowed(void *data, int r, const json_t *added, const struct error *err)
{
	auto_unit_call struct unit_call *call = data;
	struct permits *permits = call->permits;
	struct permit *permit = unit_told(call, r, err);

	if (!permit)
		return;
	permit->unit_due = r < 0;
	if (json_array_size(added)) {
		change_unit_step(permit, call->unit, added, NULL);
		permit->keeps_unit = permit->due = true; /* systemd has put a program beside ours */
		log_info("unit '%s' permits %zu device%s of container '%s'", call->unit,
			 json_array_size(added), json_array_size(added) == 1 ? "" : "s",
			 permit_name(permits->daemon, call->tree));
	}
	go_on(permit);
}

static void unit_cleaned(void *data, int r, const json_t *added, const struct error *err)
{
	auto_unit_call struct unit_call *call = data;
	struct permit *permit = unit_told(call, r, err);

	(void)added;
	if (!permit)
		return;
	if (r == 0) {
		change_unit_step(permit, call->unit, NULL, call->stale);
		permit->due = true;
		log_info("unit '%s' permits %zu device%s of before no more", call->unit,
			 json_array_size(call->stale),
			 json_array_size(call->stale) == 1 ? "" : "s");
	}
	go_on(permit);
}

/* First what the container needs, then what it needs no more. */
void permit_tell_unit(struct permit *permit)
{
	bool cleans = !permit->unit_due && json_array_size(permit->stale);
	struct unitbus_change change = { .unit = permit->unit,
					 .allow = cleans ? NULL : permit->rules,
					 .remove = cleans ? permit->stale : NULL };
	struct unit_call *call;
	struct error err = { 0 };
	int r;

	if ((!permit->unit_due && !cleans) || permit->unit_busy || permit->removing ||
	    !*permit->unit || permit->unit_not_before > clock_s())
		return;
	call = unit_call_new(permit, permit->unit);
	if (call && cleans)
		call->stale = json_incref(permit->stale);
	r = call ? unitbus_change(permit->owner->bus, &change, cleans ? unit_cleaned : unit_allowed,
				  call, &err)
		 : -ENOMEM;
	permit->unit_busy = r == 0;
	if (r == 0)
		return;
	unit_call_free(call);
	permit->unit_not_before = clock_s() + UNIT_AGAIN_S;
	report_unit(permit->owner, permit->unit, r, &err);
}

/* removal */

static void answer(struct permit *permit, const struct error *err)
{
	struct client *client = permit->waits;

	permit->waits = NULL;
	if (client && err)
		client_error(client, err, NULL);
	else if (client)
		client_reply(client, json_object(), NULL, 0);
}

static void removal_failed(struct permit *permit, const char *unit, int r, const struct error *why)
{
	struct error err = *why;

	permit->removing = false;
	(void)error_wrap(&err, r, "unit '%.60s' still permits the devices", unit);
	(void)error_remedy(&err, r, "set its DeviceAllow=, or try again");
	log_error("%s", err.text);
	answer(permit, &err);
}

/* The end of @permit, where its tree does not stay. */
static void removed(struct permit *permit)
{
	answer(permit, NULL);
	if (permit->keeps_tree)
		permit->removing = false;
	else
		daemon_tree_remove(permit->owner->daemon, permit->tree);
}

static void unit_removed(void *data, int r, const json_t *added, const struct error *err)
{
	auto_unit_call struct unit_call *call = data;
	struct permit *permit = permit_still(call->permits, call->tree, call->serial);

	(void)added;
	if (!permit) {
		if (r < 0)
			log_error("unit '%s' still permits the devices of a container that has "
				  "ended: %s",
				  call->unit, err->text);
		return;
	}
	permit->unit_busy = false;
	if (r < 0) {
		removal_failed(permit, call->unit, r, err);
		return;
	}
	permit->keeps_unit = false;
	removed(permit);
}

/* Asks the unit that the record names to permit what it did before. 1: there is none. */
static int unit_restore(struct permit *permit, struct error *err)
{
	json_t *done = record_load(permit->owner->daemon, permit->tree);
	const json_t *step = record_step(done, "unit");
	struct unitbus_change change = { .unit = json_string_value(json_object_get(step, "target")),
					 .remove = json_object_get(step, "added") };
	struct unit_call *call = NULL;
	int r = 1;

	if (change.unit && json_array_size(change.remove)) {
		call = unit_call_new(permit, change.unit);
		r = call ? unitbus_change(permit->owner->bus, &change, unit_removed, call, err)
			 : -ENOMEM;
	}
	if (r < 0)
		unit_call_free(call);
	json_decref(done);
	return r;
}

static void remove_begin(struct permit *permit)
{
	struct error err = { 0 };
	int r = unit_restore(permit, &err);

	permit->unit_busy = r == 0;
	if (r < 0) {
		removal_failed(permit, permit->unit, r, &err);
	} else if (r > 0) {
		removed(permit);
	}
}

/* Should the unit not do as it is told, nothing permits the rest anew. */
static void forget_rules(struct daemon *daemon, uint32_t tree)
{
	json_t *done = record_load(daemon, tree);

	if (record_step(done, "cgroup"))
		(void)record_put(daemon, tree,
				 json_pack("{s:s, s:s, s:s}", "step", "cgroup", "target", "devices",
					   "result", "removed"),
				 NULL);
	json_decref(done);
}

int permit_remove(struct daemon *daemon, uint32_t tree, struct client *client, bool keep,
		  struct error *err)
{
	struct permit *permit = permit_of(daemon->permits, tree);
	int r;

	if (!permit)
		return error_set(err, -ENOMEM, "remove the tree");
	if (permit->removing)
		return error_setc(err, ERROR_AGAIN, -EBUSY, "it is being removed");
	forget_rules(daemon, tree);
	permit->wanted = permit->due = permit->unit_due = false;
	r = permit->unit_busy ? 0 : unit_restore(permit, err);
	if (r > 0)
		return 1;
	if (r < 0) {
		(void)error_wrap(err, r, "take DeviceAllow= back");
		return error_remedy(err, r,
				    "set the unit's DeviceAllow= by systemctl, or try again");
	}
	permit->unit_busy = permit->removing = true;
	permit->keeps_tree = keep;
	permit->waits = client;
	return 0;
}

void permit_client_gone(struct daemon *daemon, const struct client *client)
{
	struct permits *permits = daemon->permits;

	for (uint32_t i = 0; permits && i < permits->room; i++) {
		if (permits->at[i] && permits->at[i]->waits == client)
			permits->at[i]->waits = NULL;
	}
}

/* A scope has gone with its processes; a service has its properties when it is started again. */
void permit_unit_forget(struct permit *permit)
{
	const struct store *store = permit->owner->daemon->store;
	struct error err = { 0 };

	if (permit->serial == store_tree(store, permit->tree)->serial && permit->keeps_unit &&
	    !permit->removing && strstr(permit->unit, ".service") && unit_restore(permit, &err) < 0)
		log_error("unit '%s' still permits the devices of a container that has ended: %s",
			  permit->unit, err.text);
	answer(permit, NULL);
}
