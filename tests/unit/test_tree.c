/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fs/store.h"
#include "tests/unit/unit.h"

static struct store *store;
static uint32_t object, link_to_object, tree_a, tree_b;

static void add(struct layout_builder *builder, const char *path, enum layout_kind kind,
		uint32_t ref)
{
	ck_assert_int_eq(layout_add(builder, path, kind, ref, 0444, NULL), 0);
}

static uint32_t sample_layout(const char *cache)
{
	struct layout_builder *builder = layout_builder_new();
	struct layout *layout;
	uint32_t index;

	add(builder, "lib64/libcuda.so.535", LAYOUT_HOST, object);
	add(builder, "lib64/libcuda.so.1", LAYOUT_LINK, link_to_object);
	add(builder, "etc/ld.so.cache", LAYOUT_TEXT, store_blob_put(store, cache, strlen(cache)));
	add(builder, "proc/driver/nvidia/version", LAYOUT_TEXT,
	    store_blob_put(store, cache, strlen(cache)));
	layout = layout_finish(builder);
	layout_builder_free(builder);
	index = store_layout_put(store, layout);
	free(layout);
	return index;
}

static uint32_t add_tree(const char *name, int pid, const char *cache)
{
	struct store_tree tree = { .name = store_blob_put(store, name, strlen(name)),
				   .spec = STORE_NONE,
				   .done = STORE_NONE,
				   .pid = pid };

	return store_tree_add(store, &tree, sample_layout(cache), 1);
}

static void open_sample(void)
{
	struct store_object host = { .size = 1000, .mode = S_IFREG | 04755, .mtime_sec = 77 };

	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	object = store_object_add(store, &host);
	link_to_object = store_link_put(store, "libcuda.so.535");
	tree_a = add_tree("a", 10, "cache of a");
	tree_b = add_tree("b", 20, "cache of b");
}

/* Walk a path from the top. */
static int walk(const char *path, struct tree_inode *ret)
{
	char copy[256], *save = NULL;
	uint64_t at = TREE_TOP;
	int r = 0;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strtok_r(copy, "/", &save); name && r == 0;
	     name = strtok_r(NULL, "/", &save)) {
		r = tree_lookup(store, at, name, ret);
		at = ret->nodeid;
	}
	return r;
}

START_TEST(a_host_file_is_one_inode_in_all_trees)
{
	struct tree_inode in_a, in_b;
	struct tree_file file;

	open_sample();
	ck_assert_int_eq(walk("a/lib64/libcuda.so.535", &in_a), 0);
	ck_assert_int_eq(walk("b/lib64/libcuda.so.535", &in_b), 0);
	ck_assert_uint_eq(in_a.nodeid, in_b.nodeid);
	ck_assert_uint_eq(in_a.st.st_ino, in_b.st.st_ino);
	ck_assert_int_eq(tree_open(store, in_a.nodeid, &file), 0);
	ck_assert_uint_eq(file.object, object);
	ck_assert_ptr_null(file.text);
	store_free(store);
}
END_TEST

START_TEST(directories_and_texts_are_each_trees_own)
{
	struct tree_inode a, b;
	struct tree_file file;

	open_sample();
	ck_assert_int_eq(walk("a/etc", &a), 0);
	ck_assert_int_eq(walk("b/etc", &b), 0);
	ck_assert_uint_ne(a.nodeid, b.nodeid);
	ck_assert_uint_ne(a.st.st_ino, b.st.st_ino);
	ck_assert_int_eq(walk("b/etc/ld.so.cache", &b), 0);
	ck_assert_int_eq(tree_open(store, b.nodeid, &file), 0);
	ck_assert_str_eq(file.text, "cache of b");
	ck_assert_uint_eq(file.size, 10);
	store_free(store);
}
END_TEST

START_TEST(modes_show_no_write_and_no_setuid_bit)
{
	struct tree_inode inode;

	open_sample();
	ck_assert_int_eq(walk("a/lib64/libcuda.so.535", &inode), 0);
	ck_assert_uint_eq(inode.st.st_mode, S_IFREG | 0555);
	ck_assert_int_eq(inode.st.st_mtim.tv_sec, 77);
	ck_assert_int_eq(inode.st.st_size, 1000);
	ck_assert_int_eq(tree_getattr(store, TREE_TOP, &inode.st), 0);
	ck_assert_uint_eq(inode.st.st_mode, S_IFDIR | 0711);
	store_free(store);
}
END_TEST

