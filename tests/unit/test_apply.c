/* SPDX-License-Identifier: Apache-2.0 */
/* Plans applied to a container's root, undone, and taken back by their record. */
#include "inject/apply.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "inject/enter.h"
#include "inject/moved.h"
#include "inject/record.h"
#include "inject/restore.h"
#include "inject/shared.h"
#include "tests/unit/apply_world.h"

START_TEST(a_plan_is_applied_and_taken_back_whole)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
	ck_assert_int_eq(access("root/usr/local/nvidia/bin/nvidia-smi", F_OK), 0);
	ck_assert_str_eq(result_of(apply, STEP_TREE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_DEVICE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_SOCKET), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "replaced");
	ck_assert_str_eq(result_of(apply, STEP_LINK), "created");
	ck_assert_int_eq(apply_undo(apply, &err), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_failure_at_any_effect_leaves_nothing_behind)
{
	if (make_world())
		ck_every_failure_is_undone(apply_run, apply_undo);
}
END_TEST

START_TEST(twice_changes_nothing)
{
	auto_free char *once = NULL, *twice = NULL;
	struct apply *first, *second;
	struct plan plan, again;

	if (!make_world())
		return;
	first = new_apply(&plan);
	ck_assert_int_eq(apply_run(first, NULL), 0);
	once = list_world();
	second = new_apply(&again);
	ck_assert_int_eq(apply_run(second, NULL), 0);
	for (size_t i = 0; i < again.n; i++)
		ck_assert_str_eq(second->outcomes[i].result, "already");
	ck_assert_uint_eq(second->effects.n, 0);
	free_apply(second, &again);
	twice = list_world();
	ck_assert_str_eq(once, twice);
	free_apply(first, &plan);
}
END_TEST

START_TEST(a_record_is_enough_to_take_all_back_later)
{
	auto_free char *before = NULL, *after = NULL;
	struct restore restore = { .cache = "old cache", .cache_len = 9 };
	struct apply *apply;
	struct plan plan;
	json_t *done;

	if (!make_world())
		return;
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	done = record_all(apply, NULL);
	free_apply(apply, &plan);
	restore.done = done;
	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(restore_run(&restore, NULL), 0);
	ck_assert_uint_eq(restore.left, 0);
	place_roots_done(&restore.roots);
	json_decref(done);
	ck_assert_int_eq(chdir(where), 0);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_removal_leaves_what_is_no_longer_ours)
{
	struct restore restore = { .cache = NULL };
	struct apply *apply;
	struct plan plan;
	json_t *done;

	if (!make_world())
		return;
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	done = record_all(apply, NULL);
	free_apply(apply, &plan);
	ck_assert_int_eq(mount("tmpfs", "root/usr/local/nvidia", "tmpfs", 0, ""), 0);
	ck_assert_int_eq(unlink("root/usr/bin/nvidia-smi"), 0);
	ck_assert_int_eq(symlink("elsewhere", "root/usr/bin/nvidia-smi"), 0);
	put("root/etc/ld.so.conf.d/00-nvfs.conf", "changed");
	ck_assert_int_eq(unlink("root/etc/vulkan/icd.d/nv.json"), 0);
	put("root/etc/vulkan/icd.d/nv.json", "of the image's");
	restore.done = done;
	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(restore_run(&restore, NULL), 0);
	ck_assert_int_eq(chdir(where), 0);
	ck_assert_uint_eq(restore.left, 5); /* tree, conf.d file, cache, links */
	ck_assert_int_eq(access("root/usr/local/nvidia", F_OK), 0);
	ck_assert_int_eq(access("root/etc/ld.so.conf.d/00-nvfs.conf", F_OK), 0);
	ck_assert_int_eq(access("root/dev/nv0", F_OK), -1);
	place_roots_done(&restore.roots);
	json_decref(done);
}
END_TEST

/* Prepares the world by shell-like calls, then expects the tree's alternative to be wanted. */
static void expect_alternative(void)
{
	auto_free char *before = list_world(), *after = NULL;
	struct error err = { 0 };
	struct plan plan;
	struct apply *apply = new_apply(&plan);

	ck_assert_int_lt(apply_run(apply, &err), 0);
	ck_assert(apply->wants_alternative);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}

