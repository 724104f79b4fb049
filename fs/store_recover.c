/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on with the state file of a process that was killed, anywhere.
 *
 * What counts is reachable from the trees, the objects and the header. The
 * walk from there counts every reference anew and marks every chunk of memory;
 * what is not reached is free. A tree of which a part is missing is dropped.
 * The file is root's own on a tmpfs, but it may be damaged or made by another
 * version: every offset is checked before it is followed.
 */
#include "fs/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/store_impl.h"

/* Marks of chunks, a bit for each 64 bytes: the smallest chunk. */
struct marks {
	unsigned char *bits;
	size_t n;
};

static int is_marked(const void *data, uint32_t offset)
{
	const struct marks *marks = data;
	size_t i = offset / 64;

	return i / 8 < marks->n && marks->bits[i / 8] >> i % 8 & 1;
}

/* A chunk has one owner; 0 is nothing. -EBADMSG where it has one already. */
static int mark(struct marks *marks, uint32_t offset)
{
	size_t i = offset / 64;

	if (!offset || i / 8 >= marks->n)
		return 0;
	if (is_marked(marks, offset))
		return -EBADMSG;
	marks->bits[i / 8] |= (unsigned char)(1 << i % 8);
	return 0;
}

/* header and tables */

static bool table_is_sound(const struct store *store, const struct table *table, size_t element)
{
	if (table->element != element || table->count > table->room)
		return false;
	return !table->room ||
	       heap_holds(&store->heap, table->offset, (size_t)table->room * element);
}

/* Before anything else is believed: the layout of another version is never followed. */
int store_check(int fd, struct error *err)
{
	/* As struct state begins: magic, version and size in every version. */
	struct state_begin begin = { 0 };
	char boot_id[STATE_BOOT_ID] = "";
	ssize_t n = pread(fd, &begin, sizeof(begin), 0);

	if (n < 0)
		return error_set(err, -errno, "read it");
	if (n == 0 || (n == sizeof(begin) && !begin.magic))
		return error_setc(err, ERROR_OTHER, -ENODATA, "it is empty");
	if (n < (ssize_t)offsetof(struct state_begin, boot_id) || begin.magic != STATE_MAGIC)
		return error_setc(err, ERROR_OTHER, -EBADMSG, "not a state file of nvfs");
	if (begin.version != STATE_VERSION)
		return error_setc(err, ERROR_OTHER, -EPROTO,
				  "it has layout %u, this program reads layout %u", begin.version,
				  STATE_VERSION);
	if (begin.size != sizeof(struct state))
		return error_setc(err, ERROR_OTHER, -EPROTO,
				  "its header has %u bytes, and this program's %zu", begin.size,
				  sizeof(struct state));
	store_boot_id(boot_id);
	if (memcmp(begin.boot_id, boot_id, sizeof(boot_id)) != 0)
		return error_setc(err, ERROR_OTHER, -ESTALE,
				  "it is from before the machine started");
	return 0;
}

static int check_tables(const struct store *store, struct error *err)
{
	const struct state *state = store->state;

	if (!table_is_sound(store, &state->objects, sizeof(struct store_object)) ||
	    !table_is_sound(store, &state->links, sizeof(uint32_t)) ||
	    !table_is_sound(store, &state->blobs, sizeof(struct store_blob)) ||
	    !table_is_sound(store, &state->layouts, sizeof(struct store_layout)) ||
	    !table_is_sound(store, &state->snapshots, sizeof(struct store_snapshot)) ||
	    !table_is_sound(store, &state->trees, sizeof(struct store_tree)))
		return error_set(err, -EBADMSG, "tables of the state file");
	return 0;
}

/* counted tables: blobs and layouts begin alike, and a NUL is behind both */

static struct store_blob *counted(const struct store *store, const struct table *table, uint32_t i)
{
	struct store_blob *item = table_at(store, table, i);

	if (!item || !heap_holds(&store->heap, item->offset, (size_t)item->size + 1))
		return NULL;
	return ((const char *)heap_at(&store->heap, item->offset))[item->size] ? NULL : item;
}

static void forget_refs(const struct store *store, const struct table *table)
{
	for (uint32_t i = 0; i < table->count; i++)
		((struct store_blob *)table_at(store, table, i))->refs = 0;
}

static bool ref_blob(const struct store *store, uint32_t index)
{
	struct store_blob *blob = counted(store, &store->state->blobs, index);

	if (blob)
		blob->refs++;
	return blob != NULL;
}

