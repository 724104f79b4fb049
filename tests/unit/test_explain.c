/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/explain.h"

#include <string.h>

#include "nvml/driver.h"
#include "tests/unit/unit.h"

#define TEXT(s) ((char[]){ s })

static struct driver_file files[] = {
	{ .kind = DRIVER_LIBRARY,
	  .name = TEXT("libcuda.so.535.261.03"),
	  .soname = TEXT("libcuda.so.1"),
	  .path = TEXT("/usr/lib64/libcuda.so.535.261.03") },
	{ .kind = DRIVER_PROGRAM, .name = TEXT("nvidia-smi"), .path = TEXT("/usr/bin/nvidia-smi") },
};

static struct driver_finding findings[] = {
	{ FINDING_VERSION, true,
	  TEXT("/usr/lib64/libnvidia-ml.so.550.1: version differs from 535.261.03, left out") },
	{ FINDING_MACHINE, false,
	  TEXT("/usr/lib32/libnvcuvid.so.535.261.03: it is 32-bit i386, left out") },
	{ FINDING_OTHER, true, TEXT("/etc/ld.so.cache: broken, using known directories") },
	{ FINDING_MISSING, true, TEXT("missing: libnvidia-cfg.so") },
	{ FINDING_EXCLUDED, false, TEXT("/usr/lib/nvidia/nvidia-debugdump: left out by x.conf:2") },
};

static struct driver driver = { .version = "535.261.03", .files = files, .n_files = 2,
				.findings = findings, .n_findings = 5 };

static enum finding_rule rule_of(const char *what)
{
	struct explanation explanation;

	driver_explain(&driver, what, &explanation);
	ck_assert_ptr_null(explanation.file);
	ck_assert_ptr_nonnull(
		strstr(explanation.text, what[0] == '/' ? strrchr(what, '/') + 1 : "lib"));
	return explanation.rule;
}

START_TEST(a_file_has_several_names)
{
	static const char *const names[] = { "libcuda", "libcuda.so", "libcuda.so.1",
					     "libcuda.so.535.261.03",
					     "/usr/lib64/libcuda.so.535.261.03" };
	struct explanation explanation;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		driver_explain(&driver, names[i], &explanation);
		ck_assert_ptr_eq(explanation.file, &files[0]);
	}
	driver_explain(&driver, "nvidia-smi", &explanation);
	ck_assert_ptr_eq(explanation.file, &files[1]);
	ck_assert(!driver_file_is_called(&files[0], "libcuda.so.2"));
	ck_assert(!driver_file_is_called(&files[0], "libcud"));
	ck_assert(!driver_file_is_called(&files[1], "nvidia-smi.so"));
	ck_assert(!driver_file_is_called(&files[0], ""));
}
END_TEST

START_TEST(what_was_left_out_has_the_finding_s_rule)
{
	ck_assert_int_eq(rule_of("/usr/lib64/libnvidia-ml.so.550.1"), FINDING_VERSION);
	ck_assert_int_eq(rule_of("libnvidia-ml.so.1"), FINDING_VERSION);
	ck_assert_int_eq(rule_of("libnvidia-ml"), FINDING_VERSION);
	ck_assert_int_eq(rule_of("nvidia-debugdump"), FINDING_EXCLUDED);
	ck_assert_int_eq(rule_of("libnvcuvid.so.1"), FINDING_MACHINE);
	ck_assert_int_eq(rule_of("libnvidia-cfg.so.1"), FINDING_MISSING);
}
END_TEST

START_TEST(what_was_passed_over_is_judged_by_name)
{
	ck_assert_int_eq(rule_of("libnvidia-new.so.550.163.01"), FINDING_VERSION);
	ck_assert_int_eq(rule_of("libnvidia-gtk3.so.535.261.03"), FINDING_NEVER);
	ck_assert_int_eq(rule_of("libnvidia-encode.so.1"), FINDING_MISSING);
	ck_assert_int_eq(rule_of("/usr/lib64/libc.so.6"), FINDING_UNKNOWN);
	ck_assert_int_eq(rule_of("/etc/ld.so.cache"), FINDING_UNKNOWN);
}
END_TEST

START_TEST(rules_have_names)
{
	ck_assert_str_eq(finding_rule_name(FINDING_VERSION), "version");
	ck_assert_str_eq(finding_rule_name(FINDING_UNKNOWN), "unknown");
	ck_assert_str_eq(finding_rule_name((enum finding_rule)99), "other");
}
END_TEST

UNIT_MAIN("explain", a_file_has_several_names, what_was_left_out_has_the_finding_s_rule,
	  what_was_passed_over_is_judged_by_name, rules_have_names)
