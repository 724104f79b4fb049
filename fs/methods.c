/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods, as one table: name, who may call it, and the function. Each
 * call gets a trace, six hex digits that stand in the reply and in the log.
 */
#include "fs/methods.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/seed.h"
#include "fs/audit.h"
#include "fs/daemon.h"
#include "fs/events.h"
#include "fs/facts.h"
#include "fs/filesystem.h"
#include "fs/handover.h"
#include "fs/inject_method.h"
#include "fs/loop.h"
#include "fs/methods_impl.h"
#include "fs/permit.h"
#include "fs/renewal.h"
#include "fs/revoke.h"
#include "fs/server.h"
#include "nvml/node.h"

enum who {
	ANYBODY, /* what is told depends on who asks */
	ROOT,    /* root in the daemon's own namespaces */
};

struct method {
	const char *name;
	enum who who;
	method_function *run;
};

bool methods_is_root(const struct daemon *daemon, const struct client *client)
{
	return peer_is_root(client_peer(client), &daemon->self);
}

struct daemon_viewer methods_viewer(const struct daemon *daemon, const struct client *client)
{
	const struct peer *peer = client_peer(client);

	return (struct daemon_viewer){
		.is_root = methods_is_root(daemon, client),
		.uid = peer->uid,
		.mnt_ns = peer->process.mnt_ns,
		.is_local = peer->process.user_ns == daemon->self.user_ns &&
			    peer->process.mnt_ns == daemon->self.mnt_ns,
	};
}

int64_t methods_tree(struct daemon *daemon, const struct client *client, json_t *params,
		     struct error *err)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);
	const char *id = varlink_string(params, "id", NULL);
	const json_t *pid = json_object_get(params, "pid");
	char text[32];

	if (!id && json_is_integer(pid)) {
		(void)snprintf(text, sizeof(text), "pid:%" JSON_INTEGER_FORMAT,
			       json_integer_value(pid));
		id = text;
	}
	if (!id)
		return error_setc(err, ERROR_USAGE, -EINVAL, "no 'id' and no 'pid'");
	return daemon_tree_find(daemon, &viewer, id, err);
}

int methods_reply(struct method_reply *reply, json_t *params, struct error *err)
{
	reply->params = params;
	return params ? 0 : error_set(err, -ENOMEM, "write the reply");
}

static int method_rescan(struct daemon *daemon, struct client *client, json_t *params,
			 struct varlink_message *message, const char *trace,
			 struct method_reply *reply, struct error *err)
{
	const char *result;
	int r = renewal_rescan(daemon->renewal, &result, err);

	(void)client;
	(void)params;
	(void)message;
	(void)trace;
	facts_again(daemon->facts);
	return r < 0 ? r : methods_reply(reply, json_pack("{s:s}", "result", result), err);
}

/* The call is answered by one event after the other, as long as the client stays. */
static int method_events(struct daemon *daemon, struct client *client, json_t *params,
			 struct varlink_message *message, const char *trace,
			 struct method_reply *reply, struct error *err)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);

	(void)params;
	(void)trace;
	if (!json_is_true(json_object_get(message->json, "more")))
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "io.nvfs.Events is called with 'more'");
	reply->later = true;
	return events_listen(daemon, client, &viewer, err);
}

static int method_shutdown(struct daemon *daemon, struct client *client, json_t *params,
			   struct varlink_message *message, const char *trace,
			   struct method_reply *reply, struct error *err)
{
	bool force = json_is_true(json_object_get(params, "force"));
	uint32_t n = daemon_trees_alive(daemon);
	int r;

	(void)client;
	(void)message;
	(void)trace;
	if (n && !force) {
		(void)error_setc(err, ERROR_OTHER, -EBUSY, "%u container%s a driver tree", n,
				 n == 1 ? " uses" : "s use");
		return error_remedy(err, -EBUSY, "nvfs ls lists them; --force cuts them off");
	}
	r = filesystem_unmount(daemon->fs, 1, err); /* whoever else has something of it open */
	if (r < 0)
		return r;
	loop_stop(daemon->loop);
	return methods_reply(reply, json_object(), err);
}

