/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of whom a container's names may be made in. */
#include "inject/owners.h"

#include <sched.h>

#include "tests/unit/apply_world.h"

START_TEST(without_a_limit_everybody_counts)
{
	const struct owners owners = { 0 };

	ck_assert(owners_have(&owners, 0));
	ck_assert(owners_have(&owners, UINT32_MAX - 1));
}
END_TEST

START_TEST(a_map_has_its_ranges_and_nothing_else)
{
	struct owners owners;

	owners_parse("         0     100000      65536\n     65536       1234          1\n",
		     &owners);
	ck_assert(owners.limited);
	ck_assert_uint_eq(owners.n, 2);
	ck_assert(owners_have(&owners, 100000));
	ck_assert(owners_have(&owners, 165535));
	ck_assert(owners_have(&owners, 1234));
	ck_assert(!owners_have(&owners, 0));
	ck_assert(!owners_have(&owners, 99999));
	ck_assert(!owners_have(&owners, 165536));
	ck_assert(!owners_have(&owners, 1235));
}
END_TEST

START_TEST(a_map_at_the_end_of_all_numbers_does_not_come_round)
{
	struct owners owners;

	owners_parse("0 4294967290 65536\n", &owners);
	ck_assert(owners_have(&owners, UINT32_MAX));
	ck_assert(!owners_have(&owners, 0));
	ck_assert(!owners_have(&owners, 5));
}
END_TEST

START_TEST(what_is_no_map_leaves_nobody)
{
	static const char *const maps[] = { "", "\n", "x", "0 0", "0 a 5\n", "\n\n\n" };
	struct owners owners;
	char many[OWNERS_MAX * 16 + 64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		owners_parse(maps[i], &owners);
		ck_assert(owners.limited);
		ck_assert(!owners_have(&owners, 0));
	}
	for (unsigned int i = 0; i <= OWNERS_MAX; i++) /* the last one does not count */
		(void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "%u %u 1\n", i,
			       1000 + i);
	owners_parse(many, &owners);
	ck_assert_uint_eq(owners.n, OWNERS_MAX);
	ck_assert(owners_have(&owners, 1000 + OWNERS_MAX - 1));
	ck_assert(!owners_have(&owners, 1000 + OWNERS_MAX));
}
END_TEST

START_TEST(our_own_user_namespace_has_no_limit)
{
	int proc = open("/proc/self", O_PATH | O_CLOEXEC),
	    mntns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct owners owners = { .limited = true };

	ck_assert_int_eq(regular_init(), 0);
	ck_assert_int_eq(owners_read(proc, mntns, &owners, NULL), 0);
	ck_assert(!owners.limited);
	ck_assert_int_eq(owners_read(-1, -1, &owners, NULL), 0); /* standalone */
	ck_assert(!owners.limited);
}
END_TEST

/* Only what belongs to one of the container's ids is changed: here its /dev alone. */
START_TEST(in_directories_of_others_nothing_is_made)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	if (geteuid() != 0 || chown("root/dev", 4321, 4321) < 0) {
		(void)fprintf(stderr, "# no root that may give files away: nothing checked\n");
		return;
	}
	before = list_world();
	apply = new_apply(&plan);
	owners_parse("0 4321 1\n", &apply->roots.owners);
	ck_assert_int_eq(apply_run(apply, &err), -EACCES);
	ck_assert(apply->wants_alternative);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);

	apply = new_apply(&plan);
	owners_parse("0 4321 1\n", &apply->roots.owners);
	plan.steps[0].target = plan.steps[0].alternative;
	ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
	ck_assert_str_eq(result_of(apply, STEP_TREE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_DEVICE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_FILE), "omitted");
	ck_assert_str_eq(result_of(apply, STEP_LINK), "omitted");
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "bound"); /* which changes no file */
	ck_assert_int_eq(apply_undo(apply, &err), 0);
	free_apply(apply, &plan);
	ck_assert_int_eq(chdir(where), 0);
	free(after);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

UNIT_MAIN("owners", without_a_limit_everybody_counts, a_map_has_its_ranges_and_nothing_else,
	  a_map_at_the_end_of_all_numbers_does_not_come_round, what_is_no_map_leaves_nobody,
	  our_own_user_namespace_has_no_limit, in_directories_of_others_nothing_is_made)
