/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods, as one table: name, who may call it, and the function. Each
 * call gets a trace, six hex digits that stand in the reply and in the log.
 */
#include "fs/methods.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache.h"
#include "common/log.h"
#include "common/seed.h"
#include "fs/cachebox.h"
#include "fs/cdi_file.h"
#include "fs/changeover.h"
#include "fs/claim.h"
#include "fs/compose.h"
#include "fs/counters.h"
#include "fs/daemon.h"
#include "fs/derive.h"
#include "fs/facts.h"
#include "fs/files_method.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/handover.h"
#include "fs/health.h"
#include "fs/inject_method.h"
#include "fs/permit.h"
#include "fs/record.h"
#include "fs/reinject.h"
#include "fs/renewal.h"
#include "fs/revoke.h"
#include "fs/sandbox.h"
#include "fs/server.h"
#include "fs/store.h"
#include "fs/why.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/node.h"

enum who {
	ANYBODY, /* what is told depends on who asks */
	ROOT,    /* root in the daemon's own namespaces */
};

struct method {
	const char *name;
	enum who who;
	int (*run)(struct daemon *daemon, struct client *client, json_t *params,
		   struct varlink_message *message, const char *trace, struct method_reply *reply,
		   struct error *err);
};

/* helpers */

static bool is_root(const struct daemon *daemon, const struct client *client)
{
	return peer_is_root(client_peer(client), &daemon->self);
}

static struct daemon_viewer viewer_of(const struct daemon *daemon, const struct client *client)
{
	const struct peer *peer = client_peer(client);

	return (struct daemon_viewer){
		.is_root = is_root(daemon, client),
		.uid = peer->uid,
		.mnt_ns = peer->process.mnt_ns,
		.is_local = peer->process.user_ns == daemon->self.user_ns &&
			    peer->process.mnt_ns == daemon->self.mnt_ns,
	};
}

/* A tree that the client may see and change. What it may not see is "no tree". */
static int64_t tree_of(struct daemon *daemon, const struct client *client, json_t *params,
		       struct error *err)
{
	const struct daemon_viewer viewer = viewer_of(daemon, client);
	const char *id = varlink_string(params, "id", NULL);
	const json_t *pid = json_object_get(params, "pid");
	char text[32];

	if (!id && json_is_integer(pid)) {
		(void)snprintf(text, sizeof(text), "pid:%" JSON_INTEGER_FORMAT, json_integer_value(pid));
		id = text;
	}
	if (!id)
		return error_setc(err, ERROR_USAGE, -EINVAL, "no 'id' and no 'pid'");
	return daemon_tree_find(daemon, &viewer, id, err);
}

static json_t *blob_json(const struct daemon *daemon, uint32_t blob)
{
	const char *text = store_blob(daemon->store, blob, NULL);

	return text ? json_loads(text, 0, NULL) : NULL;
}

static json_t *tree_json(const struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const struct store_snapshot *snapshot = store_snapshot(daemon->store, tree->snapshot);
	const struct container *container =
		index < daemon->containers_room ? daemon->containers[index] : NULL;
	json_t *json = blob_json(daemon, tree->spec);
	const char *name = store_blob(daemon->store, tree->name, NULL);
	const struct generation *generation;

	if (!json)
		json = json_object();
	(void)json_object_del(json, "compat"); /* long, and for ourselves */
	if (!json_object_get(json, "id"))
		(void)json_object_set_new(json, "id", json_string(name));
	(void)json_object_set_new(json, "name", json_string(name));
	(void)json_object_set_new(json, "pid", json_integer(tree->pid));
	(void)json_object_set_new(json, "uid", json_integer(tree->owner));
	(void)json_object_set_new(json, "made", json_integer(tree->made_ns / 1000000000));
	(void)json_object_set_new(json, "generation", json_integer(snapshot->generation));
	(void)json_object_set_new(json, "opens", json_integer((json_int_t)tree->opens));
	(void)json_object_set_new(json, "state",
				  json_string(!container ? "reference" :
					      container->ends ? "ending" : "in use"));
	generation = generation_find(daemon->generation, snapshot->generation);
	if (generation)
		(void)json_object_set_new(json, "driver_version",
					  json_string(generation->driver->version));
	return json;
}

static int reply_with(struct method_reply *reply, json_t *params, struct error *err)
{
	reply->params = params;
	return params ? 0 : error_set(err, -ENOMEM, "write the reply");
}