static const struct method methods[] = {
	{ "io.nvfs.Inject", ANYBODY, method_inject },
	{ "io.nvfs.Commit", ANYBODY, method_commit },
	{ "io.nvfs.Abort", ANYBODY, method_abort },
	{ "io.nvfs.Get", ANYBODY, method_get },
	{ "io.nvfs.Strip", ANYBODY, method_strip },
	{ "io.nvfs.Remove", ANYBODY, method_remove },
	{ "io.nvfs.Revoke", ROOT, method_call_revoke },
	{ "io.nvfs.Heal", ROOT, method_call_heal },
	{ "io.nvfs.Healed", ROOT, method_call_healed },
	{ "io.nvfs.List", ANYBODY, method_list },
	{ "io.nvfs.Show", ANYBODY, method_show },
	{ "io.nvfs.Status", ANYBODY, method_status },
	{ "io.nvfs.Node", ANYBODY, method_node },
	{ "io.nvfs.Cdi", ANYBODY, method_cdi },
	{ "io.nvfs.Files", ANYBODY, method_call_files },
	{ "io.nvfs.Check", ANYBODY, method_check },
	{ "io.nvfs.Why", ANYBODY, method_why },
	{ "io.nvfs.Generations", ANYBODY, method_generations },
	{ "io.nvfs.Events", ANYBODY, method_events },
	{ "io.nvfs.Rescan", ROOT, method_rescan },
	{ "io.nvfs.Handover", ROOT, method_handover },
	{ "io.nvfs.Shutdown", ROOT, method_shutdown },
	{ "org.varlink.service.GetInfo", ANYBODY, method_info },
	{ "org.varlink.service.GetInterfaceDescription", ANYBODY, method_description },
};

#define REFUSED "%s of uid %u pid %d: %s [trace %s]"

static const struct method *method_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

static int method_run(struct daemon *daemon, struct client *client, const char *name,
		      json_t *params, struct varlink_message *message, const char *trace,
		      struct method_reply *reply, struct error *err)
{
	const struct method *method = method_find(name);

	if (!method)
		return error_setc(err, ERROR_USAGE, -ENOSYS, "no method '%.80s'", name);
	if (method->who == ROOT && !methods_is_root(daemon, client))
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "%s is for root in the daemon's own namespaces", name);
	return method->run(daemon, client, params, message, trace, reply, err);
}

static void log_refused(const struct client *client, const json_t *params, const struct error *err,
			const char *trace)
{
	const struct peer *peer = client_peer(client);
	const struct audit_asker asker = { .id = varlink_string(params, "id", ""),
					   .devices = varlink_string(params, "devices", ""),
					   .pid = peer->pid,
					   .uid = peer->uid,
					   .trace = trace };

	audit_refused(&asker, REFUSED, "io.nvfs.Inject", peer->uid, peer->pid, err->text, trace);
}

static void tell_refused(struct daemon *daemon, const struct client *client, const json_t *params,
			 const struct error *err, const char *trace)
{
	const struct peer *peer = client_peer(client);

	events_of_user(daemon, EVENT_REFUSED, peer->uid,
		       json_pack("{s:s?, s:s*, s:s, s:o, s:i, s:i, s:s}", "id",
				 varlink_string(params, "id", NULL), "client",
				 err->class == ERROR_AGAIN
					 ? NULL
					 : events_client(varlink_string(params, "client", "")),
				 "class",
				 error_class_name(err->class), "message", node_text_json(err->text),
				 "uid", (int)peer->uid, "peer_pid", (int)peer->pid, "trace",
				 trace));
}

void methods_call(void *data, struct client *client, const char *name, json_t *params,
		  struct varlink_message *message)
{
	struct daemon *daemon = data;
	struct method_reply reply = { 0 };
	struct error err = { 0 };
	char trace[8];
	int r;

	(void)snprintf(trace, sizeof(trace), "%06x", (unsigned int)seed_random() & 0xffffff);
	r = method_run(daemon, client, name, params, message, trace, &reply, &err);
	if (r >= 0 && reply.later)
		return;
	if (r >= 0) {
		client_reply(client, reply.params, reply.fds, reply.n_fds);
		if (daemon->listings_stale)
			daemon_listings_changed(daemon);
		return;
	}
	/* What is to be asked again was not refused. */
	if (strcmp(name, "io.nvfs.Inject") == 0 && err.class != ERROR_AGAIN)
		log_refused(client, params, &err, trace);
	else
		log_info(REFUSED, name, client_peer(client)->uid, client_peer(client)->pid,
			 err.text, trace);
	json_decref(reply.params);
	for (size_t i = 0; i < reply.n_fds; i++)
		cleanup_close(&reply.fds[i]);
	client_error(client, &err, trace);
	if (strcmp(name, "io.nvfs.Inject") == 0)
		tell_refused(daemon, client, params, &err, trace);
}

void methods_gone(void *data, struct client *client)
{
	events_client_gone(data, client);
	handover_client_gone(data, client);
	permit_client_gone(data, client);
	revoke_client_gone(data, client);
	daemon_client_gone(data, client);
}
