/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/ident.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "tests/unit/unit.h"

static char name[IDENT_MAX + 1];

START_TEST(ids_as_runtimes_make_them_stay_as_they_are)
{
	static const char *const ids[] = { "c1",   "a1b2c3", "my_app.1-x", "pod:web@node+1",
					   "Host", "by" };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		ck_assert_int_eq(ident_escape(ids[i], name, NULL), 0);
		ck_assert_str_eq(name, ids[i]);
	}
}
END_TEST

START_TEST(other_characters_and_reserved_names_are_escaped)
{
	static const struct {
		const char *id, *name;
	} cases[] = {
		{ "a b", "a\\x20b" },	      { "a\\b", "a\\x5cb" },
		{ "host", "\\x68ost" },	      { ".hidden", "\\x2ehidden" },
		{ "by-pid", "\\x62y-pid" },   { "generations", "\\x67enerations" },
		{ "\xc3\xa9", "\\xc3\\xa9" }, { "a\nb", "a\\x0ab" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(ident_escape(cases[i].id, name, NULL), 0);
		ck_assert_str_eq(name, cases[i].name);
	}
}
END_TEST

START_TEST(slashes_dots_and_nothing_are_refused)
{
	static const char *const ids[] = { "", ".", "..", "a/b", "/", "../x" };
	struct error err = { 0 };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		ck_assert_int_eq(ident_escape(ids[i], name, &err), -EINVAL);
		ck_assert_int_eq(error_exit_status(&err), 2);
	}
}
END_TEST

START_TEST(what_is_too_long_is_refused_and_not_cut)
{
	char id[IDENT_MAX + 2];

	memset(id, 'x', sizeof(id) - 1);
	id[IDENT_MAX + 1] = '\0';
	ck_assert_int_eq(ident_escape(id, name, NULL), -ENAMETOOLONG);
	id[IDENT_MAX] = '\0';
	ck_assert_int_eq(ident_escape(id, name, NULL), 0);
	id[0] = ' ';
	ck_assert_int_eq(ident_escape(id, name, NULL), -ENAMETOOLONG);
}
END_TEST

UNIT_MAIN("ident", ids_as_runtimes_make_them_stay_as_they_are,
	  other_characters_and_reserved_names_are_escaped, slashes_dots_and_nothing_are_refused,
	  what_is_too_long_is_refused_and_not_cut)