/* looking */

static json_t *features_json(const struct features *features)
{
	return json_pack("{s:b, s:b, s:b, s:b}", "passthrough", features->passthrough, "resend",
			 features->resend, "idmap", features->idmap, "epoch", features->epoch);
}

static json_t *generation_numbers_json(const struct daemon *daemon)
{
	json_t *numbers = json_array();

	for (const struct generation *g = daemon->generation; g; g = g->older)
		(void)json_array_append_new(numbers, json_integer(g->number));
	return numbers;
}

/* Who made the link; 0 where it is gone, or was started by hand. */
static int keeper_pid(const struct daemon *daemon)
{
	struct ucred keeper = { 0 };
	socklen_t size = sizeof(keeper);

	if (daemon->link < 0 || getsockopt(daemon->link, SOL_SOCKET, SO_PEERCRED, &keeper, &size) < 0)
		return 0;
	return keeper.pid;
}

static json_t *stalled_json(const struct daemon *daemon)
{
	uint32_t objects[DAEMON_STALLED_MAX];
	size_t n = filesystem_stalled(daemon->fs, objects, DAEMON_STALLED_MAX);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct store_object *object = store_object(daemon->store, objects[i]);

		if (object)
			(void)json_array_append_new(list, json_string(store_blob(daemon->store, object->path, NULL)));
	}
	return list;
}

/* System calls that the sandbox has refused: each is a gap in its list, or somebody's attempt. */
static json_t *sandbox_json(void)
{
	struct sandbox_refusal refused[SANDBOX_REFUSALS_MAX];
	size_t n = sandbox_refusals(refused);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_pack("{s:s, s:i}", "call", refused[i].call, "count",
							    (int)refused[i].count));
	return json_pack("{s:b, s:o}", "seccomp", sandbox_is_filtered(), "refused", list);
}

static int method_status(struct daemon *daemon, struct client *client, json_t *params,
			 struct varlink_message *message, const char *trace,
			 struct method_reply *reply, struct error *err)
{
	const struct generation *g = daemon->generation;
	const struct features *features = filesystem_features(daemon->fs);
	const struct daemon_viewer viewer = viewer_of(daemon, client);
	json_t *json = json_pack(
		"{s:s, s:i, s:i, s:s, s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:o, s:o, s:s, s:o, s:I}", "version",
		NVFS_VERSION, "daemon_pid", (int)daemon->self.pid, "keeper_pid", keeper_pid(daemon),
		"mountpoint", daemon->config.mountpoint, "driver_root", daemon->config.driver_root, "proc_root",
		daemon->config.proc_root, "started", (json_int_t)daemon->started, "uptime", (json_int_t)(time(NULL) - daemon->started), "containers",
		(int)daemon_trees_in_use(daemon), "trees", (int)store_trees_count(daemon->store), "generation",
		g ? (int)g->number : 0, "generations", generation_numbers_json(daemon), "features",
		features_json(features), "mode", features->passthrough ? "passthrough" : "fallback", "counters",
		counters_json(store_counters(daemon->store)), "state_bytes",
		(json_int_t)store_memory(daemon->store));

	(void)params;
	(void)message;
	(void)trace;
	(void)json_object_set_new(json, "rules_dir", json_string(daemon->config.rules_dir));
	(void)json_object_set_new(json, "sandbox", sandbox_json());
	(void)json_object_set_new(json, "nvml", facts_status(daemon, viewer.is_root || viewer.is_local));
	(void)json_object_set_new(json, "permissions", permit_status(daemon));
	(void)json_object_set_new(json, "stalled", stalled_json(daemon));
	(void)json_object_set_new(json, "reinject", reinject_status(daemon, &viewer));
	if (g) {
		(void)json_object_set_new(json, "driver_version", json_string(g->driver->version));
		(void)json_object_set_new(json, "gpus", json_integer((json_int_t)g->gpus->n));
	} else {
		(void)json_object_set_new(json, "no_driver", json_string(renewal_note(daemon->renewal)));
	}
	if (g && *renewal_note(daemon->renewal))
		(void)json_object_set_new(json, "note", json_string(renewal_note(daemon->renewal)));
	return reply_with(reply, json, err);
}

/* What everybody on this host can read in /proc. A container knows of its own GPUs alone. */
static int method_node(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace, struct method_reply *reply,
		       struct error *err)
{
	const struct daemon_viewer viewer = viewer_of(daemon, client);
	const struct generation *g = daemon->generation;
	json_t *json;

