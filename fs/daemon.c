/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of trees. A tree is made for a container and stays while anything
 * of that container is left: its init, or any process in its mount namespace.
 * When neither is there, it goes after a grace.
 *
 * Order matters when names change: first the store, then, with no lock held,
 * the kernel is told to forget.
 */
#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/seed.h"
#include "common/sys.h"
#include "fs/cdi_file.h"
#include "fs/facts.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/handover.h"
#include "fs/nodemaker.h"
#include "fs/link.h"
#include "fs/permit.h"
#include "fs/record.h"
#include "fs/reinject.h"
#include "fs/renewal.h"
#include "fs/revive.h"
#include "fs/server.h"
#include "fs/store.h"
#include "fs/tree.h"

#define COMMIT_WAIT_S 10
#define ALIVE_MS 100 /* the keeper asks every 500 */

static time_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

void daemon_say_alive(struct daemon *daemon)
{
	struct timespec now;
	int64_t now_ms;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (daemon->link < 0 || now_ms - daemon->alive_ms < ALIVE_MS)
		return;
	daemon->alive_ms = now_ms;
	(void)link_send(daemon->link, LINK_PONG, 0, -1);
}

/* containers */

static struct container *container_of(const struct daemon *daemon, uint32_t tree)
{
	return tree < daemon->containers_room ? daemon->containers[tree] : NULL;
}

static void container_free(struct daemon *daemon, struct container *container)
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
static int container_new(struct daemon *daemon, uint32_t tree, int pidfd)
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

/* names */

static uint64_t by_pid_nodeid(struct daemon *daemon)
{
	struct tree_inode by_pid = { 0 };

	store_read_lock(daemon->store);
	(void)tree_lookup(daemon->store, TREE_TOP, "by-pid", &by_pid);
	store_unlock(daemon->store);
	return by_pid.nodeid;
}

static void forget_names(struct daemon *daemon, const char *name, int32_t pid)
{
	char text[16];

	filesystem_forget_name(daemon->fs, TREE_TOP, name);
	if (!pid)
		return;
	(void)snprintf(text, sizeof(text), "%d", pid);
	filesystem_forget_name(daemon->fs, by_pid_nodeid(daemon), text);
}

void daemon_listings_changed(struct daemon *daemon)
{
	struct stat st;

	daemon->listings_stale = false;
	filesystem_forget_attr(daemon->fs, TREE_TOP);
	filesystem_forget_attr(daemon->fs, by_pid_nodeid(daemon));
	/* Else the kernel would ask when the next container waits for its clones. */
	(void)fstat(filesystem_root(daemon->fs), &st);
}

static void forget_names_in(struct daemon *daemon, uint64_t nodeid, const struct layout *layout,
			    int slot)
{
	const struct layout_node *dir = slot < 0 ? NULL : &layout->nodes[slot];

	for (uint32_t i = 0; dir && i < dir->count; i++) {
		/* The kernel may wait here for who looks something up in the directory. */
		daemon_say_alive(daemon);
		filesystem_forget_name(daemon->fs, nodeid, layout_name(layout, dir->ref + i));
	}
}

static void forget_listings(struct daemon *daemon, uint32_t tree)
{
	daemon_say_alive(daemon);
	filesystem_forget_attr(daemon->fs, tree_root_nodeid(daemon->store, tree));
	filesystem_forget_attr(daemon->fs, tree_proc_nodeid(daemon->store, tree));
}

/* After a switch: every name in the directories that stay leads to a new node. */
static void forget_tree(struct daemon *daemon, uint32_t tree, uint32_t old_layout)
{
	const struct layout *layout = store_layout(daemon->store, old_layout);
	uint64_t root = tree_root_nodeid(daemon->store, tree);

	forget_names_in(daemon, root, layout, 0);
	forget_names_in(daemon, tree_proc_nodeid(daemon->store, tree), layout, tree_proc_slot(layout));
	forget_listings(daemon, tree);
}

