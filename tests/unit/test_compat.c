/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/compat.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

#define NOTE(cuda, drivers)                                                \
	"{\"format\":1,\"CUDA version\":\"" cuda "\",\"driver\":[" drivers \
	"],\"device\":[1,2,7,8,9]}"

#define LISTED NOTE("13.0", "535,550,565,570,575,580")

static void check(const char *rule, enum compat_mode mode, struct compat_host host,
		  struct compat_file file, bool expected)
{
	/* Every folder has such links; they resolve to the files and are none of their own. */
	struct compat_file files[] = { { .name = "libcuda.so" }, { .name = "libcuda.so.1" }, file };
	const char *why = NULL;
	size_t n = compat_choose(mode, &host, files, ARRAY_SIZE(files), &why);

	ck_assert_ptr_nonnull(why);
	ck_assert_msg(n == expected && files[2].chosen == expected && !files[0].chosen &&
			      !files[1].chosen,
		      "%s: %s on %s gives %zu: %s", rule, file.name, host.driver, n, why);
}

START_TEST(each_rule_of_forward_compatibility_has_a_case)
{
	static const struct {
		const char *rule;
		enum compat_mode mode;
		struct compat_host host;
		struct compat_file file;
		bool expected;
	} samples[] = {
		{ "disabled",
		  COMPAT_DISABLED,
		  { "535.1", "12.2" },
		  { .name = "libcuda.so.580.65.06" },
		  false },
		{ "ldconfig keeps higher",
		  COMPAT_LDCONFIG,
		  { "535.1", "12.2" },
		  { .name = "libcuda.so.580.65.06" },
		  true },
		{ "ldconfig drops equal",
		  COMPAT_LDCONFIG,
		  { "580.159.04", "13.0" },
		  { .name = "libcuda.so.580.65.06" },
		  false },
		{ "ldconfig drops lower",
		  COMPAT_LDCONFIG,
		  { "580.159.04", "13.0" },
		  { .name = "libcuda.so.535.1" },
		  false },
		{ "mount keeps higher",
		  COMPAT_MOUNT,
		  { "535.1", "12.2" },
		  { .name = "libcuda.so.580.65.06" },
		  true },
		{ "mount drops equal",
		  COMPAT_MOUNT,
		  { "580.159.04", "13.0" },
		  { .name = "libcuda.so.580.65.06" },
		  false },
		{ "mount keeps lower",
		  COMPAT_MOUNT,
		  { "580.159.04", "13.0" },
		  { .name = "libcuda.so.535.1" },
		  true },
		{ "branches compare as numbers",
		  COMPAT_LDCONFIG,
		  { "580.1", "" },
		  { .name = "libcuda.so.1000.1.1" },
		  true },
		{ "branches compare as numbers",
		  COMPAT_LDCONFIG,
		  { "1000.1", "" },
		  { .name = "libcuda.so.580.1.1" },
		  false },
		{ "other libraries of the folder",
		  COMPAT_LDCONFIG,
		  { "535.1", "" },
		  { .name = "libnvidia-ptxjitcompiler.so.580.65.06" },
		  true },
		{ "no version, no choice",
		  COMPAT_MOUNT,
		  { "535.1", "" },
		  { .name = "libcuda.so.new" },
		  false },
		{ "no library", COMPAT_MOUNT, { "535.1", "" }, { .name = "cuda.so.580.1" }, false },
		{ "unknown driver, no choice",
		  COMPAT_MOUNT,
		  { "", "" },
		  { .name = "libcuda.so.580.1" },
		  false },
		{ "unknown driver, no choice",
		  COMPAT_LDCONFIG,
		  { "", "" },
		  { .name = "libcuda.so.580.1" },
		  false },
		{ "note: branch listed, newer",
		  COMPAT_AUTO,
		  { "535.261.03", "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  true },
		{ "note: branch not listed",
		  COMPAT_AUTO,
		  { "525.1", "12.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: same branch, newer file",
		  COMPAT_AUTO,
		  { "580.65.06", "13.0" },
		  { .name = "libcuda.so.580.159.04", .note = LISTED },
		  true },
		{ "note: same branch, older file",
		  COMPAT_AUTO,
		  { "580.159.04", "13.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: the same version",
		  COMPAT_AUTO,
		  { "580.65.06", "13.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: older branch",
		  COMPAT_AUTO,
		  { "590.1.1", "13.1" },
		  { .name = "libcuda.so.580.65.06", .note = NOTE("13.0", "590") },
		  false },
		{ "note: only the host's CUDA is known, newer",
		  COMPAT_AUTO,
		  { "", "12.9" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  true },
		{ "note: only the host's CUDA is known, equal",
		  COMPAT_AUTO,
		  { "", "13.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: nothing is known of the host",
		  COMPAT_AUTO,
		  { "", "" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note without sense",
		  COMPAT_AUTO,
		  { "535.1", "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = "{" },
		  false },
		{ "note of another shape",
		  COMPAT_AUTO,
		  { "535.1", "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = "{\"driver\":535}" },
		  false },
		{ "note: branches are numbers",
		  COMPAT_AUTO,
		  { "535.1", "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = NOTE("13.0", "\"535\"") },
		  false },
		{ "no note: higher branch",
		  COMPAT_AUTO,
		  { "535.1", "12.2" },
		  { .name = "libcuda.so.550.54.15" },
		  true },
		{ "no note: same branch, newer file",
		  COMPAT_AUTO,
		  { "550.40.07", "12.4" },
		  { .name = "libcuda.so.550.54.15" },
		  false },
		{ "no note: lower branch",
		  COMPAT_AUTO,
		  { "580.1", "13.0" },
		  { .name = "libcuda.so.550.54.15" },
		  false },
		{ "no note: unknown driver",
		  COMPAT_AUTO,
		  { "", "12.2" },
		  { .name = "libcuda.so.550.54.15" },
		  false },
		{ "auto: no libcuda",
		  COMPAT_AUTO,
		  { "535.1", "12.2" },
		  { .name = "libnvidia-nvvm.so.580.65.06" },
		  false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		check(samples[i].rule, samples[i].mode, samples[i].host, samples[i].file,
		      samples[i].expected);
}
END_TEST

START_TEST(libcuda_decides_for_its_folder_if_it_is_the_only_one)
{
	struct compat_file files[] = {
		{ .name = "libcuda.so.580.65.06", .note = LISTED },
		{ .name = "libcudadebugger.so.580.65.06" },
		{ .name = "libnvidia-nvvm.so.580.65.06", .note = "of no interest" },
		{ .name = "libcuda.so.550.54.15" },
	};
	const struct compat_host host = { "535.261.03", "12.2" }, newer = { "590.1.1", "13.1" };
	const char *why;

	ck_assert_uint_eq(compat_choose(COMPAT_AUTO, &host, files, 3, &why), 3);
	ck_assert(files[0].chosen && files[1].chosen && files[2].chosen);
	ck_assert_uint_eq(compat_choose(COMPAT_AUTO, &newer, files, 3, &why), 0);
	ck_assert(!files[0].chosen && !files[1].chosen && !files[2].chosen);
	ck_assert_uint_eq(compat_choose(COMPAT_AUTO, &host, files, 4, &why), 0);
	ck_assert_str_eq(why, "the image has more than one libcuda for compatibility");
	ck_assert_uint_eq(compat_choose(COMPAT_AUTO, &host, files, 0, &why), 0);
}
END_TEST

START_TEST(modes_have_names)
{
	enum compat_mode mode = COMPAT_AUTO;
	struct error err = { 0 };

	ck_assert_int_eq(compat_mode_parse("disabled", &mode, NULL), 0);
	ck_assert_int_eq(mode, COMPAT_DISABLED);
	ck_assert_int_eq(compat_mode_parse("ldconfig", &mode, NULL), 0);
	ck_assert_int_eq(mode, COMPAT_LDCONFIG);
	ck_assert_int_eq(compat_mode_parse("mount", &mode, NULL), 0);
	ck_assert_int_eq(mode, COMPAT_MOUNT);
	ck_assert_int_eq(compat_mode_parse("auto", &mode, NULL), 0);
	ck_assert_int_eq(mode, COMPAT_AUTO);
	ck_assert_int_eq(compat_mode_parse("Mount", &mode, &err), -EINVAL);
	ck_assert_str_eq(err.text, "invalid option: cuda-compat-mode=Mount");
	ck_assert_int_eq(mode, COMPAT_AUTO); /* untouched */
}
END_TEST

UNIT_MAIN("compat", each_rule_of_forward_compatibility_has_a_case,
	  libcuda_decides_for_its_folder_if_it_is_the_only_one, modes_have_names)
