/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/health.h"

#include <string.h>

#include "tests/unit/unit.h"

static const struct health_facts good = { .has_driver = true, .note = "", .has_keeper = true,
					  .is_mounted = true };

static void ck_reasons(const struct health_facts *facts, size_t n, const char *first)
{
	json_t *reasons = health_reasons(facts);

	ck_assert_uint_eq(json_array_size(reasons), n);
	if (n)
		ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(reasons, 0)), first));
	json_decref(reasons);
}

START_TEST(all_well_has_no_reason)
{
	ck_reasons(&good, 0, NULL);
}
END_TEST

START_TEST(each_fact_is_one_reason)
{
	struct health_facts facts = good;

	facts.has_driver = false;
	ck_reasons(&facts, 1, "no driver");
	facts.note = "no module";
	ck_reasons(&facts, 1, "no driver: no module");
	facts.has_driver = true;
	ck_reasons(&facts, 1, "no module");
	facts = good;
	facts.missing = "libcuda.so.1";
	ck_reasons(&facts, 1, "no libcuda.so.1");
	facts = good;
	facts.rewritten = "'/a' was rewritten";
	ck_reasons(&facts, 1, "'/a' was rewritten");
	facts = good;
	facts.by_reads = 1;
	ck_reasons(&facts, 1, "1 driver file pass");
	facts = good;
	facts.odd_fallback = true;
	ck_reasons(&facts, 1, "without FUSE passthrough");
	facts = good;
	facts.given_up = 2;
	ck_reasons(&facts, 1, "2 containers could not be injected anew");
	facts = good;
	facts.has_keeper = false;
	ck_reasons(&facts, 1, "keeper is gone");
	facts = good;
	facts.is_mounted = false;
	ck_reasons(&facts, 1, "not mounted");
}
END_TEST

START_TEST(only_a_request_that_takes_long_is_stuck)
{
	struct health_facts facts = good;

	facts.longest_ms = HEALTH_SLOW_MS - 1;
	ck_reasons(&facts, 0, NULL);
	facts.longest_ms = 61000;
	ck_reasons(&facts, 1, "for 61 s");
}
END_TEST

START_TEST(several_reasons_stand_together)
{
	struct health_facts facts = { .note = "no module" };

	ck_reasons(&facts, 3, "not mounted");
}
END_TEST

UNIT_MAIN("health", all_well_has_no_reason, each_fact_is_one_reason,
	  only_a_request_that_takes_long_is_stuck, several_reasons_stand_together)
