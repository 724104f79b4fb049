/* SPDX-License-Identifier: Apache-2.0 */
#include "common/whendown.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/unit.h"

static struct error err;

/* What a file of this text says; a negative errno where it cannot be read. */
static int read_text(const char *text)
{
	char path[] = "/tmp/nvfs-whendown-XXXXXX";
	enum when_down word = WHEN_DOWN_FAIL;
	int fd = mkstemp(path), r;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	memset(&err, 0, sizeof(err));
	r = whendown_read(path, &word, &err);
	(void)unlink(path);
	return r < 0 ? r : (int)word;
}

START_TEST(a_container_does_not_start_unless_the_file_says_so)
{
	enum when_down word = WHEN_DOWN_SKIP;

	ck_assert_int_eq(whendown_read("/nonexistent/nvfs.conf", &word, &err), 0);
	ck_assert_int_eq(word, WHEN_DOWN_FAIL);
	ck_assert_int_eq(read_text(""), WHEN_DOWN_FAIL);
	ck_assert_int_eq(read_text("# on_daemon_down = skip\n"), WHEN_DOWN_FAIL);
	ck_assert_int_eq(read_text("[other]\non_daemon_down = skip\n"), WHEN_DOWN_FAIL);
	ck_assert_int_eq(read_text("[nvfs]\non_daemon_down = fail\n"), WHEN_DOWN_FAIL);
}
END_TEST

START_TEST(other_keys_and_long_comments_are_not_looked_at)
{
	char comment[300] = "# ", text[400];

	ck_assert_int_eq(read_text("grace = soon\n[nvfs]\nunknown = 1\non_daemon_down = skip\n"),
			 WHEN_DOWN_SKIP);
	ck_assert_int_eq(read_text("on_daemon_down=skip\n"), WHEN_DOWN_SKIP);
	(void)memset(comment + 2, 'c', sizeof(comment) - 2);
	(void)snprintf(text, sizeof(text), "%.300s\non_daemon_down = skip\n", comment);
	ck_assert_int_eq(read_text(text), WHEN_DOWN_SKIP);
}
END_TEST

START_TEST(a_mistake_is_named_with_its_line_and_counts_whatever_follows)
{
	static const char *const texts[] = { "\non_daemon_down = Skip\n",
					     "\non_daemon_down =\non_daemon_down = skip\n",
					     "\nnonsense\non_daemon_down = skip\n" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(read_text(texts[i]), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, ":2: "));
		ck_assert_int_eq(error_exit_status(&err), 2);
	}
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_an_error)
{
	enum when_down word = WHEN_DOWN_SKIP;

	ck_assert_int_eq(whendown_read("/dev/null/nvfs.conf", &word, &err), -ENOTDIR);
	ck_assert_int_eq(word, WHEN_DOWN_SKIP);
}
END_TEST

UNIT_MAIN("whendown", a_container_does_not_start_unless_the_file_says_so,
	  other_keys_and_long_comments_are_not_looked_at,
	  a_mistake_is_named_with_its_line_and_counts_whatever_follows,
	  a_file_that_cannot_be_opened_is_an_error)