	(void)params;
	(void)message;
	(void)trace;
	if (!viewer.is_root && !viewer.is_local)
		return error_setc(err, ERROR_PERMISSION, -EPERM, "all GPUs are told in the host's namespaces alone");
	if (!g)
		return error_setc(err, ERROR_DRIVER, -ENOENT, "no driver yet: %s", renewal_note(daemon->renewal));
	json = node_json(g->driver, g->gpus);
	if (json)
		(void)json_object_set_new(json, "nvml", facts_status(daemon, true));
	return reply_with(reply, json, err);
}

/* Which GPUs there are, as above. */
static int method_cdi(struct daemon *daemon, struct client *client, json_t *params,
		      struct varlink_message *message, const char *trace, struct method_reply *reply,
		      struct error *err)
{
	const struct daemon_viewer viewer = viewer_of(daemon, client);
	json_t *json = NULL;
	int r;

	(void)message;
	(void)trace;
	if (!viewer.is_root && !viewer.is_local)
		return error_setc(err, ERROR_PERMISSION, -EPERM, "all GPUs are told in the host's namespaces alone");
	r = cdi_method(daemon, params, &json, err);
	return r ? r : reply_with(reply, json, err);
}

static int call_files(struct daemon *daemon, struct client *client, json_t *params,
		      struct varlink_message *message, const char *trace, struct method_reply *reply,
		      struct error *err)
{
	const struct daemon_viewer viewer = viewer_of(daemon, client);

	(void)message;
	(void)trace;
	if (!viewer.is_root && !viewer.is_local)
		return error_setc(err, ERROR_PERMISSION, -EPERM, "the driver's files are told in the host's namespaces alone");
	return method_files(daemon, client, params, viewer.is_root, &reply->params, err);
}

static int method_check(struct daemon *daemon, struct client *client, json_t *params,
			struct varlink_message *message, const char *trace,
			struct method_reply *reply, struct error *err)
{
	const struct generation *g = daemon->generation;
	struct health_facts facts;
	json_t *reasons, *json;

	(void)client;
	(void)params;
	(void)message;
	(void)trace;
	health_look(daemon, &facts);
	reasons = health_reasons(&facts);
	json = json_pack("{s:s, s:o, s:i, s:i, s:s, s:i}", "state", json_array_size(reasons) ? "degraded" : "ok",
			 "reasons", reasons, "daemon_pid", (int)daemon->self.pid, "keeper_pid",
			 keeper_pid(daemon), "mode",
			 filesystem_features(daemon->fs)->passthrough ? "passthrough" : "fallback",
			 "containers", (int)daemon_trees_in_use(daemon));
	if (g)
		(void)json_object_set_new(json, "driver_version", json_string(g->driver->version));
	return reply_with(reply, json, err);
}

static int method_list(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace,
		       struct method_reply *reply, struct error *err)
{
	const struct daemon_viewer viewer = viewer_of(daemon, client);
	json_t *trees = json_array();

	(void)params;
	(void)message;
	(void)trace;
	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		if (daemon->containers[i] && daemon_may_see(daemon, &viewer, i))
			(void)json_array_append_new(trees, tree_json(daemon, i));
	}
	return reply_with(reply, json_pack("{s:o}", "trees", trees), err);
}

static json_t *tree_with_record(const struct daemon *daemon, uint32_t index)
{
	json_t *json = tree_json(daemon, index);
	json_t *done = blob_json(daemon, store_tree(daemon->store, index)->done);

	(void)json_object_set_new(json, "done", done ? done : json_array());
	return json;
}

/* For nvinject, which acts on the record. */
/* Root's, and not on behalf of a user whose container gets again what he gave it. */
static bool is_for_root(const struct daemon *daemon, const struct client *client)
{
	return is_root(daemon, client) && !reinject_is_child(daemon, client_peer(client)->pid);
}

static int method_get(struct daemon *daemon, struct client *client, json_t *params,
		      struct varlink_message *message, const char *trace,
		      struct method_reply *reply, struct error *err)
{
	int64_t index = tree_of(daemon, client, params, err);
	const struct store_tree *tree;
	json_t *json;

