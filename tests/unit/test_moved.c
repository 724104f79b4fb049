/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/moved.h"

#include <string.h>

#include "inject/cgroup_record.h"
#include "inject/record.h"
#include "tests/unit/unit.h"

#define RW (CGROUP_ACCESS_READ | CGROUP_ACCESS_WRITE)
#define NODE(target, result, device)                                          \
	"{\"step\":\"device\",\"target\":\"" target "\",\"result\":\"" result \
	"\",\"device\":\"" device "\"}"
#define CGROUP(result, added) \
	"{\"step\":\"cgroup\",\"target\":\"devices\",\"result\":\"" result "\",\"added\":" added "}"

/* What the first injection did: two nodes of ours, and their rules. */
static const char before[] = "[" NODE("/dev/nvidiactl", "mounted", "195:255") ","
				 NODE("/dev/nvidia-uvm", "mounted", "238:0") ","
				 CGROUP("changed", "[[195,255,6],[238,0,6]]") "]";

static struct plan plan;

static void add_step(const char *target, unsigned int major, unsigned int minor)
{
	plan.steps[plan.n++] = (struct step){ .kind = STEP_DEVICE, .target = target, .major = major,
					      .minor = minor, .access = RW, .fd = -1 };
}

static json_t *find(const char *done, struct moved *ret)
{
	json_t *json = json_loads(done, 0, NULL);

	ck_assert_ptr_nonnull(json);
	moved_find(&plan, json, ret);
	return json;
}

START_TEST(what_has_kept_its_number_has_not_moved)
{
	struct moved moved;
	json_t *done;

	add_step("/dev/nvidiactl", 195, 255);
	add_step("/dev/nvidia-uvm", 238, 0);
	add_step("/dev/nvidia0", 195, 0); /* new */
	done = find(before, &moved);
	for (size_t i = 0; i < plan.n; i++)
		ck_assert_ptr_null(plan.steps[i].before);
	ck_assert_uint_eq(moved.n, 0);
	json_decref(done);
}
END_TEST

START_TEST(a_node_that_has_moved_is_known_with_its_rule)
{
	struct moved moved;
	json_t *done;

	add_step("/dev/nvidiactl", 195, 255);
	add_step("/dev/nvidia-uvm", 236, 0);
	done = find(before, &moved);
	ck_assert_ptr_null(plan.steps[0].before);
	ck_assert_ptr_eq(plan.steps[1].before, json_array_get(done, 1));
	ck_assert_uint_eq(moved.n, 1);
	ck_assert_uint_eq(moved.rules[0].major, 238);
	ck_assert_uint_eq(moved.rules[0].access, RW);
	json_decref(done);
}
END_TEST

/* 238 was uvm's and is another node's by now; 240 belongs to a node that the plan does not name. */
START_TEST(a_number_that_something_needs_is_not_taken_back)
{
	static const char done_text[] = "[" NODE("/dev/nvidia-uvm", "mounted", "238:0") "," NODE(
		"/dev/nvidia-uvm-tools", "mounted",
		"240:1") "," NODE("/dev/nvidia-caps/nvidia-cap1", "mounted",
				  "240:1") "," CGROUP("changed", "[[238,0,6],[240,1,6]]") "]";
	struct moved moved;
	json_t *done;

	add_step("/dev/nvidia-uvm", 236, 0);
	add_step("/dev/nvidia-uvm-tools", 236, 1);
	add_step("/dev/nvidia-new", 238, 0);
	done = find(done_text, &moved);
	ck_assert_ptr_nonnull(plan.steps[0].before);
	ck_assert_ptr_nonnull(plan.steps[1].before);
	ck_assert_uint_eq(moved.n, 0);
	json_decref(done);
}
END_TEST

START_TEST(a_rule_that_was_not_ours_is_not_taken_back)
{
	struct moved moved;
	json_t *done;

	add_step("/dev/nvidia-uvm", 236, 0);
	done = find(
		"[" NODE("/dev/nvidia-uvm", "already", "238:0") "," CGROUP("unchanged", "[]") "]",
		&moved);
	ck_assert_ptr_nonnull(plan.steps[0].before);
	ck_assert_uint_eq(moved.n, 0);
	json_decref(done);
}
END_TEST

START_TEST(a_node_that_was_left_is_looked_at_again)
{
	struct moved moved;
	json_t *done;

	add_step("/dev/nvidia-uvm", 236, 0);
	done = find("[" NODE("/dev/nvidia-uvm", RECORD_LEFT, "236:0") "]", &moved);
	ck_assert_ptr_nonnull(plan.steps[0].before);
	json_decref(done);
}
END_TEST

START_TEST(whose_programs_ours_have_replaced_is_known)
{
	static const char done_text[] = "[" NODE(
		"/dev/nvidia-uvm", "mounted",
		"238:0") ","
			 "{\"step\":\"cgroup\",\"target\":\"devices\",\"result\":\"changed\","
			 "\"added\":[[238,0,6]],"
			 "\"levels\":[{\"version\":2,\"path\":\"/"
			 "a\",\"added\":[[238,0,6]],\"replaced\":[41,42]}]}]";
	struct moved moved;
	json_t *done;

	add_step("/dev/nvidia-uvm", 236, 0);
	done = find(done_text, &moved);
	ck_assert_uint_eq(moved.n, 1);
	ck_assert_uint_eq(moved.n_originals, 2);
	ck_assert_uint_eq(moved.originals[0], 41);
	ck_assert_uint_eq(moved.originals[1], 42);
	json_decref(done);
}
END_TEST

