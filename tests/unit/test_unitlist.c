/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/unitlist.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

static char unit[256];
static size_t len;

static json_t *list(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(json);
	return json;
}

/* Both references are taken over. */
static void is_list(json_t *got, const char *wanted)
{
	json_t *json = list(wanted);
	char *text = json_dumps(got, JSON_COMPACT);

	ck_assert_msg(json_equal(got, json), "%s is not %s", text, wanted);
	free(text);
	json_decref(json);
	json_decref(got);
}

START_TEST(a_unit_is_the_topmost_scope_or_service)
{
	ck_assert(unitlist_unit("/machine.slice/libpod-1.scope/container", unit, &len));
	ck_assert_str_eq(unit, "libpod-1.scope");
	ck_assert_uint_eq(len, strlen("/machine.slice/libpod-1.scope"));
	ck_assert(unitlist_unit("/a.slice/a-b.slice/x.service", unit, &len));
	ck_assert_str_eq(unit, "x.service");
	ck_assert(unitlist_unit("/init.scope", unit, &len));
	ck_assert_str_eq(unit, "init.scope");
	/* what a user's own manager has below its service is that one's */
	ck_assert(unitlist_unit("/user.slice/user-1.slice/user@1.service/app.slice/a.scope", unit,
				&len));
	ck_assert_str_eq(unit, "user@1.service");
	ck_assert(unitlist_unit("/system.slice/__odd.service", unit, &len));
	ck_assert_str_eq(unit, "_odd.service");
}
END_TEST

START_TEST(other_cgroups_are_no_units)
{
	static const char *const paths[] = { "/",
					     "",
					     "/docker/0123",
					     "/kubepods/pod1/x.scope",
					     "/a.slice",
					     "/a.slice/.scope",
					     "/a.slice/job_1/x.service",
					     "x.scope",
					     "//x.scope" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		ck_assert_msg(!unitlist_unit(paths[i], unit, &len), "%s", paths[i]);
}
END_TEST

START_TEST(a_name_that_no_unit_can_have_is_none)
{
	char path[400] = "/a.slice/";

	memset(path + 9, 'x', 300);
	strcpy(path + 309, ".scope");
	ck_assert(!unitlist_unit(path, unit, &len));
}
END_TEST

START_TEST(an_open_unit_restricts_nothing)
{
	json_t *none = json_array(), *one = list("[[\"/dev/null\", \"rw\"]]");

	ck_assert(!unitlist_restricts("auto", none));
	ck_assert(unitlist_restricts("auto", one));
	ck_assert(unitlist_restricts("closed", none));
	ck_assert(unitlist_restricts("strict", none));
	json_decref(none);
	json_decref(one);
}
END_TEST

START_TEST(what_is_missing_is_added_and_nothing_else)
{
	json_t *current = list("[[\"/dev/char/195:255\", \"rwm\"], [\"/dev/char/195:0\", \"r\"]]");
	json_t *rules = list("[[195, 255, 6], [195, 0, 6], [235, 1, 2]]"), *set, *added;

	ck_assert_int_eq(unitlist_add(current, rules, &set, &added), 0);
	/* an entry is set whole: systemd would take away what is not said */
	is_list(set, "[[\"/dev/char/195:0\", \"rw\"], [\"/dev/char/235:1\", \"r\"]]");
	is_list(added, "[[\"/dev/char/195:0\", \"w\"], [\"/dev/char/235:1\", \"r\"]]");
	json_decref(current);
	json_decref(rules);
}
END_TEST

START_TEST(the_way_back_leaves_what_others_have_set)
{
	json_t *now = list("[[\"char-pts\", \"rwm\"], [\"/dev/char/195:0\", \"rw\"], "
			   "[\"/dev/char/235:1\", \"r\"],"
			   " [\"/dev/fuse\", \"rw\"]]");
	json_t *added = list("[[\"/dev/char/195:0\", \"w\"], [\"/dev/char/235:1\", \"r\"], "
			     "[\"/dev/char/9:9\", \"r\"]]");

	is_list(unitlist_remove(now, added),
		"[[\"char-pts\", \"rwm\"], [\"/dev/char/195:0\", \"r\"], [\"/dev/fuse\", \"rw\"]]");
	is_list(unitlist_remove(now, NULL),
		"[[\"char-pts\", \"rwm\"], [\"/dev/char/195:0\", \"rw\"],"
		" [\"/dev/char/235:1\", \"r\"], [\"/dev/fuse\", \"rw\"]]");
	json_decref(now);
	json_decref(added);
}
END_TEST

START_TEST(what_is_added_twice_is_taken_back_once)
{
	json_t *added = list("[[\"/dev/char/195:0\", \"w\"]]"),
	       *more = list("[[\"/dev/char/195:0\", \"r\"], [\"/dev/char/1:2\", \"r\"]]");

	ck_assert_int_eq(unitlist_merge(added, more), 0);
	is_list(added, "[[\"/dev/char/195:0\", \"rw\"], [\"/dev/char/1:2\", \"r\"]]");
	json_decref(more);
}
END_TEST

START_TEST(what_nothing_needs_any_more_is_stale)
{
	json_t *added = list("[[\"/dev/char/195:0\", \"rw\"], [\"/dev/char/238:0\", \"rw\"], "
			     "[\"/dev/char/236:0\", \"r\"]]");
	json_t *rules = list("[[195, 0, 6], [236, 0, 6], [236, 1, 6]]"),
	       *less = list("[[195, 0, 2]]");

	is_list(unitlist_stale(added, rules), "[[\"/dev/char/238:0\", \"rw\"]]");
	is_list(unitlist_stale(added, less),
		"[[\"/dev/char/195:0\", \"w\"], [\"/dev/char/238:0\", \"rw\"],"
		" [\"/dev/char/236:0\", \"r\"]]");
	is_list(unitlist_stale(NULL, rules), "[]");
	json_decref(added);
	json_decref(rules);
	json_decref(less);
}
END_TEST

START_TEST(odd_records_do_no_harm)
{
	json_t *odd = list("[1, null, [], [1, 2], [\"a\"], [\"b\", 3], {}]"), *set, *added;

	is_list(unitlist_remove(odd, odd), "[]");
	is_list(unitlist_stale(odd, odd), "[]");
	ck_assert_int_eq(unitlist_add(odd, NULL, &set, &added), 0);
	is_list(set, "[]");
	is_list(added, "[]");
	json_decref(odd);
}
END_TEST

UNIT_MAIN("unitlist", a_unit_is_the_topmost_scope_or_service, other_cgroups_are_no_units,
	  a_name_that_no_unit_can_have_is_none, an_open_unit_restricts_nothing,
	  what_is_missing_is_added_and_nothing_else, the_way_back_leaves_what_others_have_set,
	  what_is_added_twice_is_taken_back_once, what_nothing_needs_any_more_is_stale,
	  odd_records_do_no_harm)