void daemon_tree_set_flag(struct daemon *daemon, uint32_t tree, uint32_t flag, bool on)
{
	uint32_t flags = store_tree(daemon->store, tree)->flags;

	store_write_lock(daemon->store);
	store_tree_set_flags(daemon->store, tree, on ? flags | flag : flags & ~flag);
	store_unlock(daemon->store);
}

static void clear_flag(struct daemon *daemon, uint32_t tree, uint32_t flag)
{
	daemon_tree_set_flag(daemon, tree, flag, false);
}

/* making and removing */

static void tree_release(struct daemon *daemon, struct daemon_tree *tree)
{
	store_write_lock(daemon->store);
	store_layout_unref(daemon->store, tree->layout);
	store_blob_unref(daemon->store, tree->spec);
	store_unlock(daemon->store);
	cleanup_close(&tree->pidfd);
	tree->pidfd = -1;
}

static int64_t tree_add(struct daemon *daemon, struct daemon_tree *tree, struct error *err)
{
	struct store_tree record = {
		.spec = tree->spec,
		.done = STORE_NONE,
		.owner = tree->owner,
		.pid = tree->pidfd >= 0 ? tree->process.pid : 0,
		.start_time = tree->process.start_time,
		.mnt_ns = tree->process.mnt_ns,
		.flags = (tree->process.mnt_ns ? STORE_TREE_UNCOMMITTED : 0) |
			 (tree->by_root ? STORE_TREE_BY_ROOT : 0),
	};
	uint32_t index;
	int r;

	store_write_lock(daemon->store);
	record.name = store_blob_put(daemon->store, tree->name, strlen(tree->name));
	index = store_tree_add(daemon->store, &record, tree->layout, daemon->generation->number);
	store_unlock(daemon->store);
	if (index == STORE_NONE) {
		cleanup_close(&tree->pidfd);
		return error_set(err, -ENOSPC, "make a tree");
	}
	if (record.mnt_ns) {
		r = container_new(daemon, index, tree->pidfd);
		if (r < 0) {
			daemon_tree_remove(daemon, index);
			return error_set(err, r, "watch the container");
		}
	}
	forget_names(daemon, tree->name, record.pid);
	daemon->listings_stale = true;
	return index;
}

static int64_t tree_switch(struct daemon *daemon, uint32_t index, struct daemon_tree *tree,
			   bool *ret_switched, struct error *err)
{
	uint32_t old_layout, snapshot;
	const struct store_tree *t = store_tree(daemon->store, index);

	cleanup_close(&tree->pidfd);
	old_layout = store_snapshot(daemon->store, t->snapshot)->layout;
	store_write_lock(daemon->store);
	if (old_layout == tree->layout) {
		store_layout_unref(daemon->store, tree->layout);
		store_blob_unref(daemon->store, tree->spec);
		store_unlock(daemon->store);
		return index;
	}
	store_tree_set_flags(daemon->store, index, t->flags | STORE_TREE_STALE);
	snapshot = store_tree_switch(daemon->store, index, tree->layout, daemon->generation->number);
	store_unlock(daemon->store);
	if (snapshot == STORE_NONE) {
		store_blob_unref(daemon->store, tree->spec);
		return error_set(err, -ENOMEM, "change the tree");
	}
	*ret_switched = true;
	forget_tree(daemon, index, old_layout);
	clear_flag(daemon, index, STORE_TREE_STALE);
	return index;
}

/* whose it is */

static bool is_roots_injection(const struct daemon *daemon, const struct injection *injection)
{
	return peer_is_root(client_peer(injection->client), &daemon->self);
}

static bool is_about(const struct daemon *daemon, const struct injection *injection, uint32_t tree)
{
	return injection->tree == tree && injection->serial == store_tree(daemon->store, tree)->serial;
}

static bool is_injected_by_root(const struct daemon *daemon, uint32_t tree)
{
	const struct injection *i = daemon->injections;

	while (i && !(is_about(daemon, i, tree) && is_roots_injection(daemon, i)))
		i = i->next;
	return i != NULL;
}