START_TEST(a_target_that_leads_elsewhere_is_not_followed)
{
	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/usr/local", 0755), 0);
	ck_assert_int_eq(symlink("/etc", "root/usr/local/nvidia"), 0);
	expect_alternative(); /* a link as the last component */
	ck_assert_int_eq(unlink("root/usr/local/nvidia"), 0);
	ck_assert_int_eq(symlink("/nowhere", "root/usr/local/nvidia"), 0);
	expect_alternative(); /* a dangling one */
	ck_assert_int_eq(unlink("root/usr/local/nvidia"), 0);
	put("root/usr/local/nvidia", "");
	expect_alternative(); /* a file */
	ck_assert_int_eq(unlink("root/usr/local/nvidia"), 0);
	ck_assert_int_eq(rmdir("root/usr/local"), 0);
	ck_assert_int_eq(symlink("/proc/1/root/tmp", "root/usr/local"), 0);
	expect_alternative(); /* a parent out of the root */
}
END_TEST

START_TEST(a_volume_of_the_users_is_not_written_to)
{
	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/usr/local", 0755), 0);
	ck_assert_int_eq(mount("tmpfs", "root/usr/local", "tmpfs", 0, ""), 0);
	expect_alternative();
	ck_assert_int_eq(umount("root/usr/local"), 0);
	ck_assert_int_eq(mkdir("root/usr/local/nvidia", 0755), 0);
	ck_assert_int_eq(mount("tmpfs", "root/usr/local/nvidia", "tmpfs", 0, ""), 0);
	expect_alternative();
}
END_TEST

START_TEST(a_link_that_wants_a_place_is_made_where_that_is)
{
	struct plan plan;
	struct apply *apply;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/usr/libx", 0755), 0);
	apply = new_apply(&plan);
	for (size_t i = 0; i < plan.n; i++) {
		if (plan.steps[i].kind == STEP_LINK)
			plan.steps[i].where = strstr(plan.steps[i].target, "vulkan") ? "/usr/libx"
										     : "/usr/liby";
	}
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(outcome_of(apply, "/etc/vulkan/icd.d/nv.json")->result, "created");
	ck_assert_str_eq(outcome_of(apply, "/usr/bin/nvidia-smi")->result, "omitted");
	ck_assert_int_eq(faccessat(AT_FDCWD, "root/usr/bin/nvidia-smi", F_OK, AT_SYMLINK_NOFOLLOW),
			 -1);
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
}
END_TEST

START_TEST(links_of_the_image_stay_within_the_image)
{
	struct plan plan;
	struct apply *apply;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/var", 0755), 0);
	ck_assert_int_eq(mkdir("root/var/usrlocal", 0755), 0);
	ck_assert_int_eq(symlink("../../../../var/usrlocal", "root/usr/local"), 0);
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_int_eq(access("root/var/usrlocal/nvidia/bin/nvidia-smi", F_OK), 0);
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
}
END_TEST

START_TEST(something_else_at_a_devices_name_is_an_error)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(mkfifo("root/dev/nv0", 0600), 0);
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, &err), -EEXIST);
	ck_assert(!apply->wants_alternative);
	ck_assert_ptr_nonnull(strstr(err.text, "'/dev/nv0' is there and is something else"));
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

/* The same plan, of a driver of which both nodes have other numbers now. */
static struct apply *new_apply_moved(struct plan *plan, const json_t *done)
{
	const uint64_t ro = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	struct apply *apply = new_apply(plan);
	struct moved moved;

	for (int i = 1; i <= 2; i++) {
		(void)close(plan->steps[i].fd);
		plan->steps[i].fd = clone_of(i == 1 ? "/dev/full" : "/dev/random", ro);
		plan->steps[i].minor = i == 1 ? 7 : 8;
	}
	moved_find(plan, done, &moved);
	return apply;
}

static unsigned int minor_of(const char *path)
{
	struct stat st = { 0 };

	ck_assert_int_eq(lstat(path, &st), 0);
	return minor(st.st_rdev);
}

static json_t *apply_and_record(void)
{
	struct plan plan;
	struct apply *apply = new_apply(&plan);
	json_t *done;

	ck_assert_int_eq(apply_run(apply, NULL), 0);
	done = record_all(apply, NULL);
	free_apply(apply, &plan);
	return done;
}

