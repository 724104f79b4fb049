/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes from the store's tables. A nodeid is a number that is taken apart and
 * looked up, never a pointer: what it names is checked against the serial
 * number in it, so that a stale one is ESTALE and never another file.
 *
 * nodeid:  FUSE's number for an inode, 64 bits, never given twice
 * st_ino:  what stat() shows, below 2^32, or a 32-bit stat() fails with EOVERFLOW
 * slot:    index of a node in its layout
 */
#include "fs/tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/parse.h"
#include "fs/store.h"

enum kind { BY_PID = 1, PID_LINK = 2, ROOT = 3, NODE = 4, HOST = 5, LINK = 6, PROC = 7 };

#define SLOT_BITS 14
#define INDEX_BITS 16
#define SERIAL_BITS 26 /* in a NODE; a ROOT has room for all 32 */
#define BITS(n) ((1ULL << (n)) - 1)

/* Below the store's INO_FIRST and above its INO_END. */
#define INO_TOP 1
#define INO_BY_PID 2
#define INO_LINKS 0x70000000u
#define INO_PID_LINKS 0x78000000u
#define INO_HOST 0x80000000u

#define TOP_MODE 0711 /* who isn't root sees only trees whose name it knows */
#define BY_PID_NAME "by-pid"
#define BLOCK 512

/* A nodeid taken apart and found. */
struct found {
	enum kind kind;
	uint32_t index; /* tree, object or link */
	const struct store_tree *tree;
	uint32_t snapshot_index;
	const struct store_snapshot *snapshot; /* of a ROOT or NODE */
	const struct layout *layout;
	uint32_t slot;
};

static uint64_t make_nodeid(enum kind kind, uint64_t rest)
{
	return (uint64_t)kind << 56 | rest;
}

static uint64_t tree_nodeid(const struct store *store, enum kind kind, uint32_t tree)
{
	return make_nodeid(kind, (uint64_t)store_tree(store, tree)->serial << INDEX_BITS | tree);
}

uint64_t tree_root_nodeid(const struct store *store, uint32_t tree)
{
	return store_tree(store, tree) ? tree_nodeid(store, ROOT, tree) : 0;
}

uint64_t tree_proc_nodeid(const struct store *store, uint32_t tree)
{
	return store_tree(store, tree) ? tree_nodeid(store, PROC, tree) : 0;
}

/* Slot of the directory that containers have mounted on /proc/driver/nvidia. */
int tree_proc_slot(const struct layout *layout)
{
	static const char *const names[] = { "proc", "driver", "nvidia" };
	int slot = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && slot >= 0; i++)
		slot = layout_lookup(layout, (uint32_t)slot, names[i]);
	return slot;
}

uint64_t tree_slot_nodeid(const struct store *store, uint32_t snapshot, uint32_t slot)
{
	return make_nodeid(NODE, (store_snapshot(store, snapshot)->serial & BITS(SERIAL_BITS))
						 << (INDEX_BITS + SLOT_BITS) |
					 (uint64_t)snapshot << SLOT_BITS | slot);
}

static uint64_t slot_nodeid(const struct store *store, const struct found *dir, uint32_t slot)
{
	const struct layout_node *node = &dir->layout->nodes[slot];

	if (node->kind == LAYOUT_DIR && tree_proc_slot(dir->layout) == (int)slot)
		return tree_nodeid(store, PROC, dir->index);
	if (node->kind == LAYOUT_HOST)
		return make_nodeid(HOST, node->ref);
	if (node->kind == LAYOUT_LINK)
		return make_nodeid(LINK, node->ref);
	return tree_slot_nodeid(store, dir->snapshot_index, slot);
}

uint64_t tree_object_nodeid(uint32_t object)
{
	return make_nodeid(HOST, object);
}

static int find_snapshot(const struct store *store, uint32_t index, uint32_t slot,
			 struct found *ret)
{
	ret->snapshot = store_snapshot(store, index);
	if (!ret->snapshot)
		return -ESTALE;
	ret->snapshot_index = index;
	ret->layout = store_layout(store, ret->snapshot->layout);
	ret->slot = slot;
	return ret->layout && slot < ret->layout->n_nodes ? 0 : -ESTALE;
}

