/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables behind the filesystem. Each table is one chunk of the heap that
 * doubles when it is full; a header at the file's start says where each one
 * is. Two sorted indexes, by name and by pid, are the only things outside the
 * file: they are built from it.
 */
#include "fs/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/heap.h"

#define STATE_MAGIC 0x6e766673u /* "nvfs" */
#define STATE_VERSION 1
#define INO_FIRST 16            /* below: the top directories */
#define INO_END 0x70000000u     /* above: links and host files, see tree.c */

struct table {
	uint32_t offset, count, room, element;
};

struct state {
	uint32_t magic, version, size;
	uint32_t next_serial;
	uint32_t next_ino;
	struct table objects, links, blobs, layouts, snapshots, trees;
};

/* Tree indexes in some order; the process's own. */
struct order {
	uint32_t *items;
	size_t n, room;
	int (*compare)(const struct store *store, uint32_t tree, const void *key);
};

/* Elements of a counted table by their hash: chains of indexes; the process's own. */
struct chains {
	uint32_t *heads, *next;
	uint32_t n_heads; /* a power of two, above the number of elements */
	uint32_t free;            /* chain of free elements */
};

/* Which elements of a table are free; the process's own. */
struct slots {
	uint32_t used;
	uint32_t hint; /* none below is free */
};

struct store {
	struct heap heap;
	struct state *state;
	pthread_rwlock_t lock;
	struct order by_name, by_pid;
	struct slots tree_slots, snapshot_slots;
	struct chains blob_chains, layout_chains;
	int *fds; /* by object */
	uint32_t n_fds;
};

static void *table_at(const struct store *store, const struct table *table, uint32_t i)
{
	if (i >= table->count)
		return NULL;
	return (char *)heap_at(&store->heap, table->offset) + (size_t)i * table->element;
}

/* A zeroed element at the end. The old chunk goes only when the new one counts. */
static uint32_t table_append(struct store *store, struct table *table)
{
	if (table->count == table->room) {
		uint32_t room = table->room ? table->room * 2 : 64;
		uint32_t offset = heap_alloc(&store->heap, (size_t)room * table->element);
		uint32_t old = table->offset;

		if (!offset)
			return STORE_NONE;
		if (old)
			memcpy(heap_at(&store->heap, offset), heap_at(&store->heap, old),
			       (size_t)table->count * table->element);
		table->offset = offset;
		table->room = room;
		heap_free(&store->heap, old);
	}
	memset((char *)heap_at(&store->heap, table->offset) + (size_t)table->count * table->element, 0,
	       table->element);
	return table->count++;
}

/* order */

