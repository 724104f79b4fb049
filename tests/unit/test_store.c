/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

static struct store *store;

static void open_store(void)
{
	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
}

static struct layout *layout_with(const char *path, const char *text)
{
	struct layout_builder *builder = layout_builder_new();
	struct layout *layout;

	ck_assert_int_eq(layout_add(builder, path, LAYOUT_TEXT,
				    store_blob_put(store, text, strlen(text)), 0444, NULL),
			 0);
	layout = layout_finish(builder);
	layout_builder_free(builder);
	return layout;
}

static uint32_t put_layout(const char *path, const char *text)
{
	struct layout *layout = layout_with(path, text);
	uint32_t index = store_layout_put(store, layout);

	free(layout);
	return index;
}

static uint32_t add_tree(const char *name, int pid, uint32_t layout)
{
	struct store_tree tree = { .name = store_blob_put(store, name, strlen(name)),
				   .spec = store_blob_put(store, "{}", 2),
				   .done = STORE_NONE,
				   .pid = pid };

	return store_tree_add(store, &tree, layout, 1);
}

START_TEST(equal_blobs_are_stored_once_and_go_with_the_last_reference)
{
	uint32_t one, two, other;
	size_t size;

	open_store();
	one = store_blob_put(store, "abc", 3);
	two = store_blob_put(store, "abc", 3);
	other = store_blob_put(store, "abd", 3);
	ck_assert_uint_eq(one, two);
	ck_assert_uint_ne(one, other);
	ck_assert_str_eq(store_blob(store, one, &size), "abc");
	ck_assert_uint_eq(size, 3);
	store_blob_unref(store, one);
	ck_assert_ptr_nonnull(store_blob(store, one, NULL));
	store_blob_unref(store, two);
	ck_assert_ptr_null(store_blob(store, one, NULL));
	ck_assert_ptr_null(store_blob(store, 12345, NULL));
	store_free(store);
}
END_TEST

START_TEST(identical_trees_share_one_layout)
{
	uint32_t one, two;

	open_store();
	one = put_layout("etc/ld.so.cache", "cache");
	two = put_layout("etc/ld.so.cache", "cache");
	ck_assert_uint_eq(one, two);
	ck_assert_uint_ne(one, put_layout("etc/ld.so.cache", "other"));
	store_layout_unref(store, one);
	ck_assert_ptr_nonnull(store_layout(store, one));
	store_layout_unref(store, two);
	ck_assert_ptr_null(store_layout(store, one));
	store_free(store);
}
END_TEST

START_TEST(a_tree_is_found_by_name_and_pid_until_it_is_removed)
{
	uint32_t a, b;

	open_store();
	b = add_tree("b", 20, put_layout("f", "1"));
	a = add_tree("a", 10, put_layout("f", "1"));
	ck_assert_uint_eq(store_tree_find(store, "a"), a);
	ck_assert_uint_eq(store_tree_find_pid(store, 20), b);
	ck_assert_uint_eq(store_tree_find(store, "c"), STORE_NONE);
	ck_assert_uint_eq(store_trees_count(store), 2);
	store_tree_remove(store, a);
	ck_assert_uint_eq(store_tree_find(store, "a"), STORE_NONE);
	ck_assert_uint_eq(store_tree_find_pid(store, 10), STORE_NONE);
	ck_assert_ptr_null(store_tree(store, a));
	ck_assert_uint_eq(store_tree_find(store, "b"), b);
	store_free(store);
}
END_TEST

START_TEST(two_trees_of_one_process_come_and_go_in_any_order)
{
	open_store();
	for (int keep = 0; keep < 3; keep++) {
		uint32_t trees[3];

		trees[0] = add_tree("x", 77, put_layout("f", "1"));
		trees[1] = add_tree("y", 77, put_layout("f", "1"));
		trees[2] = add_tree("z", 77, put_layout("f", "1"));
		for (int i = 0; i < 3; i++) {
			if (i != keep)
				store_tree_remove(store, trees[i]);
		}
		ck_assert_uint_eq(store_tree_find_pid(store, 77), trees[keep]);
		store_tree_remove(store, trees[keep]);
		ck_assert_uint_eq(store_tree_find_pid(store, 77), STORE_NONE);
	}
	store_free(store);
}
END_TEST