	(void)message;
	(void)trace;
	if (index < 0)
		return (int)index;
	tree = store_tree(daemon->store, (uint32_t)index);
	if (json_is_true(json_object_get(params, "removing")) && is_root(daemon, client) &&
	    tree->mnt_ns)
		permit_pause(daemon, (uint32_t)index);
	json = tree_with_record(daemon, (uint32_t)index);
	(void)json_object_set_new(json, "serial", json_integer(permit_record_number(daemon, (uint32_t)index)));
	if (is_for_root(daemon, client) && !(tree->flags & STORE_TREE_BY_ROOT))
		(void)json_object_set_new(json, "done", record_of_user(json_object_get(json, "done")));
	return reply_with(reply, json, err);
}

static int method_show(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace,
		       struct method_reply *reply, struct error *err)
{
	int64_t index = tree_of(daemon, client, params, err);
	auto_free char *text = NULL;
	const struct store_tree *tree;
	json_t *compat;
	int r;

	(void)message;
	(void)trace;
	if (index < 0)
		return (int)index;
	r = reply_with(reply, tree_with_record(daemon, (uint32_t)index), err);
	if (r < 0)
		return r;
	tree = store_tree(daemon->store, (uint32_t)index);
	text = compose_print(daemon->store, store_snapshot(daemon->store, tree->snapshot)->layout);
	if (text)
		(void)json_object_set_new(reply->params, "tree", json_string(text));
	compat = compose_compat(daemon->store, store_snapshot(daemon->store, tree->snapshot)->layout);
	if (compat)
		(void)json_object_set_new(reply->params, "cuda_compat", compat);
	return 0;
}

static json_t *generation_json(const struct daemon *daemon, const struct generation *g)
{
	return json_pack("{s:i, s:s, s:b, s:I, s:s, s:i, s:i, s:i, s:b}", "number", (int)g->number,
			 "driver_version", g->driver->version, "version_from_module",
			 g->driver->version_from_module, "made", (json_int_t)g->made_s, "driver_root",
			 g->driver->root, "files", (int)g->driver->n_files, "gpus", (int)g->gpus->n,
			 "trees", (int)changeover_trees_of(daemon, g), "current", g == daemon->generation);
}

static int method_generations(struct daemon *daemon, struct client *client, json_t *params,
			      struct varlink_message *message, const char *trace,
			      struct method_reply *reply, struct error *err)
{
	const struct finding_list *findings = renewal_findings(daemon->renewal);
	json_t *list = json_array(), *warnings = json_array();

	(void)client;
	(void)params;
	(void)message;
	(void)trace;
	for (const struct generation *g = daemon->generation; g; g = g->older)
		(void)json_array_append_new(list, generation_json(daemon, g));
	if (*renewal_note(daemon->renewal))
		(void)json_array_append_new(warnings, json_string(renewal_note(daemon->renewal)));
	for (size_t i = 0; i < findings->n; i++)
		(void)json_array_append_new(warnings, json_string(findings->items[i].text));
	return reply_with(reply, json_pack("{s:o, s:o}", "generations", list, "warnings", warnings), err);
}

/* The reference tree has no secrets: nvfs driver tells the same to anybody. */
static int64_t tree_to_explain(struct daemon *daemon, const struct client *client, json_t *params,
			       struct error *err)
{
	const struct daemon_viewer viewer = viewer_of(daemon, client);
	const char *name = varlink_string(params, "tree", NULL);
	uint32_t index = name ? store_tree_find(daemon->store, name) : STORE_NONE;

	if (!name)
		return tree_of(daemon, client, params, err);
	if (index != STORE_NONE &&
	    (strcmp(name, IDENT_HOST) == 0 || daemon_may_see(daemon, &viewer, index)))
		return index;
	(void)error_setc(err, ERROR_USAGE, -ENOENT, "no tree '%.64s'", name);
	return error_remedy(err, -ENOENT, "nvfs ls lists them");
}

static int method_why(struct daemon *daemon, struct client *client, json_t *params,
		      struct varlink_message *message, const char *trace,
		      struct method_reply *reply, struct error *err)
{
	enum why_kind kind;
	int64_t index;