/* Their Commit or end finds nothing any more. */
static void end_injections_of_users(struct daemon *daemon, uint32_t tree)
{
	for (struct injection *i = daemon->injections; i; i = i->next) {
		if (is_about(daemon, i, tree) && !is_roots_injection(daemon, i))
			i->tree = STORE_NONE;
	}
}

int daemon_tree_take(struct daemon *daemon, uint32_t tree, struct error *err)
{
	int r = record_distrust(daemon, tree, err);

	if (r < 0)
		return r;
	end_injections_of_users(daemon, tree);
	store_write_lock(daemon->store);
	store_tree_set_by_root(daemon->store, tree);
	store_unlock(daemon->store);
	return 0;
}

/* The snapshots before are kept: their layouts can be read. */
static void forget_switched(struct daemon *daemon, uint32_t tree, uint32_t old_layout, bool by_epoch)
{
	if (by_epoch)
		forget_listings(daemon, tree);
	else
		forget_tree(daemon, tree, old_layout);
	clear_flag(daemon, tree, STORE_TREE_STALE);
}

void daemon_trees_switch(struct daemon *daemon, const struct daemon_next *next, size_t n,
			 uint32_t generation)
{
	bool by_epoch;

	store_write_lock(daemon->store);
	for (size_t i = 0; i < n; i++) {
		uint32_t flags = store_tree(daemon->store, next[i].tree)->flags;

		store_tree_set_flags(daemon->store, next[i].tree, flags | STORE_TREE_STALE);
		(void)store_tree_switch(daemon->store, next[i].tree, next[i].layout, generation);
	}
	/* Under the lock: nobody is told a name of after before all names of before are void. */
	by_epoch = filesystem_forget_all(daemon->fs) == 0;
	store_unlock(daemon->store);
	for (size_t i = 0; i < n; i++)
		forget_switched(daemon, next[i].tree, next[i].old_layout, by_epoch);
}

/* Where its init is dead, any process of its mount namespace stands for it. */
static bool same_container(const struct daemon *daemon, uint32_t index, const struct process *process)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const struct container *container = container_of(daemon, index);

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

	return (struct process_wanted){ .mnt_ns = tree->mnt_ns,
					.tree = is_mounted ? store_blob(daemon->store, tree->name, NULL) : NULL };
}

/* Its init, or any other process in its mount namespace. */
static bool is_alive(const struct daemon *daemon, uint32_t index)
{
	const struct container *container = container_of(daemon, index);
	struct process_wanted wanted = wanted_of(daemon, index);

	if (!container || !container->init_dead)
		return true;
	process_find_each(&wanted, 1);
	return wanted.pid != 0;
}

static int refuse_taken(struct daemon *daemon, struct daemon_tree *tree, uint32_t index,
			struct error *err)
{
	tree_release(daemon, tree);
	if (!tree->by_root) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM, "id '%.64s' is taken", tree->name);
		return error_remedy(err, -EPERM, "use another --id");
	}
	if (store_tree(daemon->store, index)->pid)
		(void)error_setc(err, ERROR_USAGE, -EEXIST, "id '%.64s' is the live container of pid %d",
				 tree->name, store_tree(daemon->store, index)->pid);
	else
		(void)error_setc(err, ERROR_USAGE, -EEXIST, "id '%.64s' is in use by another container",
				 tree->name);
	return error_remedy(err, -EEXIST, "use another --id, or nvinject --remove --id first");
}

static int refuse_busy(struct daemon *daemon, struct daemon_tree *tree, const char *what, struct error *err)
{
	tree_release(daemon, tree);
	(void)error_setc(err, ERROR_AGAIN, -EBUSY, "'%.64s' is being %s", tree->name, what);
	return error_remedy(err, -EBUSY, "try again");
}

/* The same container once more. Root's injections go before those of whoever else has the tree. */
static int64_t set_again(struct daemon *daemon, uint32_t index, struct daemon_tree *tree, bool *ret_switched,
			 struct error *err)
{
	if (permit_is_removing(daemon, index))
		return refuse_busy(daemon, tree, "removed", err);
	if (!tree->by_root && is_injected_by_root(daemon, index))
		return refuse_busy(daemon, tree, "injected by root", err);
	if (tree->by_root)
		end_injections_of_users(daemon, index);
	return tree_switch(daemon, index, tree, ret_switched, err);
}