START_TEST(records_of_nonsense_move_nothing)
{
	static const char *const texts[] = { "[]", "{}", "[5, null, []]", "[{\"step\":\"device\"}]",
					     "[" NODE("/dev/nvidia-uvm", "mounted", "x") "]",
					     "[" NODE("/dev/nvidia-uvm", "mounted", "238") "]",
					     "[" NODE("/dev/nvidia-uvm", "omitted", "238:0") "]",
					     "[" CGROUP("changed", "[[238,0,6],[1],5,null]") "]" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct moved moved;
		json_t *done;

		plan.n = 0;
		add_step("/dev/nvidia-uvm", 236, 0);
		done = find(texts[i], &moved);
		ck_assert_ptr_null(plan.steps[0].before);
		ck_assert_uint_eq(moved.n, 0);
		json_decref(done);
	}
}
END_TEST

/* What the daemon is told in the end, "195:255 236:0" and the entry's result. */
static void ck_merged(const char *now_text, const char *result, const char *rules_text)
{
	struct cgroup_rule rules[PLAN_STEPS_MAX];
	char text[200] = "";
	json_t *now = json_loads(now_text, 0, NULL), *record = json_deep_copy(now), *old, *entry;
	struct moved moved;
	size_t n, i;

	old = find(before, &moved);
	ck_assert_int_eq(record_merge_old(record, old), 0);
	ck_assert_int_eq(moved_merge(record, now, old, &plan, &moved), 0);
	n = cgroup_record_rules(json_object_get(cgroup_record_find(record), "added"), rules,
				PLAN_STEPS_MAX);
	for (i = 0; i < n; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u:%u",
			       i ? " " : "", rules[i].major, rules[i].minor);
	ck_assert_str_eq(text, rules_text);
	json_array_foreach(record, i, entry) {
		if (json_object_get(entry, "added"))
			ck_assert_str_eq(json_string_value(json_object_get(entry, "result")),
					 result);
	}
	json_decref(record);
	json_decref(now);
	json_decref(old);
}

START_TEST(rules_of_all_injections_are_recorded_but_those_taken_back)
{
	add_step("/dev/nvidiactl", 195, 255);
	add_step("/dev/nvidia-uvm", 238, 0);
	ck_merged("[" CGROUP("unchanged", "[]") "]", "changed", "195:255 238:0");
	ck_merged("[" CGROUP("changed", "[[195,0,6]]") "]", "changed", "195:255 238:0 195:0");
	ck_merged("[]", "changed", "195:255 238:0"); /* --no-cgroup */
	plan.steps[1].major = 236;
	ck_merged("[" CGROUP("changed", "[[236,0,6]]") "]", "changed", "195:255 236:0");
	/* A run that was killed had added it. */
	ck_merged("[" CGROUP("unchanged", "[]") "]", "changed", "195:255 236:0");
}
END_TEST

/* In the host's own /dev, or one that the runtime keeps up to date. */
START_TEST(a_node_that_is_right_by_itself_is_not_the_one_of_before)
{
	json_t *now = json_loads("[" NODE("/dev/nvidia-uvm", "already", "236:0") "]", 0, NULL);
	json_t *record = json_copy(now), *old;
	struct moved moved;

	add_step("/dev/nvidia-uvm", 236, 0);
	old = find(before, &moved);
	ck_assert_int_eq(record_merge_old(record, old), 0);
	ck_assert_int_eq(moved_merge(record, now, old, &plan, &moved), 0);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(record, 0), "device")),
			 "236:0");
	ck_assert_uint_eq(json_array_size(record), 3); /* what was done to others is kept */
	json_decref(record);
	json_decref(now);
	json_decref(old);
}
END_TEST

START_TEST(undo_without_a_revocation_does_nothing)
{
	struct moved moved = { .n = 1, .rules = { { 238, 0, RW } } };

	ck_assert_int_eq(moved_undo(&moved, NULL), 0);
	ck_assert_int_eq(moved_revoke(&moved, NULL, NULL), 0);
	ck_assert_ptr_null(moved.revoked);
}
END_TEST

UNIT_MAIN("moved", what_has_kept_its_number_has_not_moved,
	  a_node_that_has_moved_is_known_with_its_rule,
	  a_number_that_something_needs_is_not_taken_back,
	  a_rule_that_was_not_ours_is_not_taken_back, a_node_that_was_left_is_looked_at_again,
	  whose_programs_ours_have_replaced_is_known, records_of_nonsense_move_nothing,
	  rules_of_all_injections_are_recorded_but_those_taken_back,
	  a_node_that_is_right_by_itself_is_not_the_one_of_before,
	  undo_without_a_revocation_does_nothing)