	(void)message;
	(void)trace;
	if (why_kind_by_name(varlink_string(params, "kind", ""), &kind) < 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'kind' is not tree, container, name or host");
	if (!daemon->generation)
		return error_setc(err, ERROR_DRIVER, -ENOENT, "no driver yet: %s",
				  renewal_note(daemon->renewal));
	index = tree_to_explain(daemon, client, params, err);
	if (index < 0)
		return (int)index;
	return why_explain(daemon, (uint32_t)index, kind, varlink_string(params, "path", ""),
			   &reply->params, err);
}

/* doing */

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
	return r < 0 ? r : reply_with(reply, json_pack("{s:s}", "result", result), err);
}

static struct injection *injection_of(struct daemon *daemon, struct client *client, json_t *params,
				      struct error *err)
{
	struct injection *injection =
		daemon_injection_find(daemon, client, varlink_string(params, "token", ""));

	if (!injection) /* taken back since, when the driver changed */
		(void)error_setc(err, ERROR_AGAIN, -ENOENT, "no injection of this connection has that token");
	return injection;
}

/* A step that found everything in place made nothing, and says so. */
static bool made_nothing(const json_t *step)
{
	static const char *const results[] = { "already", "kept", "omitted", "unchanged" };
	const char *result = varlink_string(step, "result", "");

	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		if (strcmp(result, results[i]) == 0)
			return true;
	}
	return false;
}

static json_t *find_step(const json_t *done, const json_t *wanted)
{
	json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "step", ""), varlink_string(wanted, "step", "")) == 0 &&
		    strcmp(varlink_string(step, "target", ""), varlink_string(wanted, "target", "")) == 0)
			return step;
	}
	return NULL;
}

/* A node that has another number by now is not the one that was given. */
static bool is_same_device(const json_t *a, const json_t *b)
{
	return strcmp(varlink_string(a, "device", ""), varlink_string(b, "device", "")) == 0;
}

/*
 * What was done in all: a second injection that finds a thing in place must
 * not make us forget that the first one made it, or it would never be removed.
 */
static json_t *merge_done(const json_t *before, const json_t *now)
{
	json_t *all = json_array(), *step;
	size_t i;

	json_array_foreach(now, i, step) {
		json_t *old = find_step(before, step);
		bool keeps = old && made_nothing(step) && is_same_device(old, step);

		(void)json_array_append(all, keeps ? old : step);
	}
	json_array_foreach(before, i, step) {
		if (!find_step(now, step))
			(void)json_array_append(all, step);
	}
	return all;
}

static int set_done(struct daemon *daemon, uint32_t tree, const json_t *done, struct error *err)
{
	json_t *before = blob_json(daemon, store_tree(daemon->store, tree)->done);
	json_t *all = merge_done(before, done);
	auto_free char *text = json_dumps(all, JSON_COMPACT);

	json_decref(before);
	json_decref(all);
	if (!text || strlen(text) > RECORD_MAX)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'done' is more than %d bytes", RECORD_MAX);
	store_write_lock(daemon->store);
	store_tree_set_done(daemon->store, tree,
			    store_blob_put(daemon->store, text, strlen(text)));
	store_unlock(daemon->store);
	return 0;
}

/*
 * A record is what root's nvinject acts on at a removal, and the daemon when it injects anew. Who may
 * change no cgroup has changed none.
 */
static int check_record(const struct daemon *daemon, const struct client *client, const json_t *done,
			struct error *err)
{
	const json_t *step;
	size_t i;

	if (!json_is_array(done))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'done' is not a list");
	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "step", ""), "cgroup") == 0 && !is_root(daemon, client))
			return error_setc(err, ERROR_PERMISSION, -EPERM,
					  "uid %u may not change cgroups, nor say that it did",
					  client_peer(client)->uid);
	}
	return 0;
}

static int commit(struct daemon *daemon, const struct client *client, uint32_t tree, const json_t *done,
		  struct error *err)
{
	json_t *trusted;
	int r = check_record(daemon, client, done, err);

	if (r == 0 && is_for_root(daemon, client) &&
	    !(store_tree(daemon->store, tree)->flags & STORE_TREE_BY_ROOT))
		r = daemon_tree_take(daemon, tree, err);
	if (r < 0)
		return r;
	trusted = permit_trusted(done, is_root(daemon, client));
	r = set_done(daemon, tree, trusted, err);
	json_decref(trusted);
	if (r == 0)
		permit_committed(daemon, tree);
	return r;
}

static int method_commit(struct daemon *daemon, struct client *client, json_t *params,
			 struct varlink_message *message, const char *trace,
			 struct method_reply *reply, struct error *err)
{
	struct injection *injection = injection_of(daemon, client, params, err);
	int r;

