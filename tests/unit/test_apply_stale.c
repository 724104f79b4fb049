/* SPDX-License-Identifier: Apache-2.0 */
/* Links in the place of what another driver has left: what gives way, what stays, and how it comes back. */
#include <sys/xattr.h>

#include "inject/moved.h"
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

#define ASIDE "root/usr/bin/.nvfs-was-nvidia-smi"

/* Done, told, merged with what was told before, and as the daemon knows it the next time. */
static json_t *run_for(const char *to, bool adopt, json_t *known)
{
	struct moved moved;
	struct plan plan;
	struct apply *apply = new_apply_stale(&plan);
	json_t *done;

	for (size_t i = 0; i < plan.n; i++)
		if (strcmp(plan.steps[i].target, "/usr/bin/nvidia-smi") == 0)
			plan.steps[i].to = to;
	apply->adopt = adopt;
	if (known)
		moved_find(&plan, known, &moved);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_int_eq(chdir(where), 0);
	ck_assert_str_eq(link_at(SMI), to);
	done = record_all(apply, NULL);
	ck_assert_int_eq(record_merge_old(done, known), 0);
	free_apply(apply, &plan);
	json_decref(known);
	return done;
}

/* The very file: its owner, mode, times and attributes. */
START_TEST(what_comes_back_is_what_was_there)
{
	struct stat before, after;
	json_t *done;

	if (!make_world())
		return;
	put(SMI, "");
	ck_assert_int_eq(chmod(SMI, 04711), 0);
	(void)!lchown(SMI, 12, 34); /* where the namespace has them */
	(void)setxattr(SMI, "trusted.nvfs", "x", 1, 0);
	ck_assert_int_eq(lstat(SMI, &before), 0);
	done = run_for("/nv/bin/nvidia-smi", true, NULL);
	remove_all(done);
	json_decref(done);
	ck_assert_int_eq(lstat(SMI, &after), 0);
	ck_assert_uint_eq(after.st_ino, before.st_ino);
	ck_assert_uint_eq(after.st_mode, before.st_mode);
	ck_assert_uint_eq(after.st_uid, before.st_uid);
	ck_assert_int_eq(access(ASIDE, F_OK), -1);
}
END_TEST