static bool refers_to_something(const struct store *store, const struct layout_node *node)
{
	switch (node->kind) {
	case LAYOUT_DIR:
		return true;
	case LAYOUT_HOST:
		return store_object(store, node->ref) != NULL;
	case LAYOUT_TEXT:
		return counted(store, &store->state->blobs, node->ref) != NULL;
	case LAYOUT_LINK:
		return store_link(store, node->ref) != NULL;
	}
	return false;
}

static bool item_is_sound(const struct store *store, const struct store_blob *item)
{
	const struct layout *layout = heap_at(&store->heap, item->offset);

	if (!layout_is_sound(layout, item->size))
		return false;
	for (uint32_t i = 0; i < layout->n_nodes; i++) {
		if (!refers_to_something(store, &layout->nodes[i]))
			return false;
	}
	return true;
}

/* One that is referred to has been looked at. */
static bool may_refer(const struct store *store, uint32_t index)
{
	const struct store_blob *item = counted(store, &store->state->layouts, index);

	return item && (item->refs || item_is_sound(store, item));
}

static void ref_layout(const struct store *store, uint32_t index)
{
	struct store_blob *item = table_at(store, &store->state->layouts, index);
	const struct layout *layout = heap_at(&store->heap, item->offset);

	for (uint32_t i = 0; !item->refs && i < layout->n_nodes; i++) {
		if (layout->nodes[i].kind == LAYOUT_TEXT)
			(void)ref_blob(store, layout->nodes[i].ref);
	}
	item->refs++;
}

/* trees */

static bool snapshots_are_sound(const struct store *store, uint32_t tree, uint32_t first)
{
	uint32_t n = 0;

	for (uint32_t i = first; i != STORE_NONE; n++) {
		const struct store_snapshot *snapshot = store_snapshot(store, i);

		if (!snapshot || snapshot->tree != tree || n >= store->state->snapshots.count ||
		    !may_refer(store, snapshot->layout))
			return false;
		i = snapshot->next;
	}
	return n > 0;
}

/* No two trees have one name: the order of names relies on it. */
static bool tree_name_is_sound(const struct store *store, uint32_t index)
{
	const struct store_blob *blob = counted(store, &store->state->blobs, index);
	const char *name = blob ? heap_at(&store->heap, blob->offset) : "";

	return blob && strlen(name) == blob->size && layout_name_is_sound(name) &&
	       store_tree_find(store, name) == STORE_NONE;
}

static bool tree_is_sound(const struct store *store, uint32_t index)
{
	const struct store_tree *tree = store_tree(store, index);

	return tree_name_is_sound(store, tree->name) &&
	       counted(store, &store->state->blobs, tree->spec) &&
	       snapshots_are_sound(store, index, tree->snapshot);
}

static void ref_tree(struct store *store, struct store_tree *tree, unsigned char *snapshot_used)
{
	for (uint32_t i = tree->snapshot; i != STORE_NONE; i = store_snapshot(store, i)->next) {
		ref_layout(store, store_snapshot(store, i)->layout);
		snapshot_used[i] = 1;
	}
	(void)ref_blob(store, tree->name);
	(void)ref_blob(store, tree->spec);
	if (!ref_blob(store, tree->done))
		tree->done = STORE_NONE;
}

static int ref_trees(struct store *store)
{
	struct state *state = store->state;
	auto_free unsigned char *used = calloc(state->snapshots.count + 1UL, 1);

	if (!used)
		return -ENOMEM;
	for (uint32_t i = 0; i < state->trees.count; i++) {
		struct store_tree *tree = table_at(store, &state->trees, i);

		if (tree->serial && !tree_is_sound(store, i))
			tree->serial = 0;
		if (!tree->serial)
			continue;
		ref_tree(store, tree, used);
		store->tree_slots.used++;
		if (store_orders_add(store, i) < 0)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < state->snapshots.count; i++) {
		struct store_snapshot *snapshot = table_at(store, &state->snapshots, i);

		if (!used[i])
			snapshot->serial = 0;
		store->snapshot_slots.used += used[i];
	}
	return 0;
}

/* memory */

static int mark_counted(const struct store *store, const struct table *table, struct marks *marks)
{
	int r = mark(marks, table->offset);

	for (uint32_t i = 0; i < table->count && r == 0; i++) {
		struct store_blob *item = table_at(store, table, i);

		if (item->refs)
			r = mark(marks, item->offset);
		else
			item->offset = 0;
	}
	return r;
}

static int mark_links(const struct store *store, struct marks *marks)
{
	const struct table *links = &store->state->links;
	int r = mark(marks, links->offset);

	for (uint32_t i = 0; i < links->count && r == 0; i++)
		r = mark(marks, *(uint32_t *)table_at(store, links, i));
	return r;
}