	(void)message;
	(void)trace;
	if (!injection)
		return -ENOENT;
	/* Nothing would know how to take back what was done to the container. */
	if (!daemon_injection_tree(daemon, injection) || permit_is_removing(daemon, injection->tree))
		return error_setc(err, ERROR_AGAIN, -ENOENT, "its tree was removed meanwhile");
	r = commit(daemon, client, injection->tree, json_object_get(params, "done"), err);
	if (r < 0)
		return r;
	log_info("injected '%s' in %" JSON_INTEGER_FORMAT " us", permit_name(daemon, injection->tree),
		 json_integer_value(json_object_get(params, "time_us")));
	daemon_injection_end(daemon, injection, true);
	return reply_with(reply, json_object(), err);
}

static int method_abort(struct daemon *daemon, struct client *client, json_t *params,
			struct varlink_message *message, const char *trace,
			struct method_reply *reply, struct error *err)
{
	struct injection *injection = injection_of(daemon, client, params, err);

	(void)message;
	(void)trace;
	if (!injection)
		return -ENOENT;
	daemon_injection_end(daemon, injection, false);
	return reply_with(reply, json_object(), err);
}

static bool sees_any_tree(const struct daemon *daemon, const struct client *client)
{
	const struct daemon_viewer viewer = viewer_of(daemon, client);

	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		if (daemon->containers[i] && daemon_may_see(daemon, &viewer, i))
			return true;
	}
	return false;
}

static int method_strip(struct daemon *daemon, struct client *client, json_t *params,
			struct varlink_message *message, const char *trace,
			struct method_reply *reply, struct error *err)
{
	const char *target = varlink_string(params, "target", "");
	const json_t *cache = json_object_get(params, "cache");
	auto_free void *bytes = NULL;
	size_t len;
	int r;

	(void)trace;
	/* Work for the parser is only for who has something to take back. */
	if (!sees_any_tree(daemon, client))
		return error_setc(err, ERROR_PERMISSION, -EPERM, "uid %u has no tree", client_peer(client)->uid);
	if (!json_is_integer(cache) || json_integer_value(cache) != 0 || message->n_fds != 1 ||
	    !claim_target_is_valid(target))
		return error_setc(err, ERROR_USAGE, -EINVAL, "one 'cache' and its 'target' are needed");
	if (file_memfd_sealed_size(message->fds[0], DERIVE_IMAGE_MAX) < 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "the cache is not a sealed memfd of at most %lu bytes",
				  DERIVE_IMAGE_MAX);
	r = cachebox_merge(daemon->box, message->fds[0], NULL, 0, target, &bytes, &len, err);
	if (r < 0)
		return error_wrap(err, r, "take the driver's entries out of the cache");
	r = file_memfd("ld.so.cache", bytes, len);
	if (r < 0)
		return error_set(err, r, "make a memfd");
	reply->fds[reply->n_fds++] = r;
	return reply_with(reply, json_pack("{s:i}", "cache", 0), err);
}

/* What has been done to the container since its record was read has not been taken back. */
static int check_serial(const struct daemon *daemon, uint32_t tree, json_t *params, struct error *err)
{
	const json_t *serial = json_object_get(params, "serial");

	if (!serial || json_integer_value(serial) == permit_record_number(daemon, tree))
		return 0;
	(void)error_setc(err, ERROR_AGAIN, -EBUSY, "it has been injected meanwhile");
	return error_remedy(err, -EBUSY, "remove it again");
}

static int method_remove(struct daemon *daemon, struct client *client, json_t *params,
			 struct varlink_message *message, const char *trace,
			 struct method_reply *reply, struct error *err)
{
	int64_t index = tree_of(daemon, client, params, err);
	int r;

	(void)message;
	(void)trace;
	if (index < 0)
		return (int)index;
	if (!store_tree(daemon->store, (uint32_t)index)->mnt_ns)
		return error_setc(err, ERROR_USAGE, -EINVAL, "the reference tree is not a container's");
	r = check_serial(daemon, (uint32_t)index, params, err);
	r = r ? r : permit_remove(daemon, (uint32_t)index, client, err);
	reply->later = r == 0;
	if (r <= 0)
		return r;
	daemon_tree_remove(daemon, (uint32_t)index);
	return reply_with(reply, json_object(), err);
}

