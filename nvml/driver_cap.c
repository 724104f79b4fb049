/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of driver capabilities and their bits, in one table. What a word
 * stands for is said by the rows of driver_table.c; here they are only names.
 */
#include "nvml/driver_cap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"

/* "none" is a word for people who want nothing, and no bit. */
#define NONE "none"

static const struct {
	const char *word;
	unsigned int caps;
} cap_words[] = {
	{ "compute", DRIVER_CAP_COMPUTE },   { "utility", DRIVER_CAP_UTILITY },
	{ "video", DRIVER_CAP_VIDEO },	     { "graphics", DRIVER_CAP_GRAPHICS },
	{ "display", DRIVER_CAP_DISPLAY },   { "ngx", DRIVER_CAP_NGX },
	{ "compat32", DRIVER_CAP_COMPAT32 }, { "all", DRIVER_CAP_ALL },
};

static unsigned int word_caps(const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(cap_words); i++)
		if (strlen(cap_words[i].word) == len && !memcmp(cap_words[i].word, word, len))
			return cap_words[i].caps;
	return 0;
}

static int unknown_word(const char *word, size_t len, struct error *err)
{
	(void)error_setc(err, ERROR_USAGE, -EINVAL, "unknown driver capability '%.*s'",
			 (int)(len > 48 ? 48 : len), word);
	return error_remedy(
		err, -EINVAL,
		"known: compute, utility, video, graphics, display, ngx, compat32, all");
}

int driver_caps_parse(const char *list, unsigned int *ret, struct error *err)
{
	const char *cursor = list, *word;
	unsigned int caps = 0, bits;
	size_t len;

	while ((word = parse_field(&cursor, ',', &len))) {
		if (len == 0 || (len == strlen(NONE) && memcmp(word, NONE, len) == 0))
			continue;
		bits = word_caps(word, len);
		if (!bits)
			return unknown_word(word, len, err);
		caps |= bits;
	}
	*ret = caps;
	return 0;
}

void driver_caps_print(unsigned int caps, char *buf, size_t size)
{
	size_t used = 0;

	if (size == 0)
		return;
	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(cap_words); i++) {
		const char *word = cap_words[i].word;
		size_t need = strlen(word) + (used ? 1 : 0);

		if (cap_words[i].caps == DRIVER_CAP_ALL || !(caps & cap_words[i].caps))
			continue;
		if (need >= size - used)
			return;
		(void)snprintf(buf + used, size - used, "%s%s", used ? "," : "", word);
		used += need;
	}
}

unsigned int driver_caps_expand(unsigned int caps)
{
	if (caps & DRIVER_CAP_DISPLAY)
		caps |= DRIVER_CAP_GRAPHICS;
	return caps;
}