START_TEST(another_process_goes_on_with_the_file)
{
	uint32_t a, b, snapshot;
	uint64_t serial;
	size_t memory;
	int fd = memfd_create("state", MFD_CLOEXEC), copy = dup(fd);

	ck_assert_int_eq(store_new(fd, &store, NULL), 0);
	a = add_tree("a", 10, put_layout("etc/ld.so.cache", "one"));
	b = add_tree("b", 20, put_layout("etc/ld.so.cache", "one"));
	store_tree_remove(store, add_tree("gone", 30, put_layout("f", "2")));
	store_tree_switch(store, b, put_layout("etc/ld.so.cache", "two"), 2);
	(void)store_blob_put(store, "leaked by a kill", 16);
	serial = store_tree(store, a)->serial;
	snapshot = store_tree(store, b)->snapshot;
	memory = store_memory(store);
	store_free(store);
	ck_assert_int_eq(store_open(copy, &store, NULL), 0);
	ck_assert_uint_eq(store_tree_find(store, "a"), a);
	ck_assert_uint_eq(store_tree_find_pid(store, 20), b);
	ck_assert_uint_eq(store_tree_find(store, "gone"), STORE_NONE);
	ck_assert_uint_eq(store_trees_count(store), 2);
	ck_assert_uint_eq(store_tree(store, a)->serial, serial);
	ck_assert_uint_eq(store_tree(store, b)->snapshot, snapshot);
	ck_assert_uint_eq(store_memory(store), memory);
	/* counts are right: everything goes with its last user, and the memory comes back */
	store_tree_switch_back(store, b);
	store_tree_remove(store, a);
	ck_assert_ptr_nonnull(
		store_layout(store, store_snapshot(store, store_tree(store, b)->snapshot)->layout));
	store_tree_remove(store, b);
	ck_assert_uint_ne(add_tree("c", 40, put_layout("etc/ld.so.cache", "three")), STORE_NONE);
	ck_assert_uint_eq(store_memory(store), memory);
	store_free(store);
}
END_TEST

START_TEST(a_file_of_another_kind_version_or_a_damaged_one_is_refused)
{
	uint32_t header[3] = { 0x6e766673u, 99, 64 };
	int fd = memfd_create("state", MFD_CLOEXEC), copy;
	struct error err = { 0 };

	ck_assert_int_eq(store_open(memfd_create("empty", MFD_CLOEXEC), &store, NULL), -ENODATA);
	ck_assert_int_eq(write(fd, header, sizeof(header)), (ssize_t)sizeof(header));
	ck_assert_int_eq(store_open(dup(fd), &store, NULL), -EPROTO);
	header[1] = STATE_VERSION - 1;
	ck_assert_int_eq(pwrite(fd, header, sizeof(header), 0), (ssize_t)sizeof(header));
	ck_assert_int_eq(store_open(dup(fd), &store, &err), -EPROTO);
	ck_assert_ptr_nonnull(strstr(err.text, "it has layout"));
	(void)close(fd);
	fd = memfd_create("state", MFD_CLOEXEC);
	copy = dup(fd);
	ck_assert_int_eq(store_new(fd, &store, NULL), 0);
	(void)add_tree("a", 10, put_layout("f", "1"));
	store_free(store);
	/* every field of the tables' part, turned into nonsense in its turn: refused or survived */
	for (off_t at = 12; at < 64 + 6 * 16; at += 4) {
		uint32_t good, bad = 0xfffffff0u;
		struct store *opened = NULL;

		ck_assert_int_eq(pread(copy, &good, sizeof(good), at), (ssize_t)sizeof(good));
		ck_assert_int_eq(pwrite(copy, &bad, sizeof(bad), at), (ssize_t)sizeof(bad));
		if (store_open(dup(copy), &opened, NULL) == 0)
			store_free(opened);
		ck_assert_int_eq(pwrite(copy, &good, sizeof(good), at), (ssize_t)sizeof(good));
	}
	ck_assert_int_eq(store_open(copy, &store, NULL), 0);
	store_free(store);
}
END_TEST

