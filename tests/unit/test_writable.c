/* SPDX-License-Identifier: Apache-2.0 */
/* Roots that are mounted read-only: which of them are written to, and what is left of it. */
#include "inject/writable.h"

#include "tests/unit/apply_world.h"

/* The root read-only, with what is mounted in it. */
static bool make_read_only_world(void)
{
	if (!make_world())
		return false;
	ck_assert_int_eq(mount("root", "root", NULL, MS_BIND | MS_REC, NULL), 0);
	ck_assert_int_eq(mount(NULL, "root", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	return true;
}

/* As it is after setns(2) into a container whose root it is. */
static int inside(int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	int r, outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_eq(chroot("root"), 0);
	r = fn(arg, err);
	ck_assert_int_eq(fchdir(outside), 0);
	ck_assert_int_eq(chroot("."), 0);
	ck_assert_int_eq(chdir(where), 0);
	(void)close(outside);
	return r;
}

static void is_read_only(void)
{
	ck_assert_int_eq(mkdir("root/usr/x", 0755), -1);
	ck_assert_int_eq(errno, EROFS);
}

START_TEST(a_read_only_root_gets_everything_and_stays_read_only)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_read_only_world())
		return;
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_msg(inside(apply_run, apply, &err) == 0, "%s", err.text);
	ck_assert_int_eq(access("root/usr/local/nvidia/bin/nvidia-smi", F_OK), 0);
	ck_assert_str_eq(result_of(apply, STEP_TREE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_SOCKET), "mounted");
	ck_assert_str_eq(outcome_of(apply, "/tmp/pipes")->result, "mounted");
	ck_assert_str_eq(result_of(apply, STEP_FILE), "created");
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "replaced");
	ck_assert_str_eq(result_of(apply, STEP_LINK), "created");
	is_read_only();
	ck_assert_int_eq(inside(apply_undo, apply, &err), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

static int run_inside(void *apply, struct error *err)
{
	return inside(apply_run, apply, err);
}

static int undo_inside(void *apply, struct error *err)
{
	return inside(apply_undo, apply, err);
}

START_TEST(a_failure_at_any_effect_leaves_nothing_behind)
{
	if (make_read_only_world())
		ck_every_failure_is_undone(run_inside, undo_inside);
}
END_TEST

START_TEST(twice_changes_nothing_and_a_record_takes_all_back)
{
	auto_free char *before = NULL, *once = NULL, *twice = NULL, *after = NULL;
	struct restore restore = { .cache = "old cache", .cache_len = 9 };
	struct apply *first, *second;
	struct plan plan, again;
	json_t *done;

	if (!make_read_only_world())
		return;
	before = list_world();
	first = new_apply(&plan);
	ck_assert_int_eq(inside(apply_run, first, NULL), 0);
	once = list_world();
	second = new_apply(&again);
	ck_assert_int_eq(inside(apply_run, second, NULL), 0);
	for (size_t i = 0; i < again.n; i++)
		ck_assert_str_eq(second->outcomes[i].result, "already");
	free_apply(second, &again);
	twice = list_world();
	ck_assert_str_eq(once, twice);
	done = record_all(first, NULL);
	free_apply(first, &plan);
	restore.done = done;
	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(inside(restore_run, &restore, NULL), 0);
	ck_assert_uint_eq(restore.left, 0);
	place_roots_done(&restore.roots);
	json_decref(done);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

static int run_here(int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	return fn(arg, err);
}

/* Nothing is made in the root, and the tree wants another place. */
static void expect_untouched(int (*how)(int (*fn)(void *arg, struct error *err), void *arg,
					struct error *err))
{
	auto_free char *before = list_world(), *after = NULL;
	struct error err = { 0 };
	struct plan plan;
	struct apply *apply = new_apply(&plan);

	ck_assert_int_eq(how(apply_run, apply, &err), -EROFS);
	ck_assert(apply->wants_alternative);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}

START_TEST(a_root_of_one_process_alone_is_not_written_to)
{
	if (!make_read_only_world())
		return;
	expect_untouched(run_here); /* our own root is another one: so it is with a process that called chroot(2) */
}
END_TEST

START_TEST(a_flag_that_is_locked_counts)
{
	unsigned int uid = getuid(), gid = getgid();

	if (!make_read_only_world())
		return;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		(void)fprintf(stderr, "# no user namespace to be had: nothing checked\n");
		return;
	}
	put("/proc/self/setgroups", "deny");
	put_id_map("/proc/self/uid_map", uid);
	put_id_map("/proc/self/gid_map", gid);
	expect_untouched(inside);
}
END_TEST

/* /run is opened with whatever is mounted there. */
START_TEST(a_mount_that_is_read_only_by_itself_is_not_written_to)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_read_only_world())
		return;
	ck_assert_int_eq(mount("root/run", "root/run", NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(mount(NULL, "root/run", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_msg(inside(apply_run, apply, &err) == 0, "%s", err.text);
	ck_assert_str_eq(outcome_of(apply, "/run/nvd/socket")->result, "omitted");
	ck_assert_str_eq(outcome_of(apply, "/tmp/pipes")->result, "mounted");
	ck_assert_int_eq(access("root/run/nvd", F_OK), -1);
	ck_assert_int_eq(inside(apply_undo, apply, &err), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

UNIT_MAIN("writable", a_read_only_root_gets_everything_and_stays_read_only,
	  a_failure_at_any_effect_leaves_nothing_behind,
	  twice_changes_nothing_and_a_record_takes_all_back,
	  a_root_of_one_process_alone_is_not_written_to, a_flag_that_is_locked_counts,
	  a_mount_that_is_read_only_by_itself_is_not_written_to)
