/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/counters.h"

#include <errno.h>
#include <string.h>

#include "cli/status.h"
#include "tests/unit/unit.h"

static struct counters counters;

static json_int_t number_at(const json_t *json, const char *object, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(json, object), key));
}

START_TEST(durations_go_to_buckets_of_powers_of_two)
{
	ck_assert_uint_eq(counters_bucket(0), 0);
	ck_assert_uint_eq(counters_bucket(999), 0);
	ck_assert_uint_eq(counters_bucket(1000), 1);
	ck_assert_uint_eq(counters_bucket(1999), 1);
	ck_assert_uint_eq(counters_bucket(2000), 2);
	ck_assert_uint_eq(counters_bucket(1024 * 1000), 11);
	ck_assert_uint_eq(counters_bucket(UINT64_MAX), COUNTERS_BUCKETS - 1);
}
END_TEST

START_TEST(operations_go_by_opcode)
{
	ck_assert_int_eq(counters_op(1), COUNTERS_LOOKUP);
	ck_assert_int_eq(counters_op(14), COUNTERS_OPEN);
	ck_assert_int_eq(counters_op(44), COUNTERS_READDIR);
	ck_assert_int_eq(counters_op(0), COUNTERS_OTHER);
	ck_assert_int_eq(counters_op(26), COUNTERS_OTHER);
	ck_assert_int_eq(counters_op(UINT32_MAX), COUNTERS_OTHER);
}
END_TEST

START_TEST(requests_of_all_workers_are_added)
{
	json_t *json;

	memset(&counters, 0, sizeof(counters));
	counters_init(&counters);
	for (unsigned int i = 0; i < COUNTERS_WORKERS; i++) {
		counters_thread(&counters, i);
		counters_begin(14);
		counters_end();
	}
	counters_begin(4096);
	counters_end();
	json = counters_json(&counters);
	ck_assert_int_eq(number_at(json, "requests", "open"), COUNTERS_WORKERS);
	ck_assert_int_eq(number_at(json, "requests", "other"), 1);
	ck_assert_int_eq(number_at(json, "requests", "read"), 0);
	ck_assert_int_gt(json_integer_value(json_object_get(json, "since")), 0);
	json_decref(json);
}
END_TEST

START_TEST(errors_are_told_by_name_and_operation)
{
	json_t *json, *by_operation;

	memset(&counters, 0, sizeof(counters));
	counters_thread(&counters, 3);
	counters_begin(1);
	counters_error(ESTALE);
	counters_begin(14);
	counters_error(ESTALE);
	counters_error(5000);
	counters_error(0);
	json = counters_json(&counters);
	ck_assert_int_eq(number_at(json, "errors", "ESTALE"), 2);
	ck_assert_int_eq(number_at(json, "errors", "other"), 2);
	ck_assert_uint_eq(json_object_size(json_object_get(json, "errors")), 2);
	by_operation = json_object_get(json, "errors_by_operation");
	ck_assert_int_eq(number_at(by_operation, "lookup", "ESTALE"), 1);
	ck_assert_int_eq(number_at(by_operation, "open", "ESTALE"), 1);
	ck_assert_int_eq(number_at(by_operation, "open", "other"), 2);
	ck_assert_uint_eq(json_object_size(by_operation), 2);
	/* No request has ended yet, of which these are. */
	ck_assert_int_eq(json_integer_value(json_object_get(json, "open_files")), 0);
	json_decref(json);
}
END_TEST

static void serve(uint32_t opcode, int error)
{
	counters_begin(opcode);
	if (error)
		counters_error(error);
	counters_end();
}

START_TEST(what_was_opened_and_not_closed_is_open)
{
	json_t *json;

	memset(&counters, 0, sizeof(counters));
	counters_thread(&counters, 0);
	serve(14, 0);
	serve(14, EROFS);
	serve(27, 0);
	counters_passthrough();
	json = counters_json(&counters);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "open_files")), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "passthrough_opens")), 1);
	json_decref(json);
	counters_disconnect(&counters); /* its files are nobody's now, as at another such end */
	counters_disconnect(&counters);
	json = counters_json(&counters);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "open_files")), 0);
	json_decref(json);
	serve(14, 0);
	serve(14, 0);
	json = counters_json(&counters);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "open_files")), 2);
	json_decref(json);
	counters_thread(&counters, 1); /* another worker */
	serve(18, 0);
	serve(29, 0);
	serve(18, 0); /* of a file that a daemon before had not counted */
	json = counters_json(&counters);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "open_files")), 0);
	json_decref(json);
}
END_TEST

START_TEST(the_oldest_request_in_work_has_an_age)
{
	memset(&counters, 0, sizeof(counters));
	ck_assert_uint_eq(counters_longest_ms(&counters), 0);
	counters_thread(&counters, 0);
	counters_begin(1);
	counters.workers[0].begun_ns -= 3000000000;
	counters_thread(&counters, 1);
	counters_begin(1);
	ck_assert_uint_ge(counters_longest_ms(&counters), 3000);
	ck_assert_uint_lt(counters_longest_ms(&counters), 60000);
}
END_TEST

START_TEST(quantiles_are_upper_bounds)
{
	json_t *latency = json_loads("{\"bounds_us\": [1, 2, 4], \"operations\": {"
				     "\"open\": {\"buckets\": [50, 0, 0, 0]},"
				     "\"read\": {\"buckets\": [0, 48, 0, 2]}}}", 0, NULL);
	json_t *empty = json_loads("{\"bounds_us\": [1, 2], \"operations\": {}}", 0, NULL);

	ck_assert_int_eq(status_quantile(latency, 50), 1);
	ck_assert_int_eq(status_quantile(latency, 51), 2);
	ck_assert_int_eq(status_quantile(latency, 98), 2);
	ck_assert_int_eq(status_quantile(latency, 99), -1);
	ck_assert_int_eq(status_quantile(empty, 50), 0);
	json_decref(latency);
	json_decref(empty);
}
END_TEST

UNIT_MAIN("counters", durations_go_to_buckets_of_powers_of_two, operations_go_by_opcode,
	  requests_of_all_workers_are_added, errors_are_told_by_name_and_operation,
	  what_was_opened_and_not_closed_is_open,
	  the_oldest_request_in_work_has_an_age, quantiles_are_upper_bounds)