START_TEST(an_st_ino_fits_into_32_bits)
{
	static const char *const paths[] = { "a", "a/etc", "a/lib64/libcuda.so.1", "by-pid/10",
					     "a/lib64/libcuda.so.535", "by-pid" };
	struct tree_inode inode;

	open_sample();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		ck_assert_int_eq(walk(paths[i], &inode), 0);
		ck_assert_uint_gt(inode.st.st_ino, 0);
		ck_assert_uint_le(inode.st.st_ino, UINT32_MAX);
	}
	store_free(store);
}
END_TEST

START_TEST(by_pid_leads_to_the_tree)
{
	struct tree_inode inode;
	char target[32];

	open_sample();
	ck_assert_int_eq(walk("by-pid/20", &inode), 0);
	ck_assert_int_eq(tree_readlink(store, inode.nodeid, target, sizeof(target)), 0);
	ck_assert_str_eq(target, "../b");
	ck_assert_int_eq(inode.st.st_size, 4);
	ck_assert_int_eq(tree_readlink(store, inode.nodeid, target, 4), -ENAMETOOLONG);
	ck_assert_int_eq(walk("by-pid/30", &inode), -ENOENT);
	ck_assert_int_eq(walk("by-pid/020", &inode), -ENOENT);
	ck_assert_int_eq(walk("by-pid/x", &inode), -ENOENT);
	store_free(store);
}
END_TEST

static size_t count_entries(uint64_t nodeid, const char *wanted, bool *found)
{
	struct tree_dirent entry;
	uint64_t cookie = 0;
	size_t n = 0;

	while (tree_readdir(store, nodeid, cookie, &entry) == 1) {
		*found = *found || strcmp(entry.name, wanted) == 0;
		cookie = entry.next;
		n++;
	}
	return n;
}

START_TEST(readdir_gives_every_name_once)
{
	struct tree_inode inode;
	bool found = false;

	open_sample();
	ck_assert_uint_eq(count_entries(TREE_TOP, "b", &found), 5); /* . .. by-pid a b */
	ck_assert(found);
	ck_assert_int_eq(walk("by-pid", &inode), 0);
	found = false;
	ck_assert_uint_eq(count_entries(inode.nodeid, "20", &found), 4);
	ck_assert(found);
	ck_assert_int_eq(walk("a", &inode), 0);
	found = false;
	ck_assert_uint_eq(count_entries(inode.nodeid, "lib64", &found), 5); /* . .. etc lib64 proc */
	ck_assert(found);
	store_free(store);
}
END_TEST

START_TEST(a_cookie_survives_the_removal_of_a_tree)
{
	struct tree_dirent entry;
	uint64_t cookie = 0;

	open_sample();
	while (tree_readdir(store, TREE_TOP, cookie, &entry) == 1 && strcmp(entry.name, "a") != 0)
		cookie = entry.next;
	store_tree_remove(store, tree_a);
	ck_assert_int_eq(tree_readdir(store, TREE_TOP, entry.next, &entry), 1);
	ck_assert_str_eq(entry.name, "b");
	store_free(store);
}
END_TEST

START_TEST(nodeids_of_a_removed_tree_are_stale_and_never_another_file)
{
	struct tree_inode root, etc, link;
	struct tree_file file;
	struct stat st;

	open_sample();
	ck_assert_int_eq(walk("a", &root), 0);
	ck_assert_int_eq(walk("a/etc", &etc), 0);
	ck_assert_int_eq(walk("by-pid/10", &link), 0);
	store_tree_remove(store, tree_a);
	ck_assert_uint_eq(add_tree("c", 30, "cache of c"), tree_a);
	ck_assert_int_eq(tree_getattr(store, root.nodeid, &st), -ESTALE);
	ck_assert_int_eq(tree_getattr(store, etc.nodeid, &st), -ESTALE);
	ck_assert_int_eq(tree_getattr(store, link.nodeid, &st), -ESTALE);
	ck_assert_int_eq(tree_open(store, etc.nodeid, &file), -ESTALE);
	ck_assert_int_eq(tree_getattr(store, 0, &st), -ESTALE);
	ck_assert_int_eq(tree_getattr(store, UINT64_MAX, &st), -ESTALE);
	store_free(store);
}
END_TEST

START_TEST(the_root_keeps_its_nodeid_when_the_snapshot_changes)
{
	struct tree_inode before, after, cache;
	struct tree_file file;

	open_sample();
	ck_assert_int_eq(walk("a", &before), 0);
	ck_assert_int_eq(walk("a/etc/ld.so.cache", &cache), 0);
	ck_assert_uint_ne(store_tree_switch(store, tree_a, sample_layout("new"), 2), STORE_NONE);
	ck_assert_int_eq(walk("a", &after), 0);
	ck_assert_uint_eq(before.nodeid, after.nodeid);
	ck_assert_uint_eq(before.st.st_ino, after.st.st_ino);
	/* what was open stays what it was */
	ck_assert_int_eq(tree_open(store, cache.nodeid, &file), 0);
	ck_assert_str_eq(file.text, "cache of a");
	ck_assert_int_eq(walk("a/etc/ld.so.cache", &cache), 0);
	ck_assert_int_eq(tree_open(store, cache.nodeid, &file), 0);
	ck_assert_str_eq(file.text, "new");
	store_free(store);
}
END_TEST