START_TEST(a_node_of_a_number_of_before_gives_way_or_comes_back)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;
	size_t fail_at;
	json_t *done;
	int r = -EIO;

	if (!make_world())
		return;
	done = apply_and_record();
	before = list_world();
	for (fail_at = 1; r == -EIO; fail_at++) {
		auto_free char *after = NULL;
		struct error err = { 0 };

		apply = new_apply_moved(&plan, done);
		apply->effects.fail_at = fail_at;
		r = apply_run(apply, &err);
		ck_assert_ptr_null(strstr(err.text, "undo"));
		ck_assert_int_eq(chdir(where), 0);
		if (r == 0) {
			ck_assert_uint_eq(minor_of("root/dev/nv0"), 7);
			ck_assert_uint_eq(minor_of("root/dev/nvcaps/cap1"), 8);
			ck_assert_str_eq(apply->outcomes[1].result, "mounted");
			ck_assert_int_eq(apply_undo(apply, &err), 0);
		}
		free_apply(apply, &plan);
		after = list_world();
		ck_assert_str_eq(before, after);
	}
	ck_assert_uint_ge(fail_at, 5); /* two nodes, each taken away and made */
	json_decref(done);
}
END_TEST

START_TEST(the_containers_own_node_of_a_number_of_before_stays)
{
	struct apply *apply;
	struct plan plan;
	json_t *done;
	int fd;

	if (!make_world())
		return;
	done = apply_and_record();
	ck_assert_int_eq(umount2("root/dev/nv0", MNT_DETACH), 0);
	fd = clone_of("/dev/null", 0); /* the same device by another mount would be ours */
	ck_assert_int_eq(json_object_set_new(json_array_get(done, 1), "ino", json_integer(1)), 0);
	ck_assert_int_eq(sys_move_mount(fd, "", AT_FDCWD, "root/dev/nv0", MOVE_MOUNT_F_EMPTY_PATH),
			 0);
	(void)close(fd);
	apply = new_apply_moved(&plan, done);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(apply->outcomes[1].result, "left");
	ck_assert_int_eq(chdir(where), 0);
	ck_assert_ptr_nonnull(
		strstr(apply->outcomes[1].note, "own node of 1:3, the driver's is 1:7 now"));
	ck_assert_uint_eq(minor_of("root/dev/nv0"), 3);
	ck_assert_uint_eq(minor_of("root/dev/nvcaps/cap1"), 8);
	free_apply(apply, &plan);
	json_decref(done);
}
END_TEST

START_TEST(a_run_that_was_killed_between_two_nodes_is_gone_on_with)
{
	struct apply *apply;
	struct plan plan;
	json_t *done;

	if (!make_world())
		return;
	done = apply_and_record();
	apply = new_apply_moved(&plan, done);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	free_apply(apply, &plan); /* done, and nobody has been told */
	ck_assert_int_eq(umount2("root/dev/nvcaps/cap1", MNT_DETACH), 0);
	apply = new_apply_moved(&plan, done);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(apply->outcomes[1].result, "mounted");
	ck_assert(apply->outcomes[1].made);
	ck_assert_str_eq(apply->outcomes[2].result, "mounted");
	ck_assert_int_eq(chdir(where), 0);
	ck_assert_uint_eq(minor_of("root/dev/nvcaps/cap1"), 8);
	free_apply(apply, &plan);
	json_decref(done);
}
END_TEST

START_TEST(nothing_is_made_in_the_hosts_own_dev)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;
	struct stat st;

	if (!make_world())
		return;
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_int_eq(stat("root/dev", &st), 0);
	apply->roots.host_dev = st.st_dev;
	ck_assert_int_eq(apply_run(apply, &err), -ENOENT);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

/* procfs has directories of just the mode that ours get: to remove one would be refused. */
START_TEST(what_looks_like_ours_is_adopted_but_not_where_the_host_owns_it)
{
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;
	struct stat st;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/dev/nvcaps", 0755), 0);
	put("root/dev/nvcaps/cap1", "");
	put("root/dev/nv0", "");
	ck_assert_int_eq(chmod("root/dev/nv0", 0444), 0);
	ck_assert_int_eq(stat("root/dev", &st), 0);
	for (int host = 0; host < 2; host++) {
		apply = new_apply(&plan);
		apply->adopt = true;
		apply->roots.host_dev = host ? st.st_dev : 0;
		ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
		ck_assert_str_eq(plan.steps[1].target, "/dev/nv0");
		ck_assert(apply->outcomes[1].made == !host);
		ck_assert_int_eq(apply_undo(apply, &err), 0);
		free_apply(apply, &plan);
	}
}
END_TEST

