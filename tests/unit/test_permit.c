/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/permit.h"

#include <string.h>

#include "common/varlink.h"
#include "fs/devcg.h"
#include "tests/unit/unit.h"

static json_t *trusted(bool is_root)
{
	json_t *done = json_loads(
		"[{\"step\": \"tree\"}, {\"step\": \"cgroup\"}, {\"step\": \"unit\"}, 5]", 0, NULL);
	json_t *left = permit_trusted(done, is_root);

	json_decref(done);
	return left;
}

START_TEST(what_touches_cgroups_is_roots_to_tell)
{
	json_t *left = trusted(false);

	ck_assert_uint_eq(json_array_size(left), 2);
	ck_assert_str_eq(varlink_string(json_array_get(left, 0), "step", ""), "tree");
	json_decref(left);
}
END_TEST

START_TEST(what_was_told_to_units_is_nobodys_to_tell)
{
	json_t *left = trusted(true);

	ck_assert_uint_eq(json_array_size(left), 3);
	ck_assert_str_eq(varlink_string(json_array_get(left, 1), "step", ""), "cgroup");
	json_decref(left);
}
END_TEST

START_TEST(where_there_is_no_cgroup_nothing_changes)
{
	struct devcg none = DEVCG_EMPTY;

	ck_assert_uint_eq(devcg_fingerprint(&none), devcg_fingerprint(&none));
	ck_assert_uint_ne(devcg_fingerprint(&none), 0);
	ck_assert(devcg_is_as_recorded(&none, NULL));
	devcg_close(&none);
}
END_TEST

UNIT_MAIN("permit", what_touches_cgroups_is_roots_to_tell,
	  what_was_told_to_units_is_nobodys_to_tell, where_there_is_no_cgroup_nothing_changes)