/* What only nvinject as a child of ours, and root, ask for. */
static int64_t container_of_call(struct daemon *daemon, struct client *client, json_t *params,
				 struct error *err)
{
	int64_t index = tree_of(daemon, client, params, err);

	if (index >= 0 && !store_tree(daemon->store, (uint32_t)index)->mnt_ns)
		return error_setc(err, ERROR_USAGE, -EINVAL, "the reference tree is not a container's");
	return index;
}

static int call_heal(struct daemon *daemon, struct client *client, json_t *params,
		     struct varlink_message *message, const char *trace, struct method_reply *reply,
		     struct error *err)
{
	int64_t index = container_of_call(daemon, client, params, err);

	(void)trace;
	return index < 0 ? (int)index : method_heal(daemon, (uint32_t)index, params, message, reply, err);
}

static int call_healed(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace, struct method_reply *reply,
		       struct error *err)
{
	int64_t index = container_of_call(daemon, client, params, err);

	(void)message;
	(void)trace;
	return index < 0 ? (int)index : method_healed(daemon, (uint32_t)index, params, reply, err);
}

static int call_revoke(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace, struct method_reply *reply,
		       struct error *err)
{
	int64_t index = container_of_call(daemon, client, params, err);

	(void)message;
	(void)trace;
	return index < 0 ? (int)index : method_revoke(daemon, (uint32_t)index, client, reply, err);
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
	return reply_with(reply, json_object(), err);
}

/* org.varlink.service: https://varlink.org/Service */

static const char interface_text[] =
	"# Driver trees for containers\n"
	"interface io.nvfs\n"
	"\n"
	"# Trees of containers; who isn't root sees its own\n"
	"method List() -> (trees: []object)\n"
	"method Status() -> (version: string, daemon_pid: int, mountpoint: string, trees: int)\n"
	"# Driver and GPUs, each fact with its source\n"
	"method Node() -> (driver_version: object, cuda_version: object, driver_root: string, gpus: []object,\n"
	"  nvml: (state: string, took_ms: ?int, findings: []string))\n"
	"# A specification of the Container Device Interface\n"
	"method Cdi(vendor: ?string, class: ?string, hooks: ?bool) -> (spec: object)\n"
	"# The host's files, sockets and device nodes of the driver\n"
	"method Files(devices: ?string) -> (driver_root: string, proc_root: string, driver_version: string,\n"
	"  has_nvcaps: bool, files: []object, sockets: []object, gpus: ?[]object, migs: ?[]object, nodes: ?[]string)\n"
	"# Is all well? state is ok or degraded\n"
	"method Check() -> (state: string, reasons: []string, daemon_pid: int, keeper_pid: int, mode: string)\n"
	"# What the driver was, as far as trees show it: the present one first\n"
	"method Generations() -> (generations: []object, warnings: []string)\n"
	"# Look at the driver now\n"
	"method Rescan() -> (result: string)\n"
	"# A tree by id, unique beginning of an id, or pid; Show adds the tree as text\n"
	"method Get(id: ?string, pid: ?int) -> (id: string, pid: int, done: []object, serial: int)\n"
	"method Show(id: ?string, pid: ?int) -> (id: string, pid: int, done: []object, tree: string)\n"
	"# Why a path is in a tree, or not; kind is tree, container, name or host\n"
	"method Why(path: string, kind: string, id: ?string, pid: ?int, tree: ?string)\n"
	"  -> (in_tree: bool, rule: string, why: string)\n"
	"# Make a tree and a plan; descriptors beside the message: see nvfs(1), PROTOCOL. Where there is\n"
	"# nothing to do, 'nothing' and 'why' are all of the reply\n"
	"method Inject(id: string, devices: string, driver_capabilities: ?string, target: ?string,\n"
	"  mig_config: ?string, mig_monitor: ?string, imex_channels: ?string, imex_source: ?string,\n"
	"  fabric: ?string,\n"
	"  requirements: ?[]string, source: ?string, privileged: ?bool, standalone: ?bool, cgroup: ?bool,\n"
	"  without: ?string, lib64_at: ?string, lib32_at: ?string, dry_run: ?bool, pid: ?int, pidfd: ?int,\n"
	"  cache: ?int, compat: ?int, cuda_compat_mode: ?string, fds: ?int)\n"
	"  -> (id: ?string, trace: ?string, token: ?string, state: ?string, warnings: ?[]string,\n"
	"  plan: ?[]object, fds: ?int, nothing: ?bool, why: ?string)\n"
	"method Commit(token: string, done: []object, time_us: ?int) -> ()\n"
	"method Abort(token: string) -> ()\n"
	"method Strip(cache: int, target: string, fds: int) -> (cache: int, fds: int)\n"
	"method Remove(id: ?string, pid: ?int, serial: ?int) -> ()\n"
	"# Take tree, devices and permission away from a living container\n"
	"method Revoke(id: string) -> (id: string, ended: bool)\n"
	"# A container's device cgroups, permitted anew: of nvinject --heal\n"
	"method Heal(id: string, pidfd: int, fds: int) -> (cgroup: ?object, serial: int)\n"
	"method Healed(id: string, serial: int, cgroup: object) -> ()\n"
	"# Give way to the program on the disk; answers when that has read the state\n"
	"method Handover() -> ()\n"
	"method Shutdown(force: ?bool) -> ()\n"
	"\n"
	"error Error (class: string, message: string, remedy: string, errno: int, trace: ?string)\n";

