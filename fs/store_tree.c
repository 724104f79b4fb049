/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees and their snapshots, and the orders, by name, by pid and by mount
 * namespace, in which trees are found. An element counts when its serial is set, which is the last
 * store of its making and the first of its unmaking.
 */
#include "fs/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/store_impl.h"

/* order */

/* The first place whose tree is not before the key. */
static size_t order_position(const struct store *store, const struct order *order,
			     const struct order_key *key)
{
	size_t low = 0, high = order->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (order->compare(store, order->items[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int order_reserve(struct order *order)
{
	size_t room = order->room ? order->room * 2 : 64;
	uint32_t *bigger;

	if (order->n < order->room)
		return 0;
	bigger = realloc(order->items, room * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	order->items = bigger;
	order->room = room;
	return 0;
}

static void order_add(const struct store *store, struct order *order, const struct order_key *key)
{
	size_t at = order_position(store, order, key);

	assert(order->n < order->room);
	memmove(order->items + at + 1, order->items + at, (order->n - at) * sizeof(*order->items));
	order->items[at] = key->tree;
	order->n++;
}

static void order_remove(const struct store *store, struct order *order,
			 const struct order_key *key)
{
	size_t at = order_position(store, order, key);

	assert(at < order->n && order->items[at] == key->tree);
	order->n--;
	memmove(order->items + at, order->items + at + 1, (order->n - at) * sizeof(*order->items));
}

/* Names differ. */
static int compare_name(const struct store *store, uint32_t tree, const struct order_key *key)
{
	return strcmp(store_blob(store, store_tree(store, tree)->name, NULL), key->name);
}

/* One process may have several trees, under several ids: the index tells them apart. */
static int compare_pid(const struct store *store, uint32_t tree, const struct order_key *key)
{
	int32_t pid = store_tree(store, tree)->pid;

	if (pid != key->pid)
		return pid < key->pid ? -1 : 1;
	return tree < key->tree ? -1 : tree > key->tree;
}

static int compare_mnt_ns(const struct store *store, uint32_t tree, const struct order_key *key)
{
	uint64_t mnt_ns = store_tree(store, tree)->mnt_ns;

	if (mnt_ns != key->mnt_ns)
		return mnt_ns < key->mnt_ns ? -1 : 1;
	return tree < key->tree ? -1 : tree > key->tree;
}

static struct order_key key_of(const struct store *store, uint32_t tree)
{
	const struct store_tree *t = store_tree(store, tree);

	return (struct order_key){ .name = store_blob(store, t->name, NULL), .pid = t->pid,
				   .mnt_ns = t->mnt_ns, .tree = tree };
}

void store_orders_init(struct store *store)
{
	store->by_name.compare = compare_name;
	store->by_pid.compare = compare_pid;
	store->by_mnt_ns.compare = compare_mnt_ns;
}

static int orders_reserve(struct store *store)
{
	int r = order_reserve(&store->by_name);

	r = r ? r : order_reserve(&store->by_pid);
	return r ? r : order_reserve(&store->by_mnt_ns);
}

int store_orders_add(struct store *store, uint32_t tree)
{
	const struct order_key key = key_of(store, tree);

	if (orders_reserve(store) < 0)
		return -ENOMEM;
	order_add(store, &store->by_name, &key);
	if (key.pid)
		order_add(store, &store->by_pid, &key);
	if (key.mnt_ns)
		order_add(store, &store->by_mnt_ns, &key);
	return 0;
}

/* trees and snapshots */

static int64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint32_t next_serial(struct store *store)
{
	uint32_t serial = store->state->next_serial++;

	if (!store->state->next_serial)
		store->state->next_serial = 1;
	return serial;
}

/* st_ino stays below 2^31: a 32-bit stat() of a larger one is EOVERFLOW. */
static uint32_t take_inos(struct store *store, uint32_t n)
{
	uint32_t first = store->state->next_ino;

	if (first + n > INO_END)
		first = INO_FIRST;
	store->state->next_ino = first + n;
	return first;
}

/* Trees and snapshots begin with their serial; 0 means that the element is free. */
static uint32_t slot_take(struct store *store, struct table *table, struct slots *slots)
{
	uint32_t i = slots->hint;

	if (slots->used < table->count) {
		while (*(uint32_t *)table_at(store, table, i))
			i++;
	} else if (table->count >= STORE_TREES_MAX) {
		return STORE_NONE;
	} else {
		i = table_append(store, table);
		if (i == STORE_NONE)
			return STORE_NONE;
	}
	slots->used++;
	slots->hint = i + 1;
	return i;
}

static void slot_give(struct store *store, struct table *table, struct slots *slots, uint32_t i)
{
	*(uint32_t *)table_at(store, table, i) = 0;
	slots->used--;
	if (i < slots->hint)
		slots->hint = i;
}

static uint32_t snapshot_add(struct store *store, uint32_t tree, uint32_t layout, uint32_t next,
			     uint32_t generation)
{
	struct table *table = &store->state->snapshots;
	const struct layout *shape = store_layout(store, layout);
	uint32_t index = shape ? slot_take(store, table, &store->snapshot_slots) : STORE_NONE;
	struct store_snapshot *snapshot;

	if (index == STORE_NONE)
		return STORE_NONE;
	snapshot = table_at(store, table, index);
	*snapshot = (struct store_snapshot){
		.layout = layout,
		.tree = tree,
		.next = next,
		.ino_base = take_inos(store, shape->n_nodes),
		.generation = generation,
		.made_ns = now_ns(),
	};
	publish(&snapshot->serial, next_serial(store));
	return index;
}

uint32_t store_tree_add(struct store *store, const struct store_tree *tree, uint32_t layout,
			uint32_t generation)
{
	struct table *table = &store->state->trees;
	struct store_tree *new_tree;
	uint32_t index = STORE_NONE, snapshot = STORE_NONE;

	if (orders_reserve(store) == 0)
		index = slot_take(store, table, &store->tree_slots);
	if (index != STORE_NONE)
		snapshot = snapshot_add(store, index, layout, STORE_NONE, generation);
	if (snapshot == STORE_NONE) {
		if (index != STORE_NONE)
			slot_give(store, table, &store->tree_slots, index);
		store_blob_unref(store, tree->name);
		store_blob_unref(store, tree->spec);
		store_blob_unref(store, tree->done);
		store_layout_unref(store, layout);
		return STORE_NONE;
	}
	new_tree = table_at(store, table, index);
	*new_tree = *tree;
	new_tree->serial = 0;
	new_tree->opens = 0;
	new_tree->snapshot = snapshot;
	new_tree->ino = take_inos(store, 1);
	new_tree->made_ns = now_ns();
	publish(&new_tree->serial, next_serial(store));
	(void)store_orders_add(store, index); /* room was reserved */
	return index;
}

static void snapshot_remove(struct store *store, uint32_t index)
{
	struct store_snapshot *snapshot = table_at(store, &store->state->snapshots, index);

	store_layout_unref(store, snapshot->layout);
	slot_give(store, &store->state->snapshots, &store->snapshot_slots, index);
}

uint32_t store_tree_switch(struct store *store, uint32_t tree, uint32_t layout, uint32_t generation)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);
	uint32_t snapshot = snapshot_add(store, tree, layout, t->snapshot, generation);

	if (snapshot == STORE_NONE)
		store_layout_unref(store, layout);
	else
		publish(&t->snapshot, snapshot);
	return snapshot;
}

void store_tree_switch_back(struct store *store, uint32_t tree)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);
	uint32_t newest = t->snapshot, before = store_snapshot(store, newest)->next;

	if (before == STORE_NONE)
		return;
	publish(&t->snapshot, before);
	snapshot_remove(store, newest);
}

void store_tree_forget_old(struct store *store, uint32_t tree, uint32_t generation)
{
	uint32_t at = store_tree(store, tree)->snapshot, next;

	for (; at != STORE_NONE; at = store_snapshot(store, at)->next) {
		struct store_snapshot *snapshot = table_at(store, &store->state->snapshots, at);

		while ((next = snapshot->next) != STORE_NONE &&
		       store_snapshot(store, next)->generation == generation) {
			publish(&snapshot->next, store_snapshot(store, next)->next);
			snapshot_remove(store, next);
		}
	}
}

void store_tree_set_done(struct store *store, uint32_t tree, uint32_t done)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);

	store_blob_unref(store, t->done);
	t->done = done;
}

