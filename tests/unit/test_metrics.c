/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/metrics.h"

#include <string.h>

#include "tests/unit/unit.h"

static char *print(const char *status, bool degraded)
{
	json_t *json = status ? json_loads(status, 0, NULL) : NULL;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	metrics_print(out, json, degraded);
	ck_assert_int_eq(fclose(out), 0);
	json_decref(json);
	return text;
}

static void ck_has(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	ck_assert_msg(at && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n',
		      "no line '%s' in:\n%s", line, text);
}

START_TEST(a_daemon_that_is_down_has_one_metric)
{
	char *text = print(NULL, false);

	ck_has(text, "nvfs_up 0");
	ck_assert_ptr_null(strstr(text, "nvfs_containers"));
	free(text);
}
END_TEST

START_TEST(numbers_have_names_and_labels)
{
	char *text = print(
		"{\"version\": \"1\", \"mode\": \"fallback\", \"keeper_pid\": 7, \"containers\": 3,"
		"\"permissions\": {\"watched\": 3, \"healed\": 9, \"refused\": 1}, \"stalled\": "
		"[\"/a\"],"
		"\"events\": {\"listeners\": 2, \"happened\": {\"injected\": 8, \"refused\": 3},"
		"\"clients\": {\"hook\": {\"injected\": 8, \"refused\": 1}, \"other\": {\"refused\": 2}},"
		"\"injections\": {\"bounds_us\": [1000, 5000], \"buckets\": [1, 5, 2], \"sum_us\": "
		"1500}},"
		"\"gpus\": 8, \"gpus_usable\": 7, \"driver_version\": \"5.1\", \"cuda\": "
		"\"12.2\", \"started\": 9,"
		"\"views\": {\"in_use\": 3, \"ending\": 1, \"reference\": 2, \"stale\": 4},"
		"\"looks\": {\"count\": 6, \"last\": 77},"
		"\"process\": {\"cpu_us\": 2500000, \"resident_bytes\": 4096, \"open_fds\": 20, "
		"\"max_fds\": 1024},"
		"\"reinject\": {\"waiting\": 4, \"failed\": [\"x\", \"y\"]},"
		"\"counters\": {\"takeovers\": 2, \"requests\": {\"open\": 5}, \"errors_by_operation\": "
		"{\"open\": {\"EIO\": 1}}, \"open_files\": 2, \"passthrough_opens\": 3}}",
		true);

	ck_has(text, "nvfs_up 1");
	ck_has(text, "nvfs_degraded 1");
	ck_has(text, "nvfs_build_info{version=\"1\",mode=\"fallback\"} 1");
	ck_has(text, "nvfs_driver_info{version=\"5.1\",cuda=\"12.2\"} 1");
	ck_has(text, "nvfs_gpus{state=\"usable\"} 7");
	ck_has(text, "nvfs_gpus{state=\"unusable\"} 1");
	ck_has(text, "nvfs_views{state=\"in_use\"} 3");
	ck_has(text, "nvfs_views{state=\"ending\"} 1");
	ck_has(text, "nvfs_views{state=\"reference\"} 2");
	ck_has(text, "nvfs_views_stale 4");
	ck_has(text, "nvfs_inject_total{client=\"hook\",result=\"injected\"} 8");
	ck_has(text, "nvfs_inject_total{client=\"hook\",result=\"refused\"} 1");
	ck_has(text, "nvfs_inject_total{client=\"other\",result=\"refused\"} 2");
	ck_has(text, "nvfs_inject_seconds_bucket{le=\"0.001\"} 1");
	ck_has(text, "nvfs_inject_seconds_bucket{le=\"0.005\"} 6");
	ck_has(text, "nvfs_inject_seconds_bucket{le=\"+Inf\"} 8");
	ck_has(text, "nvfs_inject_seconds_sum 0.001500");
	ck_has(text, "nvfs_inject_seconds_count 8");
	ck_has(text, "nvfs_rescans_total 6");
	ck_has(text, "nvfs_last_rescan_timestamp_seconds 77");
	ck_has(text, "process_cpu_seconds_total 2.500000");
	ck_has(text, "process_resident_memory_bytes 4096");
	ck_has(text, "process_open_fds 20");
	ck_has(text, "process_max_fds 1024");
	ck_has(text, "process_start_time_seconds 9");
	ck_has(text, "nvfs_keeper_up 1");
	ck_has(text, "nvfs_containers 3");
	ck_has(text, "nvfs_permissions_watched 3");
	ck_has(text, "nvfs_heals_total 9");
	ck_has(text, "nvfs_heals_refused_total 1");
	ck_has(text, "nvfs_events_total{event=\"injected\"} 8");
	ck_has(text, "nvfs_event_listeners 2");
	ck_has(text, "nvfs_reinject_waiting 4");
	ck_has(text, "nvfs_reinject_failed 2");
	ck_has(text, "nvfs_stalled_files 1");
	ck_has(text, "# TYPE nvfs_takeovers_total counter");
	ck_has(text, "nvfs_takeovers_total 2");
	ck_has(text, "nvfs_fuse_requests_total{op=\"open\"} 5");
	ck_has(text, "nvfs_fuse_errors_total{op=\"open\",errno=\"EIO\"} 1");
	ck_has(text, "nvfs_passthrough_opens_total 3");
	ck_has(text, "nvfs_open_files 2");
	free(text);
}
END_TEST

START_TEST(buckets_are_cumulative_and_in_seconds)
{
	char *text = print(
		"{\"counters\": {\"latency\": {\"bounds_us\": [1, 1024], \"operations\": {"
		"\"open\": {\"sum_us\": 2500000, \"buckets\": [4, 2, 1]}}}}}",
		false);

	ck_has(text, "# TYPE nvfs_fuse_request_seconds histogram");
	ck_has(text, "nvfs_fuse_request_seconds_bucket{op=\"open\",le=\"1e-06\"} 4");
	ck_has(text, "nvfs_fuse_request_seconds_bucket{op=\"open\",le=\"0.001024\"} 6");
	ck_has(text, "nvfs_fuse_request_seconds_bucket{op=\"open\",le=\"+Inf\"} 7");
	ck_has(text, "nvfs_fuse_request_seconds_sum{op=\"open\"} 2.500000");
	ck_has(text, "nvfs_fuse_request_seconds_count{op=\"open\"} 7");
	free(text);
}
END_TEST

START_TEST(a_label_is_escaped)
{
	char *text = print("{\"version\": \"a\\\"b\\\\c\\nd\"}", false);

	ck_has(text, "nvfs_build_info{version=\"a\\\"b\\\\c\\nd\",mode=\"\"} 1");
	ck_assert_ptr_null(strstr(text, "process_")); /* what only root is told */
	free(text);
}
END_TEST

UNIT_MAIN("metrics", a_daemon_that_is_down_has_one_metric, numbers_have_names_and_labels,
	  buckets_are_cumulative_and_in_seconds, a_label_is_escaped)
