/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/require.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

static const struct require_facts h100 = {
	.cuda = "13.0", .driver = "580.159.04", .gpu = "GPU 0", .arch = "9.0", .brand = "Nvidia"
};
static const struct require_facts v100 = {
	.cuda = "12.2", .driver = "535.261.03", .gpu = "GPU 1", .arch = "7.0", .brand = "Tesla"
};
static const struct require_facts no_gpu = {
	.cuda = "12.2", .driver = "535.261.03", .arch = "", .brand = ""
};
static const struct require_facts unknown = {
	.cuda = "", .driver = "999.10.01", .gpu = "GPU 2", .arch = "", .brand = ""
};

struct sample {
	const char *rule; /* what the case stands for */
	const struct require_facts *facts;
	const char *expression;
	int result;
};

static void check_all(const struct sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct error err = { 0 };
		int r = require_check(samples[i].expression, samples[i].facts, &err);

		ck_assert_msg(r == samples[i].result, "%s: '%s': %d, expected %d (%s)",
			      samples[i].rule, samples[i].expression, r, samples[i].result,
			      err.text);
		if (r < 0) {
			ck_assert_int_eq(err.class, ERROR_REQUIREMENT);
			ck_assert_str_ne(err.remedy, "");
		}
		/* Without a place for the message the answer is the same. */
		ck_assert_int_eq(require_check(samples[i].expression, samples[i].facts, NULL), r);
	}
}

/* The typical value of a CUDA image. */
#define IMAGE_12_4                                                                            \
	"cuda>=12.4 brand=tesla,driver>=470,driver<471 brand=unknown,driver>=470,driver<471 " \
	"brand=nvidia,driver>=535,driver<536 brand=tesla,driver>=535,driver<536"