int64_t daemon_tree_set(struct daemon *daemon, struct daemon_tree *tree, bool *ret_new,
			bool *ret_switched, struct error *err)
{
	uint32_t index = store_tree_find(daemon->store, tree->name);
	const struct store_tree *old = index == STORE_NONE ? NULL : store_tree(daemon->store, index);
	bool is_roots = old && old->flags & STORE_TREE_BY_ROOT;
	bool is_own = old && (tree->by_root || (!is_roots && old->owner == tree->owner));

	*ret_new = *ret_switched = false;
	if (is_own && same_container(daemon, index, &tree->process))
		return set_again(daemon, index, tree, ret_switched, err);
	/* A name that a user, or a container's root, has taken is root's for the asking. */
	if (old && (tree->for_user || (!(tree->by_root && !is_roots) && is_alive(daemon, index))))
		return refuse_taken(daemon, tree, index, err);
	if (!old && tree->for_user)
		return error_setc(err, ERROR_MOUNT, -ESTALE, "its tree is gone meanwhile");
	if (old)
		daemon_tree_remove(daemon, index);
	*ret_new = true;
	return tree_add(daemon, tree, err);
}

void daemon_tree_remove(struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	char name[IDENT_MAX + 1];
	int32_t pid;

	if (!tree)
		return;
	for (struct injection *i = daemon->injections; i; i = i->next) {
		if (i->tree == index && i->serial == tree->serial)
			i->tree = STORE_NONE; /* its Commit or end finds nothing any more */
	}
	pid = tree->pid;
	(void)snprintf(name, sizeof(name), "%s", store_blob(daemon->store, tree->name, NULL));
	permit_forget(daemon, index);
	container_free(daemon, container_of(daemon, index));
	store_write_lock(daemon->store);
	store_tree_remove(daemon->store, index);
	store_unlock(daemon->store);
	forget_names(daemon, name, pid);
	daemon_listings_changed(daemon);
}

/* finding */

bool daemon_may_see(const struct daemon *daemon, const struct daemon_viewer *viewer, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);

	if (!tree || viewer->is_root)
		return tree != NULL;
	/* Elsewhere a uid means nothing: root of a container is not the owner of root's trees. */
	return tree->mnt_ns && !(tree->flags & STORE_TREE_BY_ROOT) && tree->owner == viewer->uid &&
	       (viewer->is_local || tree->mnt_ns == viewer->mnt_ns);
}

static int64_t find_by_prefix(struct daemon *daemon, const struct daemon_viewer *viewer,
			      const char *id, struct error *err)
{
	int64_t found = -ENOENT;

	for (uint32_t i = 0; i < store_trees_end(daemon->store); i++) {
		const struct store_tree *tree = store_tree(daemon->store, i);

		if (!daemon_may_see(daemon, viewer, i) ||
		    strncmp(store_blob(daemon->store, tree->name, NULL), id, strlen(id)) != 0)
			continue;
		if (found >= 0)
			return error_setc(err, ERROR_USAGE, -ENOTUNIQ,
					  "'%.64s' is the beginning of several ids", id);
		found = i;
	}
	return found;
}

static uint32_t find_whole(struct daemon *daemon, const char *id, char name[IDENT_MAX + 1])
{
	uint64_t pid;

	if (strncmp(id, "pid:", 4) == 0 && parse_u64(id + 4, INT32_MAX, &pid) == 0)
		return store_tree_find_pid(daemon->store, (int32_t)pid);
	if (strcmp(id, IDENT_HOST) == 0)
		return store_tree_find(daemon->store, id);
	return store_tree_find(daemon->store, name);
}

int64_t daemon_tree_find(struct daemon *daemon, const struct daemon_viewer *viewer, const char *id,
			 struct error *err)
{
	char name[IDENT_MAX + 1];
	int64_t found;
	uint32_t index;
	int r = ident_escape(id, name, err);

