/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* Check runs each test in a process of its own: standard error is for the test to move. */
static int begin(void)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(ends[1]);
	return ends[0];
}

/* All that was logged, and the end of logging. */
static const char *logged(int fd)
{
	static char text[4096];
	ssize_t n;

	(void)close(STDERR_FILENO);
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	(void)close(fd);
	return text;
}

START_TEST(a_line_has_the_programs_name)
{
	int fd = begin();

	(void)unsetenv("JOURNAL_STREAM");
	log_open("test", LOG_LEVEL_INFO);
	log_info("%s %d", "number", 7);
	log_error("bad");
	ck_assert_str_eq(logged(fd), "test: number 7\ntest: bad\n");
}
END_TEST

/* As systemd says what standard error is. */
static void set_journal(void)
{
	char text[64];
	struct stat st;

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	ck_assert_int_eq(setenv("JOURNAL_STREAM", text, 1), 0);
}

START_TEST(standard_error_that_is_not_the_journal_has_no_priority)
{
	static const char *const others[] = { "8:1", "", "x", "8:" };
	int fd = begin();

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ck_assert_int_eq(setenv("JOURNAL_STREAM", others[i], 1), 0);
		log_open("test", LOG_LEVEL_INFO);
		log_info("x");
	}
	ck_assert_str_eq(logged(fd), "test: x\ntest: x\ntest: x\ntest: x\n");
}
END_TEST

START_TEST(under_journald_it_has_the_priority_instead)
{
	int fd = begin();

	set_journal();
	log_open("test", LOG_LEVEL_DEBUG);
	log_error("a");
	log_warning("b");
	log_info("c");
	log_debug("d");
	ck_assert_str_eq(logged(fd), "<3>a\n<4>b\n<6>c\n<7>d\n");
}
END_TEST

START_TEST(what_is_above_the_level_is_dropped)
{
	int fd = begin();

	(void)unsetenv("JOURNAL_STREAM");
	log_open("test", LOG_LEVEL_WARNING);
	log_debug("no");
	log_info("no");
	log_warning("yes");
	ck_assert_str_eq(logged(fd), "test: yes\n");
}
END_TEST

START_TEST(one_event_is_one_printable_line)
{
	int fd = begin();

	(void)unsetenv("JOURNAL_STREAM");
	log_open("test", LOG_LEVEL_INFO);
	log_info("%s", "a\nb\033[31m\x7f");
	ck_assert_str_eq(logged(fd), "test: a?b?[31m?\n");
}
END_TEST

START_TEST(a_long_line_is_cut_and_still_ends)
{
	int fd = begin();
	char text[3000];
	const char *line;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	(void)unsetenv("JOURNAL_STREAM");
	log_open("test", LOG_LEVEL_INFO);
	log_info("%s", text);
	line = logged(fd);
	ck_assert_uint_le(strlen(line), 1024);
	ck_assert_uint_ge(strlen(line), 1000);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

START_TEST(lines_go_where_they_are_sent)
{
	int fd = begin(), elsewhere[2];
	char text[64];
	ssize_t n;

	(void)unsetenv("JOURNAL_STREAM");
	log_open("test", LOG_LEVEL_INFO);
	ck_assert_int_eq(pipe(elsewhere), 0);
	log_to(elsewhere[1]);
	log_warning("there");
	log_to(-1);
	log_error("nowhere");
	n = read(elsewhere[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	ck_assert_str_eq(text, "test: there\n");
	ck_assert_str_eq(logged(fd), "");
}
END_TEST

UNIT_MAIN("log", a_line_has_the_programs_name,
	  standard_error_that_is_not_the_journal_has_no_priority,
	  under_journald_it_has_the_priority_instead, what_is_above_the_level_is_dropped,
	  one_event_is_one_printable_line, a_long_line_is_cut_and_still_ends,
	  lines_go_where_they_are_sent)
