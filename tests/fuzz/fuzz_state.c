/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state file that was damaged anywhere: a good one is made, changed as the
 * input says, and opened. It is refused by name, or what is left of it serves:
 * everything can be listed, read, printed, added to and removed.
 *
 * Input: edits of eight bytes: where (16 bits, counted over the pages that are
 * not empty), how many bytes (1, 2, 4; above: cut the file there), the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/error.h"
#include "fs/compose.h"
#include "fs/generation.h"
#include "fs/layout.h"
#include "fs/store.h"
#include "fs/tree.h"
#include "tests/fuzz/fuzz.h"

#define PAGE 4096
#define PAGES_MAX 32
#define EDITS_MAX 64
#define DEPTH_MAX 12
#define ENTRIES_MAX 64

/* The good file: its pages that are not empty, and where they are. */
static struct {
	uint8_t page[PAGES_MAX][PAGE];
	off_t at[PAGES_MAX];
	size_t n;
	off_t size;
} good;

static const char generation_text[] =
	"[{\"number\":1,\"made\":7,\"root\":\"/\",\"version\":\"535.1\",\"proc_version\":\"v\\n\","
	"\"files\":[{\"kind\":0,\"name\":\"libcuda.so.535.1\",\"path\":\"/usr/lib/"
	"libcuda.so.535.1\","
	"\"soname\":\"libcuda.so.1\",\"caps\":1,\"class\":64,\"machine\":62,\"size\":10,\"mode\":"
	"33261,"
	"\"object\":0},{\"kind\":1,\"name\":\"nvidia-smi\",\"path\":\"/usr/bin/"
	"nvidia-smi\",\"caps\":2,"
	"\"class\":64,\"machine\":62,\"size\":11,\"mode\":33261,\"object\":1}],\"gpus\":[{"
	"\"index\":0,"
	"\"minor\":0,\"uuid\":\"GPU-1\",\"bus_id\":\"0000:00:06.0\",\"usable\":true,"
	"\"information\":\"Model: x\\n\"}]}]";

static uint32_t blob(struct store *store, const char *text)
{
	return store_blob_put(store, text, strlen(text));
}

static uint32_t compose(struct store *store, const struct generation *g, const char *cache)
{
	struct compose_spec spec = { .caps = 3,
				     .cache = cache,
				     .cache_size = cache ? strlen(cache) : 0 };
	uint32_t layout = STORE_NONE;

	return compose_tree(store, g, &spec, &layout, NULL) == 0 ? layout : STORE_NONE;
}

static uint32_t add_tree(struct store *store, const char *name, int pid, uint32_t layout)
{
	struct store_tree tree = { .name = blob(store, name), .spec = blob(store, "{}"),
				   .done = blob(store, "[]"), .pid = pid };

	return store_tree_add(store, &tree, layout, 1);
}

static void fill(struct store *store)
{
	static const char *const paths[] = { "/usr/lib/libcuda.so.535.1", "/usr/bin/nvidia-smi" };
	struct generation *g = NULL;
	uint32_t tree;

	for (int i = 0; i < 2; i++) {
		struct store_object object = {
			.mode = 0100755, .size = 10, .ino = 5, .generation = 1
		};

		object.path = blob(store, paths[i]);
		require(store_object_add(store, &object) != STORE_NONE);
	}
	store_set_generation(store, blob(store, generation_text));
	require(generation_load(store, &g, NULL) == 0);
	add_tree(store, "host", 0, compose(store, g, NULL));
	tree = add_tree(store, "c1", 100, compose(store, g, "cache"));
	require(tree != STORE_NONE);
	require(store_tree_switch(store, tree, compose(store, g, "other"), 1) != STORE_NONE);
	add_tree(store, "c2", 100, compose(store, g, "cache"));
	store_tree_remove(store, add_tree(store, "gone", 101, compose(store, g, "third")));
	generation_free(g);
}

static void make_good(void)
{
	static const uint8_t empty[PAGE];
	int fd = memfd_create("state", MFD_CLOEXEC), mine = dup(fd);
	struct store *store;
	struct stat st;
	off_t at = 0;

	require(store_new(fd, &store, NULL) == 0);
	fill(store);
	require(fstat(mine, &st) == 0);
	for (; (at = lseek(mine, at, SEEK_DATA)) >= 0; at += PAGE) {
		require(good.n < PAGES_MAX && pread(mine, good.page[good.n], PAGE, at) > 0);
		if (memcmp(good.page[good.n], empty, PAGE) != 0)
			good.at[good.n++] = at;
	}
	good.size = st.st_size;
	store_free(store);
	(void)close(mine);
}