	if (r < 0)
		return r;
	index = find_whole(daemon, id, name);
	if (index != STORE_NONE && daemon_may_see(daemon, viewer, index))
		return index;
	found = find_by_prefix(daemon, viewer, name, err);
	if (found == -ENOENT) {
		(void)error_setc(err, ERROR_USAGE, -ENOENT, "no tree '%.64s'", id);
		return error_remedy(err, -ENOENT, "nvfs ls lists them");
	}
	return found;
}

uint32_t daemon_trees_in_use(const struct daemon *daemon)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < daemon->containers_room; i++)
		n += daemon->containers[i] != NULL;
	return n;
}

/* Asks about all containers whose init is dead: the answers, and whose they are; the caller frees both. */
static size_t ask_for_dead(const struct daemon *daemon, struct process_wanted **ret, uint32_t **ret_trees)
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

uint32_t daemon_trees_alive(const struct daemon *daemon)
{
	auto_free struct process_wanted *wanted = NULL;
	auto_free uint32_t *trees = NULL;
	size_t n_dead = ask_for_dead(daemon, &wanted, &trees);
	uint32_t n = daemon_trees_in_use(daemon);

	for (size_t i = 0; i < n_dead; i++)
		n -= wanted[i].pid == 0;
	return n;
}

/* injections */

struct injection *daemon_injection_new(struct daemon *daemon, const struct client *client)
{
	struct injection *injection = calloc(1, sizeof(*injection));

	if (!injection)
		return NULL;
	/* Only its own connection may name it: nobody gains anything by guessing. */
	(void)snprintf(injection->token, sizeof(injection->token), "%016zx", seed_random());
	injection->client = client;
	injection->tree = injection->spec = STORE_NONE;
	injection->next = daemon->injections;
	daemon->injections = injection;
	return injection;
}

struct injection *daemon_injection_find(struct daemon *daemon, const struct client *client,
					const char *token)
{
	struct injection *i = daemon->injections;

	while (i && (i->client != client || strcmp(i->token, token) != 0))
		i = i->next;
	return i;
}

const struct store_tree *daemon_injection_tree(const struct daemon *daemon,
					       const struct injection *injection)
{
	const struct store_tree *tree = store_tree(daemon->store, injection->tree);

	return tree && tree->serial == injection->serial ? tree : NULL;
}

/* Is another injection about the same tree? @injection is off the list already. */
static bool is_under_way(const struct daemon *daemon, const struct injection *injection)
{
	const struct injection *i = daemon->injections;

	while (i && (i->tree != injection->tree || i->serial != injection->serial))
		i = i->next;
	return i != NULL;
}

void daemon_injection_end(struct daemon *daemon, struct injection *injection, bool keep)
{
	struct injection **at = &daemon->injections;
	const struct store_tree *tree = daemon_injection_tree(daemon, injection);

	while (*at != injection)
		at = &(*at)->next;
	*at = injection->next;
	if (keep && tree) {
		clear_flag(daemon, injection->tree, STORE_TREE_UNCOMMITTED);
		if (container_of(daemon, injection->tree)) {
			container_of(daemon, injection->tree)->commit_until = 0;
			container_of(daemon, injection->tree)->given_up = false;
		}
	}
	if (!keep && tree && tree->flags & STORE_TREE_UNCOMMITTED) {
		/* A second injector may have come before the first one was known to be dead. */
		if (!is_under_way(daemon, injection))
			daemon_tree_remove(daemon, injection->tree);
	} else if (!keep && tree && injection->switched) {
		uint32_t layout = store_snapshot(daemon->store, tree->snapshot)->layout;

		store_write_lock(daemon->store);
		store_layout_ref(daemon->store, layout);
		store_tree_switch_back(daemon->store, injection->tree);
		store_tree_set_spec(daemon->store, injection->tree, injection->spec);
		injection->spec = STORE_NONE;
		store_unlock(daemon->store);
		forget_tree(daemon, injection->tree, layout);
		store_write_lock(daemon->store);
		store_layout_unref(daemon->store, layout);
		store_unlock(daemon->store);
	}
	store_write_lock(daemon->store);
	store_blob_unref(daemon->store, injection->spec);
	store_unlock(daemon->store);
	free(injection);
}