static int method_info(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace,
		       struct method_reply *reply, struct error *err)
{
	(void)daemon;
	(void)client;
	(void)params;
	(void)message;
	(void)trace;
	return reply_with(reply, json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "nvfs", "product",
					   "nvfs", "version", NVFS_VERSION, "url", "", "interfaces",
					   "org.varlink.service", "io.nvfs"), err);
}

static int method_description(struct daemon *daemon, struct client *client, json_t *params,
			      struct varlink_message *message, const char *trace,
			      struct method_reply *reply, struct error *err)
{
	const char *name = varlink_string(params, "interface", "");

	(void)daemon;
	(void)client;
	(void)message;
	(void)trace;
	if (strcmp(name, "io.nvfs") != 0)
		return error_setc(err, ERROR_USAGE, -ENOENT, "no interface '%.64s'", name);
	return reply_with(reply, json_pack("{s:s}", "description", interface_text), err);
}

static const struct method methods[] = {
	{ "io.nvfs.Inject", ANYBODY, method_inject },
	{ "io.nvfs.Commit", ANYBODY, method_commit },
	{ "io.nvfs.Abort", ANYBODY, method_abort },
	{ "io.nvfs.Get", ANYBODY, method_get },
	{ "io.nvfs.Strip", ANYBODY, method_strip },
	{ "io.nvfs.Remove", ANYBODY, method_remove },
	{ "io.nvfs.Revoke", ROOT, call_revoke },
	{ "io.nvfs.Heal", ROOT, call_heal },
	{ "io.nvfs.Healed", ROOT, call_healed },
	{ "io.nvfs.List", ANYBODY, method_list },
	{ "io.nvfs.Show", ANYBODY, method_show },
	{ "io.nvfs.Status", ANYBODY, method_status },
	{ "io.nvfs.Node", ANYBODY, method_node },
	{ "io.nvfs.Cdi", ANYBODY, method_cdi },
	{ "io.nvfs.Files", ANYBODY, call_files },
	{ "io.nvfs.Check", ANYBODY, method_check },
	{ "io.nvfs.Why", ANYBODY, method_why },
	{ "io.nvfs.Generations", ANYBODY, method_generations },
	{ "io.nvfs.Rescan", ROOT, method_rescan },
	{ "io.nvfs.Handover", ROOT, method_handover },
	{ "io.nvfs.Shutdown", ROOT, method_shutdown },
	{ "org.varlink.service.GetInfo", ANYBODY, method_info },
	{ "org.varlink.service.GetInterfaceDescription", ANYBODY, method_description },
};

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
	if (method->who == ROOT && !is_root(daemon, client))
		return error_setc(err, ERROR_PERMISSION, -EPERM, "%s is for root in the daemon's own namespaces",
				  name);
	return method->run(daemon, client, params, message, trace, reply, err);
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
	log_info("%s of uid %u pid %d: %s [trace %s]", name, client_peer(client)->uid,
		 client_peer(client)->pid, err.text, trace);
	json_decref(reply.params);
	for (size_t i = 0; i < reply.n_fds; i++)
		cleanup_close(&reply.fds[i]);
	client_error(client, &err, trace);
}

void methods_gone(void *data, struct client *client)
{
	handover_client_gone(data, client);
	permit_client_gone(data, client);
	revoke_client_gone(data, client);
	daemon_client_gone(data, client);
}
