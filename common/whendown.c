/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key of nvfs.conf, for programs that want no more of it. The daemon has it checked with all the others
 * when it starts: fs/config.c.
 */
#include "common/whendown.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/lines.h"

#define FILE_MAX (1024 * 1024) /* bytes, as for the daemon */

struct reading {
	enum when_down word;
	struct error *err;
	struct lines lines;
	int wrong; /* the first line with a mistake */
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
	return error_setc(err, ERROR_USAGE, -EINVAL,
			  WHENDOWN_KEY ": '%.40s' is neither fail nor skip", word);
}

/* inih's handler: 0 stops with the line's number. */
static int on_key(void *data, const char *section, const char *name, const char *value)
{
	struct reading *reading = data;

	if ((*section && strcmp(section, "nvfs") != 0) || strcmp(name, WHENDOWN_KEY) != 0)
		return 1;
	if (reading->result < 0) /* the first mistake counts: inih may go on after it */
		return 0;
	reading->result = whendown_parse(value, &reading->word, reading->err);
	reading->wrong = reading->lines.number;
	return reading->result == 0;
}

int whendown_read(const char *path, enum when_down *ret, struct error *err)
{
	struct reading reading = { .word = WHEN_DOWN_FAIL, .err = err };
	auto_free char *text = NULL;
	int line, r = file_read_at(AT_FDCWD, path, FILE_MAX, &text, NULL, err);

	if (r < 0 && r != -ENOENT)
		return error_classify(err, r, ERROR_USAGE);
	reading.lines.at = text ? text : "";
	line = lines_too_long(reading.lines.at, LINES_INI_MAX);
	if (line)
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s:%d: a line of more than %d bytes",
				  path, line, LINES_INI_MAX);
	line = ini_parse_stream(lines_next, &reading.lines, on_key, &reading);
	if (reading.result < 0)
		return error_wrap(err, reading.result, "%s:%d", path, reading.wrong);
	if (line != 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s:%d: not 'key = value'", path,
				  line);
	*ret = reading.word;
	return 0;
}
