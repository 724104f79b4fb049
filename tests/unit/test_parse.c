/* SPDX-License-Identifier: Apache-2.0 */
#include "common/parse.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

START_TEST(numbers_are_digits_and_nothing_else)
{
	static const char *const junk[] = { "",	    " 1",  "1 ", "-1",	 "+1",
					    "0x10", "1.0", "1k", "\xb2", "one" };
	uint64_t value = 42;

	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++)
		ck_assert_msg(parse_u64(junk[i], UINT64_MAX, &value) == -EINVAL, "'%s'", junk[i]);
	ck_assert_uint_eq(value, 42);
	ck_assert_int_eq(parse_u64("007", 10, &value), 0);
	ck_assert_uint_eq(value, 7);
}
END_TEST

START_TEST(numbers_have_a_largest_value_and_do_not_overflow)
{
	uint64_t value = 42;

	ck_assert_int_eq(parse_u64("11", 10, &value), -ERANGE);
	ck_assert_int_eq(parse_u64("18446744073709551616", UINT64_MAX, &value), -ERANGE);
	ck_assert_int_eq(parse_u64("99999999999999999999999999", UINT64_MAX, &value), -ERANGE);
	ck_assert_uint_eq(value, 42);
	ck_assert_int_eq(parse_u64("18446744073709551615", UINT64_MAX, &value), 0);
	ck_assert_uint_eq(value, UINT64_MAX);
	ck_assert_int_eq(parse_u64("10", 10, &value), 0);
}
END_TEST

START_TEST(a_truth_value_is_one_of_eight_words)
{
	static const char *const yes[] = { "1", "yes", "true", "on", "TRUE", "On" };
	static const char *const no[] = { "0", "no", "false", "off", "No", "OFF" };
	bool value;

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		value = false;
		ck_assert_int_eq(parse_bool(yes[i], &value), 0);
		ck_assert(value);
		ck_assert_int_eq(parse_bool(no[i], &value), 0);
		ck_assert(!value);
	}
	value = true;
	ck_assert_int_eq(parse_bool("", &value), -EINVAL);
	ck_assert_int_eq(parse_bool("2", &value), -EINVAL);
	ck_assert_int_eq(parse_bool("yes ", &value), -EINVAL);
	ck_assert(value);
}
END_TEST

START_TEST(a_list_is_taken_apart_without_blanks)
{
	static const char *const items[] = { "a", "b c", "", "d" };
	const char *cursor = " a,\tb c\n,, d", *item;
	size_t len, n = 0;

	while ((item = parse_field(&cursor, ',', &len))) {
		ck_assert_uint_lt(n, 4);
		ck_assert_uint_eq(len, strlen(items[n]));
		ck_assert_mem_eq(item, items[n], len);
		n++;
	}
	ck_assert_uint_eq(n, 4);
}
END_TEST

START_TEST(an_empty_text_is_one_empty_item)
{
	const char *cursor = "";
	size_t len = 1;

	ck_assert_ptr_nonnull(parse_field(&cursor, ',', &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_ptr_null(parse_field(&cursor, ',', &len));
}
END_TEST

START_TEST(a_word_is_in_a_list_as_a_whole)
{
	ck_assert(parse_list_has("a, devices ,b", "devices"));
	ck_assert(parse_list_has("devices", "devices"));
	ck_assert(!parse_list_has("device,devicesx", "devices"));
	ck_assert(!parse_list_has("", "devices"));
}
END_TEST

UNIT_MAIN("parse", numbers_are_digits_and_nothing_else,
	  numbers_have_a_largest_value_and_do_not_overflow, a_truth_value_is_one_of_eight_words,
	  a_list_is_taken_apart_without_blanks, an_empty_text_is_one_empty_item,
	  a_word_is_in_a_list_as_a_whole)