static size_t order_position(const struct store *store, const struct order *order, const void *key,
			     bool *found)
{
	size_t low = 0, high = order->n;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = order->compare(store, order->items[middle], key);

		if (c == 0) {
			*found = true;
			return middle;
		}
		if (c < 0)
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

static void order_add(const struct store *store, struct order *order, const void *key,
		      uint32_t tree)
{
	bool found;
	size_t at = order_position(store, order, key, &found);

	assert(order->n < order->room);
	memmove(order->items + at + 1, order->items + at, (order->n - at) * sizeof(*order->items));
	order->items[at] = tree;
	order->n++;
}

static void order_remove(const struct store *store, struct order *order, const void *key,
			 uint32_t tree)
{
	bool found;
	size_t at = order_position(store, order, key, &found);

	if (!found || order->items[at] != tree)
		return;
	order->n--;
	memmove(order->items + at, order->items + at + 1, (order->n - at) * sizeof(*order->items));
}

static uint32_t order_find(const struct store *store, const struct order *order, const void *key)
{
	bool found;
	size_t at = order_position(store, order, key, &found);

	return found ? order->items[at] : STORE_NONE;
}

static int compare_name(const struct store *store, uint32_t tree, const void *key)
{
	return strcmp(store_blob(store, store_tree(store, tree)->name, NULL), key);
}

static int compare_pid(const struct store *store, uint32_t tree, const void *key)
{
	int32_t pid = store_tree(store, tree)->pid, wanted = *(const int32_t *)key;

	return pid < wanted ? -1 : pid > wanted;
}

/* the store itself */

int store_new(int fd, struct store **ret, struct error *err)
{
	struct store *store = calloc(1, sizeof(*store));
	pthread_rwlockattr_t attr;
	int r;

	if (!store) {
		cleanup_close(&fd);
		return error_set(err, -ENOMEM, "make the store");
	}
	r = heap_init(&store->heap, fd, sizeof(struct state), err);
	if (r < 0) {
		free(store);
		return r;
	}
	/* Readers come in numbers; the one writer must get its turn. */
	(void)pthread_rwlockattr_init(&attr);
	(void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&store->lock, &attr);
	(void)pthread_rwlockattr_destroy(&attr);
	store->state = heap_at(&store->heap, 0);
	*store->state = (struct state){
		.magic = STATE_MAGIC,
		.version = STATE_VERSION,
		.size = sizeof(struct state),
		.next_serial = 1,
		.next_ino = INO_FIRST,
		.objects.element = sizeof(struct store_object),
		.links.element = sizeof(uint32_t),
		.blobs.element = sizeof(struct store_blob),
		.layouts.element = sizeof(struct store_layout),
		.snapshots.element = sizeof(struct store_snapshot),
		.trees.element = sizeof(struct store_tree),
	};
	store->by_name.compare = compare_name;
	store->by_pid.compare = compare_pid;
	*ret = store;
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	free(store->by_name.items);
	free(store->by_pid.items);
	free(store->blob_chains.heads);
	free(store->blob_chains.next);
	free(store->layout_chains.heads);
	free(store->layout_chains.next);
	for (uint32_t i = 0; i < store->n_fds; i++)
		cleanup_close(&store->fds[i]);
	free(store->fds);
	(void)pthread_rwlock_destroy(&store->lock);
	heap_done(&store->heap);
	free(store);
}

void store_read_lock(struct store *store)
{
	(void)pthread_rwlock_rdlock(&store->lock);
}

void store_write_lock(struct store *store)
{
	(void)pthread_rwlock_wrlock(&store->lock);
}

void store_unlock(struct store *store)
{
	(void)pthread_rwlock_unlock(&store->lock);
}

size_t store_memory(const struct store *store)
{
	return store->heap.end;
}

/* FNV-1a; only a hint: what counts is memcmp(). */
static uint32_t hash_bytes(const void *data, size_t size)
{
	const unsigned char *p = data;
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * 16777619u;
	return hash;
}

/* objects and links: never freed */

uint32_t store_object_add(struct store *store, const struct store_object *object)
{
	uint32_t i = table_append(store, &store->state->objects);

	if (i != STORE_NONE)
		*(struct store_object *)table_at(store, &store->state->objects, i) = *object;
	return i;
}

const struct store_object *store_object(const struct store *store, uint32_t index)
{
	return table_at(store, &store->state->objects, index);
}

void store_object_set_backing(struct store *store, uint32_t index, int32_t backing_id)
{
	struct store_object *object = table_at(store, &store->state->objects, index);

	object->backing_id = backing_id;
}

int store_object_set_fd(struct store *store, uint32_t index, int fd)
{
	if (index >= store->n_fds) {
		uint32_t n = (index / 64 + 1) * 64;
		int *bigger = realloc(store->fds, n * sizeof(*bigger));

		if (!bigger) {
			cleanup_close(&fd);
			return -ENOMEM;
		}
		for (uint32_t i = store->n_fds; i < n; i++)
			bigger[i] = -1;
		store->fds = bigger;
		store->n_fds = n;
	}
	cleanup_close(&store->fds[index]);
	store->fds[index] = fd;
	return 0;
}

int store_object_fd(const struct store *store, uint32_t index)
{
	return index < store->n_fds ? store->fds[index] : -1;
}

uint32_t store_link_put(struct store *store, const char *target)
{
	struct table *table = &store->state->links;
	size_t size = strlen(target) + 1;
	uint32_t i, offset;

	for (i = 0; i < table->count; i++) {
		if (strcmp(store_link(store, i), target) == 0)
			return i;
	}
	offset = heap_alloc(&store->heap, size);
	if (!offset)
		return STORE_NONE;
	memcpy(heap_at(&store->heap, offset), target, size);
	i = table_append(store, table);
	if (i == STORE_NONE)
		heap_free(&store->heap, offset);
	else
		*(uint32_t *)table_at(store, table, i) = offset;
	return i;
}

const char *store_link(const struct store *store, uint32_t index)
{
	const uint32_t *offset = table_at(store, &store->state->links, index);

	return offset ? heap_at(&store->heap, *offset) : NULL;
}

/*
 * Blobs and layouts are kept alike: counted bytes. Both tables' elements begin
 * with the same four fields.
 */
static struct store_blob *counted_at(const struct store *store, const struct table *table, uint32_t i)
{
	return table_at(store, table, i);
}

/* Make room for one more element; all chains are laid anew when the table has grown. */
static int chains_reserve(const struct store *store, const struct table *table,
			  struct chains *chains)
{
	uint32_t n = chains->n_heads ? chains->n_heads : 64;
	uint32_t *heads, *next;

	while (n <= table->count)
		n *= 2;
	if (n == chains->n_heads)
		return 0;
	heads = malloc(n * sizeof(*heads));
	next = realloc(chains->next, n * sizeof(*next));
	if (next)
		chains->next = next;
	if (!heads || !next) {
		free(heads);
		return -ENOMEM;
	}
	free(chains->heads);
	chains->heads = heads;
	chains->n_heads = n;
	chains->free = STORE_NONE;
	memset(heads, 0xff, n * sizeof(*heads));
	for (uint32_t i = 0; i < table->count; i++) {
		const struct store_blob *item = counted_at(store, table, i);
		uint32_t *chain = item->refs ? &heads[item->hash & (n - 1)] : &chains->free;

		next[i] = *chain;
		*chain = i;
	}
	return 0;
}

static void chains_remove(struct chains *chains, uint32_t hash, uint32_t index)
{
	uint32_t *at = &chains->heads[hash & (chains->n_heads - 1)];

	while (*at != index)
		at = &chains->next[*at];
	*at = chains->next[index];
	chains->next[index] = chains->free;
	chains->free = index;
}

static uint32_t counted_find(const struct store *store, const struct table *table,
			     const struct chains *chains, const void *data, size_t size,
			     uint32_t hash)
{
	uint32_t i = chains->heads[hash & (chains->n_heads - 1)];

	for (; i != STORE_NONE; i = chains->next[i]) {
		const struct store_blob *item = counted_at(store, table, i);

		if (item->hash == hash && item->size == size &&
		    memcmp(heap_at(&store->heap, item->offset), data, size) == 0)
			break;
	}
	return i;
}

static uint32_t counted_new(struct store *store, struct table *table, struct chains *chains,
			    const void *data, size_t size, uint32_t hash)
{
	uint32_t offset = size < HEAP_SIZE_MAX ? heap_alloc(&store->heap, size + 1) : 0; /* + NUL */
	uint32_t i = chains->free, *head = &chains->heads[hash & (chains->n_heads - 1)];

	if (!offset)
		return STORE_NONE;
	if (i != STORE_NONE)
		chains->free = chains->next[i];
	else
		i = table_append(store, table);
	if (i == STORE_NONE) {
		heap_free(&store->heap, offset);
		return STORE_NONE;
	}
	memcpy(heap_at(&store->heap, offset), data, size);
	*counted_at(store, table, i) = (struct store_blob){
		.offset = offset, .size = (uint32_t)size, .hash = hash, .refs = 1
	};
	chains->next[i] = *head;
	*head = i;
	return i;
}

static uint32_t counted_put(struct store *store, struct table *table, struct chains *chains,
			    const void *data, size_t size, bool *ret_new)
{
	uint32_t hash = hash_bytes(data, size), i;

	*ret_new = false;
	if (chains_reserve(store, table, chains) < 0)
		return STORE_NONE;
	i = counted_find(store, table, chains, data, size, hash);
	if (i != STORE_NONE) {
		counted_at(store, table, i)->refs++;
		return i;
	}
	*ret_new = true;
	return counted_new(store, table, chains, data, size, hash);
}

uint32_t store_blob_put(struct store *store, const void *data, size_t size)
{
	bool is_new;

	return counted_put(store, &store->state->blobs, &store->blob_chains, data, size, &is_new);
}

void store_blob_ref(struct store *store, uint32_t index)
{
	struct store_blob *blob = table_at(store, &store->state->blobs, index);

	if (blob && blob->refs)
		blob->refs++;
}

void store_blob_unref(struct store *store, uint32_t index)
{
	struct store_blob *blob = table_at(store, &store->state->blobs, index);

	if (!blob || !blob->refs || --blob->refs)
		return;
	heap_free(&store->heap, blob->offset);
	chains_remove(&store->blob_chains, blob->hash, index);
}

const char *store_blob(const struct store *store, uint32_t index, size_t *ret_size)
{
	const struct store_blob *blob = table_at(store, &store->state->blobs, index);

	if (!blob || !blob->refs)
		return NULL;
	if (ret_size)
		*ret_size = blob->size;
	return heap_at(&store->heap, blob->offset);
}

static void layout_unref_blobs(struct store *store, const struct layout *layout)
{
	for (uint32_t slot = 0; slot < layout->n_nodes; slot++) {
		if (layout->nodes[slot].kind == LAYOUT_TEXT)
			store_blob_unref(store, layout->nodes[slot].ref);
	}
}

uint32_t store_layout_put(struct store *store, const struct layout *layout)
{
	bool is_new;
	uint32_t index = counted_put(store, &store->state->layouts, &store->layout_chains, layout,
				     layout->size, &is_new);

	if (!is_new || index == STORE_NONE)
		layout_unref_blobs(store, layout);
	return index;
}

void store_layout_ref(struct store *store, uint32_t index)
{
	struct store_layout *layout = table_at(store, &store->state->layouts, index);

	if (layout && layout->refs)
		layout->refs++;
}

void store_layout_unref(struct store *store, uint32_t index)
{
	struct store_layout *layout = table_at(store, &store->state->layouts, index);

	if (!layout || !layout->refs || --layout->refs)
		return;
	layout_unref_blobs(store, heap_at(&store->heap, layout->offset));
	heap_free(&store->heap, layout->offset);
	chains_remove(&store->layout_chains, layout->hash, index);
}

const struct layout *store_layout(const struct store *store, uint32_t index)
{
	const struct store_layout *layout = table_at(store, &store->state->layouts, index);

	return layout && layout->refs ? heap_at(&store->heap, layout->offset) : NULL;
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

	if (index == STORE_NONE)
		return STORE_NONE;
	*(struct store_snapshot *)table_at(store, table, index) = (struct store_snapshot){
		.serial = next_serial(store),
		.layout = layout,
		.tree = tree,
		.next = next,
		.ino_base = take_inos(store, shape->n_nodes),
		.generation = generation,
		.made_ns = now_ns(),
	};
	return index;
}

uint32_t store_tree_add(struct store *store, const struct store_tree *tree, uint32_t layout,
			uint32_t generation)
{
	struct table *table = &store->state->trees;
	const char *name = store_blob(store, tree->name, NULL);
	struct store_tree *new_tree;
	uint32_t index = STORE_NONE, snapshot = STORE_NONE;

	if (order_reserve(&store->by_name) == 0 && order_reserve(&store->by_pid) == 0)
		index = slot_take(store, table, &store->tree_slots);
	if (index != STORE_NONE)
		snapshot = snapshot_add(store, index, layout, STORE_NONE, generation);
	if (snapshot == STORE_NONE) {
		if (index != STORE_NONE)
			slot_give(store, table, &store->tree_slots, index);
		store_blob_unref(store, tree->name);
		store_blob_unref(store, tree->spec);
		store_blob_unref(store, tree->done);
		store_blob_unref(store, tree->image);
		store_layout_unref(store, layout);
		return STORE_NONE;
	}
	new_tree = table_at(store, table, index);
	*new_tree = *tree;
	new_tree->snapshot = snapshot;
	new_tree->ino = take_inos(store, 1);
	new_tree->made_ns = now_ns();
	new_tree->serial = next_serial(store);
	order_add(store, &store->by_name, name, index);
	if (tree->pid)
		order_add(store, &store->by_pid, &tree->pid, index);
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
		t->snapshot = snapshot;
	return snapshot;
}

void store_tree_switch_back(struct store *store, uint32_t tree)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);
	uint32_t newest = t->snapshot, before = store_snapshot(store, newest)->next;

	if (before == STORE_NONE)
		return;
	t->snapshot = before;
	snapshot_remove(store, newest);
}

