/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/driver_cap.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "nvml/driver_table.h"
#include "tests/unit/unit.h"

START_TEST(words_become_bits_and_words_again)
{
	char text[DRIVER_CAPS_TEXT_MAX];
	unsigned int caps;

	ck_assert_int_eq(driver_caps_parse(" utility ,,compute", &caps, NULL), 0);
	ck_assert_uint_eq(caps, DRIVER_CAP_COMPUTE | DRIVER_CAP_UTILITY);
	driver_caps_print(caps, text, sizeof(text));
	ck_assert_str_eq(text, "compute,utility");
	ck_assert_int_eq(driver_caps_parse("compute,all", &caps, NULL), 0);
	ck_assert_uint_eq(caps, DRIVER_CAP_ALL);
	ck_assert_int_eq(driver_caps_parse("", &caps, NULL), 0);
	ck_assert_uint_eq(caps, 0);
	ck_assert_int_eq(driver_caps_parse("none", &caps, NULL), 0);
	ck_assert_uint_eq(caps, 0);
}
END_TEST

START_TEST(an_unknown_word_is_named_with_the_known_ones)
{
	static const char *const bad[] = { "computer", "comput", "Compute", "compute;utility" };
	struct error err;
	unsigned int caps;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		err = (struct error){ 0 };
		caps = 77;
		ck_assert_int_eq(driver_caps_parse(bad[i], &caps, &err), -EINVAL);
		ck_assert_uint_eq(caps, 77);
		ck_assert_int_eq(err.class, ERROR_USAGE);
		ck_assert_ptr_nonnull(strstr(err.text, bad[i]));
		ck_assert_ptr_nonnull(strstr(err.remedy, "compat32, all"));
	}
}
END_TEST

START_TEST(all_words_fit_and_a_small_buffer_is_cut_at_a_word)
{
	char text[DRIVER_CAPS_TEXT_MAX], small[12];

	driver_caps_print(DRIVER_CAP_ALL, text, sizeof(text));
	ck_assert_str_eq(text, "compute,utility,video,graphics,display,ngx,compat32");
	driver_caps_print(DRIVER_CAP_ALL, small, sizeof(small));
	ck_assert_str_eq(small, "compute");
	driver_caps_print(0, text, sizeof(text));
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(display_brings_graphics_and_video_the_libraries_of_compute)
{
	const struct driver_row *cuda = driver_table_find(DRIVER_LIBRARY, "libcuda.so.1");
	const struct driver_row *mps;

	mps = driver_table_find(DRIVER_PROGRAM, "nvidia-cuda-mps-server");
	ck_assert(driver_caps_expand(DRIVER_CAP_DISPLAY) & DRIVER_CAP_GRAPHICS);
	ck_assert(cuda->caps & driver_caps_expand(DRIVER_CAP_VIDEO));
	ck_assert(!(mps->caps & driver_caps_expand(DRIVER_CAP_VIDEO)));
}
END_TEST

START_TEST(the_table_knows_whole_stems_only)
{
	ck_assert_ptr_nonnull(driver_table_find(DRIVER_LIBRARY, "libcuda.so"));
	ck_assert_ptr_nonnull(driver_table_find(DRIVER_LIBRARY, "libcuda.so.535.261.03"));
	ck_assert_ptr_null(driver_table_find(DRIVER_LIBRARY, "libcuda.sox"));
	ck_assert_ptr_null(driver_table_find(DRIVER_LIBRARY, "libcudart.so.12"));
	ck_assert_ptr_null(driver_table_find(DRIVER_PROGRAM, "nvidia-smi.py"));
	ck_assert_ptr_nonnull(driver_table_find(DRIVER_FIRMWARE, "gsp_tu10x.bin"));
	ck_assert_ptr_null(driver_table_find(DRIVER_FIRMWARE, "gsp_tu10x.bin.xz"));
}
END_TEST

START_TEST(unknown_libraries_are_guessed_by_their_name)
{
	static const struct {
		const char *name;
		unsigned int cap;
	} cases[] = {
		{ "libnvidia-new.so.1.2", DRIVER_CAP_COMPUTE },
		{ "libGLX_nvidia.so.1.2", DRIVER_CAP_GRAPHICS },
		{ "libEGL_nvidia.so.1.2", DRIVER_CAP_GRAPHICS },
		{ "libnvidia-glcore.so.1.2", DRIVER_CAP_GRAPHICS },
		{ "libnvidia-encode2.so.1.2", DRIVER_CAP_VIDEO },
		{ "libnvidia-ngx9.so.1.2", DRIVER_CAP_NGX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_uint_ne(driver_library_guess(cases[i].name) & cases[i].cap, 0);
	ck_assert(!(driver_library_guess("libGLX_nvidia.so.1.2") & DRIVER_CAP_COMPUTE));
}
END_TEST

UNIT_MAIN("driver_cap", words_become_bits_and_words_again,
	  an_unknown_word_is_named_with_the_known_ones,
	  all_words_fit_and_a_small_buffer_is_cut_at_a_word,
	  display_brings_graphics_and_video_the_libraries_of_compute,
	  the_table_knows_whole_stems_only, unknown_libraries_are_guessed_by_their_name)
