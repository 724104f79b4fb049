/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, files, sockets and the linker's cache at fixed paths: what the image
 * has there stays, and what is ours is known again.
 */
#include "inject/apply.h"

#include "tests/unit/apply_world.h"

/* Applies the plan to the world as it is; the caller looks at the outcomes, then expects no trace. */
static struct apply *apply_now(struct plan *plan, bool adopt)
{
	struct error err = { 0 };
	struct apply *apply = new_apply(plan);

	apply->adopt = adopt;
	ck_assert_msg(apply_run(apply, &err) == 0, "%s", err.text);
	return apply;
}

static void undo_now(struct apply *apply, struct plan *plan, const char *before)
{
	auto_free char *after = NULL;

	ck_assert_int_eq(apply_undo(apply, NULL), 0);
	free_apply(apply, plan);
	after = list_world();
	ck_assert_str_eq(before, after);
}

static void expect_kept(const struct apply *apply, const char *target)
{
	ck_assert_str_eq(outcome_of(apply, target)->result, "kept");
	ck_assert_str_ne(outcome_of(apply, target)->note, "");
}

START_TEST(what_the_image_has_at_a_fixed_path_stays)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	put("root/usr/bin/nvidia-smi", "of the image's");
	ck_assert_int_eq(mkdir("root/etc/vulkan", 0755), 0);
	ck_assert_int_eq(mkdir("root/etc/vulkan/icd.d", 0755), 0);
	ck_assert_int_eq(symlink("/nowhere", "root/etc/vulkan/icd.d/nv.json"), 0);
	ck_assert_int_eq(mkdir("root/run/nvd", 0755), 0);
	put("root/run/nvd/socket", "no socket");
	ck_assert_int_eq(mkdir("root/tmp/pipes", 0755), 0);
	put("root/tmp/pipes/control", "of the image's");
	before = list_world();
	apply = apply_now(&plan, true);
	expect_kept(apply, "/usr/bin/nvidia-smi");
	expect_kept(apply, "/etc/vulkan/icd.d/nv.json");
	expect_kept(apply, "/run/nvd/socket");
	expect_kept(apply, "/tmp/pipes");
	undo_now(apply, &plan, before);
}
END_TEST

START_TEST(an_empty_file_and_an_empty_directory_are_nobodys)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/run/nvd", 0755), 0);
	put("root/run/nvd/socket", "");
	ck_assert_int_eq(mkdir("root/tmp/pipes", 0755), 0);
	before = list_world();
	apply = apply_now(&plan, true);
	ck_assert_str_eq(outcome_of(apply, "/run/nvd/socket")->result, "mounted");
	ck_assert_str_eq(outcome_of(apply, "/tmp/pipes")->result, "mounted");
	ck_assert(!outcome_of(apply, "/run/nvd/socket")->made);
	ck_assert(!outcome_of(apply, "/tmp/pipes")->made);
	undo_now(apply, &plan, before);
}
END_TEST

START_TEST(links_at_fixed_paths_follow_directories_of_the_image)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;
	char to[64] = "";

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/opt", 0755), 0);
	ck_assert_int_eq(symlink("../opt", "root/etc/vulkan"), 0);
	before = list_world();
	apply = apply_now(&plan, true);
	ck_assert_int_gt(readlink("root/opt/icd.d/nv.json", to, sizeof(to) - 1), 0);
	ck_assert_str_eq(to, "/nv/icd.json");
	ck_assert_uint_eq(outcome_of(apply, "/etc/vulkan/icd.d/nv.json")->dirs, 1);
	undo_now(apply, &plan, before);
}
END_TEST

static const char *conf_target(const struct apply *apply)
{
	static char target[128];
	json_t *done = record_all(apply, NULL);
	const json_t *record = NULL;

	for (size_t i = 0; i < json_array_size(done); i++) {
		record = json_array_get(done, i);
		if (strcmp(varlink_string(record, "step", ""), "file") == 0)
			break;
	}
	(void)snprintf(target, sizeof(target), "%s %s", varlink_string(record, "target", ""),
		       varlink_string(record, "result", ""));
	json_decref(done);
	return target;
}

START_TEST(an_images_own_conf_d_file_stays_and_another_name_is_taken)
{
	auto_free char *before = NULL;
	struct apply *apply, *again;
	struct plan plan, plan2;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/etc/ld.so.conf.d", 0755), 0);
	put("root/etc/ld.so.conf.d/00-nvfs.conf", "# mark of another\n/opt/lib\n");
	before = list_world();
	apply = apply_now(&plan, true);
	ck_assert_str_eq(conf_target(apply), "/etc/ld.so.conf.d/00-other.conf created");
	again = apply_now(&plan2, false);
	ck_assert_str_eq(conf_target(again), "/etc/ld.so.conf.d/00-other.conf already");
	free_apply(again, &plan2);
	undo_now(apply, &plan, before);
	put("root/etc/ld.so.conf.d/00-other.conf", "");
	free(before);
	before = list_world();
	apply = apply_now(&plan, true);
	ck_assert_str_eq(conf_target(apply), "/etc/ld.so.conf.d/00-other.conf kept");
	undo_now(apply, &plan, before);
}
END_TEST

