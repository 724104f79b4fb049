/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dropin.h"

#include <stdlib.h>
#include <string.h>

#include "cli/dropin_inject.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

static const char *reason(const char *text)
{
	static char buf[ERROR_TEXT_MAX];
	struct error err = { 0 };

	(void)snprintf(err.text, sizeof(err.text), "%s", text);
	dropin_reason(&err, buf, sizeof(buf));
	return buf;
}

START_TEST(the_reason_begins_in_lower_case_and_names_do_not)
{
	ck_assert_str_eq(reason("open '/x': No such file or directory"),
			 "open '/x': no such file or directory");
	ck_assert_str_eq(reason("a: B: Permission denied"), "a: B: permission denied");
	ck_assert_str_eq(reason("GPU-1: unknown device"), "GPU-1: unknown device");
	ck_assert_str_eq(reason("ask: NVML has not told"), "ask: NVML has not told");
	ck_assert_str_eq(reason("No more"), "No more");
	ck_assert_str_eq(reason("x: "), "x: ");
	ck_assert_str_eq(reason(""), "");
}
END_TEST

START_TEST(each_class_of_ours_is_one_that_callers_know)
{
	static const struct {
		enum error_class class;
		const char *text, *wanted;
	} cases[] = {
		{ ERROR_USAGE, "no process has the id 7", "container error" },
		{ ERROR_OTHER, "interrupted", "container error" },
		{ ERROR_DEVICE, "7: unknown device", "device error" },
		{ ERROR_DEVICE, "cannot enable mig-config with specific MIG devices selected",
		  "mig-config error" },
		{ ERROR_DEVICE, "cannot enable mig-monitor with specific MIG devices selected",
		  "mig-monitor error" },
		{ ERROR_REQUIREMENT, "unsatisfied condition: cuda>=999", "requirement error" },
		{ ERROR_PERMISSION, "uid 7 may not", "permission error" },
		{ ERROR_MOUNT, "open root", "mount error" },
		{ ERROR_DAEMON, "connect", "initialization error" },
		{ ERROR_DRIVER, "no driver yet", "initialization error" },
		{ ERROR_AGAIN, "the driver is being changed", "initialization error" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { .class = cases[i].class };

		(void)snprintf(err.text, sizeof(err.text), "%s", cases[i].text);
		ck_assert_str_eq(dropin_class(&err), cases[i].wanted);
	}
}
END_TEST

START_TEST(a_container_without_id_is_named_by_its_root_and_namespace)
{
	char a[256], b[256], small[16];
	char longer[400];

	dropin_id("/var/lib/x/rootfs", 4026532185, a, sizeof(a));
	ck_assert_ptr_nonnull(strstr(a, "rootfs-"));
	ck_assert_ptr_nonnull(strstr(a, "-4026532185"));
	dropin_id("/var/lib/x/rootfs//", 4026532185, b, sizeof(b));
	ck_assert_str_eq(a, b);
	dropin_id("/var/lib/y/rootfs", 4026532185, b, sizeof(b));
	ck_assert_str_ne(a, b);
	dropin_id("/var/lib/x/rootfs", 4026532186, b, sizeof(b));
	ck_assert_str_ne(a, b);
	dropin_id("/a/b c/\xff.img", 1, b, sizeof(b));
	ck_assert_int_eq(strncmp(b, "__img-", 6), 0);
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	dropin_id(longer, 1, b, sizeof(b));
	ck_assert_uint_le(strlen(b), 100);
	dropin_id("/a", 1, small, sizeof(small));
	ck_assert_uint_lt(strlen(small), sizeof(small));
}
END_TEST

START_TEST(lists_grow_by_commas)
{
	auto_free char *list = NULL;

	ck_assert_int_eq(dropin_append(&list, "0"), 0);
	ck_assert_str_eq(list, "0");
	ck_assert_int_eq(dropin_append(&list, "1,2"), 0);
	ck_assert_str_eq(list, "0,1,2");
}
END_TEST

UNIT_MAIN("dropin", the_reason_begins_in_lower_case_and_names_do_not,
	  each_class_of_ours_is_one_that_callers_know,
	  a_container_without_id_is_named_by_its_root_and_namespace, lists_grow_by_commas)
