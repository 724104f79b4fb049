/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees: made, changed, taken away and found.
 *
 * Order matters when names change: first the store, then, with no lock held,
 * the kernel is told to forget.
 */
#include "fs/daemon_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/parse.h"
#include "fs/audit.h"
#include "fs/events.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/permit.h"
#include "fs/record.h"
#include "fs/store.h"
#include "fs/tree.h"

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
void daemon_forget_tree(struct daemon *daemon, uint32_t tree, uint32_t old_layout)
{
	const struct layout *layout = store_layout(daemon->store, old_layout);
	uint64_t root = tree_root_nodeid(daemon->store, tree);

	forget_names_in(daemon, root, layout, 0);
	forget_names_in(daemon, tree_proc_nodeid(daemon->store, tree), layout,
			tree_proc_slot(layout));
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
		r = daemon_container_new(daemon, index, tree->pidfd);
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
	snapshot = store_tree_switch(daemon->store, index, tree->layout,
				     daemon->generation->number);
	store_unlock(daemon->store);
	if (snapshot == STORE_NONE) {
		store_blob_unref(daemon->store, tree->spec);
		return error_set(err, -ENOMEM, "change the tree");
	}
	*ret_switched = true;
	daemon_forget_tree(daemon, index, old_layout);
	clear_flag(daemon, index, STORE_TREE_STALE);
	return index;
}

int daemon_tree_take(struct daemon *daemon, uint32_t tree, struct error *err)
{
	int r = record_distrust(daemon, tree, err);

	if (r < 0)
		return r;
	daemon_end_injections_of_users(daemon, tree);
	store_write_lock(daemon->store);
	store_tree_set_by_root(daemon->store, tree);
	store_unlock(daemon->store);
	return 0;
}

/* The snapshots before are kept: their layouts can be read. */
static void forget_switched(struct daemon *daemon, uint32_t tree, uint32_t old_layout,
			    bool by_epoch)
{
	if (by_epoch)
		forget_listings(daemon, tree);
	else
		daemon_forget_tree(daemon, tree, old_layout);
	clear_flag(daemon, tree, STORE_TREE_STALE);
}

/* Directories that the kernel knows, of snapshots that may be gone by now. */
struct known_dirs {
	struct known_dir {
		uint64_t nodeid;
		uint32_t layout, slot; /* a reference on the layout */
	} *items;
	size_t n;
};

/* One that there is no memory for keeps its names until the kernel drops them. */
static void note_dir(struct daemon *daemon, struct known_dirs *dirs, uint64_t nodeid,
		     uint32_t layout, uint32_t slot)
{
	struct known_dir *bigger = realloc(dirs->items, (dirs->n + 1) * sizeof(*bigger));

	if (!bigger)
		return;
	dirs->items = bigger;
	dirs->items[dirs->n++] = (struct known_dir){ nodeid, layout, slot };
	store_write_lock(daemon->store);
	store_layout_ref(daemon->store, layout);
	store_unlock(daemon->store);
}

static void note_snapshot(struct daemon *daemon, struct known_dirs *dirs, uint32_t index)
{
	uint32_t number = store_snapshot(daemon->store, index)->layout;
	const struct layout *layout = store_layout(daemon->store, number);

	for (uint32_t slot = 0; slot < layout->n_nodes; slot++) {
		uint64_t nodeid = tree_slot_nodeid(daemon->store, index, slot);

		daemon_say_alive(daemon);
		if (layout->nodes[slot].kind == LAYOUT_DIR && filesystem_is_known(daemon->fs, nodeid))
			note_dir(daemon, dirs, nodeid, number, slot);
	}
}

/* In each directory: a name of a file that is open stays when its directory's name goes. */
static void forget_noted(struct daemon *daemon, struct known_dirs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++) {
		const struct known_dir *dir = &dirs->items[i];

		forget_names_in(daemon, dir->nodeid, store_layout(daemon->store, dir->layout),
				(int)dir->slot);
		store_write_lock(daemon->store);
		store_layout_unref(daemon->store, dir->layout);
		store_unlock(daemon->store);
	}
	free(dirs->items);
}

void daemon_forget_generation(struct daemon *daemon, uint32_t generation)
{
	for (uint32_t i = 0; i < store_trees_end(daemon->store); i++) {
		const struct store_tree *tree = store_tree(daemon->store, i);

		for (uint32_t s = tree ? tree->snapshot : STORE_NONE; s != STORE_NONE;
		     s = store_snapshot(daemon->store, s)->next) {
			struct known_dirs dirs = { 0 };

			if (store_snapshot(daemon->store, s)->generation == generation)
				note_snapshot(daemon, &dirs, s);
			forget_noted(daemon, &dirs);
		}
	}
}

/*
 * A file that is open or mapped keeps its name when the tree's name goes, and the name keeps the inode for as long as
 * the kernel likes. Without passthrough its generation is held as long.
 */
