/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/compat_verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/driver.h"
#include "tests/unit/unit.h"

static struct driver_file files[] = {
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libcuda.so.535.1" },
	  .soname = (char[]){ "libcuda.so.1" } },
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libcudadebugger.so.535.1" },
	  .soname = (char[]){ "libcudadebugger.so.1" } },
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libnvidia-gpucomp.so.535.1" },
	  .soname = (char[]){ "libnvidia-gpucomp.so.535.1" } },
	{ .kind = DRIVER_PROGRAM, .name = (char[]){ "nvidia-smi" } },
};
static const struct driver driver = { .files = files, .n_files = ARRAY_SIZE(files) };

START_TEST(what_goes_first_is_a_link_for_each_name)
{
	struct compat_verdict verdict = { 0 };

	ck_assert_int_eq(compat_verdict_parse(
				 "why it is newer\nuse libcuda.so.550.1\nuse libcuda.so.1\n\n"
				 "file libcuda.so.550.1\nlink libcuda.so.1 libcuda.so.550.1\n\n",
				 &driver, &verdict, NULL),
			 0);
	ck_assert_str_eq(verdict.why, "it is newer");
	ck_assert_uint_eq(verdict.n, 2);
	ck_assert_str_eq(verdict.links[1].name, "libcuda.so.1");
	ck_assert_str_eq(verdict.links[1].file, "libcuda.so.1");
	ck_assert(compat_verdict_has(&verdict, "libcuda.so.550.1") &&
		  !compat_verdict_has(&verdict, "libcuda.so"));
	ck_assert_str_eq(verdict.image,
			 "file libcuda.so.550.1\nlink libcuda.so.1 libcuda.so.550.1\n\n");
	compat_verdict_done(&verdict);
}
END_TEST

START_TEST(a_file_without_a_link_has_the_soname_of_its_namesake)
{
	struct compat_verdict verdict = { 0 };

	ck_assert_int_eq(
		compat_verdict_parse("why w\nuse libcuda.so.550.1\nuse libnvidia-gpucomp.so.550.1\n"
				     "use libnvidia-nvvm70.so.4\n\nfile libx.so.1\n\n",
				     &driver, &verdict, NULL),
		0);
	ck_assert_uint_eq(verdict.n, 4);
	ck_assert_str_eq(verdict.links[3].name, "libcuda.so.1");
	ck_assert_str_eq(verdict.links[3].file, "libcuda.so.550.1");
	compat_verdict_done(&verdict);
}
END_TEST

START_TEST(words_of_a_parser_that_was_taken_over_are_checked)
{
	static const char *const samples[] = {
		"",
		"why w",
		"why w\n",
		"why w\n\n",
		"why w\n\nfile libx.so.1\n",
		"why \033[31m\n\nfile libx.so.1\n\n",
		"use ../../etc/passwd\n\nfile libx.so.1\n\n",
		"use /etc/passwd\n\nfile libx.so.1\n\n",
		"use libx.so.1 libx.so.1\n\nfile libx.so.1\n\n",
		"use x\n\nfile libx.so.1\n\n",
		"other\n\nfile libx.so.1\n\n",
		"why w\n\nfile \033\n\n",
		"why w\n\nfile \377\n\n",
	};
	struct compat_verdict verdict = { 0 };
	struct error err = { 0 };
	char many[16384], *at = many;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		ck_assert_msg(compat_verdict_parse(samples[i], &driver, &verdict, &err) == -EBADMSG,
			      "%zu", i);
	ck_assert_ptr_nonnull(strstr(err.text, "choice of compatibility libraries"));
	for (int i = 0; i < 300; i++)
		at += sprintf(at, "use libx.so.%d\n", i);
	(void)strcpy(at, "\nfile libx.so.1\n\n");
	ck_assert_int_eq(compat_verdict_parse(many, &driver, &verdict, NULL), -EBADMSG);
	ck_assert_ptr_null(verdict.links);
}
END_TEST

UNIT_MAIN("compat_verdict", what_goes_first_is_a_link_for_each_name,
	  a_file_without_a_link_has_the_soname_of_its_namesake,
	  words_of_a_parser_that_was_taken_over_are_checked)
