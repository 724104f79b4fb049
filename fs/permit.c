/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For each container: a fingerprint of what its cgroups permit. As long as it is the one that was found
 * right, nothing is done; another one is healed. What could not be healed, or was refused, is said once,
 * and tried again when it has changed, or much later.
 *
 * Not kept in the state: a successor compares the record with what is in effect.
 */
#include "fs/permit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/daemon.h"
#include "fs/injector.h"
#include "fs/permit_impl.h"
#include "fs/record.h"
#include "fs/reinject.h"
#include "fs/revoke.h"
#include "fs/store.h"
#include "fs/unitbus.h"

#define PAUSE_S 30	 /* a removal takes less */
#define AGAIN_S 5	 /* after a heal that failed for a reason that passes */
#define REFUSED_S 60	 /* after one that was refused */
#define CANNOT_S 60	 /* after one that could not be started */
#define PREPARE_US 50000 /* of one tick, for containers that are new */

const char *permit_name(const struct daemon *daemon, uint32_t tree)
{
	return store_blob(daemon->store, store_tree(daemon->store, tree)->name, NULL);
}

/* life */

static void permit_free(struct permit *permit)
{
	if (!permit)
		return;
	devcg_close(&permit->devcg);
	json_decref(permit->rules);
	json_decref(permit->stale);
	free(permit);
}

static int reserve(struct permits *permits, uint32_t tree)
{
	uint32_t room = (tree / 256 + 1) * 256;
	struct permit **bigger;

	if (tree < permits->room)
		return 0;
	bigger = realloc(permits->at, room * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + permits->room, 0, (room - permits->room) * sizeof(*bigger));
	permits->at = bigger;
	permits->room = room;
	return 0;
}

struct permit *permit_of(struct permits *permits, uint32_t tree)
{
	uint32_t serial = store_tree(permits->daemon->store, tree)->serial;
	struct permit *permit;

	if (reserve(permits, tree) < 0)
		return NULL;
	permit = permits->at[tree];
	if (permit && permit->serial == serial)
		return permit;
	permit_free(permit);
	permit = calloc(1, sizeof(*permit));
	permits->at[tree] = permit;
	if (!permit)
		return NULL;
	*permit = (struct permit){ .owner = permits, .tree = tree, .serial = serial, .devcg = DEVCG_EMPTY };
	return permit;
}

struct permit *permit_still(const struct permits *permits, uint32_t tree, uint32_t serial)
{
	struct permit *permit = tree < permits->room ? permits->at[tree] : NULL;

	return permit && permit->serial == serial ? permit : NULL;
}

void permit_forget(struct daemon *daemon, uint32_t tree)
{
	struct permits *permits = daemon->permits;
	struct permit *permit = permits && tree < permits->room ? permits->at[tree] : NULL;

	if (!permit)
		return;
	permit_unit_forget(permit);
	permits->at[tree] = NULL;
	permit_free(permit);
}

/* heals */

bool permit_is_injected(const struct permit *permit)
{
	const struct daemon *daemon = permit->owner->daemon;

	for (const struct injection *i = daemon->injections; i; i = i->next) {
		if (i->tree == permit->tree && i->serial == permit->serial)
			return true;
	}
	return reinject_is_due(daemon, permit->tree);
}

static void heal_refused(struct permit *permit, const struct error *err)
{
	struct daemon *daemon = permit->owner->daemon;

	permit->again = clock_s() + REFUSED_S;
	if (permit->refused == permit->from)
		return;
	permit->refused = permit->from;
	permit->owner->refused++;
	log_warning("container '%s' may have lost its devices: %s%s%s, ignoring",
		    permit_name(daemon, permit->tree), err->text, *err->remedy ? "; " : "",
		    err->remedy);
}

static void heal_ended(struct daemon *daemon, uint32_t tree, void *data, const json_t *report,
		       const struct error *err)
{
	struct permit *permit = permit_still(daemon->permits, tree, (uint32_t)(uintptr_t)data);

	(void)report;
	if (permit)
		permit->healing = false;
	if (permit && err && (err->class == ERROR_AGAIN || err->class == ERROR_DAEMON)) {
		if (permit->not_before < clock_s() + AGAIN_S)
			permit->not_before = clock_s() + AGAIN_S;
	} else if (permit) {
		permit->due = false;
		permit->right = permit->from; /* until it changes */
		if (err && err->code != -ESRCH)
			heal_refused(permit, err);
	}
	permit_heal_due(daemon->permits);
}

/* Return: false when no more can be started now. */
static bool heal_start(struct permit *permit)
{
	struct daemon *daemon = permit->owner->daemon;
	struct injector_job job = { .action = "--heal",
				    .tree = permit->tree,
				    .silent = true,
				    .done = heal_ended,
				    .data = (void *)(uintptr_t)permit->serial };
	struct error err = { 0 };
	int r;

	job.pid = reinject_process(daemon, permit->tree);
	permit->from = devcg_fingerprint(&permit->devcg);
	permit->again = 0;
	if (!job.pid || !permit->from) { /* it is over */
		permit->due = permit->wanted = false;
		return true;
	}
	r = injector_run(daemon->injector, &job, &err);
	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		log_error("heal '%s': %s", permit_name(daemon, permit->tree), err.text);
		permit->not_before = clock_s() + CANNOT_S;
		return true;
	}
	permit->healing = true;
	return true;
}

void permit_heal_due(struct permits *permits)
{
	time_t now = clock_s();
	bool more = true;

	for (uint32_t i = 0; i < permits->room && more; i++) {
		struct permit *permit = permits->at[i];

		if (permit && permit->ready && permit->wanted && permit->due && !permit->healing &&
		    permit->not_before <= now && !permit_is_injected(permit))
			more = heal_start(permit);
	}
}

