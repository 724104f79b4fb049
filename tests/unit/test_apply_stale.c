/* SPDX-License-Identifier: Apache-2.0 */
/* Links in the place of what another driver has left: what gives way, what stays, and how it comes back. */
#include "tests/unit/apply_world.h"

#define SMI "root/usr/bin/nvidia-smi"

/* As new_apply(), all of whose links may replace. */
static struct apply *new_apply_stale(struct plan *plan)
{
	struct apply *apply = new_apply(plan);

	for (size_t i = 0; i < plan->n; i++)
		plan->steps[i].replace_stale = plan->steps[i].kind == STEP_LINK;
	return apply;
}

static const char *link_at(const char *path)
{
	static char to[PATH_MAX];
	ssize_t n = readlink(path, to, sizeof(to) - 1);

	to[n > 0 ? n : 0] = '\0';
	return to;
}

static void remove_all(json_t *done)
{
	struct restore restore = { .cache = "old cache", .cache_len = 9, .done = done };

	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(restore_run(&restore, NULL), 0);
	ck_assert_uint_eq(restore.left, 0);
	place_roots_done(&restore.roots);
	ck_assert_int_eq(chdir(where), 0);
}

/* A failure at every effect, an undo, and a removal by the record alone: all leave @before. */
static void check_ways_back(const char *before)
{
	size_t fail_at;
	int r = -EIO;

	for (fail_at = 1; r == -EIO; fail_at++) {
		auto_free char *after = NULL;
		struct plan plan;
		struct apply *apply = new_apply_stale(&plan);
		json_t *done = NULL;

		apply->effects.fail_at = fail_at;
		r = apply_run(apply, NULL);
		if (r == 0) {
			ck_assert_int_eq(chdir(where), 0);
			ck_assert_str_eq(link_at(SMI), "/nv/bin/nvidia-smi");
			done = record_all(apply, NULL);
		}
		free_apply(apply, &plan);
		if (done)
			remove_all(done);
		json_decref(done);
		after = list_world();
		ck_assert_str_eq(before, after);
	}
}

static void check_undo(const char *before)
{
	auto_free char *after = NULL;
	struct plan plan;
	struct apply *apply = new_apply_stale(&plan);

	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(outcome_of(apply, "/usr/bin/nvidia-smi")->result, "created");
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}

START_TEST(an_empty_file_gives_way_and_comes_back)
{
	auto_free char *before = NULL;

	if (!make_world())
		return;
	put(SMI, "");
	ck_assert_int_eq(chmod(SMI, 0755), 0);
	before = list_world();
	check_undo(before);
	check_ways_back(before);
}
END_TEST

START_TEST(a_link_gives_way_and_comes_back)
{
	auto_free char *before = NULL;

	if (!make_world())
		return;
	ck_assert_int_eq(symlink("nvidia-smi.535", SMI), 0);
	before = list_world();
	check_undo(before);
	check_ways_back(before);
}
END_TEST

START_TEST(a_second_run_keeps_what_the_first_has_replaced)
{
	struct apply *first, *second;
	struct plan plan, again;
	json_t *done, *more;

	if (!make_world())
		return;
	ck_assert_int_eq(symlink("nvidia-smi.535", SMI), 0);
	first = new_apply_stale(&plan);
	ck_assert_int_eq(apply_run(first, NULL), 0);
	done = record_all(first, NULL);
	second = new_apply_stale(&again);
	ck_assert_int_eq(apply_run(second, NULL), 0);
	ck_assert_str_eq(outcome_of(second, "/usr/bin/nvidia-smi")->result, "already");
	more = record_all(second, NULL);
	ck_assert_int_eq(record_merge_old(more, done), 0);
	free_apply(second, &again);
	free_apply(first, &plan);
	remove_all(more);
	ck_assert_str_eq(link_at(SMI), "nvidia-smi.535");
	json_decref(more);
	json_decref(done);
}
END_TEST

/* What it says of @what, which stands there and is left. */
static void check_kept(void)
{
	auto_free char *before = list_world(), *after = NULL;
	struct plan plan;
	struct apply *apply = new_apply_stale(&plan);

	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(outcome_of(apply, "/usr/bin/nvidia-smi")->result, "kept");
	ck_assert_uint_eq(outcome_of(apply, "/usr/bin/nvidia-smi")->stale.mode, 0);
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}

START_TEST(anything_else_stays)
{
	char longer[EFFECT_STALE_MAX + 2];

	if (!make_world())
		return;
	put(SMI, "the image's own");
	check_kept();
	ck_assert_int_eq(unlink(SMI), 0);
	ck_assert_int_eq(mkdir(SMI, 0755), 0);
	check_kept();
	ck_assert_int_eq(rmdir(SMI), 0);
	ck_assert_int_eq(mkfifo(SMI, 0644), 0);
	check_kept();
	ck_assert_int_eq(unlink(SMI), 0);
	ck_assert_int_eq(symlink("a\nb", SMI), 0); /* what cannot be told in a record */
	check_kept();
	ck_assert_int_eq(unlink(SMI), 0);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_int_eq(symlink(longer, SMI), 0);
	check_kept();
	ck_assert_int_eq(unlink(SMI), 0);
	put(SMI, "");
	ck_assert_int_eq(mount("sock", SMI, NULL, MS_BIND, NULL), 0); /* of another tool */
	check_kept();
}
END_TEST

START_TEST(without_being_told_nothing_gives_way)
{
	struct plan plan;
	struct apply *apply;

	if (!make_world())
		return;
	put(SMI, "");
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(outcome_of(apply, "/usr/bin/nvidia-smi")->result, "kept");
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
}
END_TEST

START_TEST(a_removal_puts_nothing_over_what_came_after_us)
{
	struct plan plan;
	struct apply *apply;
	json_t *done;
	struct restore restore = { .cache = "old cache", .cache_len = 9 };

	if (!make_world())
		return;
	put(SMI, "");
	apply = new_apply_stale(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	restore.done = done = record_all(apply, NULL);
	free_apply(apply, &plan);
	ck_assert_int_eq(unlink(SMI), 0);
	put(SMI, "a package's");
	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(restore_run(&restore, NULL), 0);
	place_roots_done(&restore.roots);
	ck_assert_int_eq(chdir(where), 0);
	ck_assert_uint_eq(restore.left, 1);
	ck_assert_int_eq(access(SMI, F_OK), 0);
	json_decref(done);
}
END_TEST

START_TEST(a_device_that_is_only_permitted_is_not_bound)
{
	struct plan plan;
	struct apply *apply;

	if (!make_world())
		return;
	apply = new_apply(&plan);
	plan.steps[1].permit_only = true;
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(apply->outcomes[1].result, "omitted");
	ck_assert_int_eq(access("root/dev/nv0", F_OK), -1);
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
}
END_TEST

UNIT_MAIN("apply-stale", an_empty_file_gives_way_and_comes_back, a_link_gives_way_and_comes_back,
	  a_second_run_keeps_what_the_first_has_replaced, anything_else_stays, without_being_told_nothing_gives_way,
	  a_removal_puts_nothing_over_what_came_after_us, a_device_that_is_only_permitted_is_not_bound)