void daemon_client_gone(struct daemon *daemon, const struct client *client)
{
	for (struct injection *i = daemon->injections, *next; i; i = next) {
		next = i->next;
		if (i->client == client)
			daemon_injection_end(daemon, i, false);
	}
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
	r = container_new(daemon, index, reopen_init(tree));
	if (r < 0)
		return r;
	if (tree->flags & STORE_TREE_UNCOMMITTED)
		daemon->containers[index]->commit_until = now_s() + COMMIT_WAIT_S;
	if (!(tree->flags & STORE_TREE_STALE))
		return 0;
	for (uint32_t s = tree->snapshot; s != STORE_NONE; s = store_snapshot(daemon->store, s)->next)
		forget_tree(daemon, index, store_snapshot(daemon->store, s)->layout);
	clear_flag(daemon, index, STORE_TREE_STALE);
	return 0;
}

/* After the end of the connection: who lives gets a mount that does. */
static void reconnect_trees(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		const struct store_tree *tree = store_tree(daemon->store, i);

		if (!container_of(daemon, i))
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

		if (c && c->commit_until && c->commit_until <= now_s())
			daemon_tree_remove(daemon, i);
	}
}

/* A mount namespace that was made from the container's has a copy of its mount. */
static bool is_mounted(const struct daemon *daemon, uint32_t tree)
{
	char root[IDENT_MAX + 2];
	struct stat st;

	if (fstatat(filesystem_root(daemon->fs), "", &st, AT_EMPTY_PATH) < 0)
		return true;
	(void)snprintf(root, sizeof(root), "/%s",
		       store_blob(daemon->store, store_tree(daemon->store, tree)->name, NULL));
	return process_mounts(st.st_dev, root);
}

/* Nobody is left in its mount namespace. */
static void check_unused(struct daemon *daemon, struct container *c)
{
	time_t now = now_s();

	if (!c->ends)
		c->ends = now + (time_t)daemon->config.grace_s;
	if (c->ends > now)
		return;
	daemon_say_alive(daemon);
	if (is_mounted(daemon, c->tree))
		c->ends = 0; /* asked again after another grace */
	else
		daemon_tree_remove(daemon, c->tree);
}

/* Trees whose init is dead: is anybody left in their mount namespaces? */
static void check_containers(struct daemon *daemon)
{
	auto_free struct process_wanted *wanted = NULL;
	auto_free uint32_t *trees = NULL;
	size_t n = ask_for_dead(daemon, &wanted, &trees);

	for (size_t i = 0; i < n; i++) {
		struct container *c = container_of(daemon, trees[i]);

		if (wanted[i].pid)
			c->ends = 0;
		else
			check_unused(daemon, c);
	}
}

/* Host files that do not answer, said when there are more of them than before. */
static void report_stalled(struct daemon *daemon)
{
	uint32_t objects[DAEMON_STALLED_MAX];
	size_t n = filesystem_stalled(daemon->fs, objects, DAEMON_STALLED_MAX);

	for (size_t i = daemon->stalled; i < n; i++) {
		const struct store_object *object = store_object(daemon->store, objects[i]);

		if (object)
			log_warning("'%s' does not answer: who reads it in a container waits",
				    store_blob(daemon->store, object->path, NULL));
	}
	daemon->stalled = n;
}

void daemon_tick(struct daemon *daemon)
{
	report_stalled(daemon);
	server_expire(daemon->server);
	check_containers(daemon);
	check_uncommitted(daemon);
	renewal_tick(daemon->renewal);
	facts_tick(daemon->facts);
	nodemaker_tick(daemon);
	reinject_tick(daemon->reinjector);
	permit_tick(daemon);
	cdi_file_tick(daemon);
	handover_tick(daemon);
}