void store_tree_set_spec(struct store *store, uint32_t tree, uint32_t spec)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);

	store_blob_unref(store, t->spec);
	t->spec = spec;
}

void store_tree_set_flags(struct store *store, uint32_t tree, uint32_t flags)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);

	publish(&t->flags, flags);
}

void store_tree_set_by_root(struct store *store, uint32_t tree)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);

	/* In this order: at no time is it one of uid 0 of any container. */
	publish(&t->flags, t->flags | STORE_TREE_BY_ROOT);
	publish(&t->owner, 0);
}

void store_tree_remove(struct store *store, uint32_t tree)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);
	struct order_key key;
	uint32_t snapshot, next;

	if (!t || !t->serial)
		return;
	key = key_of(store, tree);
	order_remove(store, &store->by_name, &key);
	if (t->pid)
		order_remove(store, &store->by_pid, &key);
	if (t->mnt_ns)
		order_remove(store, &store->by_mnt_ns, &key);
	publish(&t->serial, 0);
	for (snapshot = t->snapshot; snapshot != STORE_NONE; snapshot = next) {
		next = store_snapshot(store, snapshot)->next;
		snapshot_remove(store, snapshot);
	}
	store_blob_unref(store, t->name);
	store_blob_unref(store, t->spec);
	store_blob_unref(store, t->done);
	slot_give(store, &store->state->trees, &store->tree_slots, tree);
}