static int find_tree(const struct store *store, uint64_t rest, struct found *ret)
{
	ret->index = rest & BITS(INDEX_BITS);
	ret->tree = store_tree(store, ret->index);
	if (!ret->tree || ret->tree->serial != rest >> INDEX_BITS)
		return -ESTALE;
	return find_snapshot(store, ret->tree->snapshot, 0, ret);
}

static int find_proc(const struct store *store, uint64_t rest, struct found *ret)
{
	int r = find_tree(store, rest, ret);

	if (r == 0)
		r = tree_proc_slot(ret->layout);
	if (r < 0)
		return -ESTALE;
	ret->slot = (uint32_t)r;
	return 0;
}

static int find_node(const struct store *store, uint64_t rest, struct found *ret)
{
	uint32_t slot = rest & BITS(SLOT_BITS);
	uint32_t index = rest >> SLOT_BITS & BITS(INDEX_BITS);
	int r = find_snapshot(store, index, slot, ret);

	if (r < 0 ||
	    (ret->snapshot->serial & BITS(SERIAL_BITS)) != rest >> (INDEX_BITS + SLOT_BITS))
		return -ESTALE;
	ret->index = ret->snapshot->tree;
	ret->tree = store_tree(store, ret->index);
	return ret->tree ? 0 : -ESTALE;
}

static int find(const struct store *store, uint64_t nodeid, struct found *ret)
{
	uint64_t rest = nodeid & BITS(56);

	memset(ret, 0, sizeof(*ret));
	ret->kind = (enum kind)(nodeid >> 56);
	switch (ret->kind) {
	case BY_PID:
		return rest ? -ESTALE : 0;
	case PID_LINK:
	case ROOT:
		return find_tree(store, rest, ret);
	case PROC:
		return find_proc(store, rest, ret);
	case NODE:
		return find_node(store, rest, ret);
	case HOST:
		ret->index = (uint32_t)rest;
		return rest <= UINT32_MAX && store_object(store, ret->index) ? 0 : -ESTALE;
	case LINK:
		ret->index = (uint32_t)rest;
		return rest <= UINT32_MAX && store_link(store, ret->index) ? 0 : -ESTALE;
	}
	return -ESTALE;
}

void tree_describe(const struct store *store, uint64_t nodeid, char *buf, size_t size)
{
	struct found found;

	if (nodeid == TREE_TOP)
		(void)snprintf(buf, size, "the top directory");
	else if (find(store, nodeid, &found) < 0)
		(void)snprintf(buf, size, "not there any more");
	else if (found.tree)
		(void)snprintf(buf, size, "tree '%s'", store_blob(store, found.tree->name, NULL));
	else if (found.kind == HOST)
		(void)snprintf(buf, size, "file '%s' of all trees",
			       store_blob(store, store_object(store, found.index)->path, NULL));
	else if (found.kind == LINK)
		(void)snprintf(buf, size, "link to '%s' of all trees",
			       store_link(store, found.index));
	else
		(void)snprintf(buf, size, "by-pid");
}

/* attributes */

static void set_time(struct stat *st, int64_t ns)
{
	struct timespec when = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	st->st_atim = st->st_mtim = st->st_ctim = when;
}

static void stat_init(struct stat *st, uint32_t ino, mode_t mode, uint64_t size)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = mode;
	st->st_nlink = 1; /* also for directories: "not counted", as other filesystems do */
	st->st_size = (off_t)size;
	st->st_blksize = 4096;
	st->st_blocks = (blkcnt_t)((size + BLOCK - 1) / BLOCK);
}

static void stat_host(const struct store *store, uint32_t index, struct stat *st)
{
	const struct store_object *object = store_object(store, index);

	/* Nobody writes here, and the mount is nosuid: show no bit that means nothing. */
	stat_init(st, INO_HOST + index, S_IFREG | (object->mode & 0555), object->size);
	st->st_mtim.tv_sec = object->mtime_sec;
	st->st_mtim.tv_nsec = object->mtime_nsec;
	st->st_atim = st->st_ctim = st->st_mtim;
}

static void stat_slot(const struct store *store, const struct found *at, uint32_t slot,
		      struct stat *st)
{
	const struct layout_node *node = &at->layout->nodes[slot];
	size_t size = 0;

