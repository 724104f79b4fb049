/* SPDX-License-Identifier: Apache-2.0 */
/* When NVML is asked again, and what is told of it. The asking itself: tests/e2e/60-nvml.sh. */
#include "fs/facts_impl.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "fs/daemon.h"
#include "tests/unit/unit.h"

#define MINUTE_MS 60000

static char *status_of(const struct daemon *daemon, bool with_findings)
{
	json_t *json = facts_status(daemon, with_findings);
	char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(json);
	return text;
}

START_TEST(each_failure_doubles_the_wait_up_to_an_hour)
{
	static const int64_t minutes[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	struct facts facts = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(minutes); i++) {
		int64_t now = clock_ms();

		facts_retry_later(&facts);
		ck_assert_int_eq(facts.retry_after_ms, minutes[i] * MINUTE_MS);
		ck_assert_int_ge(facts.retry_ms, now + facts.retry_after_ms);
		ck_assert_int_le(facts.retry_ms, clock_ms() + facts.retry_after_ms);
	}
}
END_TEST

START_TEST(without_a_driver_nvml_is_to_be_asked_or_is_off)
{
	struct daemon daemon = { .config.nvml = true };
	auto_free char *on = status_of(&daemon, true), *off = NULL;

	ck_assert_str_eq(on, "{\"findings\":[],\"state\":\"pending\"}");
	daemon.config.nvml = false;
	off = status_of(&daemon, true);
	ck_assert_str_eq(off, "{\"findings\":[],\"state\":\"off\"}");
}
END_TEST

START_TEST(findings_name_gpus_and_are_not_for_everybody)
{
	struct generation generation = { .nvml = { .state = GENERATION_NVML_FAILED,
						   .took_ms = 12 } };
	struct daemon daemon = { .generation = &generation };
	struct facts facts = { .daemon = &daemon };
	struct finding_list findings = { 0 };
	auto_free char *all = NULL, *less = NULL;

	ck_assert_int_eq(finding_add(&findings, true, "GPU 3: it hangs"), 0);
	facts_set_findings(&facts, &generation, &findings); /* taken over */
	all = status_of(&daemon, true);
	less = status_of(&daemon, false);
	ck_assert_str_eq(
		all, "{\"findings\":[\"GPU 3: it hangs\"],\"state\":\"failed\",\"took_ms\":12}");
	ck_assert_str_eq(less, "{\"findings\":[],\"state\":\"failed\",\"took_ms\":12}");
	memset(&findings, 0, sizeof(findings));
	facts_set_findings(&facts, &generation, &findings); /* those of before are gone */
	ck_assert_uint_eq(generation.nvml.findings.n, 0);
}
END_TEST

UNIT_MAIN("facts", each_failure_doubles_the_wait_up_to_an_hour,
	  without_a_driver_nvml_is_to_be_asked_or_is_off,
	  findings_name_gpus_and_are_not_for_everybody)
