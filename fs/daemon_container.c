/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers, and how long they last: a tree stays while anything of its container is left: its init, or
 * any process in its mount namespace. When neither is there, it goes after a grace.
 */
#include "fs/daemon_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "fs/filesystem.h"
#include "fs/store.h"

struct container *daemon_container(const struct daemon *daemon, uint32_t tree)
{
	return tree < daemon->containers_room ? daemon->containers[tree] : NULL;
}

void daemon_container_free(struct daemon *daemon, struct container *container)
{
	if (!container)
		return;
	if (container->source.fd >= 0) {
		loop_remove(daemon->loop, &container->source);
		(void)close(container->source.fd);
	}
	daemon->containers[container->tree] = NULL;
	free(container);
}

static void init_died(struct loop_source *source, uint32_t events)
{
	struct container *container = (struct container *)source;

	(void)events;
	loop_remove(container->daemon->loop, source);
	(void)close(source->fd);
	source->fd = -1;
	container->init_dead = true; /* daemon_tick() asks who else is there */
}

static int containers_reserve(struct daemon *daemon, uint32_t tree)
{
	uint32_t room = (tree / 256 + 1) * 256;
	struct container **bigger;

	if (tree < daemon->containers_room)
		return 0;
	bigger = realloc(daemon->containers, room * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + daemon->containers_room, 0,
	       (room - daemon->containers_room) * sizeof(*bigger));
	daemon->containers = bigger;
	daemon->containers_room = room;
	return 0;
}

/* @pidfd is taken over. */
int daemon_container_new(struct daemon *daemon, uint32_t tree, int pidfd)
{
	struct container *container = calloc(1, sizeof(*container));
	int r = container ? containers_reserve(daemon, tree) : -ENOMEM;

	if (r == 0 && pidfd >= 0) {
		container->source = (struct loop_source){ .fd = pidfd, .on_ready = init_died };
		r = loop_add(daemon->loop, &container->source, EPOLLIN);
	} else if (r == 0) {
		container->source.fd = -1;
		container->init_dead = true;
	}
	if (r < 0) {
		free(container);
		cleanup_close(&pidfd);
		return r;
	}
	container->daemon = daemon;
	container->tree = tree;
	daemon->containers[tree] = container;
	return 0;
}

/* who is left */

/* Where its init is dead, any process of its mount namespace stands for it. */
bool daemon_container_is(const struct daemon *daemon, uint32_t index, const struct process *process)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const struct container *container = daemon_container(daemon, index);

	if (tree->mnt_ns != process->mnt_ns)
		return false;
	return !tree->pid || (container && container->init_dead) ||
	       (tree->pid == process->pid && tree->start_time == process->start_time);
}

/* A process that stands for a container without init: one that has the tree, if that is mounted already. */
static struct process_wanted wanted_of(const struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	bool is_mounted = !(tree->flags & STORE_TREE_UNCOMMITTED);

	return (struct process_wanted){
		.mnt_ns = tree->mnt_ns,
		.tree = is_mounted ? store_blob(daemon->store, tree->name, NULL) : NULL
	};
}

/* Its init, or any other process in its mount namespace. */
bool daemon_container_is_alive(const struct daemon *daemon, uint32_t index)
{
	const struct container *container = daemon_container(daemon, index);
	struct process_wanted wanted = wanted_of(daemon, index);

	if (!container || !container->init_dead)
		return true;
	process_find_each(&wanted, 1);
	return wanted.pid != 0;
}

uint32_t daemon_trees_in_use(const struct daemon *daemon)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < daemon->containers_room; i++)
		n += daemon->containers[i] != NULL;
	return n;
}

/* Asks about all containers whose init is dead: the answers, and whose they are; the caller frees both. */
static size_t ask_for_dead(const struct daemon *daemon, struct process_wanted **ret,
			   uint32_t **ret_trees)
{
	size_t n = 0;

	*ret = calloc(daemon->containers_room + 1, sizeof(**ret));
	*ret_trees = calloc(daemon->containers_room + 1, sizeof(**ret_trees));
	for (uint32_t i = 0; *ret && *ret_trees && i < daemon->containers_room; i++) {
		if (!daemon->containers[i] || !daemon->containers[i]->init_dead)
			continue;
		(*ret)[n] = wanted_of(daemon, i);
		(*ret_trees)[n++] = i;
	}
	if (n)
		process_find_each(*ret, n);
	return n;
}

