/* SPDX-License-Identifier: Apache-2.0 */
/* A text by lines, as libinih asks for them. */
#include "common/lines.h"

#include <string.h>

#include "tests/unit/unit.h"

static void ck_next(struct lines *lines, int size, const char *expected, int number)
{
	char buf[64];

	ck_assert_str_eq(lines_next(buf, size, lines), expected);
	ck_assert_int_eq(lines->number, number);
}

START_TEST(lines_come_one_by_one_and_the_last_may_have_no_end)
{
	struct lines lines = { .at = "a = 1\n\nb" };
	char buf[8];

	ck_next(&lines, 8, "a = 1\n", 1);
	ck_next(&lines, 8, "\n", 2);
	ck_next(&lines, 8, "b", 3);
	ck_assert_ptr_null(lines_next(buf, sizeof(buf), &lines));
	ck_assert_ptr_null(lines_next(buf, sizeof(buf), &lines));
}
END_TEST

START_TEST(a_long_line_comes_in_parts_of_one_number)
{
	struct lines lines = { .at = "123456789\nc" };

	ck_next(&lines, 5, "1234", 1);
	ck_next(&lines, 5, "5678", 1);
	ck_next(&lines, 5, "9\n", 1);
	ck_next(&lines, 5, "c", 2);
}
END_TEST

/* What follows would be taken for a key; but a mark in the middle of a line begins no comment. */
START_TEST(a_long_comment_is_cut_and_ends)
{
	struct lines lines = { .at = "# 3456 key = 1\n;x\n1234#678\nd" };

	ck_next(&lines, 5, "# 3\n", 1);
	ck_next(&lines, 5, ";x\n", 2);
	ck_next(&lines, 5, "1234", 3);
	ck_next(&lines, 5, "#678", 3);
	ck_next(&lines, 5, "\n", 3);
	ck_next(&lines, 5, "d", 4);
}
END_TEST

START_TEST(without_text_or_room_there_is_nothing)
{
	struct lines none = { .at = "" }, some = { .at = "x" };
	char buf[1];

	ck_assert_ptr_null(lines_next(buf, 64, &none));
	ck_assert_ptr_null(lines_next(buf, sizeof(buf), &some));
}
END_TEST

START_TEST(a_line_that_is_too_long_is_told_and_a_comment_never)
{
	ck_assert_int_eq(lines_too_long("", 3), 0);
	ck_assert_int_eq(lines_too_long("abc\n\nabc", 3), 0);
	ck_assert_int_eq(lines_too_long("abc\n\nabcd\nabcde", 3), 3);
	ck_assert_int_eq(lines_too_long("abcd", 3), 1);
	ck_assert_int_eq(lines_too_long("#abcdef\n;abcdef\n abcd", 3), 3);
}
END_TEST

UNIT_MAIN("lines", a_line_that_is_too_long_is_told_and_a_comment_never, lines_come_one_by_one_and_the_last_may_have_no_end,
	  a_long_line_comes_in_parts_of_one_number, a_long_comment_is_cut_and_ends,
	  without_text_or_room_there_is_nothing)
