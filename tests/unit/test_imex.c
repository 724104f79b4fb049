/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/imex.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

START_TEST(channels_are_numbers_up_to_2047)
{
	static const struct {
		const char *rule, *list, *expected; /* NULL: refused */
	} samples[] = {
		{ "nothing", "", "" },
		{ "one", "0", "0" },
		{ "the last one", "2047", "2047" },
		{ "in the order asked for", "5,1,3", "5 1 3" },
		{ "blanks, empty items, duplicates", " 1 ,,2,1, ", "1 2" },
		{ "leading zeros", "007", "7" },
		{ "all asks for nothing", "all", "" },
		{ "all asks for nothing", "all,4", "4" },
		{ "one too high", "2048", NULL },
		{ "below zero", "-1", NULL },
		{ "no number", "ALL", NULL },
		{ "no number", "channel0", NULL },
		{ "no number", "1 2", NULL },
		{ "no number", "0x1", NULL },
		{ "no number", "1-4", NULL },
		{ "a path", "../0", NULL },
		{ "beyond 64 bits", "99999999999999999999999", NULL },
		{ "one bad item spoils the list", "1,2,x", NULL },
	};
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct imex_channels channels = { .n = 4711 };
		struct error err = { 0 };
		size_t used = 0;
		int r = imex_channels_parse(samples[i].list, &channels, &err);

		text[0] = '\0';
		for (size_t k = 0; r == 0 && k < channels.n; k++)
			used += (size_t)sprintf(text + used, k ? " %u" : "%u", channels.ids[k]);
		if (samples[i].expected)
			ck_assert_msg(r == 0 && !strcmp(text, samples[i].expected), "%s: '%s'",
				      samples[i].rule, text);
		else
			ck_assert_msg(r == -EINVAL && err.class == ERROR_DEVICE && err.remedy[0] &&
					      channels.n == 4711,
				      "%s: %s", samples[i].rule, samples[i].list);
	}
}
END_TEST

START_TEST(all_2048_can_be_asked_for_and_more_words_than_that)
{
	static struct imex_channels channels;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < 2 * IMEX_CHANNELS_MAX; i++)
		fprintf(out, "%d,", i % IMEX_CHANNELS_MAX);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(imex_channels_parse(text, &channels, NULL), 0);
	ck_assert_uint_eq(channels.n, IMEX_CHANNELS_MAX);
	free(text);
}
END_TEST

UNIT_MAIN("imex", channels_are_numbers_up_to_2047,
	  all_2048_can_be_asked_for_and_more_words_than_that)