START_TEST(a_conf_d_file_of_an_earlier_run_for_another_target_is_replaced)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/etc/ld.so.conf.d", 0755), 0);
	put("root/etc/ld.so.conf.d/00-nvfs.conf", "# mark\n/dev/nvfs/lib64\n");
	before = list_world();
	apply = apply_now(&plan, true);
	ck_assert_str_eq(conf_target(apply), "/etc/ld.so.conf.d/00-nvfs.conf replaced");
	undo_now(apply, &plan, before);
}
END_TEST

START_TEST(a_cache_that_is_no_file_stays)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(unlink("root/etc/ld.so.cache"), 0);
	ck_assert_int_eq(mkfifo("root/etc/ld.so.cache", 0600), 0);
	before = list_world();
	apply = apply_now(&plan, true);
	ck_assert_str_eq(outcome_of(apply, "/etc/ld.so.cache")->result, "omitted");
	undo_now(apply, &plan, before);
}
END_TEST

/* A record of what is done, taken back as `--remove` does it. */
static void remove_by(json_t *done, const char *before)
{
	struct restore restore = { .cache = "old cache", .cache_len = 9, .done = done };
	auto_free char *after = NULL;

	restore.roots = (struct place_roots)PLACE_ROOTS(open("root", O_PATH | O_CLOEXEC));
	ck_assert_int_eq(restore_run(&restore, NULL), 0);
	(void)close(restore.roots.root);
	place_roots_done(&restore.roots);
	ck_assert_int_eq(chdir(where), 0);
	after = list_world();
	ck_assert_str_eq(before, after);
}

START_TEST(what_a_killed_run_has_left_is_adopted_with_its_directories)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;
	json_t *done;

	if (!make_world())
		return;
	put("root/etc/ld.so.conf", "include of the image's"); /* ours is just as many an image's */
	before = list_world();
	free_apply(apply_now(&plan, true), &plan); /* nothing is recorded */
	apply = apply_now(&plan, true);
	ck_assert_uint_eq(outcome_of(apply, "/etc/vulkan/icd.d/nv.json")->dirs, 2);
	done = record_all(apply, NULL);
	free_apply(apply, &plan);
	remove_by(done, before);
	json_decref(done);
}
END_TEST

START_TEST(a_directory_that_a_killed_run_has_only_begun_is_adopted)
{
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;
	json_t *done;

	if (!make_world())
		return;
	put("root/etc/ld.so.conf", "include of the image's"); /* ours is just as many an image's */
	before = list_world();
	ck_assert_int_eq(mkdir("root/etc/vulkan", EFFECT_OWN_DIR), 0);
	apply = apply_now(&plan, true);
	ck_assert_uint_eq(outcome_of(apply, "/etc/vulkan/icd.d/nv.json")->dirs, 2);
	done = record_all(apply, NULL);
	free_apply(apply, &plan);
	remove_by(done, before);
	json_decref(done);
}
END_TEST

START_TEST(a_bind_of_somebody_elses_is_not_adopted)
{
	struct apply *apply;
	struct plan plan;

	if (!make_world())
		return;
	ck_assert_int_eq(mkdir("root/run/nvd", 0755), 0);
	put("root/run/nvd/socket", "");
	ck_assert_int_eq(mount("sock", "root/run/nvd/socket", NULL, MS_BIND, NULL), 0);
	apply = apply_now(&plan, true);
	ck_assert_str_eq(outcome_of(apply, "/run/nvd/socket")->result, "already");
	free_apply(apply, &plan);
}
END_TEST

START_TEST(a_socket_whose_daemon_was_started_anew_is_bound_again)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "sock" };
	auto_free char *before = NULL;
	struct apply *apply;
	struct plan plan;
	json_t *done, *old;
	int sock;

	if (!make_world())
		return;
	before = list_world();
	apply = apply_now(&plan, true);
	old = record_all(apply, NULL);
	free_apply(apply, &plan);
	ck_assert_int_eq(unlink("sock"), 0);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	apply = apply_now(&plan, false);
	ck_assert_str_eq(outcome_of(apply, "/run/nvd/socket")->result, "mounted");
	done = record_all(apply, NULL);
	ck_assert_int_eq(record_merge_old(done, old), 0);
	free_apply(apply, &plan);
	remove_by(done, before);
	json_decref(done);
	json_decref(old);
	(void)close(sock);
}
END_TEST

UNIT_MAIN("apply_paths", what_the_image_has_at_a_fixed_path_stays,
	  an_empty_file_and_an_empty_directory_are_nobodys,
	  links_at_fixed_paths_follow_directories_of_the_image,
	  an_images_own_conf_d_file_stays_and_another_name_is_taken,
	  a_conf_d_file_of_an_earlier_run_for_another_target_is_replaced,
	  a_cache_that_is_no_file_stays, what_a_killed_run_has_left_is_adopted_with_its_directories,
	  a_directory_that_a_killed_run_has_only_begun_is_adopted,
	  a_bind_of_somebody_elses_is_not_adopted,
	  a_socket_whose_daemon_was_started_anew_is_bound_again)
