/* SPDX-License-Identifier: Apache-2.0 */
/* Methods that look and change nothing: what they tell depends on who asks. */
#include "fs/methods_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/cdi_file.h"
#include "fs/changeover.h"
#include "fs/compose.h"
#include "fs/counters.h"
#include "fs/daemon.h"
#include "fs/events.h"
#include "fs/facts.h"
#include "fs/files_method.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/health.h"
#include "fs/numbers.h"
#include "fs/permit.h"
#include "fs/record.h"
#include "fs/reinject.h"
#include "fs/renewal.h"
#include "fs/sandbox.h"
#include "fs/server.h"
#include "fs/store.h"
#include "fs/why.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/node.h"

#define LIST_PIECE 256 /* trees: ten thousand would take the loop a third of a second */

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

static json_t *features_json(const struct features *features)
{
	return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b}", "passthrough", features->passthrough,
			 "resend", features->resend, "idmap", features->idmap, "epoch",
			 features->epoch, "statmount", features->statmount, "pidfd_ns",
			 features->pidfd_ns);
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

	if (daemon->link < 0 ||
	    getsockopt(daemon->link, SOL_SOCKET, SO_PEERCRED, &keeper, &size) < 0)
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
			(void)json_array_append_new(
				list, json_string(store_blob(daemon->store, object->path, NULL)));
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
		(void)json_array_append_new(list, json_pack("{s:s, s:i}", "call", refused[i].call,
							    "count", (int)refused[i].count));
	return json_pack("{s:b, s:o}", "seccomp", sandbox_is_filtered(), "refused", list);
}

static int usable_gpus(const struct gpu_list *gpus)
{
	int n = 0;

	for (size_t i = 0; i < gpus->n; i++)
		n += gpus->gpus[i].usable;
	return n;
}

int method_status(struct daemon *daemon, struct client *client, json_t *params,
		  struct varlink_message *message, const char *trace, struct method_reply *reply,
		  struct error *err)
{
	const struct generation *g = daemon->generation;
	const struct features *features = filesystem_features(daemon->fs);
	const struct daemon_viewer viewer = methods_viewer(daemon, client);
	json_t *json = json_pack(
		"{s:s, s:i, s:i, s:s, s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:o, s:o, s:s, s:o, s:I}",
		"version", NVFS_VERSION, "daemon_pid", (int)daemon->self.pid, "keeper_pid",
		keeper_pid(daemon), "mountpoint", daemon->config.mountpoint, "driver_root",
		daemon->config.driver_root, "proc_root", daemon->config.proc_root, "started",
		(json_int_t)daemon->started, "uptime", (json_int_t)(time(NULL) - daemon->started),
		"containers", (int)daemon_trees_in_use(daemon), "trees",
		(int)store_trees_count(daemon->store), "generation", g ? (int)g->number : 0,
		"generations", generation_numbers_json(daemon), "features", features_json(features),
		"mode", features->passthrough ? "passthrough" : "fallback", "counters",
		counters_json(store_counters(daemon->store)), "state_bytes",
		(json_int_t)store_memory(daemon->store));

	(void)params;
	(void)message;
	(void)trace;
	(void)json_object_set_new(json, "rules_dir", json_string(daemon->config.rules_dir));
	(void)json_object_set_new(json, "sandbox", sandbox_json());
	(void)json_object_set_new(json, "nvml",
				  facts_status(daemon, viewer.is_root || viewer.is_local));
	(void)json_object_set_new(json, "permissions", permit_status(daemon));
	(void)json_object_set_new(json, "events", events_status(daemon));
	(void)json_object_set_new(json, "stalled", stalled_json(daemon));
	(void)json_object_set_new(json, "reinject", reinject_status(daemon, &viewer));
	(void)json_object_set_new(json, "looks", renewal_status(daemon->renewal));
	(void)json_object_set_new(json, "views", numbers_views(daemon));
	if (viewer.is_root) /* it counts descriptors, of which there may be many: not for a flood */
		(void)json_object_set_new(json, "process", numbers_process());
	if (g) {
		(void)json_object_set_new(json, "cuda", json_string(g->driver->cuda));
		(void)json_object_set_new(json, "gpus_usable", json_integer(usable_gpus(g->gpus)));
		(void)json_object_set_new(json, "driver_version", json_string(g->driver->version));
		(void)json_object_set_new(json, "gpus", json_integer((json_int_t)g->gpus->n));
	} else {
		(void)json_object_set_new(json, "no_driver",
					  json_string(renewal_note(daemon->renewal)));
	}
	if (g && *renewal_note(daemon->renewal))
		(void)json_object_set_new(json, "note", json_string(renewal_note(daemon->renewal)));
	return methods_reply(reply, json, err);
}