/* looking */

/* What the record says, and whether it is so. */
static void prepare(struct permit *permit, const char *mountinfo)
{
	struct daemon *daemon = permit->owner->daemon;
	json_t *done = record_load(daemon, permit->tree);
	const json_t *step = record_step(done, "cgroup");
	pid_t pid;

	permit->ready = true;
	permit->wanted = permit->due = permit->unit_due = false;
	permit->keeps_unit = record_step(done, "unit") != NULL;
	devcg_close(&permit->devcg);
	pid = json_array_size(json_object_get(step, "asked"))
		      ? reinject_process(daemon, permit->tree)
		      : 0;
	if (pid && devcg_open(pid, mountinfo, &permit->devcg, NULL) == 0) {
		uint64_t now = devcg_fingerprint(&permit->devcg);

		permit->wanted = now != 0;
		if (devcg_is_as_recorded(&permit->devcg, step))
			permit->right = now;
		permit->due = now != permit->right && now != permit->from;
		permit_find_unit(permit, done);
		permit->unit_due = json_array_size(permit->rules) != 0;
		if (!permit->due)
			permit->right = now;
	}
	json_decref(done);
}

static bool is_of_container(const struct daemon *daemon, uint32_t tree)
{
	return tree < daemon->containers_room && daemon->containers[tree] &&
	       !(store_tree(daemon->store, tree)->flags & STORE_TREE_UNCOMMITTED);
}

/* New containers, and changed records; a bounded time for each tick. */
static void prepare_all(struct permits *permits)
{
	const struct daemon *daemon = permits->daemon;
	auto_free char *mountinfo = NULL;
	int64_t end = clock_us() + PREPARE_US;

	for (uint32_t i = 0; i < daemon->containers_room && clock_us() < end; i++) {
		struct permit *permit = is_of_container(daemon, i) ? permit_of(permits, i) : NULL;

		if (!permit || permit->ready || permit->healing || permit->removing)
			continue;
		if (!mountinfo)
			mountinfo = devcg_mountinfo();
		if (!mountinfo)
			return;
		prepare(permit, mountinfo);
	}
}

static void check_all(struct permits *permits)
{
	int64_t start = clock_us();
	uint32_t n = 0;

	for (uint32_t i = 0; i < permits->room; i++) {
		struct permit *permit = permits->at[i];

		if (!permit || !permit->ready || !permit->wanted || permit->healing)
			continue;
		permit->due = permit->due || (permit->again && permit->again <= clock_s()) ||
			      devcg_fingerprint(&permit->devcg) != permit->right;
		n++;
	}
	permits->watched = n;
	permits->check_us = (uint32_t)(clock_us() - start);
}

void permit_tick(struct daemon *daemon)
{
	struct permits *permits = daemon->permits;

	injector_tick(daemon->injector);
	unitbus_tick(permits->bus);
	prepare_all(permits);
	if (daemon->config.heal_s && permits->next_check <= clock_s()) {
		permits->next_check = clock_s() + (time_t)daemon->config.heal_s;
		check_all(permits);
	}
	for (uint32_t i = 0; i < permits->room; i++) {
		if (permits->at[i])
			permit_tell_unit(permits->at[i]);
	}
	permit_heal_due(permits);
}

void permit_committed(struct daemon *daemon, uint32_t tree)
{
	struct permit *permit = permit_of(daemon->permits, tree);

	if (!permit)
		return;
	permit->ready = false;
	permit->commits++;
	permit->from = 0; /* what a heal could not do before, it may be able to do now */
	permit->unit_not_before = 0;
}

bool permit_is_removing(const struct daemon *daemon, uint32_t tree)
{
	const struct permit *permit =
		permit_still(daemon->permits, tree, store_tree(daemon->store, tree)->serial);

	return permit && permit->removing;
}

int64_t permit_record_number(const struct daemon *daemon, uint32_t tree)
{
	uint32_t serial = store_tree(daemon->store, tree)->serial;
	const struct permit *permit = permit_still(daemon->permits, tree, serial);

	return (int64_t)((uint64_t)serial << 32 | (permit ? permit->commits : 0));
}

void permit_pause(struct daemon *daemon, uint32_t tree)
{
	struct permit *permit = permit_of(daemon->permits, tree);

	if (permit)
		permit->not_before = clock_s() + PAUSE_S;
}

json_t *permit_status(const struct daemon *daemon)
{
	const struct permits *permits = daemon->permits;

	return json_pack("{s:i, s:I, s:I, s:i}", "watched", (int)permits->watched, "healed",
			 (json_int_t)permits->healed, "refused", (json_int_t)permits->refused,
			 "check_us", (int)permits->check_us);
}

int permits_new(struct daemon *daemon, struct permits **ret, struct error *err)
{
	struct permits *permits = calloc(1, sizeof(*permits));
	int r;

	if (!permits)
		return error_set(err, -ENOMEM, "watch cgroups");
	permits->daemon = daemon;
	r = unitbus_new(daemon->loop, &permits->bus, err);
	if (r < 0) {
		free(permits);
		return r;
	}
	*ret = permits;
	return 0;
}

void permits_free(struct permits *permits)
{
	if (!permits)
		return;
	unitbus_free(permits->bus);
	revokes_free(permits->revokes);
	for (uint32_t i = 0; i < permits->room; i++)
		permit_free(permits->at[i]);
	free(permits->at);
	free(permits);
}
