/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/compat_image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

static int parse(const char *text, struct compat_image *image)
{
	return compat_image_parse(text, strlen(text), image, NULL);
}

START_TEST(names_links_and_a_note_are_read_and_printed_again)
{
	static const char text[] =
		"link libcuda.so libcuda.so.1\nlink libcuda.so.1 libcuda.so.580.65.06\n"
		"file libcuda.so.580.65.06\nfile libnvidia-nvvm70.so.4\n"
		"note {\"CUDA version\":\"13.0\"}\n\n";
	struct compat_image image = { 0 };
	auto_free char *again = NULL;

	ck_assert_int_eq(parse(text, &image), 0);
	ck_assert_uint_eq(image.n, 4);
	ck_assert_str_eq(image.files[0].name, "libcuda.so");
	ck_assert_str_eq(image.files[0].link, "libcuda.so.1");
	ck_assert_ptr_null(image.files[2].link);
	ck_assert_str_eq(image.files[2].note, "{\"CUDA version\":\"13.0\"}");
	ck_assert_ptr_null(image.files[1].note);
	ck_assert_ptr_null(image.files[3].note);
	again = compat_image_print(&image);
	ck_assert_str_eq(again, text);
	compat_image_done(&image);
	ck_assert_int_eq(parse("file libcuda.so.1.1\n\n", &image), 0);
	ck_assert_ptr_null(image.files[0].note);
	compat_image_done(&image);
}
END_TEST

START_TEST(what_is_not_of_that_form_is_refused)
{
	static const char *const samples[] = {
		"",
		"\n",
		"file libx.so.1\n",
		"\n\n",
		"file libx.so.1\nfile\n\n",
		"file libx.so.1 libx.so.2\n\n",
		"link libx.so.1\n\n",
		"link libx.so.1 ../libx.so.2\n\n",
		"link libx.so.1 /libx.so.2\n\n",
		"file ../libx.so.1\n\n",
		"file x.so.1\n\n",
		"file libx.sox\n\n",
		"file libx.so.\033[31m\n\n",
		"other libx.so.1\n\n",
		"note \n\n",
		"note \033\n\n",
		"elf\n\n",
		"elf 64\n\n",
		"elf 64 65\n\n",
		"elf -1 0\n\n",
		"elf 18446744073709551615 0\n\n",
		"elf 2 4\n\nabcd",
		"elf 100 5\n\nabcd",
	};
	struct compat_image image = { 0 };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		ck_assert_msg(parse(samples[i], &image) == -EBADMSG, "%zu: %s", i, samples[i]);
		ck_assert_uint_eq(image.n, 0);
	}
	ck_assert_int_eq(compat_image_parse("file libx.so.1\0\n\n", 17, &image, &err), -EBADMSG);
	ck_assert_str_eq(err.text, "list of compatibility libraries");
}
END_TEST

START_TEST(a_libcuda_that_makes_no_sense_has_no_note)
{
	struct compat_image image = { 0 };

	ck_assert_int_eq(parse("file libcuda.so.580.1\nelf 100 4\n\n\177ELF", &image), 0);
	ck_assert_ptr_null(image.files[0].note);
	compat_image_done(&image);
	ck_assert_int_eq(parse("file libcuda.so.580.1\nelf 0 0\n\n", &image), 0);
	ck_assert_ptr_null(image.files[0].note);
	compat_image_done(&image);
}
END_TEST

START_TEST(there_is_an_end_to_names)
{
	char text[8192], *at = text;
	struct compat_image image = { 0 };

	for (int i = 0; i < COMPATLIST_NAMES_MAX; i++)
		at += sprintf(at, "file libx%d.so\n", i);
	(void)strcpy(at, "\n");
	ck_assert_int_eq(parse(text, &image), 0);
	ck_assert_uint_eq(image.n, COMPATLIST_NAMES_MAX);
	compat_image_done(&image);
	(void)strcpy(at, "file libone.so.2\n\n");
	ck_assert_int_eq(parse(text, &image), -EBADMSG);
}
END_TEST

UNIT_MAIN("compat_image", names_links_and_a_note_are_read_and_printed_again,
	  what_is_not_of_that_form_is_refused, a_libcuda_that_makes_no_sense_has_no_note,
	  there_is_an_end_to_names)