START_TEST(a_read_only_root_gets_the_cache_by_a_bind)
{
	auto_free char *before = NULL, *after = NULL;
	struct error err = { 0 };
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/usr/local", 0755), 0);
	ck_assert_int_eq(mkdir("root/usr/local/nvidia", 0755), 0);
	ck_assert_int_eq(mount("root", "root", NULL, MS_BIND | MS_REC, NULL), 0);
	ck_assert_int_eq(mount(NULL, "root", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	before = list_world();
	apply = new_apply(&plan);
	ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
	ck_assert_str_eq(result_of(apply, STEP_TREE), "mounted");
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "bound");
	ck_assert_str_eq(result_of(apply, STEP_FILE), "omitted");
	ck_assert_str_eq(result_of(apply, STEP_LINK), "omitted");
	ck_assert_str_eq(outcome_of(apply, "/usr/bin/nvidia-smi")->result, "omitted");
	ck_assert_str_eq(result_of(apply, STEP_SOCKET), "omitted");
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_cache_that_is_a_link_is_left_alone)
{
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	put("victim", "precious");
	ck_assert_int_eq(unlink("root/etc/ld.so.cache"), 0);
	ck_assert_int_eq(symlink("../../victim", "root/etc/ld.so.cache"), 0);
	apply = new_apply(&plan);
	ck_assert_int_eq(apply_run(apply, NULL), 0);
	ck_assert_str_eq(result_of(apply, STEP_CACHE), "omitted");
	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, &plan);
}
END_TEST

static const struct enter_ns nowhere = ENTER_NOWHERE;

/* Check has a handler of its own, and the filters want no new privileges. */
static void as_nvinject_begins(void)
{
	(void)signal(SIGALRM, SIG_DFL);
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
}

static int reads_target(void *json, struct error *err)
{
	(void)err;
	return (int)strlen(varlink_string(json, "target", ""));
}

static int wait_for_ever(void *arg, struct error *err)
{
	(void)err;
	*(int *)arg = fcntl(0, F_DUPFD, 3);
	while (poll(NULL, 0, -1) < 0)
		;
	return 0;
}

START_TEST(a_call_that_hangs_inside_is_ended_and_what_it_opened_stays)
{
	struct error err = { 0 };
	int *fd = shared_new(sizeof(*fd));

	as_nvinject_begins();
	*fd = -1;
	ck_assert_int_eq(enter_run(&nowhere, 100, wait_for_ever, fd, &err), -ETIMEDOUT);
	ck_assert_int_eq(err.class, ERROR_MOUNT);
	ck_assert_int_ge(*fd, 0);
	ck_assert_int_ge(fcntl(*fd, F_GETFD), 0);
	(void)close(*fd);
	shared_free(fd, sizeof(*fd));
}
END_TEST

struct sum {
	int a, b, result;
};

static int add(void *arg, struct error *err)
{
	struct sum *sum = arg;

	if (sum->a < 0)
		return error_set(err, -EINVAL, "add %d", sum->a);
	sum->result = sum->a + sum->b;
	return 0;
}

static int die(void *arg, struct error *err)
{
	(void)arg;
	(void)err;
	(void)raise(SIGKILL);
	return 0;
}

START_TEST(one_child_does_several_calls_while_we_go_on)
{
	struct enter enter = ENTER_EMPTY;
	struct sum *sum = shared_new(sizeof(*sum));
	struct error err = { 0 };
	pid_t child;

	as_nvinject_begins();
	*sum = (struct sum){ .a = 1, .b = 2 };
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
	child = enter.pid;
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
	ck_assert_int_eq(sum->result, 3);
	sum->a = -4; /* what it gets is what is there now */
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
	ck_assert_int_eq(enter.pid, child);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), -EINVAL);
	ck_assert_str_eq(err.text, "add -4: Invalid argument");
	enter_done(&enter);
	ck_assert_int_eq(enter.pid, 0);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(errno, ECHILD);
	shared_free(sum, sizeof(*sum));
}
END_TEST

