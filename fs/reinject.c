/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvinject as a child of the daemon. The child asks the daemon as any other
 * nvinject does, so nothing here may wait for it: its pidfd is an event source.
 */
#include "fs/reinject.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/audit.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/reinject_command.h"
#include "fs/spawned.h"
#include "fs/store.h"

#define AT_ONCE 4       /* children that run at the same time */
#define LIMIT_S 60      /* one that takes longer hangs */
#define TRIES 3         /* for a reason that does not look as if it would pass */
#define PAUSE_S 2       /* before the next try; twice as long each time */
#define PAUSE_MAX_S 60

struct child {
	struct spawned spawned; /* first: cast back */
	struct reinjector *owner;
	uint32_t tree, serial;
};

struct reinjector {
	struct daemon *daemon;
	struct child children[AT_ONCE];
};

static const char *tree_name(const struct daemon *daemon, uint32_t tree)
{
	return store_blob(daemon->store, store_tree(daemon->store, tree)->name, NULL);
}

pid_t reinject_process(const struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	struct process process;

	if (tree->pid && process_from_pid(tree->pid, &process, NULL) == 0 &&
	    process.start_time == tree->start_time && process.mnt_ns == tree->mnt_ns)
		return tree->pid;
	return process_find(tree->mnt_ns, tree_name(daemon, index));
}

struct nodes reinject_nodes(const struct daemon *daemon, uint32_t index)
{
	const char *majors = daemon->generation ? daemon->generation->majors : NULL;
	const char *text = store_blob(daemon->store, store_tree(daemon->store, index)->done, NULL);
	json_t *done = text ? json_loads(text, 0, NULL) : NULL;
	struct nodes nodes = nodes_check(done, majors, daemon->dev_fd);

	json_decref(done);
	return nodes;
}

/* children */

static struct child *child_of(struct reinjector *reinjector, uint32_t tree)
{
	for (size_t i = 0; i < AT_ONCE; i++) {
		if (reinjector->children[i].spawned.pid && reinjector->children[i].tree == tree)
			return &reinjector->children[i];
	}
	return NULL;
}

static struct child *free_child(struct reinjector *reinjector)
{
	size_t i = 0;

	while (i < AT_ONCE && reinjector->children[i].spawned.pid)
		i++;
	return i < AT_ONCE ? &reinjector->children[i] : NULL;
}

/*
 * Will the same thing work later? A driver that is being changed, a daemon that was busy; after a
 * module was loaded anew, device nodes of the host that come last.
 */
static bool may_pass(const struct container *container, int status)
{
	return status == ERROR_AGAIN || status == ERROR_DRIVER || status == ERROR_DAEMON ||
	       (status == ERROR_DEVICE && container->nodes_moved);
}

static void postpone(struct container *container)
{
	unsigned int pause = PAUSE_S
			     << (container->reinject_failed < 5 ? container->reinject_failed : 5);

	container->reinject_failed++;
	container->reinject_at = clock_s() + (pause < PAUSE_MAX_S ? pause : PAUSE_MAX_S);
}

static void failed(struct daemon *daemon, uint32_t tree, int status)
{
	struct container *container = daemon->containers[tree];

	postpone(container);
	if (may_pass(container, status) || container->reinject_failed < TRIES)
		return;
	log_error("container '%s' %s: nvinject exited with status %d; inject it by hand, or "
		  "restart it",
		  tree_name(daemon, tree),
		  container->nodes_moved
			  ? "keeps device nodes of majors that are not the driver's any more"
			  : "has no driver tree any more",
		  status);
	container->given_up = true;
	daemon_tree_set_flag(daemon, tree, STORE_TREE_REINJECT, false);
}

/*
 * Nodes are left that are not the driver's: the host has none yet, or had none when this began. What
 * the host has and nvinject has not replaced, again and again, is not the container's to have.
 */
static bool goes_on(const struct container *container, const struct nodes *left)
{
	return left->stale && (left->ready < left->stale || left->stale < container->stale_nodes ||
			       container->reinject_failed < TRIES);
}

static void succeeded(struct daemon *daemon, uint32_t tree)
{
	struct container *container = daemon->containers[tree];
	const struct nodes left = reinject_nodes(daemon, tree);

	if (goes_on(container, &left)) {
		container->nodes_moved = true;
		postpone(container);
		return;
	}
	audit_tree(daemon, tree, AUDIT_INJECTED, NULL, "injected '%s' anew",
		   tree_name(daemon, tree));
	container->reinject_failed = 0;
	container->nodes_moved = false;
	daemon_tree_set_flag(daemon, tree, STORE_TREE_REINJECT, false);
}

static void ended(struct daemon *daemon, uint32_t tree, int status)
{
	if (status == 0)
		succeeded(daemon, tree);
	else if (!reinject_process(daemon, tree))
		daemon_tree_set_flag(daemon, tree, STORE_TREE_REINJECT, false); /* it is over, too */
	else
		failed(daemon, tree, status);
}

static bool is_container(const struct daemon *daemon, uint32_t tree)
{
	return tree < daemon->containers_room && daemon->containers[tree];
}

static void on_child_end(struct spawned *spawned, int status)
{
	struct child *child = (struct child *)spawned;
	struct reinjector *reinjector = child->owner;
	struct daemon *daemon = reinjector->daemon;
	const struct store_tree *tree = store_tree(daemon->store, child->tree);

	if (tree && tree->serial == child->serial && is_container(daemon, child->tree))
		ended(daemon, child->tree, WIFEXITED(status) ? WEXITSTATUS(status) : ERROR_OTHER);
	reinject_tick(reinjector);
}

