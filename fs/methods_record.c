/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was done to a container, and taken back: methods of nvinject, which acts on the record, and says what
 * is to be in it.
 */
#include "fs/methods_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache.h"
#include "fs/audit.h"
#include "fs/cachebox.h"
#include "fs/claim.h"
#include "fs/daemon.h"
#include "fs/derive.h"
#include "fs/events.h"
#include "fs/permit.h"
#include "fs/process.h"
#include "fs/record.h"
#include "fs/reinject.h"
#include "fs/revoke.h"
#include "fs/server.h"
#include "fs/store.h"

/* Root's, and not on behalf of a user whose container gets again what he gave it. */
static bool is_for_root(const struct daemon *daemon, const struct client *client)
{
	return methods_is_root(daemon, client) &&
	       !reinject_is_child(daemon, client_peer(client)->pid);
}

/*
 * Its init, while that lives, or who else is in its mount namespace, whatever root he has; 0:
 * nobody.
 */
static pid_t who_is_left(const struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const struct container *container = index < daemon->containers_room
						    ? daemon->containers[index]
						    : NULL;
	pid_t pid;

	if (!tree->mnt_ns || !container)
		return 0;
	if (tree->pid && !container->init_dead)
		return tree->pid;
	pid = process_find(tree->mnt_ns, store_blob(daemon->store, tree->name, NULL));
	return pid ? pid : process_find(tree->mnt_ns, NULL);
}

int method_get(struct daemon *daemon, struct client *client, json_t *params,
	       struct varlink_message *message, const char *trace, struct method_reply *reply,
	       struct error *err)
{
	int64_t index = methods_tree(daemon, client, params, err);
	bool removing = json_is_true(json_object_get(params, "removing"));
	const struct store_tree *tree;
	json_t *json;
	int r = 0;

	(void)trace;
	if (index < 0)
		return (int)index;
	tree = store_tree(daemon->store, (uint32_t)index);
	if (json_object_get(params, "pidfd"))
		r = permit_check_process(daemon, (uint32_t)index, params, message, err);
	if (r < 0)
		return r;
	if (removing && methods_is_root(daemon, client) && tree->mnt_ns)
		permit_pause(daemon, (uint32_t)index);
	json = methods_tree_json(daemon, (uint32_t)index);
	if (removing)
		(void)json_object_set_new(json, "pid",
					  json_integer(who_is_left(daemon, (uint32_t)index)));
	(void)json_object_set_new(json, "serial",
				  json_integer(permit_record_number(daemon, (uint32_t)index)));
	if (is_for_root(daemon, client) && !(tree->flags & STORE_TREE_BY_ROOT))
		(void)json_object_set_new(
			json, "done",
			record_of_user(daemon, (uint32_t)index, json_object_get(json, "done")));
	return methods_reply(reply, json, err);
}

static struct injection *injection_of(struct daemon *daemon, struct client *client, json_t *params,
				      struct error *err)
{
	struct injection *injection =
		daemon_injection_find(daemon, client, varlink_string(params, "token", ""));

	if (!injection) /* taken back since, when the driver changed */
		(void)error_setc(err, ERROR_AGAIN, -ENOENT,
				 "no injection of this connection has that token");
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
		if (strcmp(varlink_string(step, "step", ""), varlink_string(wanted, "step", "")) ==
			    0 &&
		    strcmp(varlink_string(step, "target", ""),
			   varlink_string(wanted, "target", "")) == 0)
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
	json_t *before = record_load(daemon, tree);
	json_t *all = merge_done(before, done);
	auto_free char *text = json_dumps(all, JSON_COMPACT);

	json_decref(before);
	json_decref(all);
	if (!text || strlen(text) > RECORD_MAX)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'done' is more than %d bytes",
				  RECORD_MAX);
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
static int check_record(const struct daemon *daemon, const struct client *client,
			const json_t *done, struct error *err)
{
	const json_t *step;
	size_t i;

	if (!json_is_array(done))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'done' is not a list");
	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "step", ""), "cgroup") == 0 &&
		    !methods_is_root(daemon, client))
			return error_setc(err, ERROR_PERMISSION, -EPERM,
					  "uid %u may not change cgroups, nor say that it did",
					  client_peer(client)->uid);
	}
	return 0;
}

static int commit(struct daemon *daemon, const struct client *client, uint32_t tree,
		  const json_t *done, struct error *err)
{
	json_t *trusted;
	int r = check_record(daemon, client, done, err);

	if (r == 0 && is_for_root(daemon, client) &&
	    !(store_tree(daemon->store, tree)->flags & STORE_TREE_BY_ROOT))
		r = daemon_tree_take(daemon, tree, err);
	if (r < 0)
		return r;
	/* Root's child that injects a user's container anew has been told of what is the user's. */
	trusted = permit_trusted(done, methods_is_root(daemon, client) &&
					       store_tree(daemon->store, tree)->flags &
						       STORE_TREE_BY_ROOT);
	r = set_done(daemon, tree, trusted, err);
	json_decref(trusted);
	if (r == 0)
		permit_committed(daemon, tree);
	return r;
}

int method_commit(struct daemon *daemon, struct client *client, json_t *params,
		  struct varlink_message *message, const char *trace, struct method_reply *reply,
		  struct error *err)
{
	struct injection *injection = injection_of(daemon, client, params, err);
	const char *asked_by;
	uint32_t tree;
	int r;

