/* SPDX-License-Identifier: Apache-2.0 */
#include "common/error.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

START_TEST(wrap_puts_the_step_in_front)
{
	struct error err = { 0 };

	ck_assert_int_eq(error_set(&err, -ENOENT, "open '%s'", "x"), -ENOENT);
	ck_assert_int_eq(error_wrap(&err, -ENOENT, "mount driver"), -ENOENT);
	ck_assert_str_eq(err.text, "mount driver: open 'x': No such file or directory");
}
END_TEST

START_TEST(a_long_step_is_cut_and_the_reason_stays)
{
	struct error err = { 0 };
	char step[400], line[ERROR_LINE_MAX];

	memset(step, 's', sizeof(step) - 1);
	step[sizeof(step) - 1] = '\0';
	(void)error_set(&err, -EACCES, "%s", step);
	(void)error_wrap(&err, -EACCES, "%s", step);
	(void)error_remedy(&err, -EACCES, "run it as root");
	error_line(&err, "abc123", line);
	ck_assert_uint_lt(strlen(line), ERROR_LINE_MAX);
	ck_assert_ptr_nonnull(strstr(line, ": Permission denied; run it as root [trace abc123]"));
}
END_TEST

START_TEST(the_longest_remedy_and_trace_fit_with_the_reason)
{
	struct error err = { 0 };
	char text[400], line[ERROR_LINE_MAX];

	memset(text, 'r', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)error_setc(&err, ERROR_REQUIREMENT, -EINVAL, "%.140s END", text);
	(void)error_remedy(&err, -EINVAL, "%s", text);
	error_line(&err, text, line);
	ck_assert_uint_lt(strlen(line), ERROR_LINE_MAX);
	ck_assert_ptr_nonnull(strstr(line, " END; rrr"));
	ck_assert_int_eq(strncmp(line, "requirement: rrr", 16), 0);
}
END_TEST

START_TEST(a_class_is_the_exit_status_and_the_first_one_stays)
{
	struct error err = { 0 };

	(void)error_set(&err, -EIO, "x");
	ck_assert_int_eq(error_exit_status(&err), ERROR_OTHER);
	(void)error_classify(&err, -EIO, ERROR_MOUNT);
	(void)error_classify(&err, -EIO, ERROR_DAEMON);
	ck_assert_int_eq(error_exit_status(&err), 6);
	ck_assert_str_eq(error_class_name(ERROR_MOUNT), "mount");
	ck_assert_int_eq(error_class_by_name("mount"), ERROR_MOUNT);
	ck_assert_int_eq(error_class_by_name("nonsense"), ERROR_OTHER);
}
END_TEST

START_TEST(control_characters_do_not_reach_the_line)
{
	struct error err = { 0 };

	(void)error_setc(&err, ERROR_USAGE, -EINVAL, "id 'a\n\033[31m'");
	ck_assert_str_eq(err.text, "id 'a??[31m'");
}
END_TEST

START_TEST(no_error_struct_is_fine)
{
	ck_assert_int_eq(error_set(NULL, -EIO, "x"), -EIO);
	ck_assert_int_eq(error_setc(NULL, ERROR_USAGE, -EIO, "x"), -EIO);
	ck_assert_int_eq(error_wrap(NULL, -EIO, "x"), -EIO);
	ck_assert_int_eq(error_remedy(NULL, -EIO, "x"), -EIO);
	ck_assert_int_eq(error_classify(NULL, -EIO, ERROR_USAGE), -EIO);
}
END_TEST

UNIT_MAIN("error", wrap_puts_the_step_in_front, a_long_step_is_cut_and_the_reason_stays,
	  the_longest_remedy_and_trace_fit_with_the_reason,
	  a_class_is_the_exit_status_and_the_first_one_stays,
	  control_characters_do_not_reach_the_line, no_error_struct_is_fine)
