/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An injection: pin, ask, change, commit. Whole or nothing: whatever fails
 * after the first change undoes all of it, cgroups included, and tells the
 * daemon. Signals that would end us wait until that is settled.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "inject/apply.h"
#include "inject/cgroup.h"
#include "inject/enter.h"
#include "inject/moved.h"
#include "inject/privilege.h"
#include "inject/record.h"
#include "inject/report.h"
#include "inject/session.h"
#include "inject/shared.h"

#define UNDO_TIMEOUT_MS 2000 /* beyond the time limit */

/* An injection on its way. Large, and in shared memory. */
struct injection {
	struct session *session;
	struct plan plan;
	struct apply apply;
	struct cgroup_undo *cgroup; /* NULL: nothing done */
	json_t *known;              /* what the daemon knows of the container; NULL: nothing */
	struct moved moved;
};

static void hold_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGQUIT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static int check_signals(struct error *err)
{
	sigset_t set;

	(void)sigpending(&set);
	if (sigismember(&set, SIGHUP) || sigismember(&set, SIGINT) || sigismember(&set, SIGQUIT) ||
	    sigismember(&set, SIGTERM))
		return error_setc(err, ERROR_OTHER, -EINTR, "interrupted");
	return 0;
}

static size_t device_rules(const struct plan *plan, struct cgroup_rule rules[PLAN_STEPS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct step *step = &plan->steps[i];

		if (step->kind == STEP_DEVICE)
			rules[n++] = (struct cgroup_rule){ step->major, step->minor, step->access };
	}
	return n;
}

static int allow_devices(struct injection *in, struct error *err)
{
	struct cgroup_rule rules[PLAN_STEPS_MAX];
	size_t n = device_rules(&in->plan, rules);
	int r;

	if (!in->session->targets.cgroup || n == 0)
		return 0;
	if (!in->plan.known)
		cgroup_target_adopt(in->session->targets.cgroup);
	r = privilege_enter(PRIVILEGE_CGROUP, err);
	r = r ? r : moved_revoke(&in->moved, in->session->targets.cgroup, err);
	r = r ? r : cgroup_allow(in->session->targets.cgroup, rules, n, &in->cgroup, err);
	if (r < 0)
		(void)error_classify(err, r, ERROR_PERMISSION);
	return r ? r : privilege_enter(PRIVILEGE_START, err);
}

static void undo_cgroup(struct injection *in)
{
	struct error err = { 0 };

	if (!in->cgroup && !in->moved.revoked)
		return;
	if (privilege_enter(PRIVILEGE_CGROUP, &err) < 0 ||
	    (in->cgroup && cgroup_undo(in->cgroup, &err) < 0))
		log_warning("undo: %s, ignoring", err.text);
	if (moved_undo(&in->moved, &err) < 0)
		log_warning("undo: %s, ignoring", err.text);
	(void)privilege_enter(PRIVILEGE_START, NULL);
	cgroup_undo_free(in->cgroup);
	in->cgroup = NULL;
}

static void undo_mounts(struct injection *in)
{
	struct error err = { 0 };

	if (in->apply.effects.n == 0)
		return;
	if (enter_run(&in->session->targets.ns, UNDO_TIMEOUT_MS, apply_undo, &in->apply, &err) < 0)
		log_warning("undo: %s, ignoring", err.text);
}

static void undo(struct injection *in)
{
	undo_mounts(in);
	undo_cgroup(in);
	if (in->plan.token && *in->plan.token)
		(void)client_abort(&in->session->client, in->plan.token, NULL);
}