static int child_start(struct child *child, struct daemon *daemon, uint32_t tree, pid_t pid,
		       struct error *err)
{
	const struct store_tree *t = store_tree(daemon->store, tree);
	const struct reinject_request request = {
		.program = daemon->config.nvinject,
		.socket = daemon->config.socket,
		.spec = store_blob(daemon->store, t->spec, NULL),
		.done = store_blob(daemon->store, t->done, NULL),
		.gpus = daemon->generation->gpus,
		.pid = pid,
		.owner = t->flags & STORE_TREE_BY_ROOT ? -1 : (int64_t)t->owner,
	};
	struct reinject_command command = { .n = 0 };
	struct spawn spawn = { .program = command.program, .argv = command.argv, .out = -1 };
	int r = reinject_command_build(&request, &command, err);

	if (r == 0)
		r = spawned_start(&child->spawned, daemon->loop, &spawn, err);
	reinject_command_done(&command);
	child->tree = tree;
	child->serial = t->serial;
	return r;
}

/* waiting trees */

static bool is_due(struct reinjector *reinjector, uint32_t index)
{
	struct daemon *daemon = reinjector->daemon;
	const struct store_tree *tree = store_tree(daemon->store, index);

	return tree && is_container(daemon, index) && tree->flags & STORE_TREE_REINJECT &&
	       daemon->containers[index]->reinject_at <= clock_s() && !child_of(reinjector, index);
}

bool reinject_is_due(const struct daemon *daemon, uint32_t tree)
{
	return daemon->reinjector &&
	       (is_due(daemon->reinjector, tree) || child_of(daemon->reinjector, tree));
}

/* For its nodes alone: not before one of them can be had. */
static bool must_wait(const struct daemon *daemon, uint32_t tree)
{
	struct container *container = daemon->containers[tree];
	const struct nodes nodes = reinject_nodes(daemon, tree);

	container->stale_nodes = nodes.stale;
	return container->nodes_moved && !nodes.ready;
}

static void start_one(struct reinjector *reinjector, struct child *child, uint32_t tree)
{
	struct daemon *daemon = reinjector->daemon;
	struct error err = { 0 };
	pid_t pid = reinject_process(daemon, tree);

	if (!pid) {
		daemon_tree_set_flag(daemon, tree, STORE_TREE_REINJECT, false);
		return;
	}
	if (must_wait(daemon, tree)) {
		postpone(daemon->containers[tree]);
		return;
	}
	if (child_start(child, daemon, tree, pid, &err) < 0) {
		log_error("inject '%s' anew: %s%s%s", tree_name(daemon, tree), err.text,
			  *err.remedy ? "; " : "", err.remedy);
		failed(daemon, tree, ERROR_OTHER);
	}
}

void reinject_tick(struct reinjector *reinjector)
{
	const struct daemon *daemon = reinjector->daemon;
	struct child *child;

	for (size_t i = 0; i < AT_ONCE; i++)
		spawned_check(&reinjector->children[i].spawned, LIMIT_S);
	if (!daemon->generation || daemon->generation->damaged)
		return; /* there is nothing to give yet */
	for (uint32_t i = 0; i < store_trees_end(daemon->store); i++) {
		if (!is_due(reinjector, i))
			continue;
		daemon_say_alive(reinjector->daemon);
		child = free_child(reinjector);
		if (!child)
			return;
		start_one(reinjector, child, i);
	}
}

void reinject_tree(struct daemon *daemon, uint32_t tree)
{
	if (!is_container(daemon, tree))
		return;
	daemon->containers[tree]->reinject_at = 0;
	daemon->containers[tree]->reinject_failed = 0;
	daemon->containers[tree]->given_up = false;
	daemon_tree_set_flag(daemon, tree, STORE_TREE_REINJECT, true);
}

json_t *reinject_status(const struct daemon *daemon, const struct daemon_viewer *viewer)
{
	json_t *failed_ids = json_array();
	int waiting = 0;

	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		if (!daemon->containers[i])
			continue;
		waiting += (store_tree(daemon->store, i)->flags & STORE_TREE_REINJECT) != 0;
		if (daemon->containers[i]->given_up && daemon_may_see(daemon, viewer, i))
			(void)json_array_append_new(failed_ids, json_string(tree_name(daemon, i)));
	}
	return json_pack("{s:i, s:o}", "waiting", waiting, "failed", failed_ids);
}

bool reinject_is_child(const struct daemon *daemon, pid_t pid)
{
	for (size_t i = 0; i < AT_ONCE; i++) {
		if (daemon->reinjector->children[i].spawned.pid &&
		    daemon->reinjector->children[i].spawned.pid == pid)
			return true;
	}
	return false;
}

bool reinject_fits(const struct daemon *daemon, pid_t caller, uint64_t mnt_ns)
{
	for (size_t i = 0; i < AT_ONCE; i++) {
		const struct child *child = &daemon->reinjector->children[i];
		const struct store_tree *tree = store_tree(daemon->store, child->tree);

		if (child->spawned.pid && child->spawned.pid == caller)
			return tree && tree->serial == child->serial && tree->mnt_ns == mnt_ns;
	}
	return true;
}

int reinjector_new(struct daemon *daemon, struct reinjector **ret, struct error *err)
{
	struct reinjector *reinjector = calloc(1, sizeof(*reinjector));

	if (!reinjector)
		return error_set(err, -ENOMEM, "prepare injections");
	reinjector->daemon = daemon;
	for (size_t i = 0; i < AT_ONCE; i++)
		reinjector->children[i] = (struct child){ .owner = reinjector,
							  .spawned.ended = on_child_end };
	*ret = reinjector;
	return 0;
}

void reinjector_free(struct reinjector *reinjector)
{
	for (size_t i = 0; reinjector && i < AT_ONCE; i++)
		spawned_kill(&reinjector->children[i].spawned);
	free(reinjector);
}