const struct store_tree *store_tree(const struct store *store, uint32_t index)
{
	const struct store_tree *tree = table_at(store, &store->state->trees, index);

	return tree && tree->serial ? tree : NULL;
}

const struct store_snapshot *store_snapshot(const struct store *store, uint32_t index)
{
	const struct store_snapshot *snapshot = table_at(store, &store->state->snapshots, index);

	return snapshot && snapshot->serial ? snapshot : NULL;
}

uint32_t store_trees_end(const struct store *store)
{
	return store->state->trees.count;
}

uint32_t store_trees_count(const struct store *store)
{
	return (uint32_t)store->by_name.n;
}

uint32_t store_tree_find(const struct store *store, const char *name)
{
	const struct order_key key = { .name = name };
	size_t at = order_position(store, &store->by_name, &key);

	if (at == store->by_name.n || compare_name(store, store->by_name.items[at], &key) != 0)
		return STORE_NONE;
	return store->by_name.items[at];
}

uint32_t store_tree_find_pid(const struct store *store, int32_t pid)
{
	const struct order_key key = { .pid = pid }; /* index 0: the first one of this pid */
	size_t at = order_position(store, &store->by_pid, &key);
	uint32_t found = STORE_NONE;

	for (; at < store->by_pid.n; at++) {
		uint32_t index = store->by_pid.items[at];
		const struct store_tree *tree = store_tree(store, index);

		if (tree->pid != pid)
			break;
		if (tree->flags & STORE_TREE_BY_ROOT)
			return index;
		if (found == STORE_NONE)
			found = index;
	}
	return found;
}

void store_tree_count_open(const struct store *store, uint64_t mnt_ns)
{
	const struct order_key key = { .mnt_ns = mnt_ns }; /* index 0: the first one of this namespace */
	size_t at = order_position(store, &store->by_mnt_ns, &key);

	for (; at < store->by_mnt_ns.n; at++) {
		struct store_tree *tree = table_at(store, &store->state->trees,
						   store->by_mnt_ns.items[at]);

		if (tree->mnt_ns != mnt_ns)
			return;
		(void)__atomic_fetch_add(&tree->opens, 1, __ATOMIC_RELAXED);
	}
}