START_TEST(so_does_proc_driver_nvidia_which_is_mounted_too)
{
	struct tree_inode before, after, version;
	struct tree_file file;

	open_sample();
	ck_assert_int_eq(walk("a/proc/driver/nvidia", &before), 0);
	ck_assert_uint_eq(before.nodeid, tree_proc_nodeid(store, tree_a));
	ck_assert_uint_ne(store_tree_switch(store, tree_a, sample_layout("new"), 2), STORE_NONE);
	ck_assert_int_eq(walk("a/proc/driver/nvidia", &after), 0);
	ck_assert_uint_eq(before.nodeid, after.nodeid);
	ck_assert_int_eq(tree_lookup(store, before.nodeid, "version", &version), 0);
	ck_assert_int_eq(tree_open(store, version.nodeid, &file), 0);
	ck_assert_str_eq(file.text, "new");
	ck_assert_int_eq(walk("b/proc/driver/nvidia", &after), 0);
	ck_assert_uint_ne(before.nodeid, after.nodeid);
	store_tree_remove(store, tree_a);
	ck_assert_int_eq(tree_lookup(store, before.nodeid, "version", &version), -ESTALE);
	store_free(store);
}
END_TEST

START_TEST(wrong_kinds_are_refused)
{
	struct tree_inode inode;
	struct tree_dirent entry;
	struct tree_file file;
	char target[32];

	open_sample();
	ck_assert_int_eq(walk("a/lib64/libcuda.so.535/x", &inode), -ENOTDIR);
	ck_assert_int_eq(walk("a/lib64/libcuda.so.1/x", &inode), -ENOTDIR);
	ck_assert_int_eq(walk("a/etc", &inode), 0);
	ck_assert_int_eq(tree_open(store, inode.nodeid, &file), -EISDIR);
	ck_assert_int_eq(tree_open(store, TREE_TOP, &file), -EISDIR);
	ck_assert_int_eq(tree_readlink(store, inode.nodeid, target, sizeof(target)), -EINVAL);
	ck_assert_int_eq(walk("a/lib64/libcuda.so.1", &inode), 0);
	ck_assert_int_eq(tree_open(store, inode.nodeid, &file), -EINVAL);
	ck_assert_int_eq(tree_readdir(store, inode.nodeid, 2, &entry), -ENOTDIR);
	store_free(store);
}
END_TEST

START_TEST(an_inode_is_described_for_the_log)
{
	struct store_object host = { .mode = S_IFREG | 0644 };
	struct tree_inode inode;
	char what[256];

	open_sample();
	ck_assert_int_eq(walk("b/etc", &inode), 0);
	tree_describe(store, inode.nodeid, what, sizeof(what));
	ck_assert_str_eq(what, "tree 'b'");
	host.path = store_blob_put(store, "/usr/lib/x.so", 13);
	tree_describe(store, 5ULL << 56 | store_object_add(store, &host), what, sizeof(what));
	ck_assert_str_eq(what, "file '/usr/lib/x.so' of all trees");
	ck_assert_int_eq(walk("a/lib64/libcuda.so.1", &inode), 0);
	tree_describe(store, inode.nodeid, what, sizeof(what));
	ck_assert_str_eq(what, "link to 'libcuda.so.535' of all trees");
	tree_describe(store, TREE_TOP, what, sizeof(what));
	ck_assert_str_eq(what, "the top directory");
	tree_describe(store, 99ULL << 56, what, sizeof(what));
	ck_assert_str_eq(what, "not there any more");
	store_free(store);
}
END_TEST

UNIT_MAIN("tree", a_host_file_is_one_inode_in_all_trees, directories_and_texts_are_each_trees_own,
	  modes_show_no_write_and_no_setuid_bit, an_st_ino_fits_into_32_bits,
	  by_pid_leads_to_the_tree, readdir_gives_every_name_once,
	  a_cookie_survives_the_removal_of_a_tree,
	  nodeids_of_a_removed_tree_are_stale_and_never_another_file,
	  the_root_keeps_its_nodeid_when_the_snapshot_changes,
	  so_does_proc_driver_nvidia_which_is_mounted_too, wrong_kinds_are_refused,
	  an_inode_is_described_for_the_log)