START_TEST(without_its_connection_a_store_keeps_trees_and_forgets_what_the_kernel_held)
{
	struct store_object object = { .mode = 0100444, .path = STORE_NONE, .backing_id = 0 };
	uint32_t index, tree;

	open_store();
	index = store_object_add(store, &object);
	store_object_set_backing(store, index, 7);
	tree = add_tree("a", 10, put_layout("f", "1"));
	store_session(store)->init_size = 40;
	store_session(store)->requests[3].bytes[0] = 64;
	store_session(store)->requests[3].deaths = 2;
	store_disconnect(store);
	ck_assert_int_eq(store_object(store, index)->backing_id, 0);
	ck_assert_uint_eq(store_tree_find(store, "a"), tree);
	ck_assert_uint_eq(store_session(store)->init_size, 0);
	ck_assert_uint_eq(store_session(store)->requests[3].deaths, 0);
	ck_assert_int_eq(store_session(store)->requests[3].bytes[0], 0);
	store_free(store);
}
END_TEST

START_TEST(an_index_comes_back_with_a_new_serial)
{
	uint32_t tree, serial, snapshot_serial;

	open_store();
	tree = add_tree("a", 1, put_layout("f", "1"));
	serial = store_tree(store, tree)->serial;
	snapshot_serial = store_snapshot(store, store_tree(store, tree)->snapshot)->serial;
	store_tree_remove(store, tree);
	ck_assert_uint_eq(add_tree("a", 1, put_layout("f", "1")), tree);
	ck_assert_uint_ne(store_tree(store, tree)->serial, serial);
	ck_assert_uint_ne(store_snapshot(store, store_tree(store, tree)->snapshot)->serial,
			  snapshot_serial);
	store_free(store);
}
END_TEST

START_TEST(a_switched_tree_keeps_its_old_snapshot_and_can_go_back)
{
	uint32_t tree, first, second;

	open_store();
	tree = add_tree("a", 1, put_layout("f", "1"));
	first = store_tree(store, tree)->snapshot;
	second = store_tree_switch(store, tree, put_layout("f", "2"), 2);
	ck_assert_uint_ne(second, STORE_NONE);
	ck_assert_uint_eq(store_tree(store, tree)->snapshot, second);
	ck_assert_ptr_nonnull(store_snapshot(store, first));
	ck_assert_uint_ne(store_snapshot(store, first)->ino_base,
			  store_snapshot(store, second)->ino_base);
	store_tree_switch_back(store, tree);
	ck_assert_uint_eq(store_tree(store, tree)->snapshot, first);
	ck_assert_ptr_null(store_snapshot(store, second));
	store_tree_switch_back(store, tree);
	ck_assert_uint_eq(store_tree(store, tree)->snapshot, first);
	store_free(store);
}
END_TEST

START_TEST(links_and_objects_keep_their_index_for_ever)
{
	struct store_object object = { .size = 42, .mode = 0644, .path = STORE_NONE };
	uint32_t link;

	open_store();
	link = store_link_put(store, "lib64");
	ck_assert_uint_eq(store_link_put(store, "lib64"), link);
	ck_assert_uint_ne(store_link_put(store, "lib32"), link);
	ck_assert_str_eq(store_link(store, link), "lib64");
	for (uint64_t i = 0; i < 1000; i++) {
		object.ino = i;
		ck_assert_uint_eq(store_object_add(store, &object), i);
	}
	ck_assert_uint_eq(store_object(store, 500)->ino, 500);
	ck_assert_ptr_null(store_object(store, 1000));
	store_object_release(store, 500);
	ck_assert_ptr_null(store_object(store, 500));
	ck_assert_uint_eq(store_object_add(store, &object), 1000);
	store_free(store);
}
END_TEST

START_TEST(an_object_is_held_by_the_kernel_or_by_a_descriptor)
{
	struct store_object object = { .size = 42, .mode = 0644, .path = STORE_NONE };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint32_t index;

	open_store();
	index = store_object_add(store, &object);
	ck_assert(!store_object_is_held(store, index));
	ck_assert_int_eq(store_object_take_fd(store, index), -1);
	ck_assert_int_eq(store_object_set_fd(store, index, fd), 0);
	ck_assert(store_object_is_held(store, index));
	ck_assert_int_eq(store_object_take_fd(store, index), fd);
	ck_assert_int_eq(store_object_fd(store, index), -1);
	ck_assert(!store_object_is_held(store, index));
	store_object_set_backing(store, index, 7);
	ck_assert(store_object_is_held(store, index));
	store_object_release(store, index);
	ck_assert(!store_object_is_held(store, index));
	ck_assert(!store_object_is_held(store, 1000));
	ck_assert_int_eq(close(fd), 0); /* it was taken, and so is still open */
	store_free(store);
}
END_TEST