	switch ((enum layout_kind)node->kind) {
	case LAYOUT_HOST:
		stat_host(store, node->ref, st);
		return;
	case LAYOUT_LINK:
		stat_init(st, INO_LINKS + node->ref, S_IFLNK | 0777,
			  strlen(store_link(store, node->ref)));
		break;
	case LAYOUT_TEXT:
		(void)store_blob(store, node->ref, &size);
		stat_init(st, at->snapshot->ino_base + slot, S_IFREG | node->mode, size);
		break;
	case LAYOUT_DIR:
		stat_init(st, at->snapshot->ino_base + slot, S_IFDIR | node->mode, 0);
		break;
	}
	set_time(st, at->snapshot->made_ns);
}

static void stat_pid_link(const struct store *store, uint32_t tree, struct stat *st)
{
	size_t len = 0;

	(void)store_blob(store, store_tree(store, tree)->name, &len);
	stat_init(st, INO_PID_LINKS + tree, S_IFLNK | 0777, len + strlen("../"));
	set_time(st, store_tree(store, tree)->made_ns);
}

static void stat_root(const struct store *store, uint32_t tree, struct stat *st)
{
	const struct store_tree *t = store_tree(store, tree);

	stat_init(st, t->ino, S_IFDIR | 0555, 0);
	set_time(st, store_snapshot(store, t->snapshot)->made_ns);
}

int tree_getattr(const struct store *store, uint64_t nodeid, struct stat *ret)
{
	struct found at;
	int r;

	if (nodeid == TREE_TOP) {
		stat_init(ret, INO_TOP, S_IFDIR | TOP_MODE, 0);
		return 0;
	}
	r = find(store, nodeid, &at);
	if (r < 0)
		return r;
	switch (at.kind) {
	case BY_PID:
		stat_init(ret, INO_BY_PID, S_IFDIR | TOP_MODE, 0);
		break;
	case PID_LINK:
		stat_pid_link(store, at.index, ret);
		break;
	case ROOT:
		stat_root(store, at.index, ret);
		break;
	case NODE:
	case PROC:
		stat_slot(store, &at, at.slot, ret);
		break;
	case HOST:
		stat_host(store, at.index, ret);
		break;
	case LINK:
		stat_init(ret, INO_LINKS + at.index, S_IFLNK | 0777,
			  strlen(store_link(store, at.index)));
		break;
	}
	return 0;
}

/* names */

static int lookup_top(const struct store *store, const char *name, struct tree_inode *ret)
{
	uint32_t tree;

	if (strcmp(name, BY_PID_NAME) == 0) {
		ret->nodeid = make_nodeid(BY_PID, 0);
		return tree_getattr(store, ret->nodeid, &ret->st);
	}
	tree = store_tree_find(store, name);
	if (tree == STORE_NONE)
		return -ENOENT;
	ret->nodeid = tree_nodeid(store, ROOT, tree);
	stat_root(store, tree, &ret->st);
	return 0;
}

static int lookup_pid(const struct store *store, const char *name, struct tree_inode *ret)
{
	uint64_t pid;
	uint32_t tree;

	/* One name a pid: "07" is not there. */
	if (name[0] == '0' || parse_u64(name, INT32_MAX, &pid) < 0)
		return -ENOENT;
	tree = store_tree_find_pid(store, (int32_t)pid);
	if (tree == STORE_NONE)
		return -ENOENT;
	ret->nodeid = tree_nodeid(store, PID_LINK, tree);
	stat_pid_link(store, tree, &ret->st);
	return 0;
}

int tree_lookup(const struct store *store, uint64_t parent, const char *name,
		struct tree_inode *ret)
{
	struct found dir;
	int r;

	if (parent == TREE_TOP)
		return lookup_top(store, name, ret);
	r = find(store, parent, &dir);
	if (r < 0)
		return r;
	if (dir.kind == BY_PID)
		return lookup_pid(store, name, ret);
	if (!dir.layout || dir.kind == PID_LINK)
		return -ENOTDIR;
	r = layout_lookup(dir.layout, dir.slot, name);
	if (r < 0)
		return r;
	ret->nodeid = slot_nodeid(store, &dir, (uint32_t)r);
	stat_slot(store, &dir, (uint32_t)r, &ret->st);
	return 0;
}

