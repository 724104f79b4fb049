/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key of nvfs.conf, for programs that want no more of it. The daemon has it checked with all the others
 * when it starts: fs/config.c.
 */
#include "common/whendown.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"

struct reading {
	enum when_down word;
	struct error *err;
	int result;
};

static const char *const words[] = { "fail", "skip" };

const char *whendown_name(enum when_down word)
{
	return words[word];
}

int whendown_parse(const char *word, enum when_down *ret, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum when_down)i;
			return 0;
		}
	}
	return error_setc(err, ERROR_USAGE, -EINVAL, WHENDOWN_KEY ": '%.40s' is neither fail nor skip", word);
}

/* inih's handler: 0 stops with the line's number. */
static int on_key(void *data, const char *section, const char *name, const char *value)
{
	struct reading *reading = data;

	if ((*section && strcmp(section, "nvfs") != 0) || strcmp(name, WHENDOWN_KEY) != 0)
		return 1;
	if (reading->result == 0) /* the first mistake counts: inih may go on after it */
		reading->result = whendown_parse(value, &reading->word, reading->err);
	return reading->result == 0;
}

int whendown_read(const char *path, enum when_down *ret, struct error *err)
{
	struct reading reading = { .word = WHEN_DOWN_FAIL, .err = err };
	auto_fclose FILE *file = fopen(path, "re");
	int line;

	if (!file && errno != ENOENT)
		return error_classify(err, error_set(err, -errno, "open '%s'", path), ERROR_USAGE);
	line = file ? ini_parse_file(file, on_key, &reading) : 0;
	if (reading.result < 0)
		return error_wrap(err, reading.result, "%s:%d", path, line);
	if (line != 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s:%d: not 'key = value'", path, line);
	*ret = reading.word;
	return 0;
}
