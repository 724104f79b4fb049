/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/finding.h"

#include "tests/unit/unit.h"

START_TEST(lines_are_kept_in_their_order)
{
	struct finding_list list = { 0 };

	ck_assert_int_eq(finding_add(&list, true, "'%s': %d", "a", 1), 0);
	ck_assert_int_eq(finding_add(&list, false, "b"), 0);
	ck_assert_uint_eq(list.n, 2);
	ck_assert_str_eq(list.items[0].text, "'a': 1");
	ck_assert(list.items[0].problem);
	ck_assert_str_eq(list.items[1].text, "b");
	ck_assert(!list.items[1].problem);
	finding_list_done(&list);
	ck_assert_uint_eq(list.n, 0);
	ck_assert_ptr_null(list.items);
}
END_TEST

START_TEST(a_line_is_not_repeated)
{
	struct finding_list list = { 0 };

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(finding_add(&list, true, "same"), 0);
	ck_assert_uint_eq(list.n, 1);
	finding_list_done(&list);
}
END_TEST

START_TEST(control_characters_of_a_file_name_do_no_harm)
{
	struct finding_list list = { 0 };

	ck_assert_int_eq(finding_add(&list, true, "%s", "a\nb\033c"), 0);
	ck_assert_str_eq(list.items[0].text, "a?b?c");
	finding_list_done(&list);
}
END_TEST

START_TEST(there_is_a_most)
{
	struct finding_list list = { 0 };

	for (int i = 0; i < FINDING_MAX + 10; i++)
		ck_assert_int_eq(finding_add(&list, true, "%d", i), 0);
	ck_assert_uint_eq(list.n, FINDING_MAX);
	finding_list_done(&list);
}
END_TEST

START_TEST(without_a_list_a_line_is_dropped)
{
	ck_assert_int_eq(finding_add(NULL, true, "x"), 0);
	finding_list_done(NULL);
}
END_TEST

UNIT_MAIN("finding", lines_are_kept_in_their_order, a_line_is_not_repeated,
	  control_characters_of_a_file_name_do_no_harm, there_is_a_most,
	  without_a_list_a_line_is_dropped)