static void note_opened(struct daemon *daemon, const struct store_tree *tree,
			struct known_dirs *dirs)
{
	if (filesystem_features(daemon->fs)->passthrough || !tree->opens)
		return;
	for (uint32_t s = tree->snapshot; s != STORE_NONE; s = store_snapshot(daemon->store, s)->next)
		note_snapshot(daemon, dirs, s);
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

static int refuse_taken(struct daemon *daemon, struct daemon_tree *tree, uint32_t index,
			struct error *err)
{
	tree_release(daemon, tree);
	if (!tree->by_root) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM, "id '%.64s' is taken", tree->name);
		return error_remedy(err, -EPERM, "use another --id");
	}
	if (store_tree(daemon->store, index)->pid)
		(void)error_setc(err, ERROR_USAGE, -EEXIST,
				 "id '%.64s' is the live container of pid %d", tree->name,
				 store_tree(daemon->store, index)->pid);
	else
		(void)error_setc(err, ERROR_USAGE, -EEXIST,
				 "id '%.64s' is in use by another container", tree->name);
	return error_remedy(err, -EEXIST, "use another --id, or nvinject --remove --id first");
}

static int refuse_busy(struct daemon *daemon, struct daemon_tree *tree, const char *what,
		       struct error *err)
{
	tree_release(daemon, tree);
	(void)error_setc(err, ERROR_AGAIN, -EBUSY, "'%.64s' is being %s", tree->name, what);
	return error_remedy(err, -EBUSY, "try again");
}

/* The same container once more. Root's injections go before those of whoever else has the tree. */
static int64_t set_again(struct daemon *daemon, uint32_t index, struct daemon_tree *tree,
			 bool *ret_switched, struct error *err)
{
	if (permit_is_removing(daemon, index))
		return refuse_busy(daemon, tree, "removed", err);
	if (!tree->by_root && daemon_injected_by_root(daemon, index))
		return refuse_busy(daemon, tree, "injected by root", err);
	if (tree->by_root)
		daemon_end_injections_of_users(daemon, index);
	return tree_switch(daemon, index, tree, ret_switched, err);
}

int64_t daemon_tree_set(struct daemon *daemon, struct daemon_tree *tree, bool *ret_new,
			bool *ret_switched, struct error *err)
{
	uint32_t index = store_tree_find(daemon->store, tree->name);
	const struct store_tree *old = index == STORE_NONE ? NULL
							   : store_tree(daemon->store, index);
	bool is_roots = old && old->flags & STORE_TREE_BY_ROOT;
	bool is_own = old && (tree->by_root || (!is_roots && old->owner == tree->owner));

	*ret_new = *ret_switched = false;
	if (is_own && daemon_container_is(daemon, index, &tree->process))
		return set_again(daemon, index, tree, ret_switched, err);
	/* A name that a user, or a container's root, has taken is root's for the asking. */
	if (old && (tree->for_user ||
		    (!(tree->by_root && !is_roots) && daemon_container_is_alive(daemon, index))))
		return refuse_taken(daemon, tree, index, err);
	if (!old && tree->for_user)
		return error_setc(err, ERROR_MOUNT, -ESTALE, "its tree is gone meanwhile");
	if (old && tree->by_root && !is_roots && daemon_container_is_alive(daemon, index))
		log_info("id '%.64s' was uid %u's, for its pid %d: root has given it to another "
			 "container, and that tree goes",
			 tree->name, old->owner, old->pid);
	if (old)
		daemon_tree_remove(daemon, index);
	*ret_new = true;
	return tree_add(daemon, tree, err);
}

void daemon_tree_remove(struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	struct known_dirs dirs = { 0 };
	char name[IDENT_MAX + 1];
	int32_t pid;

	if (!tree)
		return;
	for (struct injection *i = daemon->injections; i; i = i->next) {
		if (i->tree == index && i->serial == tree->serial)
			i->tree = STORE_NONE; /* its Commit or end finds nothing any more */
	}
	if (tree->mnt_ns && !(tree->flags & STORE_TREE_UNCOMMITTED))
		events_of_tree(daemon, EVENT_REMOVED, index, NULL);
	audit_tree(daemon, index, AUDIT_REMOVED, NULL, "removed the tree '%s'",
		   store_blob(daemon->store, tree->name, NULL));
	pid = tree->pid;
	(void)snprintf(name, sizeof(name), "%s", store_blob(daemon->store, tree->name, NULL));
	permit_forget(daemon, index);
	daemon_container_free(daemon, daemon_container(daemon, index));
	note_opened(daemon, tree, &dirs);
	store_write_lock(daemon->store);
	store_tree_remove(daemon->store, index);
	store_unlock(daemon->store);
	forget_noted(daemon, &dirs);
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

/* A stranger's id or process comes after root's. */
static bool is_by_root(const struct daemon *daemon, uint32_t index)
{
	return store_tree(daemon->store, index)->flags & STORE_TREE_BY_ROOT;
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
		if (found >= 0 && is_by_root(daemon, (uint32_t)found) == is_by_root(daemon, i))
			return error_setc(err, ERROR_USAGE, -ENOTUNIQ,
					  "'%.64s' is the beginning of several ids", id);
		if (found < 0 || is_by_root(daemon, i))
			found = i;
	}
	return found;
}

static uint32_t find_whole(const struct daemon *daemon, const char *id, const char *name)
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
