/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon goes on with, of one before it and from tick to tick. Of trees:
 *
 *   daemon_tree.c       made, changed, taken away and found
 *   daemon_container.c  how long: as long as something of their containers is left
 *   daemon_injection.c  what a client began and has not yet committed
 */
#include "fs/daemon.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/sys.h"
#include "fs/cdi_file.h"
#include "fs/daemon_impl.h"
#include "fs/events.h"
#include "fs/facts.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/handover.h"
#include "fs/link.h"
#include "fs/nodemaker.h"
#include "fs/permit.h"
#include "fs/reinject.h"
#include "fs/renewal.h"
#include "fs/revive.h"
#include "fs/server.h"
#include "fs/store.h"

#define COMMIT_WAIT_S 10
#define ALIVE_MS 100 /* the keeper asks every 500 */

void daemon_say_alive(struct daemon *daemon)
{
	int64_t now_ms = clock_ms();

	if (daemon->link < 0 || now_ms - daemon->alive_ms < ALIVE_MS)
		return;
	daemon->alive_ms = now_ms;
	(void)link_send(daemon->link, LINK_PONG, 0, -1);
}

/* going on */

/* The container's init, if it is still the same process. */
static int reopen_init(const struct store_tree *tree)
{
	struct process process;
	auto_close int pidfd = tree->pid ? sys_pidfd_open(tree->pid, 0) : -1;

	if (pidfd < 0 || process_from_pidfd(pidfd, &process, NULL) < 0 ||
	    process.start_time != tree->start_time)
		return -1;
	return take_fd(&pidfd);
}

static int resume_tree(struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	int r;

	if (!tree || !tree->mnt_ns)
		return 0;
	r = daemon_container_new(daemon, index, reopen_init(tree));
	if (r < 0)
		return r;
	if (tree->flags & STORE_TREE_UNCOMMITTED)
		daemon->containers[index]->commit_until = clock_s() + COMMIT_WAIT_S;
	if (!(tree->flags & STORE_TREE_STALE))
		return 0;
	for (uint32_t s = tree->snapshot; s != STORE_NONE;
	     s = store_snapshot(daemon->store, s)->next)
		daemon_forget_tree(daemon, index, store_snapshot(daemon->store, s)->layout);
	daemon_tree_set_flag(daemon, index, STORE_TREE_STALE, false);
	return 0;
}

/* After the end of the connection: who lives gets a mount that does. */
static void reconnect_trees(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		const struct store_tree *tree = store_tree(daemon->store, i);

		if (!daemon_container(daemon, i))
			continue;
		/* Its injector has undone everything when the daemon was gone. */
		if (tree->flags & STORE_TREE_UNCOMMITTED || !reinject_process(daemon, i))
			daemon_tree_remove(daemon, i);
		else
			reinject_tree(daemon, i);
	}
}

int daemon_resume(struct daemon *daemon, bool connected, struct error *err)
{
	struct error why = { 0 };
	int r = generation_load(daemon->store, &daemon->generation, &why);

	if (r == 0)
		daemon->generations = daemon->generation->number;
	else if (r != -ENOENT)
		log_warning("%s, looking for the driver anew", why.text);
	for (uint32_t i = 0; i < store_trees_end(daemon->store); i++) {
		r = resume_tree(daemon, i);
		if (r < 0)
			return error_set(err, r, "watch the containers");
	}
	revive_generations(daemon);
	facts_of_generation(daemon->facts);
	renewal_resume(daemon->renewal);
	if (!connected)
		reconnect_trees(daemon);
	return 0;
}

/* time */

/* Trees of a daemon that died before Commit, whose injector did not come back. */
static void check_uncommitted(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		const struct container *c = daemon->containers[i];

		if (c && c->commit_until && c->commit_until <= clock_s())
			daemon_tree_remove(daemon, i);
	}
}

static void tell_stalled(struct daemon *daemon, const char *path)
{
	char text[400];

	(void)snprintf(text, sizeof(text),
		       "'%.300s' does not answer: who reads it in a container waits", path);
	log_warning("%s", text);
	events_finding(daemon, text);
}

/* Host files that do not answer, said when there are more of them than before. */
static void report_stalled(struct daemon *daemon)
{
	uint32_t objects[DAEMON_STALLED_MAX];
	size_t n = filesystem_stalled(daemon->fs, objects, DAEMON_STALLED_MAX);

	for (size_t i = daemon->stalled; i < n; i++) {
		const struct store_object *object = store_object(daemon->store, objects[i]);

		if (object)
			tell_stalled(daemon, store_blob(daemon->store, object->path, NULL));
	}
	daemon->stalled = n;
}

void daemon_tick(struct daemon *daemon)
{
	report_stalled(daemon);
	server_expire(daemon->server);
	daemon_containers_check(daemon);
	check_uncommitted(daemon);
	renewal_tick(daemon->renewal);
	facts_tick(daemon->facts);
	nodemaker_tick(daemon);
	reinject_tick(daemon->reinjector);
	permit_tick(daemon);
	cdi_file_tick(daemon);
	handover_tick(daemon);
}