	(void)message;
	(void)trace;
	if (!injection)
		return -ENOENT;
	/* Nothing would know how to take back what was done to the container. */
	if (!daemon_injection_tree(daemon, injection) ||
	    permit_is_removing(daemon, injection->tree))
		return error_setc(err, ERROR_AGAIN, -ENOENT, "its tree was removed meanwhile");
	r = commit(daemon, client, injection->tree, json_object_get(params, "done"), err);
	if (r < 0)
		return r;
	audit_tree(daemon, injection->tree, AUDIT_INJECTED, injection->trace,
		   "injected '%s' in %" JSON_INTEGER_FORMAT " us",
		   permit_name(daemon, injection->tree),
		   json_integer_value(json_object_get(params, "time_us")));
	tree = injection->tree;
	asked_by = injection->asked_by;
	daemon_injection_end(daemon, injection, true);
	events_of_tree(daemon, EVENT_INJECTED, tree,
		       json_pack("{s:I, s:s}", "took_us",
				 json_integer_value(json_object_get(params, "time_us")), "client",
				 asked_by));
	return methods_reply(reply, json_object(), err);
}

int method_abort(struct daemon *daemon, struct client *client, json_t *params,
		 struct varlink_message *message, const char *trace, struct method_reply *reply,
		 struct error *err)
{
	struct injection *injection = injection_of(daemon, client, params, err);

	(void)message;
	(void)trace;
	if (!injection)
		return -ENOENT;
	daemon_injection_end(daemon, injection, false);
	return methods_reply(reply, json_object(), err);
}

static bool sees_any_tree(const struct daemon *daemon, const struct client *client)
{
	const struct daemon_viewer viewer = methods_viewer(daemon, client);

	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		if (daemon->containers[i] && daemon_may_see(daemon, &viewer, i))
			return true;
	}
	return false;
}

int method_strip(struct daemon *daemon, struct client *client, json_t *params,
		 struct varlink_message *message, const char *trace, struct method_reply *reply,
		 struct error *err)
{
	const char *target = varlink_string(params, "target", "");
	const json_t *cache = json_object_get(params, "cache");
	auto_free void *bytes = NULL;
	size_t len;
	int r;

	(void)trace;
	/* Work for the parser is only for who has something to take back. */
	if (!sees_any_tree(daemon, client))
		return error_setc(err, ERROR_PERMISSION, -EPERM, "uid %u has no tree",
				  client_peer(client)->uid);
	if (!json_is_integer(cache) || json_integer_value(cache) != 0 || message->n_fds != 1 ||
	    !claim_target_is_valid(target))
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "one 'cache' and its 'target' are needed");
	if (file_memfd_sealed_size(message->fds[0], DERIVE_IMAGE_MAX) < 0)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "the cache is not a sealed memfd of at most %lu bytes",
				  DERIVE_IMAGE_MAX);
	r = cachebox_merge(daemon->box, message->fds[0], NULL, 0, target, &bytes, &len, err);
	if (r < 0)
		return error_wrap(err, r, "take the driver's entries out of the cache");
	r = file_memfd("ld.so.cache", bytes, len);
	if (r < 0)
		return error_set(err, r, "make a memfd");
	reply->fds[reply->n_fds++] = r;
	return methods_reply(reply, json_pack("{s:i}", "cache", 0), err);
}

/* What has been done to the container since its record was read has not been taken back. */
static int check_serial(const struct daemon *daemon, uint32_t tree, json_t *params,
			struct error *err)
{
	const json_t *serial = json_object_get(params, "serial");

	if (!serial || json_integer_value(serial) == permit_record_number(daemon, tree))
		return 0;
	(void)error_setc(err, ERROR_AGAIN, -EBUSY, "it has been injected meanwhile");
	return error_remedy(err, -EBUSY, "remove it again");
}

int method_remove(struct daemon *daemon, struct client *client, json_t *params,
		  struct varlink_message *message, const char *trace, struct method_reply *reply,
		  struct error *err)
{
	int64_t index = methods_tree(daemon, client, params, err);
	bool keep = json_is_true(json_object_get(params, "permission"));
	int r;

	(void)message;
	(void)trace;
	if (index < 0)
		return (int)index;
	if (!store_tree(daemon->store, (uint32_t)index)->mnt_ns)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "the reference tree is not a container's");
	r = check_serial(daemon, (uint32_t)index, params, err);
	r = r ? r : permit_remove(daemon, (uint32_t)index, client, keep, err);
	reply->later = r == 0;
	if (r <= 0)
		return r;
	if (!keep)
		daemon_tree_remove(daemon, (uint32_t)index);
	return methods_reply(reply, json_object(), err);
}

/* What only nvinject as a child of ours, and root, ask for. */
static int64_t container_of_call(struct daemon *daemon, struct client *client, json_t *params,
				 struct error *err)
{
	int64_t index = methods_tree(daemon, client, params, err);

	if (index >= 0 && !store_tree(daemon->store, (uint32_t)index)->mnt_ns)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "the reference tree is not a container's");
	return index;
}

int method_call_heal(struct daemon *daemon, struct client *client, json_t *params,
		     struct varlink_message *message, const char *trace, struct method_reply *reply,
		     struct error *err)
{
	int64_t index = container_of_call(daemon, client, params, err);

	(void)trace;
	return index < 0 ? (int)index
			 : method_heal(daemon, (uint32_t)index, params, message, reply, err);
}

int method_call_healed(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace,
		       struct method_reply *reply, struct error *err)
{
	int64_t index = container_of_call(daemon, client, params, err);

	(void)message;
	(void)trace;
	return index < 0 ? (int)index : method_healed(daemon, (uint32_t)index, params, reply, err);
}

int method_call_revoke(struct daemon *daemon, struct client *client, json_t *params,
		       struct varlink_message *message, const char *trace,
		       struct method_reply *reply, struct error *err)
{
	int64_t index = container_of_call(daemon, client, params, err);

	(void)message;
	(void)trace;
	return index < 0 ? (int)index : method_revoke(daemon, (uint32_t)index, client, reply, err);
}