START_TEST(a_link_that_is_to_lead_elsewhere_keeps_what_it_has_replaced)
{
	auto_free char *before = NULL, *after = NULL;
	json_t *done;

	if (!make_world())
		return;
	put(SMI, "");
	before = list_world();
	done = run_for("/nv/bin/nvidia-smi", true, NULL);
	done = run_for("/dev/nvfs/bin/nvidia-smi", false, done);
	done = run_for("/nv/bin/nvidia-smi", false, done);
	remove_all(done);
	json_decref(done);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

/* Killed when the link led elsewhere already, and the record did not know it yet. */
START_TEST(a_link_that_nobody_has_told_of_is_told_by_the_next_run)
{
	auto_free char *before = NULL, *after = NULL;
	json_t *done;

	if (!make_world())
		return;
	put(SMI, "");
	before = list_world();
	done = run_for("/nv/bin/nvidia-smi", true, NULL);
	ck_assert_int_eq(unlink(SMI), 0);
	ck_assert_int_eq(symlink("/dev/nvfs/bin/nvidia-smi", SMI), 0);
	done = run_for("/dev/nvfs/bin/nvidia-smi", false, done);
	remove_all(done);
	json_decref(done);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

/* Where what a link replaces would be kept, something else of the image's stands: both stay. */
START_TEST(nothing_is_put_aside_over_what_is_there)
{
	auto_free char *before = NULL, *after = NULL;
	struct plan plan;
	struct apply *apply;

	if (!make_world())
		return;
	put(SMI, "");
	put(ASIDE, "the image's");
	before = list_world();
	apply = new_apply_stale(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(outcome_of(apply, "/usr/bin/nvidia-smi")->result, "kept");
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

/* A link of ours that replaced nothing is nothing to be put back either. */
START_TEST(a_link_that_is_to_lead_elsewhere_is_not_kept_itself)
{
	auto_free char *before = NULL, *after = NULL;
	json_t *done;

	if (!make_world())
		return;
	before = list_world();
	done = run_for("/nv/bin/nvidia-smi", true, NULL);
	done = run_for("/dev/nvfs/bin/nvidia-smi", false, done);
	remove_all(done);
	json_decref(done);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

/* A root that outlives its container: the next one's daemon knows nothing of the first. */
START_TEST(another_container_of_the_same_root_keeps_what_the_first_has_replaced)
{
	static const char *const second[] = { "/nv/bin/nvidia-smi", "/dev/nvfs/bin/nvidia-smi" };

	if (!make_world())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(second); i++) {
		json_t *done;

		ck_assert_int_eq(symlink("nvidia-smi.535", SMI), 0);
		json_decref(run_for("/nv/bin/nvidia-smi", true, NULL));
		done = run_for(second[i], true, NULL);
		remove_all(done);
		json_decref(done);
		ck_assert_str_eq(link_at(SMI), "nvidia-smi.535");
		ck_assert_int_eq(access(ASIDE, F_OK), -1);
		ck_assert_int_eq(unlink(SMI), 0);
	}
}
END_TEST

/* The failures, and the undo, of a run whose link led elsewhere before. */
START_TEST(a_link_that_led_elsewhere_leads_there_again_after_a_failure)
{
	auto_free char *before = NULL;
	struct moved moved;
	json_t *done;
	int r = -EIO;

	if (!make_world())
		return;
	put(SMI, "");
	done = run_for("/old/nvidia-smi", true, NULL);
	before = list_world();
	for (size_t fail_at = 1; r == -EIO; fail_at++) {
		auto_free char *after = NULL;
		struct plan plan;
		struct apply *apply = new_apply_stale(&plan);

		moved_find(&plan, done, &moved);
		apply->effects.fail_at = fail_at;
		r = apply_run(apply, NULL);
		if (r == 0)
			ck_assert_int_eq(apply_undo(apply, NULL), 0);
		free_apply(apply, &plan);
		after = list_world();
		ck_assert_str_eq(before, after);
	}
	ck_assert_int_eq(r, 0);
	json_decref(done);
}
END_TEST

/* Names of ours that the container has made something else of. */
START_TEST(what_is_no_link_and_no_empty_file_is_not_put_back)
{
	json_t *done;

	if (!make_world())
		return;
	put(SMI, "");
	done = run_for("/nv/bin/nvidia-smi", true, NULL);
	ck_assert_int_eq(unlink(ASIDE), 0);
	ck_assert_int_eq(mkdir(ASIDE, 0755), 0);
	remove_all(done);
	json_decref(done);
	ck_assert_int_eq(access(SMI, F_OK), -1);
	ck_assert_int_eq(rmdir(ASIDE), 0);
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
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}

START_TEST(anything_else_stays)
{
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
	ck_assert_int_eq(access(ASIDE, F_OK), -1);
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

UNIT_MAIN("apply-stale", what_comes_back_is_what_was_there,
	  a_link_that_is_to_lead_elsewhere_keeps_what_it_has_replaced,
	  a_link_that_is_to_lead_elsewhere_is_not_kept_itself,
	  a_link_that_nobody_has_told_of_is_told_by_the_next_run,
	  nothing_is_put_aside_over_what_is_there,
	  another_container_of_the_same_root_keeps_what_the_first_has_replaced,
	  a_link_that_led_elsewhere_leads_there_again_after_a_failure,
	  what_is_no_link_and_no_empty_file_is_not_put_back, an_empty_file_gives_way_and_comes_back,
	  a_link_gives_way_and_comes_back, a_second_run_keeps_what_the_first_has_replaced,
	  anything_else_stays, without_being_told_nothing_gives_way,
	  a_removal_puts_nothing_over_what_came_after_us,
	  a_device_that_is_only_permitted_is_not_bound)
