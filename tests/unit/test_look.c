/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/look.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* A looker is this program, executed anew. */
__attribute__((constructor)) static void be_looker(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "look") == 0)
		_exit(look_main());
}

static struct look_file file_at(const char *root, const char *path)
{
	char full[600];
	struct stat st;

	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	ck_assert_int_eq(stat(full, &st), 0);
	return (struct look_file){ .path = path,
				   .dev = st.st_dev,
				   .ino = st.st_ino,
				   .size = (uint64_t)st.st_size,
				   .mtime_sec = st.st_mtim.tv_sec,
				   .mtime_nsec = (uint32_t)st.st_mtim.tv_nsec };
}

/* What the looker gives, after at most ten seconds. */
static int *reopen(const char *root, const struct look_file *files, size_t n, char *const *left_out,
		   size_t n_left_out)
{
	const struct look_request request = { .driver_root = root,
					      .left_out = left_out,
					      .n_left_out = n_left_out,
					      .inotify_fd = -1,
					      .reopen = files,
					      .n_reopen = n };
	struct look_result result = { 0 };
	struct error err = { 0 };
	struct look *look;
	int r = 0;

	ck_assert_msg(look_start(&request, &look, &err) == 0, "%s", err.text);
	while (r == 0) {
		struct pollfd p = { .fd = look_fd(look), .events = POLLIN };

		ck_assert_int_eq(poll(&p, 1, 10000), 1);
		r = look_receive(look, &result, &err);
	}
	ck_assert_msg(r == 1, "%s", err.text);
	ck_assert_ptr_null(result.generation);
	look_free(look);
	return result.reopened;
}

static void ck_content(int fd, const char *wanted)
{
	char text[64] = "";

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, wanted);
	(void)close(fd);
}

START_TEST(files_that_are_the_same_are_opened_again)
{
	char root[64];
	struct look_file files[3];
	int *fds;

	scratch_new(root);
	scratch_text(root, "a", "one");
	scratch_text(root, "b", "two");
	scratch_text(root, "c", "three");
	files[0] = file_at(root, "/a");
	files[1] = file_at(root, "/b");
	files[2] = file_at(root, "/c");
	files[1].mtime_nsec ^= 1; /* another one by now */
	fds = reopen(root, files, 3, NULL, 0);
	ck_content(fds[0], "one");
	ck_assert_int_eq(fds[1], -1);
	ck_content(fds[2], "three");
	free(fds);
	scratch_remove(root);
}
END_TEST

START_TEST(what_is_gone_is_no_file_and_what_is_left_out_is_not_touched)
{
	char root[64];
	char *left_out[] = { (char[]){ "/a" } };
	struct look_file files[2];
	int *fds;

	scratch_new(root);
	scratch_text(root, "a", "one");
	files[0] = files[1] = file_at(root, "/a");
	files[0].path = "/gone";
	fds = reopen(root, files, 2, NULL, 0);
	ck_assert_int_eq(fds[0], -1);
	ck_content(fds[1], "one");
	free(fds);
	fds = reopen(root, files, 2, left_out, 1);
	ck_assert_int_eq(fds[0], -1);
	ck_assert_int_eq(fds[1], -1);
	free(fds);
	scratch_remove(root);
}
END_TEST

START_TEST(more_files_than_fit_one_message_come_all)
{
	enum { N = 450 };
	char root[64];
	static struct look_file files[N];
	int *fds;

	scratch_new(root);
	scratch_text(root, "a", "one");
	for (size_t i = 0; i < N; i++)
		files[i] = file_at(root, "/a");
	fds = reopen(root, files, N, NULL, 0);
	for (size_t i = 0; i < N; i++)
		ck_content(fds[i], "one");
	free(fds);
	scratch_remove(root);
}
END_TEST

START_TEST(a_root_that_is_not_there_gives_nothing)
{
	const struct look_file file = { .path = "/a" };
	int *fds = reopen("/no/such/root", &file, 1, NULL, 0);

	ck_assert_int_eq(fds[0], -1);
	free(fds);
}
END_TEST

START_TEST(a_looker_that_is_given_up_is_taken_in)
{
	const struct look_file file = { .path = "/a" };
	const struct look_request request = {
		.driver_root = "/no/such/root", .inotify_fd = -1, .reopen = &file, .n_reopen = 1
	};
	struct look *look;
	int64_t since_ms;

	ck_assert_int_eq(look_start(&request, &look, NULL), 0);
	ck_assert_ptr_nonnull(look_path(look, &since_ms));
	ck_assert_int_ge(since_ms, 0);
	look_free(look);
	for (int i = 0; i < 500 && look_reap(); i++)
		(void)usleep(10 * 1000);
	ck_assert_uint_eq(look_reap(), 0);
}
END_TEST

UNIT_MAIN("look", files_that_are_the_same_are_opened_again,
	  what_is_gone_is_no_file_and_what_is_left_out_is_not_touched,
	  more_files_than_fit_one_message_come_all, a_root_that_is_not_there_gives_nothing,
	  a_looker_that_is_given_up_is_taken_in)