START_TEST(opens_are_counted_for_every_tree_of_a_namespace)
{
	uint32_t index[4];

	open_store();
	for (uint32_t i = 0; i < 4; i++) {
		static const uint64_t mnt_ns[] = { 70, 60, 70, 0 };
		char name[2] = { (char)('a' + i), '\0' };
		struct store_tree tree = { .name = store_blob_put(store, name, 1),
					   .spec = store_blob_put(store, "{}", 2),
					   .done = STORE_NONE,
					   .mnt_ns = mnt_ns[i],
					   .opens = 99 };

		index[i] = store_tree_add(store, &tree, put_layout("f", "1"), 1);
	}
	store_tree_count_open(store, 70);
	store_tree_count_open(store, 70);
	store_tree_count_open(store, 60);
	store_tree_count_open(store, 65);
	ck_assert_uint_eq(store_tree(store, index[0])->opens, 2);
	ck_assert_uint_eq(store_tree(store, index[1])->opens, 1);
	ck_assert_uint_eq(store_tree(store, index[2])->opens, 2);
	ck_assert_uint_eq(store_tree(store, index[3])->opens, 0);
	store_tree_remove(store, index[0]);
	store_tree_count_open(store, 70);
	ck_assert_uint_eq(store_tree(store, index[2])->opens, 3);
	store_free(store);
}
END_TEST

START_TEST(ten_thousand_trees_that_come_and_go_leave_no_memory_behind)
{
	char name[32];
	size_t full = 0;

	open_store();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 10000; i++) {
			(void)snprintf(name, sizeof(name), "container-%d", i);
			ck_assert_uint_ne(
				add_tree(name, 1000 + i, put_layout("f", i % 2 ? "1" : "2")),
				STORE_NONE);
		}
		ck_assert_uint_eq(store_trees_count(store), 10000);
		if (!round)
			full = store_memory(store);
		for (int i = 0; i < 10000; i++) {
			(void)snprintf(name, sizeof(name), "container-%d", i);
			store_tree_remove(store, store_tree_find(store, name));
		}
		ck_assert_uint_eq(store_trees_count(store), 0);
	}
	ck_assert_uint_eq(store_memory(store), full);
	ck_assert_uint_lt(full, 8 * 1024 * 1024);
	store_free(store);
}
END_TEST

/* damage: what the file of a whole store says is changed under its feet */

static struct layout *shape_of(uint32_t tree)
{
	return (struct layout *)(uintptr_t)store_layout(
		store, store_snapshot(store, store_tree(store, tree)->snapshot)->layout);
}

static void be_its_own_child(uint32_t tree)
{
	shape_of(tree)->nodes[1].ref = 1;
	shape_of(tree)->nodes[1].parent = 1;
}

static void have_a_parent_that_is_no_directory(uint32_t tree)
{
	shape_of(tree)->nodes[1].parent = 2;
}

static void be_of_no_kind(uint32_t tree)
{
	shape_of(tree)->nodes[2].kind = 200;
}

static void be_a_device(uint32_t tree)
{
	shape_of(tree)->nodes[2].mode = 020666;
}

static void have_a_slash(uint32_t tree)
{
	*(char *)(uintptr_t)layout_name(shape_of(tree), 2) = '/';
}

static void have_no_name(uint32_t tree)
{
	*(char *)(uintptr_t)layout_name(shape_of(tree), 2) = '\0';
}

static void have_no_end(uint32_t tree)
{
	size_t size;
	const char *spec = store_blob(store, store_tree(store, tree)->spec, &size);

	((char *)(uintptr_t)spec)[size] = 'x';
}

static void be_called_as_the_other(uint32_t tree)
{
	*(char *)(uintptr_t)store_blob(store, store_tree(store, tree)->name, NULL) = 'a';
}

/* Open what @damage has left of two trees, and check that the one that is whole is served. */
static void check_damage(void (*damage)(uint32_t tree))
{
	int fd = memfd_create("state", MFD_CLOEXEC), copy = dup(fd);
	uint32_t good, bad;

	ck_assert_int_eq(store_new(fd, &store, NULL), 0);
	good = add_tree("a", 10, put_layout("d/good", "1"));
	bad = add_tree("b", 11, put_layout("d/bad", "2"));
	store_tree_set_spec(store, bad, store_blob_put(store, "{ }", 3));
	damage(bad);
	store_free(store);
	ck_assert_int_eq(store_open(copy, &store, NULL), 0);
	ck_assert_uint_eq(store_tree_find(store, "a"), good);
	ck_assert_uint_eq(store_trees_count(store), 1);
	store_tree_remove(store, good);
	ck_assert_uint_eq(store_trees_count(store), 0);
	store_free(store);
}