/*
 * Nobody is left in the mount namespaces of these trees: those that are mounted nowhere else are moved to the
 * front. A mount namespace that was made from the container's has a copy of its mount.
 *
 * Return: how many they are; none where that cannot be found out.
 */
static size_t find_unmounted(const struct daemon *daemon, uint32_t *trees, size_t n)
{
	auto_free struct process_mounted *asked = calloc(n + 1, sizeof(*asked));
	auto_free char(*roots)[IDENT_MAX + 2] = calloc(n + 1, sizeof(*roots));
	size_t n_unmounted = 0;
	struct stat st;

	if (!n || !asked || !roots || fstatat(filesystem_root(daemon->fs), "", &st, AT_EMPTY_PATH) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct store_tree *tree = store_tree(daemon->store, trees[i]);

		(void)snprintf(roots[i], sizeof(roots[i]), "/%s",
			       store_blob(daemon->store, tree->name, NULL));
		asked[i].root = roots[i];
	}
	if (filesystem_features(daemon->fs)->statmount)
		process_mounts_each(st.st_dev, asked, n);
	else
		process_mounts_in_proc(st.st_dev, asked, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t tree = trees[i];

		if (asked[i].is_mounted)
			continue;
		trees[i] = trees[n_unmounted];
		trees[n_unmounted++] = tree;
	}
	return n_unmounted;
}

/* Trees whose containers have no process: how many, and which; the caller frees the list. */
static size_t find_lifeless(const struct daemon *daemon, uint32_t **ret)
{
	auto_free struct process_wanted *wanted = NULL;
	size_t n = ask_for_dead(daemon, &wanted, ret), n_lifeless = 0;

	for (size_t i = 0; i < n; i++) {
		if (!wanted[i].pid)
			(*ret)[n_lifeless++] = (*ret)[i];
	}
	return n_lifeless;
}

uint32_t daemon_trees_alive(struct daemon *daemon)
{
	auto_free uint32_t *trees = NULL;
	size_t n = find_lifeless(daemon, &trees);

	daemon_say_alive(daemon);
	return daemon_trees_in_use(daemon) - (uint32_t)find_unmounted(daemon, trees, n);
}

bool daemon_has_live_tree(struct daemon *daemon)
{
	auto_free uint32_t *trees = NULL;
	size_t n = find_lifeless(daemon, &trees), n_used = daemon_trees_in_use(daemon);

	daemon_say_alive(daemon);
	return n_used > n || n_used > find_unmounted(daemon, trees, n);
}

static void remove_unmounted(struct daemon *daemon, uint32_t *trees, size_t n)
{
	size_t n_unmounted = find_unmounted(daemon, trees, n);

	for (size_t i = 0; i < n_unmounted; i++)
		daemon_tree_remove(daemon, trees[i]);
	for (size_t i = n_unmounted; i < n; i++)
		daemon_container(daemon, trees[i])->ends = 0; /* asked again after another grace */
}

/* Nobody is left in its mount namespace: has it been so for a grace? */
static bool is_over(const struct daemon *daemon, struct container *c)
{
	time_t now = clock_s();

	if (!c->ends)
		c->ends = now + (time_t)daemon->config.grace_s;
	return c->ends <= now;
}

/* Trees whose init is dead: is anybody left in their mount namespaces? */
void daemon_containers_check(struct daemon *daemon)
{
	auto_free struct process_wanted *wanted = NULL;
	auto_free uint32_t *trees = NULL;
	size_t n = ask_for_dead(daemon, &wanted, &trees), n_over = 0;

	for (size_t i = 0; i < n; i++) {
		struct container *c = daemon_container(daemon, trees[i]);

		if (wanted[i].pid)
			c->ends = 0;
		else if (is_over(daemon, c))
			trees[n_over++] = trees[i];
	}
	if (!n_over)
		return;
	daemon_say_alive(daemon);
	remove_unmounted(daemon, trees, n_over);
}
