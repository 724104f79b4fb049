/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description of generations that a daemon finds in the state of the one
 * before it. Whatever it says, it is refused, or trees can be composed from it
 * and it can be saved and loaded again.
 */
#include <errno.h>
#include <sys/mman.h>

#include "common/error.h"
#include "common/ldcache.h"
#include "fs/compose.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "tests/fuzz/fuzz.h"

#define OBJECTS 4

static struct store *new_store(const uint8_t *text, size_t size)
{
	struct store *store = NULL;

	require(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL) == 0);
	for (int i = 0; i < OBJECTS; i++) {
		struct store_object object = { .mode = 0100755, .size = 10, .generation = 1 };

		object.path = store_blob_put(store, "/usr/lib/x", 10);
		require(store_object_add(store, &object) != STORE_NONE);
	}
	store_set_generation(store, store_blob_put(store, text, size));
	return store;
}

static void check_values(const struct store *store, const struct generation *g)
{
	for (size_t i = 0; i < g->driver->n_files; i++) {
		const struct driver_file *file = &g->driver->files[i];

		require(file->name && file->path && file->fd == -1);
		require(driver_file_kind_name(file->kind) != NULL);
		require(store_object(store, g->objects[i]) != NULL);
	}
	for (size_t i = 0; i < g->gpus->n; i++)
		require(memchr(g->gpus->gpus[i].uuid, '\0', sizeof(g->gpus->gpus[i].uuid)) != NULL);
}

static void check_use(struct store *store, const struct generation *g)
{
	struct compose_spec spec = { .caps = DRIVER_CAP_ALL };
	struct ldcache_add *entries = NULL;
	struct error err = { 0 };
	uint32_t layout;
	size_t n;
	int r = compose_tree(store, g, &spec, &layout, &err);

	require(r == 0 || err.text[0]);
	if (r == 0) {
		char *text = compose_print(store, layout);

		require(text != NULL);
		free(text);
		store_layout_unref(store, layout);
	}
	require(compose_cache_entries(g, DRIVER_CAP_ALL, "/x", NULL, &entries, &n) == 0);
	compose_cache_entries_free(entries, n);
	require(generation_compare(store, g, g) == GENERATION_SAME || g->driver->n_files);
}

static size_t free_all(struct generation *first)
{
	struct generation *next;
	size_t n = 0;

	for (; first; first = next, n++) {
		next = first->older;
		generation_free(first);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store *store = new_store(data, size);
	struct generation *first = NULL, *again = NULL;
	struct error err = { 0 };
	int r = generation_load(store, &first, &err);

	require(r == 0 ? first != NULL : r == -EBADMSG && err.text[0] && !first);
	for (const struct generation *g = first; g; g = g->older) {
		check_values(store, g);
		check_use(store, g);
	}
	if (r == 0) {
		require(generation_save(first, store, NULL) == 0);
		require(generation_load(store, &again, NULL) == 0);
	}
	require(free_all(first) == free_all(again));
	store_free(store);
	return 0;
}