START_TEST(each_rule_of_the_language_has_a_case)
{
	static const struct sample samples[] = {
		{ "=", &h100, "cuda=13.0", 0 },
		{ "=", &h100, "cuda=12.9", -ENOTSUP },
		{ "!=", &h100, "cuda!=12.9", 0 },
		{ "!=", &h100, "cuda!=13.0", -ENOTSUP },
		{ "! counts as !=", &h100, "cuda!12.9", 0 },
		{ "! counts as !=", &h100, "cuda!13.0", -ENOTSUP },
		{ "<", &h100, "cuda<13.1", 0 },
		{ "<", &h100, "cuda<13.0", -ENOTSUP },
		{ "<=", &h100, "cuda<=13.0", 0 },
		{ "<=", &h100, "cuda<=12.9", -ENOTSUP },
		{ ">", &h100, "cuda>12.9", 0 },
		{ ">", &h100, "cuda>13.0", -ENOTSUP },
		{ ">=", &h100, "cuda>=13.0", 0 },
		{ ">=", &h100, "cuda>=13.1", -ENOTSUP },
		{ "== is invalid", &h100, "cuda==13.0", -EINVAL },
		{ "=> is invalid", &h100, "cuda=>13.0", -EINVAL },
		{ "=! is invalid", &h100, "cuda=!13.0", -EINVAL },
		{ "<> is invalid", &h100, "cuda<>13.0", -EINVAL },
		{ "the longest run of operator characters", &h100, "cuda>=!13.0", -EINVAL },
		{ "numbers, not text", &h100, "cuda>=9.2", 0 },
		{ "numbers, not text", &h100, "driver>=1000", -ENOTSUP },
		{ "missing parts are zero", &h100, "cuda=13", 0 },
		{ "missing parts are zero", &h100, "cuda=13.0.0", 0 },
		{ "missing parts are zero", &h100, "cuda<13.0.1", 0 },
		{ "missing parts are zero", &h100, "cuda>=13.0.1", -ENOTSUP },
		{ "missing parts are zero", &h100, "driver>580", 0 },
		{ "missing parts are zero", &h100, "driver>=580.159.4", 0 },
		{ "several dots are one", &h100, "cuda=13..0", 0 },
		{ "a version has digits and dots", &h100, "cuda>=12.x", -EINVAL },
		{ "a version has digits and dots", &h100, "driver>=r580", -EINVAL },
		{ "a version has digits and dots", &h100, "cuda>=-1", -EINVAL },
		{ "a version begins with a digit", &h100, "cuda>=.5", -EINVAL },
		{ "a version begins with a digit", &h100, "cuda>=.", -EINVAL },
		{ "a number beyond 64 bits", &h100, "cuda<99999999999999999999999", -EINVAL },
		{ "names in any case", &h100, "CUDA>=13,Driver>=580,aRCH>=9,BRAND=nvidia", 0 },
		{ "arch", &h100, "arch>=9.0", 0 },
		{ "arch", &v100, "arch>=8.0", -ENOTSUP },
		{ "arch", &v100, "arch=7", 0 },
		{ "brand in any case", &v100, "brand=TESLA", 0 },
		{ "brand, whole words", &v100, "brand=tes", -ENOTSUP },
		{ "brand !=", &v100, "brand!=geforce", 0 },
		{ "brand !=", &v100, "brand!=tesla", -ENOTSUP },
		{ "brand has = and != only", &v100, "brand<tesla", -EINVAL },
		{ "brand has = and != only", &v100, "brand>=tesla", -EINVAL },
		{ "a brand that nobody has", &v100, "brand=quantum", -ENOTSUP },
		{ "comma is and", &v100, "cuda>=12,arch>=7", 0 },
		{ "comma is and", &v100, "cuda>=12,arch>=8", -ENOTSUP },
		{ "comma is and", &v100, "cuda>=13,arch>=7", -ENOTSUP },
		{ "blank is or", &v100, "cuda>=13 arch>=7", 0 },
		{ "blank is or", &v100, "cuda>=13 arch>=8", -ENOTSUP },
		{ "and binds more than or", &v100, "cuda>=13,arch>=7 brand=tesla", 0 },
		{ "and binds more than or", &v100, "cuda>=12 brand=geforce,arch>=9", 0 },
		{ "empty terms are skipped", &v100, ",,cuda>=12,,", 0 },
		{ "empty alternatives are skipped", &v100, "  cuda>=13   cuda>=12  ", 0 },
		{ "nothing asked for holds", &v100, "", 0 },
		{ "nothing asked for holds", &v100, "   ", 0 },
		{ "nothing asked for holds", &v100, ",", 0 },
		{ "an image", &h100, IMAGE_12_4, 0 },
		{ "an image, older driver", &v100, IMAGE_12_4, 0 },
		{ "unknown name", &h100, "memory>=80", -EINVAL },
		{ "no name", &h100, ">=13", -EINVAL },
		{ "no operator", &h100, "cuda", -EINVAL },
		{ "no operator", &h100, "cuda13", -EINVAL },
		{ "no value", &h100, "cuda>=", -EINVAL },
		{ "a blank divides even a term", &h100, "cuda >= 12", -EINVAL },
		{ "a blank divides even a term", &h100, "cuda>=13 >= 12", 0 },
		{ "other blanks are none", &h100, "cuda>=\t12", -EINVAL },
		{ "evaluation stops at what holds", &h100, "cuda>=12 memory>=80", 0 },
		{ "evaluation stops at what fails", &h100, "cuda>=14,memory>=80 cuda>=12", 0 },
		{ "an invalid term counts once reached", &h100, "cuda>=14 memory>=80", -EINVAL },
	};

	check_all(samples, ARRAY_SIZE(samples));
}
END_TEST

START_TEST(without_a_gpu_arch_and_brand_hold)
{
	static const struct sample samples[] = {
		{ "no device", &no_gpu, "arch>=99", 0 },
		{ "no device", &no_gpu, "brand=geforce", 0 },
		{ "no device: the driver counts", &no_gpu, "arch>=9,cuda>=13", -ENOTSUP },
		{ "no device: syntax counts", &no_gpu, "arch>=x", -EINVAL },
	};

	check_all(samples, ARRAY_SIZE(samples));
}
END_TEST

START_TEST(what_is_not_known_is_said_and_never_guessed)
{
	static const struct sample samples[] = {
		{ "unknown", &unknown, "cuda>=12", -ENODATA },
		{ "unknown, denied", &unknown, "cuda!=12", -ENODATA },
		{ "unknown is no brand", &unknown, "brand=unknown", -ENODATA },
		{ "unknown is no brand", &unknown, "brand!=unknown", -ENODATA },
		{ "another alternative holds", &unknown, "cuda>=12 driver>=535", 0 },
		{ "a known term fails", &unknown, "cuda>=12,driver<535", -ENOTSUP },
		{ "a known term fails", &unknown, "driver<535,cuda>=12", -ENOTSUP },
		{ "unknown and failed alternatives", &unknown, "driver<535 arch>=9", -ENODATA },
		{ "the value is checked all the same", &unknown, "cuda>=x", -EINVAL },
	};

	check_all(samples, ARRAY_SIZE(samples));
}
END_TEST

