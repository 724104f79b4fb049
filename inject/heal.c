/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --heal: somebody has changed the device cgroups of a container that was injected, systemd at a
 * daemon-reload for one. What the container was given is permitted again, by the rules of an
 * injection (inject/cgroup.h); the container itself is not entered.
 */
#include <errno.h>

#include "common/error.h"
#include "common/log.h"
#include "inject/cgroup_record.h"
#include "inject/plan.h"
#include "inject/privilege.h"
#include "inject/session.h"

static void take_back(struct cgroup_undo *undo)
{
	struct error err = { 0 };

	if (privilege_enter(PRIVILEGE_CGROUP, &err) < 0 || cgroup_undo(undo, &err) < 0)
		log_warning("undo: %s, ignoring", err.text);
}

static int tell(struct session *session, const json_t *known, const struct cgroup_undo *undo,
		struct error *err)
{
	json_t *step = cgroup_record(undo);
	int r = step && cgroup_record_merge(step, json_object_get(known, "cgroup")) == 0 ?
			0 :
			error_set(err, -ENOMEM, "record what was done");

	r = r ? r : client_healed(&session->client, session->request.id,
				  json_object_get(known, "serial"), step, err);
	if (r == 0)
		session->report = json_pack("{s:s, s:O}", "id", session->request.id, "cgroup",
					    step);
	json_decref(step);
	return r;
}

static int allow(struct session *session, const json_t *known, struct error *err)
{
	const json_t *step = json_object_get(known, "cgroup");
	struct cgroup_rule rules[PLAN_STEPS_MAX];
	size_t n = cgroup_record_rules(json_object_get(step, "asked"), rules, PLAN_STEPS_MAX);
	struct cgroup_undo *undo = NULL;
	int r = privilege_enter(PRIVILEGE_CGROUP, err);

	r = r ? r : cgroup_allow(session->targets.cgroup, rules, n, &undo, err);
	if (r < 0)
		return error_classify(err, r, ERROR_PERMISSION);
	r = privilege_enter(PRIVILEGE_START, err);
	r = r ? r : tell(session, known, undo, err);
	if (r < 0)
		take_back(undo);
	cgroup_undo_free(undo);
	return r;
}

int session_heal(struct session *session, struct error *err)
{
	struct request *req = &session->request;
	json_t *known = NULL;
	int r = privilege_enter(PRIVILEGE_PIN, err);

	r = r ? r : targets_open(&session->targets, req, false, err);
	r = r ? r : session_open_cgroup(session, err);
	r = r ? r : client_connect(&session->client, req->socket, session_left_ms(session), err);
	/* The daemon looks whose process it is that we have pinned. */
	r = r ? r : client_heal(&session->client, req->id, session->targets.pidfd, &known, err);
	r = r ? r : allow(session, known, err);
	if (r == 0)
		session->result = "healed";
	json_decref(known);
	return r;
}