/* What everybody on this host can read in /proc. A container knows of its own GPUs alone. */
int method_node(struct daemon *daemon, struct client *client, json_t *params,
		struct varlink_message *message, const char *trace, struct method_reply *reply,
		struct error *err)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);
	const struct generation *g = daemon->generation;
	json_t *json;

	(void)params;
	(void)message;
	(void)trace;
	if (!viewer.is_root && !viewer.is_local)
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "all GPUs are told in the host's namespaces alone");
	if (!g)
		return error_setc(err, ERROR_DRIVER, -ENOENT, "no driver yet: %s",
				  renewal_note(daemon->renewal));
	json = node_json(g->driver, g->gpus);
	if (json)
		(void)json_object_set_new(json, "nvml", facts_status(daemon, true));
	return methods_reply(reply, json, err);
}

/* Which GPUs there are, as above. */
int method_cdi(struct daemon *daemon, struct client *client, json_t *params,
	       struct varlink_message *message, const char *trace, struct method_reply *reply,
	       struct error *err)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);
	json_t *json = NULL;
	int r;

	(void)message;
	(void)trace;
	if (!viewer.is_root && !viewer.is_local)
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "all GPUs are told in the host's namespaces alone");
	r = cdi_method(daemon, params, &json, err);
	return r ? r : methods_reply(reply, json, err);
}

int method_call_files(struct daemon *daemon, struct client *client, json_t *params,
		      struct varlink_message *message, const char *trace,
		      struct method_reply *reply, struct error *err)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);

	(void)message;
	(void)trace;
	if (!viewer.is_root && !viewer.is_local)
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "the driver's files are told in the host's namespaces alone");
	return method_files(daemon, params, viewer.uid, viewer.is_root, &reply->params, err);
}

int method_check(struct daemon *daemon, struct client *client, json_t *params,
		 struct varlink_message *message, const char *trace, struct method_reply *reply,
		 struct error *err)
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
	json = json_pack("{s:s, s:o, s:i, s:i, s:s, s:i}", "state",
			 json_array_size(reasons) ? "degraded" : "ok", "reasons", reasons,
			 "daemon_pid", (int)daemon->self.pid, "keeper_pid", keeper_pid(daemon),
			 "mode",
			 filesystem_features(daemon->fs)->passthrough ? "passthrough" : "fallback",
			 "containers", (int)daemon_trees_in_use(daemon));
	if (g)
		(void)json_object_set_new(json, "driver_version", json_string(g->driver->version));
	return methods_reply(reply, json, err);
}

/* From *at on, and not more than @max of them. */
static json_t *trees_json(struct daemon *daemon, const struct client *client, uint32_t max,
			  uint32_t *at)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);
	json_t *trees = json_array();

	for (; *at < daemon->containers_room && max; ++*at) {
		if (!daemon->containers[*at] || !daemon_may_see(daemon, &viewer, *at))
			continue;
		daemon_say_alive(daemon);
		(void)json_array_append_new(trees, tree_json(daemon, *at));
		max--;
	}
	daemon_say_alive(daemon);
	return json_pack("{s:o}", "trees", trees);
}

/* A tree that is there all the time keeps its place, and is told once. */
static json_t *list_piece(void *data, struct client *client, uint32_t *at, bool *last)
{
	struct daemon *daemon = data;
	json_t *piece = trees_json(daemon, client, LIST_PIECE, at);

	*last = *at >= daemon->containers_room;
	return piece;
}

