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
	/* Every folder has such links, which are chosen with what they lead to. */
	struct compat_file files[] = { { .name = "libx.so", .link = "libx.so.1" },
				       { .name = "libx.so.1", .link = file.name },
				       file };
	const char *why = NULL;
	size_t n = compat_choose(mode, &host, files, ARRAY_SIZE(files), &why);

	ck_assert_ptr_nonnull(why);
	ck_assert_msg(n == (expected ? 3 : 0) && files[2].chosen == expected &&
			      files[0].chosen == expected && files[1].chosen == expected,
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
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libcuda.so.580.65.06" },
		  false },
		{ "ldconfig keeps higher",
		  COMPAT_LDCONFIG,
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libcuda.so.580.65.06" },
		  true },
		{ "ldconfig drops equal",
		  COMPAT_LDCONFIG,
		  { .driver = "580.159.04", .cuda = "13.0" },
		  { .name = "libcuda.so.580.65.06" },
		  false },
		{ "ldconfig drops lower",
		  COMPAT_LDCONFIG,
		  { .driver = "580.159.04", .cuda = "13.0" },
		  { .name = "libcuda.so.535.1" },
		  false },
		{ "mount keeps higher",
		  COMPAT_MOUNT,
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libcuda.so.580.65.06" },
		  true },
		{ "mount drops equal",
		  COMPAT_MOUNT,
		  { .driver = "580.159.04", .cuda = "13.0" },
		  { .name = "libcuda.so.580.65.06" },
		  false },
		{ "mount: of higher and lower ldconfig gives the soname to the higher",
		  COMPAT_MOUNT,
		  { .driver = "580.159.04", .cuda = "13.0" },
		  { .name = "libcuda.so.535.1" },
		  false },
		{ "branches compare as numbers",
		  COMPAT_LDCONFIG,
		  { .driver = "580.1", .cuda = "" },
		  { .name = "libcuda.so.1000.1.1" },
		  true },
		{ "branches compare as numbers",
		  COMPAT_LDCONFIG,
		  { .driver = "1000.1", .cuda = "" },
		  { .name = "libcuda.so.580.1.1" },
		  false },
		{ "other libraries of the folder",
		  COMPAT_LDCONFIG,
		  { .driver = "535.1", .cuda = "" },
		  { .name = "libnvidia-ptxjitcompiler.so.580.65.06" },
		  true },
		{ "no version, no choice",
		  COMPAT_MOUNT,
		  { .driver = "535.1", .cuda = "" },
		  { .name = "libcuda.so.new" },
		  false },
		{ "no library",
		  COMPAT_MOUNT,
		  { .driver = "535.1", .cuda = "" },
		  { .name = "cuda.so.580.1" },
		  false },
		{ "unknown driver, no choice",
		  COMPAT_MOUNT,
		  { .driver = "", .cuda = "" },
		  { .name = "libcuda.so.580.1" },
		  false },
		{ "unknown driver, no choice",
		  COMPAT_LDCONFIG,
		  { .driver = "", .cuda = "" },
		  { .name = "libcuda.so.580.1" },
		  false },
		{ "note: branch listed, newer",
		  COMPAT_AUTO,
		  { .driver = "535.261.03", .cuda = "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  true },
		{ "note: branch not listed",
		  COMPAT_AUTO,
		  { .driver = "525.1", .cuda = "12.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: same branch, newer file",
		  COMPAT_AUTO,
		  { .driver = "580.65.06", .cuda = "13.0" },
		  { .name = "libcuda.so.580.159.04", .note = LISTED },
		  true },
		{ "note: same branch, older file",
		  COMPAT_AUTO,
		  { .driver = "580.159.04", .cuda = "13.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: the same version",
		  COMPAT_AUTO,
		  { .driver = "580.65.06", .cuda = "13.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: older branch",
		  COMPAT_AUTO,
		  { .driver = "590.1.1", .cuda = "13.1" },
		  { .name = "libcuda.so.580.65.06", .note = NOTE("13.0", "590") },
		  false },
		{ "note: only the host's CUDA is known, newer",
		  COMPAT_AUTO,
		  { .driver = "", .cuda = "12.9" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  true },
		{ "note: only the host's CUDA is known, equal",
		  COMPAT_AUTO,
		  { .driver = "", .cuda = "13.0" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note: nothing is known of the host",
		  COMPAT_AUTO,
		  { .driver = "", .cuda = "" },
		  { .name = "libcuda.so.580.65.06", .note = LISTED },
		  false },
		{ "note without sense",
		  COMPAT_AUTO,
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = "{" },
		  false },
		{ "note of another shape",
		  COMPAT_AUTO,
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = "{\"driver\":535}" },
		  false },
		{ "note: branches are numbers",
		  COMPAT_AUTO,
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libcuda.so.580.65.06", .note = NOTE("13.0", "\"535\"") },
		  false },
		{ "no note: higher branch",
		  COMPAT_AUTO,
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libcuda.so.550.54.15" },
		  true },
		{ "no note: same branch, newer file",
		  COMPAT_AUTO,
		  { .driver = "550.40.07", .cuda = "12.4" },
		  { .name = "libcuda.so.550.54.15" },
		  false },
		{ "no note: lower branch",
		  COMPAT_AUTO,
		  { .driver = "580.1", .cuda = "13.0" },
		  { .name = "libcuda.so.550.54.15" },
		  false },
		{ "no note: unknown driver",
		  COMPAT_AUTO,
		  { .driver = "", .cuda = "12.2" },
		  { .name = "libcuda.so.550.54.15" },
		  false },
		{ "auto: no libcuda",
		  COMPAT_AUTO,
		  { .driver = "535.1", .cuda = "12.2" },
		  { .name = "libnvidia-nvvm.so.580.65.06" },
		  false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		check(samples[i].rule, samples[i].mode, samples[i].host, samples[i].file,
		      samples[i].expected);
}
END_TEST

/* Brands are compared as NVML's numbers, which the note has in "device". */
START_TEST(gpus_of_a_known_brand_must_be_of_those_that_libcuda_works_on)
{
	static const char older[] = "libcuda.so.580.65.06";
	/* 1 to 16 of nvmlBrandType_t, in the words that requirements have for them */
	static const char *const brands[] = { "Quadro",	   "Tesla",  "NVS",	    "GRID",
					      "GeForce",   "TITAN",  "VApps",	    "VPC",
					      "VCS",	   "VWS",    "CloudGaming", "QuadroRTX",
					      "NvidiaRTX", "Nvidia", "GeForceRTX",  "TitanRTX" };
	static const struct {
		const char *rule, *note, *brands[2];
		enum compat_mode mode;
		bool expected;
	} samples[] = {
		{ "no GPU, or none known", LISTED, { NULL }, COMPAT_AUTO, true },
		{ "Tesla", LISTED, { "Tesla" }, COMPAT_AUTO, true },
		{ "GeForce", LISTED, { "GeForce" }, COMPAT_AUTO, false },
		{ "one of two is enough", LISTED, { "Tesla", "GeForce" }, COMPAT_AUTO, false },
		{ "every one counts", NOTE("13.0", "535"), { "VWS", "Tesla" }, COMPAT_AUTO, false },
		{ "unknown brand", LISTED, { "" }, COMPAT_AUTO, true },
		{ "a note without a list",
		  "{\"CUDA version\":\"13.0\",\"driver\":[535]}",
		  { "GeForce" },
		  COMPAT_AUTO,
		  true },
		{ "a list of nonsense",
		  "{\"CUDA version\":\"13.0\",\"driver\":[535],\"device\":[-1,64,\"2\"]}",
		  { "Tesla" },
		  COMPAT_AUTO,
		  false },
		{ "no note: H100", NULL, { "Nvidia" }, COMPAT_AUTO, true },
		{ "no note: Quadro", NULL, { "Quadro", "NvidiaRTX" }, COMPAT_AUTO, true },
		{ "no note: GeForce", NULL, { "GeForce" }, COMPAT_AUTO, false },
		{ "no note: TITAN", NULL, { "TITAN" }, COMPAT_AUTO, false },
		{ "no note: NVS", NULL, { "NVS" }, COMPAT_AUTO, false },
		{ "ldconfig asks for no brand", LISTED, { "GeForce" }, COMPAT_LDCONFIG, true },
		{ "mount asks for no brand", LISTED, { "GeForce" }, COMPAT_MOUNT, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct compat_host host = { .driver = "535.261.03", .cuda = "12.2" };

		for (size_t b = 0; b < 2 && samples[i].brands[b]; b++)
			host.brands |= compat_brand_bit(samples[i].brands[b]);
		check(samples[i].rule, samples[i].mode, host,
		      (struct compat_file){ .name = older, .note = samples[i].note },
		      samples[i].expected);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(brands); i++)
		ck_assert_msg(compat_brand_bit(brands[i]) == 1U << (i + 1), "%s", brands[i]);
	ck_assert_uint_eq(compat_brand_bit("Unknown"), 0);
	ck_assert_uint_eq(compat_brand_bit(""), 0);
	ck_assert_uint_eq(compat_brand_bit("tesla"), 0);
}
END_TEST

START_TEST(what_has_no_version_goes_with_what_has_one)
{
	struct compat_file files[] = {
		{ .name = "libcuda.so.580.65.06" },
		{ .name = "libcuda.so.1", .link = "libcuda.so.580.65.06" },
		{ .name = "libnvidia-nvvm70.so.4" },
		{ .name = "libnvidia-nvvm.so.4", .link = "libnvidia-nvvm.so.535.1" },
		{ .name = "libnvidia-nvvm.so.535.1" },
		{ .name = "libloop.so.1", .link = "libloop.so.2" },
		{ .name = "libloop.so.2", .link = "libloop.so.1" },
		{ .name = "libgone.so.1", .link = "libgone.so.580.1" },
	};
	const struct compat_host host = { .driver = "535.261.03", .cuda = "12.2" },
				 newer = { .driver = "590.1.1", .cuda = "13.1" };
	const char *why;

	/* The directory goes first with all that it has, but for what leads nowhere. */
	ck_assert_uint_eq(compat_choose(COMPAT_AUTO, &host, files, ARRAY_SIZE(files), &why), 5);
	ck_assert(files[1].chosen && files[2].chosen && files[3].chosen && !files[5].chosen &&
		  !files[7].chosen);
	/* Of single files the lower ones stay behind. */
	ck_assert_uint_eq(compat_choose(COMPAT_LDCONFIG, &host, files, ARRAY_SIZE(files), &why), 3);
	ck_assert(files[0].chosen && files[1].chosen && files[2].chosen);
	ck_assert_uint_eq(compat_choose(COMPAT_LDCONFIG, &newer, files, ARRAY_SIZE(files), &why),
			  0);
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
	const struct compat_host host = { .driver = "535.261.03", .cuda = "12.2" },
				 newer = { .driver = "590.1.1", .cuda = "13.1" };
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
	ck_assert_str_eq(compat_mode_name(COMPAT_LDCONFIG), "ldconfig");
}
END_TEST

UNIT_MAIN("compat", each_rule_of_forward_compatibility_has_a_case,
	  gpus_of_a_known_brand_must_be_of_those_that_libcuda_works_on,
	  what_has_no_version_goes_with_what_has_one,
	  libcuda_decides_for_its_folder_if_it_is_the_only_one, modes_have_names)