START_TEST(after_its_last_call_a_child_ends_by_itself)
{
	struct enter enter = ENTER_EMPTY;
	struct sum *sum = shared_new(sizeof(*sum));
	struct pollfd ended = { .events = POLLIN };
	struct error err = { 0 };
	pid_t child;

	as_nvinject_begins();
	*sum = (struct sum){ .a = 1, .b = 2 };
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
	child = enter.pid;
	enter.last = true;
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
	ck_assert_int_eq(enter.pid, child);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
	ended.fd = enter.pidfd;
	ck_assert_int_eq(poll(&ended, 1, 5000), 1);
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
	ck_assert_int_ne(enter.pid, child);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
	enter_done(&enter);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(errno, ECHILD);
	shared_free(sum, sizeof(*sum));
}
END_TEST

/* The last call may be there before the child has waited for it. */
START_TEST(the_last_of_two_calls_is_always_done)
{
	struct sum *sum = shared_new(sizeof(*sum));
	struct error err = { 0 };

	as_nvinject_begins();
	for (int i = 0; i < 200; i++) {
		struct enter enter = ENTER_EMPTY;

		*sum = (struct sum){ .a = 1, .b = 2 };
		ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
		ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
		sum->a = i;
		enter.last = true;
		ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
		ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
		ck_assert_int_eq(sum->result, i + 2);
		enter_done(&enter);
	}
	shared_free(sum, sizeof(*sum));
}
END_TEST

START_TEST(after_a_child_that_died_there_is_another)
{
	struct enter enter = ENTER_EMPTY;
	struct sum *sum = shared_new(sizeof(*sum));
	struct error err = { 0 };

	as_nvinject_begins();
	*sum = (struct sum){ .a = 1, .b = 2 };
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, die, sum, &err), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), -ECHILD);
	ck_assert_str_eq(err.text, "ended inside the container by signal 9");
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, NULL), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, NULL), 0);
	ck_assert_int_eq(sum->result, 3);
	enter_done(&enter);
	shared_free(sum, sizeof(*sum));
}
END_TEST

START_TEST(json_that_is_made_later_is_known_to_the_child)
{
	struct enter enter = ENTER_EMPTY;
	struct sum *sum = shared_new(sizeof(*sum));
	json_t *before = json_pack("{s:i}", "a", 1), *after;
	struct error err = { 0 };

	as_nvinject_begins();
	ck_assert_int_eq(shared_json(), 0);
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, add, sum, &err), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 0);
	after = json_pack("{s:s, s:s}", "target", "/usr/local/nvidia", "other", "x");
	ck_assert_int_eq(enter_begin(&enter, &nowhere, 5000, reads_target, after, &err), 0);
	ck_assert_int_eq(enter_end(&enter, 5000, &err), 17);
	json_decref(after);
	json_decref(before); /* malloc's */
	enter_done(&enter);
	shared_free(sum, sizeof(*sum));
}
END_TEST

UNIT_MAIN("apply", a_plan_is_applied_and_taken_back_whole,
	  a_failure_at_any_effect_leaves_nothing_behind, twice_changes_nothing,
	  a_record_is_enough_to_take_all_back_later, a_removal_leaves_what_is_no_longer_ours,
	  a_target_that_leads_elsewhere_is_not_followed, a_volume_of_the_users_is_not_written_to,
	  a_link_that_wants_a_place_is_made_where_that_is, links_of_the_image_stay_within_the_image,
	  something_else_at_a_devices_name_is_an_error,
	  a_node_of_a_number_of_before_gives_way_or_comes_back,
	  the_containers_own_node_of_a_number_of_before_stays,
	  a_run_that_was_killed_between_two_nodes_is_gone_on_with,
	  nothing_is_made_in_the_hosts_own_dev,
	  what_looks_like_ours_is_adopted_but_not_where_the_host_owns_it,
	  a_read_only_root_gets_the_cache_by_a_bind, a_cache_that_is_a_link_is_left_alone,
	  a_call_that_hangs_inside_is_ended_and_what_it_opened_stays,
	  one_child_does_several_calls_while_we_go_on, after_its_last_call_a_child_ends_by_itself,
	  the_last_of_two_calls_is_always_done, after_a_child_that_died_there_is_another,
	  json_that_is_made_later_is_known_to_the_child)
