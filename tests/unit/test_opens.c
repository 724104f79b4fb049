/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/opens.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/process.h"
#include "fs/store.h"
#include "tests/unit/unit.h"

static struct store *store;

static uint32_t put_layout(void)
{
	struct layout_builder *builder = layout_builder_new();
	struct layout *layout;
	uint32_t index;

	ck_assert_int_eq(
		layout_add(builder, "f", LAYOUT_TEXT, store_blob_put(store, "1", 1), 0444, NULL),
		0);
	layout = layout_finish(builder);
	layout_builder_free(builder);
	index = store_layout_put(store, layout);
	free(layout);
	return index;
}

static uint32_t add_tree(const char *name, uint64_t mnt_ns)
{
	struct store_tree tree = { .name = store_blob_put(store, name, strlen(name)),
				   .spec = STORE_NONE,
				   .done = STORE_NONE,
				   .mnt_ns = mnt_ns };

	return store_tree_add(store, &tree, put_layout(), 1);
}

static uint64_t opens_of(uint32_t tree)
{
	return store_tree(store, tree)->opens;
}

START_TEST(an_open_counts_for_the_trees_of_the_openers_namespace)
{
	uint32_t ours, too, others;

	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	ours = add_tree("ours", process_mnt_ns(getpid()));
	too = add_tree("too", process_mnt_ns(getpid()));
	others = add_tree("others", 1);
	for (int i = 0; i < 3; i++)
		opens_count(store, getpid());
	ck_assert_uint_eq(opens_of(ours), 3);
	ck_assert_uint_eq(opens_of(too), 3);
	ck_assert_uint_eq(opens_of(others), 0);
	store_free(store);
}
END_TEST

START_TEST(nobody_and_the_dead_count_for_nothing)
{
	uint32_t ours;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	ours = add_tree("ours", process_mnt_ns(getpid()));
	(void)add_tree("host", 0);
	opens_count(store, 0);
	opens_count(store, -1);
	opens_count(store, pid);
	ck_assert_uint_eq(opens_of(ours), 0);
	store_free(store);
}
END_TEST

UNIT_MAIN("opens", an_open_counts_for_the_trees_of_the_openers_namespace,
	  nobody_and_the_dead_count_for_nothing)