static int apply_begin(struct injection *in, struct error *err)
{
	const struct targets *targets = &in->session->targets;
	int r;

	in->apply.roots = (struct place_roots)PLACE_ROOTS(targets->root);
	in->apply.roots.host_dev = targets->host_dev;
	in->apply.roots.host_run = targets->host_run;
	in->apply.roots.owners = targets->owners;
	in->apply.plan = &in->plan;
	in->apply.adopt = !in->plan.known;
	in->session->enter.last = true; /* it ends while the daemon writes the record */
	r = targets_alive(targets, err);
	r = r ? r
	      : enter_begin(&in->session->enter, &targets->ns, session_left_ms(in->session),
			    apply_run, &in->apply, err);
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

static int apply_end(struct injection *in, struct error *err)
{
	int r = enter_end(&in->session->enter, session_left_ms(in->session), err);

	if (r == -ETIMEDOUT && in->apply.at)
		(void)error_wrap(err, r, "'%.80s'", in->apply.at);
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

/* The child mounts while the verifier of device programs does its work here. */
static int change(struct injection *in, struct error *err)
{
	struct error why = { 0 };
	int applied, r = apply_begin(in, err);

	if (r < 0)
		return r;
	r = allow_devices(in, err);
	applied = apply_end(in, &why);
	if (r < 0)
		in->apply.wants_alternative = false; /* it would not help */
	else if (applied < 0 && err)
		*err = why;
	r = r ? r : applied;
	return r ? r : check_signals(err);
}

static bool is_dry(const struct injection *in)
{
	return in->session->request.dry_run || in->plan.nothing;
}

/* A container that has been injected before: what of it must give way? */
static int learn(struct injection *in, struct error *err)
{
	int r = client_get(&in->session->client, in->plan.id, 0, &in->known, err);

	if (r == 0)
		moved_find(&in->plan, json_object_get(in->known, "done"), &in->moved);
	return r;
}

/* Ask for the plan; the daemon makes it while we look for the cgroups. */
static int ask(struct injection *in, const char *target, int *ret_cgroup, struct error *cgroup_why,
	       struct error *err)
{
	struct session *s = in->session;
	int r = client_ask(&s->client, &s->request, &s->targets, &s->classic, s->image_cache,
			   s->image_compat, target, err);

	if (r < 0)
		return r;
	*ret_cgroup = session_open_cgroup(s, cgroup_why);
	return client_plan(&s->client, &s->request, &in->plan, err);
}

/* One plan, from asking for it until it is done; what failed is undone. */
static int attempt(struct injection *in, const char *target, struct error *err)
{
	struct error cgroup_why = { 0 };
	int cgroup = 0, r = ask(in, target, &cgroup, &cgroup_why, err);

	if (r < 0 || in->plan.nothing)
		return r;
	if (cgroup < 0 && err)
		*err = cgroup_why;
	if (is_dry(in))
		return cgroup;
	hold_signals();
	r = cgroup == 0 && in->plan.known ? learn(in, err) : cgroup;
	r = r ? r : change(in, err);
	if (r < 0)
		undo(in);
	return r;
}

/* @in is all zero; a descriptor that is not there is -1. */
static void injection_init(struct injection *in, struct session *session)
{
	in->session = session;
	in->apply.roots = (struct place_roots)PLACE_ROOTS(-1);
	in->apply.tree_fd = in->apply.tree_found = -1;
}

static void injection_reset(struct injection *in)
{
	struct session *session = in->session;

	cgroup_undo_free(in->cgroup);
	apply_done(&in->apply);
	plan_done(&in->plan);
	json_decref(in->known);
	shared_clear(in, sizeof(*in));
	injection_init(in, session);
}

static bool find_alternative(const struct injection *in, char target[PATH_MAX])
{
	for (size_t i = 0; in->apply.wants_alternative && i < in->plan.n; i++) {
		const struct step *step = &in->plan.steps[i];

		if (step->kind == STEP_TREE && step->alternative) {
			(void)snprintf(target, PATH_MAX, "%s", step->alternative);
			return true;
		}
	}
	return false;
}

/* The paths in the cache and in links change with the target: it takes another plan. */
static int attempt_all(struct injection *in, struct error *err)
{
	const char *usual = in->session->request.target;
	struct error why = { 0 };
	char elsewhere[PATH_MAX];
	int r;

	r = attempt(in, usual ? usual : REQUEST_TARGET, &why);
	if (r < 0 && find_alternative(in, elsewhere)) {
		log_warning("%s, using '%s'", why.text, elsewhere);
		injection_reset(in);
		return attempt(in, elsewhere, err);
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

static uint64_t microseconds_since(const struct timespec *then)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)(now.tv_sec - then->tv_sec) * 1000000 +
	       (uint64_t)((now.tv_nsec - then->tv_nsec) / 1000);
}

/* All that was done to the container, injections before included. */
static int merge(const struct injection *in, json_t *record, const json_t *done, struct error *err)
{
	const json_t *before = json_object_get(in->known, "done");

	if (record_merge_old(record, before) < 0 ||
	    moved_merge(record, done, before, &in->plan, &in->moved) < 0)
		return error_set(err, -ENOMEM, "record what was done");
	return 0;
}

/* Past this call nothing is undone any more. */
static int commit(struct injection *in, struct error *err)
{
	struct session *s = in->session;
	json_t *done = record_all(&in->apply, in->cgroup);
	/* merged, where @done is not */
	json_t *record = in->plan.known ? json_deep_copy(done) : json_incref(done);
	int r = record ? 0 : error_set(err, -ENOMEM, "record what was done");

	if (r == 0 && in->plan.known)
		r = merge(in, record, done, err);
	r = r ? r
	      : client_commit(&s->client, in->plan.token, record, microseconds_since(&s->started),
			      err);
	if (r == 0) {
		s->report = json_pack("{s:s, s:s, s:O}", "id", in->plan.id, "trace", in->plan.trace,
				      "steps", done);
		report_left(&in->apply, s->cache_why);
	}
	json_decref(record);
	json_decref(done);
	if (r < 0)
		undo(in);
	return r;
}

static int finish(struct injection *in, struct error *err)
{
	struct session *s = in->session;

	if (in->plan.nothing) {
		s->result = "nothing";
		s->report = json_pack("{s:s, s:s}", "id", s->request.id, "why", in->plan.nothing);
		return 0;
	}
	if (s->request.dry_run) {
		s->result = "plan";
		s->report = json_pack("{s:s, s:s, s:O}", "id", in->plan.id, "trace", in->plan.trace,
				      "plan", json_object_get(in->plan.json, "plan"));
		if (!s->request.json)
			plan_print(&in->plan, stdout);
		return 0;
	}
	s->result = "done";
	return commit(in, err);
}

/* The daemon went away, or its successor does not know the token: what was done is undone. */
static bool may_try_again(const struct session *session, int r, const struct error *err)
{
	return err->class == ERROR_AGAIN || session_lost_daemon(session, r, err);
}

static int inject_once(struct injection *in, struct error *err)
{
	struct session *s = in->session;
	int r = 0;

	if (s->client.sock < 0)
		r = client_connect(&s->client, s->request.socket, session_left_ms(s), err);
	r = r ? r : attempt_all(in, err);
	return r ? r : finish(in, err);
}

/*
 * A daemon that dies is replaced within milliseconds, and its successor knows nothing of what was
 * under way: asked again, it gives a new plan.
 */
static int inject_until_done(struct injection *in, struct error *err)
{
	struct session *s = in->session;
	int r;

	for (;;) {
		struct error why = { 0 };

		r = inject_once(in, &why);
		if (r < 0 && may_try_again(s, r, &why) && check_signals(NULL) == 0 &&
		    session_has_time(s)) {
			injection_reset(in);
			session_pause(s);
			continue;
		}
		if (r < 0 && err)
			*err = why;
		return r;
	}
}

static void yield(struct session *session)
{
	session->result = "nothing";
	session->report = json_pack(
		"{s:s, s:s}", "id", session->request.id, "why",
		"NVIDIA's own tool has injected it, by its tmpfs on /proc/driver/nvidia");
}

int session_inject(struct session *session, struct error *err)
{
	struct injection *in = shared_new(sizeof(*in));
	int r;

	if (!in)
		return error_set(err, -ENOMEM, "inject");
	injection_init(in, session);
	session->shares_json = true;
	r = session_pin(session, err);
	if (r == 0 && session->is_foreign)
		yield(session);
	else if (r == 0)
		r = inject_until_done(in, err);
	enter_done(&session->enter);
	return r; /* what is open is closed by the end of the process, all at once */
}