START_TEST(a_damaged_tree_is_dropped_and_the_others_stay)
{
	static void (*const damages[])(uint32_t tree) = {
		be_its_own_child, have_a_parent_that_is_no_directory, be_of_no_kind, be_a_device,
		have_a_slash, have_no_name, have_no_end, be_called_as_the_other,
	};

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
		check_damage(damages[i]);
}
END_TEST

START_TEST(a_file_in_which_two_things_share_their_memory_is_refused)
{
	int fd = memfd_create("state", MFD_CLOEXEC), copy = dup(fd);
	struct store_blob *name, *spec;
	uint32_t tree;

	ck_assert_int_eq(store_new(fd, &store, NULL), 0);
	tree = add_tree("a", 10, put_layout("f", "1"));
	name = table_at(store, &store->state->blobs, store_tree(store, tree)->name);
	spec = table_at(store, &store->state->blobs, store_tree(store, tree)->spec);
	spec->offset = name->offset;
	spec->size = name->size;
	store_free(store);
	ck_assert_int_eq(store_open(copy, &store, NULL), -EBADMSG);
}
END_TEST

START_TEST(contents_in_the_middle_of_others_count_as_missing)
{
	int fd = memfd_create("state", MFD_CLOEXEC), copy = dup(fd);
	static char text[1000];
	struct store_blob *spec;
	uint32_t tree;

	/* what looks like a chunk's head, in the middle of one */
	for (size_t i = 0; i < sizeof(text); i += 8)
		memcpy(text + i, "\x06\0\0\0\x01\0\0", 8);
	ck_assert_int_eq(store_new(fd, &store, NULL), 0);
	tree = add_tree("a", 10, put_layout("f", "1"));
	store_tree_set_spec(store, tree, store_blob_put(store, text, sizeof(text)));
	spec = table_at(store, &store->state->blobs, store_tree(store, tree)->spec);
	spec->offset += 128;
	spec->size = 3;
	store_free(store);
	ck_assert_int_eq(store_open(copy, &store, NULL), 0);
	ck_assert_uint_eq(store_trees_count(store), 0);
	store_free(store);
}
END_TEST

START_TEST(a_table_whose_first_chunk_never_counted_begins_anew)
{
	static const uint32_t offsets[] = { 0x1234, 0xffffff00 };

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		int fd = memfd_create("state", MFD_CLOEXEC), copy = dup(fd);

		ck_assert_int_eq(store_new(fd, &store, NULL), 0);
		ck_assert_uint_eq(store->state->links.room, 0);
		store->state->links.offset = offsets[i];
		store_free(store);
		ck_assert_int_eq(store_open(copy, &store, NULL), 0);
		ck_assert_str_eq(store_link(store, store_link_put(store, "target")), "target");
		store_free(store);
	}
}
END_TEST

UNIT_MAIN("store", equal_blobs_are_stored_once_and_go_with_the_last_reference,
	  identical_trees_share_one_layout, a_tree_is_found_by_name_and_pid_until_it_is_removed,
	  two_trees_of_one_process_come_and_go_in_any_order, another_process_goes_on_with_the_file,
	  a_file_of_another_kind_version_or_a_damaged_one_is_refused,
	  without_its_connection_a_store_keeps_trees_and_forgets_what_the_kernel_held,
	  an_index_comes_back_with_a_new_serial,
	  a_switched_tree_keeps_its_old_snapshot_and_can_go_back,
	  links_and_objects_keep_their_index_for_ever,
	  an_object_is_held_by_the_kernel_or_by_a_descriptor,
	  opens_are_counted_for_every_tree_of_a_namespace,
	  ten_thousand_trees_that_come_and_go_leave_no_memory_behind,
	  a_damaged_tree_is_dropped_and_the_others_stay,
	  a_table_whose_first_chunk_never_counted_begins_anew,
	  a_file_in_which_two_things_share_their_memory_is_refused,
	  contents_in_the_middle_of_others_count_as_missing)
