/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/cgroup_record.h"

#include "inject/moved.h"
#include "inject/plan.h"
#include "tests/unit/unit.h"

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(value);
	return value;
}

/* What @step becomes when @old was done before. */
static void merges(const char *step, const char *old, const char *wanted)
{
	json_t *a = json(step), *b = json(old), *c = json(wanted);
	char *text;

	ck_assert_int_eq(cgroup_record_merge(a, b), 0);
	text = json_dumps(a, JSON_COMPACT);
	ck_assert_msg(json_equal(a, c), "%s is not %s", text, wanted);
	free(text);
	json_decref(a);
	json_decref(b);
	json_decref(c);
}

START_TEST(what_either_run_added_is_to_be_taken_back)
{
	merges("{\"result\": \"changed\", \"added\": [[195, 1, 6]], \"asked\": [[195, 0, 6], [195, "
	       "1, 6]], \"programs\": [9],"
	       " \"levels\": []}",
	       "{\"added\": [[195, 0, 6], [195, 1, 1]], \"asked\": [[1, 1, 1]], \"programs\": [4]}",
	       "{\"result\": \"changed\", \"added\": [[195, 1, 7], [195, 0, 6]], \"asked\": [[195, "
	       "0, 6], [195, 1, 6]],"
	       " \"programs\": [9], \"levels\": []}");
}
END_TEST

START_TEST(a_run_that_found_all_in_place_forgets_nothing)
{
	merges("{\"result\": \"unchanged\", \"added\": [], \"programs\": [9], \"levels\": []}",
	       "{\"result\": \"changed\", \"added\": [[195, 0, 6]],"
	       " \"levels\": [{\"version\": 2, \"path\": \"/c\", \"added\": [[195, 0, 6]], "
	       "\"replaced\": [3]}]}",
	       "{\"result\": \"changed\", \"added\": [[195, 0, 6]], \"programs\": [9],"
	       " \"levels\": [{\"version\": 2, \"path\": \"/c\", \"added\": [[195, 0, 6]], "
	       "\"replaced\": [3]}]}");
}
END_TEST

START_TEST(replaced_programs_are_kept_the_oldest_first)
{
	merges("{\"result\": \"changed\", \"added\": [],"
	       " \"levels\": [{\"version\": 2, \"path\": \"/c\", \"added\": [], \"replaced\": "
	       "[7]}]}",
	       "{\"levels\": [{\"version\": 2, \"path\": \"/c\", \"added\": [], \"replaced\": [3, "
	       "5]},"
	       " {\"version\": 1, \"path\": \"/c\", \"added\": []}]}",
	       "{\"result\": \"changed\", \"added\": [],"
	       " \"levels\": [{\"version\": 2, \"path\": \"/c\", \"added\": [], \"replaced\": [3, "
	       "5, 7]},"
	       " {\"version\": 1, \"path\": \"/c\", \"added\": []}]}");
}
END_TEST

START_TEST(no_more_programs_than_a_target_takes)
{
	json_t *step = json("{\"added\": [], \"levels\": [{\"version\": 2, \"path\": \"/c\", "
			    "\"added\": [], \"replaced\": [99]}]}");
	json_t *old = json("{\"levels\": [{\"version\": 2, \"path\": \"/c\", \"added\": [], "
			   "\"replaced\": []}]}");
	json_t *ids = json_object_get(json_array_get(json_object_get(old, "levels"), 0),
				      "replaced");
	uint32_t found[64];

	for (int i = 0; i < 40; i++)
		(void)json_array_append_new(ids, json_integer(i));
	ck_assert_int_eq(cgroup_record_merge(step, old), 0);
	ck_assert_uint_eq(cgroup_record_originals(step, found, 64), CGROUP_ORIGINALS_MAX);
	ck_assert_uint_eq(found[CGROUP_ORIGINALS_MAX - 1], 99);
	json_decref(step);
	json_decref(old);
}
END_TEST

/* One cgroup's programs leave no less room for another's. */
START_TEST(the_programs_of_every_level_are_read)
{
	json_t *step = json(
		"{\"added\": [], \"levels\": ["
		"{\"version\": 2, \"path\": \"/a\", \"added\": [], \"replaced\": []},"
		"{\"version\": 2, \"path\": \"/a/b\", \"added\": [], \"replaced\": [99]}]}");
	json_t *ids = json_object_get(json_array_get(json_object_get(step, "levels"), 0),
				      "replaced");
	struct moved moved;
	struct plan plan = { .n = 0 };
	json_t *done = json_pack("[O]", step);

	(void)json_object_set_new(step, "step", json_string("cgroup"));
	for (int i = 0; i < CGROUP_ORIGINALS_MAX; i++)
		(void)json_array_append_new(ids, json_integer(i));
	moved_find(&plan, done, &moved);
	ck_assert_uint_eq(moved.n_originals, CGROUP_ORIGINALS_MAX + 1);
	ck_assert_uint_eq(moved.originals[0], 0);
	ck_assert_uint_eq(moved.originals[CGROUP_ORIGINALS_MAX], 99);
	ck_assert_uint_eq(cgroup_record_originals(step, moved.originals, 2), 2); /* the last */
	ck_assert_uint_eq(moved.originals[0], CGROUP_ORIGINALS_MAX - 1);
	ck_assert_uint_eq(moved.originals[1], 99);
	json_decref(done);
	json_decref(step);
}
END_TEST

START_TEST(foreign_records_do_no_harm)
{
	merges("{\"added\": 5, \"levels\": null}",
	       "{\"added\": [[1], 3, [1, 2, 99], [1, 2, 4]], \"levels\": [7, {}]}",
	       "{\"added\": [[1, 2, 4]], \"levels\": [{}], \"result\": \"changed\"}");
}
END_TEST

START_TEST(rules_are_read_where_they_are_some)
{
	json_t *done = json("[{\"step\": \"tree\"}, {\"step\": \"cgroup\", \"added\": [[195, 0, "
			    "6], [-1, 0, 6], [1, 2, 8], [1, 2, 3]]}]");
	struct cgroup_rule rules[3];

	ck_assert(!cgroup_record_is(json_array_get(done, 0)));
	ck_assert_uint_eq(
		cgroup_record_rules(json_object_get(cgroup_record_find(done), "added"), rules, 3),
		2);
	ck_assert_uint_eq(rules[0].major, 195);
	ck_assert_uint_eq(rules[1].access, 3);
	ck_assert_uint_eq(cgroup_record_rules(NULL, rules, 3), 0);
	ck_assert_ptr_null(cgroup_record_find(NULL));
	json_decref(done);
}
END_TEST

UNIT_MAIN("cgroup_record", what_either_run_added_is_to_be_taken_back,
	  a_run_that_found_all_in_place_forgets_nothing,
	  replaced_programs_are_kept_the_oldest_first, no_more_programs_than_a_target_takes,
	  the_programs_of_every_level_are_read, foreign_records_do_no_harm,
	  rules_are_read_where_they_are_some)