/* Return: where the file is to be cut. */
static off_t edit(uint8_t page[][PAGE], const uint8_t *data, size_t n)
{
	off_t cut = good.size;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *e = data + i * 8;
		size_t where = (e[0] | (size_t)e[1] << 8) % (good.n * PAGE);
		size_t width = (size_t)1 << (e[2] & 3), at = where % PAGE;

		if (width == 8)
			cut = good.at[where / PAGE] + (off_t)at;
		else
			memcpy(page[where / PAGE] + at, e + 4,
			       width < PAGE - at ? width : PAGE - at);
	}
	return cut;
}

static int damaged(const uint8_t *data, size_t n)
{
	static uint8_t page[PAGES_MAX][PAGE];
	int fd = memfd_create("state", MFD_CLOEXEC);
	off_t cut;

	memcpy(page, good.page, good.n * PAGE);
	cut = edit(page, data, n);
	for (size_t i = 0; i < good.n; i++)
		require(pwrite(fd, page[i], PAGE, good.at[i]) == PAGE);
	require(ftruncate(fd, good.size) == 0 && ftruncate(fd, cut) == 0);
	return fd;
}

static void read_file(const struct store *store, uint64_t nodeid)
{
	struct tree_file file;
	char target[4096];
	volatile unsigned char sum = 0;

	(void)tree_readlink(store, nodeid, target, sizeof(target));
	if (tree_open(store, nodeid, &file) < 0 || !file.text)
		return;
	for (size_t i = 0; i < file.size; i++)
		sum = (unsigned char)(sum + (unsigned char)file.text[i]);
}

static void walk(const struct store *store, uint64_t nodeid, int depth)
{
	struct tree_dirent entry;
	struct tree_inode found;
	uint64_t cookie = 2;
	struct stat st;

	for (int i = 0; i < ENTRIES_MAX && tree_readdir(store, nodeid, cookie, &entry) == 1; i++) {
		require(entry.next > cookie && entry.name[0]);
		require(memchr(entry.name, '\0', sizeof(entry.name)) && !strchr(entry.name, '/'));
		cookie = entry.next;
		(void)tree_lookup(store, nodeid, entry.name, &found);
		if (tree_getattr(store, entry.inode.nodeid, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			walk(store, entry.inode.nodeid, depth + 1);
		else
			read_file(store, entry.inode.nodeid);
	}
}

static void print_trees(const struct store *store)
{
	for (uint32_t i = 0; i < store_trees_end(store); i++) {
		const struct store_tree *tree = store_tree(store, i);
		const struct store_snapshot *snapshot;

		if (!tree)
			continue;
		snapshot = store_snapshot(store, tree->snapshot);
		require(snapshot && store_blob(store, tree->name, NULL) &&
			store_blob(store, tree->spec, NULL));
		require(store_layout(store, snapshot->layout));
		free(compose_print(store, snapshot->layout));
	}
}

static void free_generations(struct generation *g)
{
	while (g) {
		struct generation *older = g->older;

		generation_free(g);
		g = older;
	}
}

/* A daemon that goes on adds and removes, and what it adds must be what is found. */
static void go_on(struct store *store)
{
	struct generation *g = NULL;
	uint32_t tree = STORE_NONE;

	if (generation_load(store, &g, NULL) == 0) {
		uint32_t layout = compose(store, g, "new");

		if (layout != STORE_NONE)
			tree = add_tree(store, "new", 102, layout);
	}
	require(tree == STORE_NONE || store_tree_find(store, "new") == tree);
	for (uint32_t i = 0; i < store_trees_end(store); i++) {
		if (store_tree(store, i))
			store_tree_remove(store, i);
	}
	require(store_trees_count(store) == 0);
	for (uint32_t i = 0; i < 4; i++) {
		if (store_object(store, i))
			store_object_release(store, i);
	}
	store_set_generation(store, STORE_NONE);
	(void)store_link_put(store, "another");
	free_generations(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store *store = NULL;
	struct error err = { 0 };
	int r;

	if (!good.n)
		make_good();
	if (size / 8 > EDITS_MAX)
		return 0;
	r = store_open(damaged(data, size / 8), &store, &err);
	require(r == 0 || (r > -4096 && err.text[0]));
	if (r < 0)
		return 0;
	walk(store, TREE_TOP, 0);
	print_trees(store);
	go_on(store);
	store_free(store);
	return 0;
}