void store_tree_set_done(struct store *store, uint32_t tree, uint32_t done)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);

	store_blob_unref(store, t->done);
	t->done = done;
}

void store_tree_set_image(struct store *store, uint32_t tree, uint32_t image)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);

	store_blob_unref(store, t->image);
	t->image = image;
}

void store_tree_set_spec(struct store *store, uint32_t tree, uint32_t spec)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);

	store_blob_unref(store, t->spec);
	t->spec = spec;
}

void store_tree_remove(struct store *store, uint32_t tree)
{
	struct store_tree *t = table_at(store, &store->state->trees, tree);
	uint32_t snapshot, next;

	if (!t || !t->serial)
		return;
	order_remove(store, &store->by_name, store_blob(store, t->name, NULL), tree);
	if (t->pid)
		order_remove(store, &store->by_pid, &t->pid, tree);
	for (snapshot = t->snapshot; snapshot != STORE_NONE; snapshot = next) {
		next = store_snapshot(store, snapshot)->next;
		snapshot_remove(store, snapshot);
	}
	store_blob_unref(store, t->name);
	store_blob_unref(store, t->spec);
	store_blob_unref(store, t->done);
	store_blob_unref(store, t->image);
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
	return order_find(store, &store->by_name, name);
}

uint32_t store_tree_find_pid(const struct store *store, int32_t pid)
{
	return order_find(store, &store->by_pid, &pid);
}