static int sweep(struct store *store)
{
	const struct state *state = store->state;
	struct marks marks = { .n = store->heap.end / 64 / 8 + 1 };
	auto_free unsigned char *bits = calloc(marks.n, 1);

	if (!bits)
		return -ENOMEM;
	marks.bits = bits;
	if (mark(&marks, state->objects.offset) < 0 || mark(&marks, state->snapshots.offset) < 0 ||
	    mark(&marks, state->trees.offset) < 0 || mark_links(store, &marks) < 0 ||
	    mark_counted(store, &state->blobs, &marks) < 0 ||
	    mark_counted(store, &state->layouts, &marks) < 0)
		return -EBADMSG;
	heap_sweep(&store->heap, is_marked, &marks);
	return 0;
}

static int build_chains(struct store *store)
{
	uint32_t n_blobs = 64, n_layouts = 64;

	while (n_blobs <= store->state->blobs.count)
		n_blobs *= 2;
	while (n_layouts <= store->state->layouts.count)
		n_layouts *= 2;
	if (store_chains_build(store, &store->state->blobs, &store->blob_chains, n_blobs) < 0 ||
	    store_chains_build(store, &store->state->layouts, &store->layout_chains, n_layouts) < 0)
		return -ENOMEM;
	return 0;
}

static void check_links(struct store *store)
{
	for (uint32_t i = 0; i < store->state->links.count; i++) {
		uint32_t *offset = table_at(store, &store->state->links, i);

		size_t room = heap_room(&store->heap, *offset);

		if (!room || !memchr(heap_at(&store->heap, *offset), '\0', room))
			*offset = 0;
	}
}

/* Numbers to be given next; what a whole file says of them is in bounds. */
static void check_numbers(struct state *state)
{
	if (!state->next_serial)
		state->next_serial = 1;
	if (state->next_ino < INO_FIRST || state->next_ino > INO_END)
		state->next_ino = INO_FIRST;
}

/* Who died between offset and room of a table's first chunk has left a chunk that nothing counts. */
static void forget_empty_tables(struct state *state)
{
	struct table *tables[] = { &state->objects, &state->links,     &state->blobs,
				   &state->layouts, &state->snapshots, &state->trees };

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (!tables[i]->room)
			tables[i]->offset = 0;
}

static int recover(struct store *store, struct error *err)
{
	struct state *state = store->state;
	int r = check_tables(store, err);

	if (r < 0)
		return r;
	forget_empty_tables(state);
	check_numbers(state);
	check_links(store);
	forget_refs(store, &state->blobs);
	forget_refs(store, &state->layouts);
	r = ref_trees(store);
	for (uint32_t i = 0; i < state->objects.count; i++) {
		struct store_object *object = table_at(store, &state->objects, i);

		if (object->mode && !ref_blob(store, object->path))
			object->path = STORE_NONE;
	}
	if (state->generation != STORE_NONE && !ref_blob(store, state->generation))
		state->generation = STORE_NONE;
	if (r == 0)
		r = sweep(store);
	if (r == 0)
		r = build_chains(store);
	return r < 0 ? error_set(err, r, "recover the state") : 0;
}

static int open_store(int fd, int (*open)(struct heap *, int, size_t, struct error *),
		      struct store **ret, struct error *err)
{
	struct store *store = store_alloc();
	int r = store ? store_check(fd, err) : error_set(err, -ENOMEM, "open the store");

	if (r < 0) {
		cleanup_close(&fd);
		store_free(store);
		return r;
	}
	r = open(&store->heap, fd, sizeof(struct state), err);
	if (r == 0) {
		store->state = heap_at(&store->heap, 0);
		r = recover(store, err);
	}
	if (r < 0) {
		store_free(store);
		return r;
	}
	*ret = store;
	return 0;
}

int store_open(int fd, struct store **ret, struct error *err)
{
	return open_store(fd, heap_open, ret, err);
}

int store_open_copy(int fd, struct store **ret, struct error *err)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return own < 0 ? error_set(err, -errno, "open the store")
		       : open_store(own, heap_open_copy, ret, err);
}

void store_disconnect(struct store *store)
{
	struct state *state = store->state;

	publish(&state->session.init_size, 0);
	counters_disconnect(&state->counters);
	for (uint32_t i = 0; i < STORE_WORKERS_MAX; i++) {
		state->session.requests[i].deaths = 0;
		memset(state->session.requests[i].bytes, 0, sizeof(uint64_t)); /* no request */
	}
	for (uint32_t i = 0; i < state->objects.count; i++)
		((struct store_object *)table_at(store, &state->objects, i))->backing_id = 0;
}