/* directories: cookie 1 and 2 are behind "." and "..", cookie 3 + i is behind entry i */

static int dirent_set(struct tree_dirent *ret, const char *name, uint64_t next)
{
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->next = next;
	return 1;
}

static int readdir_dots(const struct store *store, uint64_t nodeid, uint64_t cookie,
			struct tree_dirent *ret)
{
	ret->inode.nodeid = nodeid;
	(void)tree_getattr(store, nodeid, &ret->inode.st);
	return dirent_set(ret, cookie ? ".." : ".", cookie + 1);
}

/* Trees by index, so that a cookie survives changes: entry 0 is by-pid at the top. */
static int readdir_trees(const struct store *store, uint64_t entry, bool by_pid,
			 struct tree_dirent *ret)
{
	char pid[16];

	if (!by_pid && entry == 0) {
		(void)lookup_top(store, BY_PID_NAME, &ret->inode);
		return dirent_set(ret, BY_PID_NAME, 3);
	}
	for (uint64_t i = by_pid ? entry : entry - 1; i < store_trees_end(store); i++) {
		const struct store_tree *tree = store_tree(store, (uint32_t)i);

		if (!tree || (by_pid && !tree->pid))
			continue;
		if (!by_pid) {
			const char *name = store_blob(store, tree->name, NULL);

			(void)lookup_top(store, name, &ret->inode);
			return dirent_set(ret, name, i + 4);
		}
		(void)snprintf(pid, sizeof(pid), "%d", tree->pid);
		if (lookup_pid(store, pid, &ret->inode) == 0)
			return dirent_set(ret, pid, i + 3);
	}
	return 0;
}

int tree_readdir(const struct store *store, uint64_t nodeid, uint64_t cookie,
		 struct tree_dirent *ret)
{
	struct found dir = { 0 };
	const struct layout_node *node;
	int r = nodeid == TREE_TOP ? 0 : find(store, nodeid, &dir);

	if (r < 0)
		return r;
	if (cookie < 2)
		return readdir_dots(store, nodeid, cookie, ret);
	if (nodeid == TREE_TOP || dir.kind == BY_PID)
		return readdir_trees(store, cookie - 2, dir.kind == BY_PID, ret);
	if (!dir.layout || dir.kind == PID_LINK || dir.layout->nodes[dir.slot].kind != LAYOUT_DIR)
		return -ENOTDIR;
	node = &dir.layout->nodes[dir.slot];
	if (cookie - 2 >= node->count)
		return 0;
	ret->inode.nodeid = slot_nodeid(store, &dir, node->ref + (uint32_t)(cookie - 2));
	stat_slot(store, &dir, node->ref + (uint32_t)(cookie - 2), &ret->inode.st);
	return dirent_set(ret, layout_name(dir.layout, node->ref + (uint32_t)(cookie - 2)),
			  cookie + 1);
}

/* contents */

int tree_readlink(const struct store *store, uint64_t nodeid, char *buf, size_t size)
{
	struct found at;
	int r = find(store, nodeid, &at), n;

	if (r < 0)
		return r;
	if (at.kind == LINK)
		n = snprintf(buf, size, "%s", store_link(store, at.index));
	else if (at.kind == PID_LINK)
		n = snprintf(buf, size, "../%s", store_blob(store, at.tree->name, NULL));
	else
		return -EINVAL;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int tree_open(const struct store *store, uint64_t nodeid, struct tree_file *ret)
{
	struct found at;
	int r = nodeid == TREE_TOP ? -EISDIR : find(store, nodeid, &at);

	if (r < 0)
		return r;
	if (at.kind == HOST) {
		*ret = (struct tree_file){ .object = at.index,
					   .backing_id = store_object(store, at.index)->backing_id,
					   .size = store_object(store, at.index)->size };
		return 0;
	}
	if (at.kind == LINK || at.kind == PID_LINK)
		return -EINVAL;
	if (at.kind != NODE || at.layout->nodes[at.slot].kind != LAYOUT_TEXT)
		return -EISDIR;
	ret->object = STORE_NONE;
	ret->backing_id = 0;
	ret->text = store_blob(store, at.layout->nodes[at.slot].ref, &ret->size);
	return ret->text ? 0 : -ESTALE;
}
