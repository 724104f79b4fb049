/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/events.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static void check_printed(const char *event, const char *wanted)
{
	json_t *json = json_loads(event, 0, NULL);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(json);
	events_print(out, json);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_str_eq(text, wanted);
	free(text);
	json_decref(json);
}

START_TEST(an_event_is_one_line)
{
	ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
	check_printed(
		"{\"event\":\"injected\",\"time_us\":1700000000123456,\"id\":\"box\",\"pid\":41}",
		"2023-11-14T22:13:20+0000 injected id=box pid=41\n");
	check_printed("{\"time_us\":0,\"event\":\"finding\",\"what\":\"two "
		      "words\",\"list\":[1,2],\"none\":null,\"empty\":\"\"}",
		      "1970-01-01T00:00:00+0000 finding what=\"two words\" list=[1,2] none=null "
		      "empty=\"\"\n");
}
END_TEST

START_TEST(one_without_a_name_does_no_harm)
{
	ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
	check_printed("{}", "1970-01-01T00:00:00+0000 ?\n");
}
END_TEST

UNIT_MAIN("events", an_event_is_one_line, one_without_a_name_does_no_harm)
