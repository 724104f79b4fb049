/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables behind the filesystem. Each table is one chunk of the heap that
 * doubles when it is full; a header at the file's start says where each one
 * is. What helps to find things is built by each process from the file.
 *
 * The process may be killed between any two stores to the file, and another
 * one goes on with it (store_recover.c). So an element is complete before it
 * counts, and what makes it count is a single store.
 */
#include "fs/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/store_impl.h"

/* A zeroed element at the end. The old chunk goes only when the new one counts. */
uint32_t table_append(struct store *store, struct table *table)
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
		/* Between the two the table is right, only smaller than its chunk. */
		publish(&table->offset, offset);
		publish(&table->room, room);
		heap_free(&store->heap, old);
	}
	memset((char *)heap_at(&store->heap, table->offset) + (size_t)table->count * table->element,
	       0, table->element);
	publish(&table->count, table->count + 1);
	return table->count - 1;
}

/* the store itself */

void store_boot_id(char ret[STATE_BOOT_ID])
{
	auto_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, ret, STATE_BOOT_ID - 1);

	memset(ret + (n < 0 ? 0 : n), 0, STATE_BOOT_ID - (size_t)(n < 0 ? 0 : n));
}

struct store *store_alloc(void)
{
	struct store *store = calloc(1, sizeof(*store));
	pthread_rwlockattr_t attr;

	if (!store)
		return NULL;
	store->heap.fd = -1;
	/* Readers come in numbers; the one writer must get its turn. */
	(void)pthread_rwlockattr_init(&attr);
	(void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&store->lock, &attr);
	(void)pthread_rwlockattr_destroy(&attr);
	store_orders_init(store);
	return store;
}

int store_new(int fd, struct store **ret, struct error *err)
{
	struct store *store = store_alloc();
	int r;

	if (!store) {
		cleanup_close(&fd);
		return error_set(err, -ENOMEM, "make the store");
	}
	r = heap_init(&store->heap, fd, sizeof(struct state), err);
	if (r < 0) {
		store_free(store);
		return r;
	}
	store->state = heap_at(&store->heap, 0);
	/* Field by field: the rest is zero, and most of it is never to be touched. */
	store->state->begin.version = STATE_VERSION;
	store->state->begin.size = sizeof(struct state);
	store_boot_id(store->state->begin.boot_id);
	store->state->next_serial = 1;
	store->state->next_ino = INO_FIRST;
	store->state->generation = STORE_NONE;
	store->state->objects.element = sizeof(struct store_object);
	store->state->links.element = sizeof(uint32_t);
	store->state->blobs.element = sizeof(struct store_blob);
	store->state->layouts.element = sizeof(struct store_layout);
	store->state->snapshots.element = sizeof(struct store_snapshot);
	store->state->trees.element = sizeof(struct store_tree);
	counters_init(&store->state->counters);
	publish(&store->state->begin.magic, STATE_MAGIC);
	*ret = store;
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	free(store->by_name.items);
	free(store->by_pid.items);
	free(store->by_mnt_ns.items);
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

struct store_session *store_session(struct store *store)
{
	return &store->state->session;
}

struct counters *store_counters(struct store *store)
{
	return &store->state->counters;
}

void store_set_server(struct store *store, const struct store_server *server)
{
	publish((uint32_t *)&store->state->server.pid, 0);
	store->state->server = *server;
	store->state->server.state_fd = store->heap.fd;
}

int store_read_server(int fd, struct store_server *ret)
{
	ssize_t n = pread(fd, ret, sizeof(*ret), offsetof(struct state, server));

	return n == (ssize_t)sizeof(*ret) ? 0 : -EBADMSG;
}

uint32_t store_generation(const struct store *store)
{
	return store->state->generation;
}

void store_set_generation(struct store *store, uint32_t blob)
{
	uint32_t old = store->state->generation;

	publish(&store->state->generation, blob);
	store_blob_unref(store, old);
}

size_t store_memory(const struct store *store)
{
	return store->heap.end - store->heap.start;
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
	const struct store_object *object = table_at(store, &store->state->objects, index);

	return object && object->mode ? object : NULL;
}

void store_object_release(struct store *store, uint32_t index)
{
	struct store_object *object = table_at(store, &store->state->objects, index);
	uint32_t path = object->path;

	publish(&object->mode, 0);
	object->path = STORE_NONE;
	object->backing_id = 0;
	store_blob_unref(store, path);
	if (index < store->n_fds) {
		cleanup_close(&store->fds[index]);
		store->fds[index] = -1;
	}
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

int store_object_take_fd(struct store *store, uint32_t index)
{
	int fd = store_object_fd(store, index);

	if (fd >= 0)
		store->fds[index] = -1;
	return fd;
}

bool store_object_is_held(const struct store *store, uint32_t index)
{
	const struct store_object *object = store_object(store, index);

	return object && (object->backing_id > 0 || store_object_fd(store, index) >= 0);
}

uint32_t store_link_put(struct store *store, const char *target)
{
	struct table *table = &store->state->links;
	size_t size = strlen(target) + 1;
	uint32_t i, offset;

	for (i = 0; i < table->count; i++) {
		const char *link = store_link(store, i);

		if (link && strcmp(link, target) == 0)
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
		publish(table_at(store, table, i), offset);
	return i;
}

const char *store_link(const struct store *store, uint32_t index)
{
	const uint32_t *offset = table_at(store, &store->state->links, index);

	return offset && *offset ? heap_at(&store->heap, *offset) : NULL;
}

/*
 * Blobs and layouts are kept alike: counted bytes. Both tables' elements begin
 * with the same four fields.
 */
static struct store_blob *counted_at(const struct store *store, const struct table *table,
				     uint32_t i)
{
	return table_at(store, table, i);
}

/* Make room for one more element; all chains are laid anew when the table has grown. */
static int chains_reserve(const struct store *store, const struct table *table,
			  struct chains *chains)
{
	uint32_t n = chains->n_heads ? chains->n_heads : 64;

	while (n <= table->count)
		n *= 2;
	return n == chains->n_heads ? 0 : store_chains_build(store, table, chains, n);
}

int store_chains_build(const struct store *store, const struct table *table, struct chains *chains,
		       uint32_t n)
{
	uint32_t *heads, *next;

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