static void says(const struct require_facts *facts, const char *expression, const char *text,
		 const char *remedy)
{
	struct error err = { 0 };

	ck_assert_int_lt(require_check(expression, facts, &err), 0);
	ck_assert_str_eq(err.text, text);
	ck_assert_str_eq(err.remedy, remedy);
}

START_TEST(the_texts_are_those_that_clients_know)
{
	says(&v100, "cuda>=999",
	     "unsatisfied condition: cuda>=999, please update your driver to a newer version, or "
	     "use an earlier cuda container",
	     "the driver has CUDA 12.2");
	says(&v100, "cuda>=12.8 brand=tesla,driver>=570",
	     "unsatisfied condition: cuda>=12.8, please update your driver to a newer version, or "
	     "use an earlier cuda container",
	     "the driver has CUDA 12.2");
	says(&v100, "cuda>12.8", "unsatisfied condition: cuda>12.8", "the driver has CUDA 12.2");
	says(&v100, "arch>=8.0,cuda>=11", "unsatisfied condition: arch>=8.0,cuda>=11",
	     "GPU 1 has arch 7.0");
	says(&v100, "cuda>=11,driver>=570",
	     "unsatisfied condition: cuda>=11,driver>=570, please "
	     "update your driver to a newer version, or use an earlier cuda container",
	     "the driver has version 535.261.03");
	says(&unknown, "driver<1,cuda>=1 brand=tesla",
	     "condition cannot be checked: brand=tesla: brand of GPU 2 is not known",
	     "see `nvfs devices`; NVIDIA_DISABLE_REQUIRE=1 skips the check");
	says(&unknown, "cuda>=12",
	     "condition cannot be checked: cuda>=12: CUDA of the driver is not known",
	     "see `nvfs devices`; NVIDIA_DISABLE_REQUIRE=1 skips the check");
	says(&v100, "cuda>=13 memory>=80,cuda>=1", "invalid expression: 'memory>=80'",
	     "cuda, driver, arch or brand; = != < <= > >=; a value");
}
END_TEST

START_TEST(overlong_terms_are_invalid_and_long_expressions_are_read)
{
	char text[REQUIRE_TEXT_MAX + 1] = "", line[ERROR_LINE_MAX];
	struct error err = { 0 };

	memset(text, '1', 300);
	memcpy(text, "cuda>=", 6);
	text[300] = '\0';
	ck_assert_int_eq(require_check(text, &h100, &err), -EINVAL);
	error_line(&err, "abc123", line);
	ck_assert_ptr_nonnull(strstr(line, "invalid expression"));
	text[0] = '\0';
	while (strlen(text) + 20 < sizeof(text))
		(void)strcat(text, "cuda>=99,arch>=99 ");
	ck_assert_int_eq(require_check(text, &h100, NULL), -ENOTSUP);
	(void)strcpy(text + strlen(text) - 18, "cuda>=13");
	ck_assert_int_eq(require_check(text, &h100, NULL), 0);
	/* A fact that makes no sense tells nothing. */
	ck_assert_int_eq(require_check("cuda>=1", &(struct require_facts){ .cuda = "new" }, NULL),
			 -ENODATA);
}
END_TEST

START_TEST(a_whole_line_of_error_keeps_the_text_that_clients_match)
{
	char line[ERROR_LINE_MAX];
	struct error err = { 0 };

	ck_assert_int_eq(require_check("cuda>=12.8", &v100, &err), -ENOTSUP);
	error_line(&err, "abc123", line);
	ck_assert_str_eq(line,
			 "requirement: unsatisfied condition: cuda>=12.8, please update your "
			 "driver to a newer version, or use an earlier cuda container; the driver "
			 "has CUDA 12.2 [trace abc123]");
	ck_assert_int_eq(error_exit_status(&err), 4);
}
END_TEST

UNIT_MAIN("require", each_rule_of_the_language_has_a_case, without_a_gpu_arch_and_brand_hold,
	  what_is_not_known_is_said_and_never_guessed, the_texts_are_those_that_clients_know,
	  overlong_terms_are_invalid_and_long_expressions_are_read,
	  a_whole_line_of_error_keeps_the_text_that_clients_match)