int method_list(struct daemon *daemon, struct client *client, json_t *params,
		struct varlink_message *message, const char *trace, struct method_reply *reply,
		struct error *err)
{
	uint32_t at = 0;

	(void)params;
	(void)trace;
	if (!json_is_true(json_object_get(message->json, "more")))
		return methods_reply(reply, trees_json(daemon, client, UINT32_MAX, &at), err);
	reply->later = true;
	client_answer_in_pieces(client, list_piece, daemon);
	return 0;
}

json_t *methods_tree_json(const struct daemon *daemon, uint32_t index)
{
	json_t *json = tree_json(daemon, index);
	json_t *done = record_load(daemon, index);

	(void)json_object_set_new(json, "done", done ? done : json_array());
	return json;
}

int method_show(struct daemon *daemon, struct client *client, json_t *params,
		struct varlink_message *message, const char *trace, struct method_reply *reply,
		struct error *err)
{
	int64_t index = methods_tree(daemon, client, params, err);
	auto_free char *text = NULL;
	const struct store_tree *tree;
	json_t *compat;
	int r;

	(void)message;
	(void)trace;
	if (index < 0)
		return (int)index;
	r = methods_reply(reply, methods_tree_json(daemon, (uint32_t)index), err);
	if (r < 0)
		return r;
	tree = store_tree(daemon->store, (uint32_t)index);
	text = compose_print(daemon->store, store_snapshot(daemon->store, tree->snapshot)->layout);
	if (text)
		(void)json_object_set_new(reply->params, "tree", json_string(text));
	compat = compose_compat(daemon->store,
				store_snapshot(daemon->store, tree->snapshot)->layout);
	if (compat)
		(void)json_object_set_new(reply->params, "cuda_compat", compat);
	return 0;
}

static json_t *generation_json(const struct daemon *daemon, const struct generation *g)
{
	return json_pack("{s:i, s:s, s:b, s:I, s:s, s:i, s:i, s:i, s:b}", "number", (int)g->number,
			 "driver_version", g->driver->version, "version_from_module",
			 g->driver->version_from_module, "made", (json_int_t)g->made_s,
			 "driver_root", g->driver->root, "files", (int)g->driver->n_files, "gpus",
			 (int)g->gpus->n, "trees", (int)changeover_trees_of(daemon, g), "current",
			 g == daemon->generation);
}

int method_generations(struct daemon *daemon, struct client *client, json_t *params,
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
	return methods_reply(
		reply, json_pack("{s:o, s:o}", "generations", list, "warnings", warnings), err);
}

/* The reference tree has no secrets: nvfs driver tells the same to anybody. */
static int64_t tree_to_explain(struct daemon *daemon, const struct client *client, json_t *params,
			       struct error *err)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);
	const char *name = varlink_string(params, "tree", NULL);
	uint32_t index = name ? store_tree_find(daemon->store, name) : STORE_NONE;

	if (!name)
		return methods_tree(daemon, client, params, err);
	if (index != STORE_NONE &&
	    (strcmp(name, IDENT_HOST) == 0 || daemon_may_see(daemon, &viewer, index)))
		return index;
	(void)error_setc(err, ERROR_USAGE, -ENOENT, "no tree '%.64s'", name);
	return error_remedy(err, -ENOENT, "nvfs ls lists them");
}

int method_why(struct daemon *daemon, struct client *client, json_t *params,
	       struct varlink_message *message, const char *trace, struct method_reply *reply,
	       struct error *err)
{
	enum why_kind kind;
	int64_t index;

	(void)message;
	(void)trace;
	if (why_kind_by_name(varlink_string(params, "kind", ""), &kind) < 0)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "'kind' is not tree, container, name or host");
	if (!daemon->generation)
		return error_setc(err, ERROR_DRIVER, -ENOENT, "no driver yet: %s",
				  renewal_note(daemon->renewal));
	index = tree_to_explain(daemon, client, params, err);
	if (index < 0)
		return (int)index;
	return why_explain(daemon, (uint32_t)index, kind, varlink_string(params, "path", ""),
			   &reply->params, err);
}
