/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines are put together in one buffer and written by one write(2), so
 * that lines of several threads do not mix. The program's name, level and descriptor
 * are the one global of the project: they are set before threads and never change.
 */
#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *log_program = "nvfs";
static enum log_level log_level_max = LOG_LEVEL_INFO;
static bool log_prefix;
static int log_fd = STDERR_FILENO;

/*
 * Is standard error the stream that journald reads? $JOURNAL_STREAM is its device and inode: it is inherited
 * also by who has redirected standard error to a file. systemd.exec(5).
 */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *program, enum log_level level)
{
	log_program = program;
	log_level_max = level;
	log_prefix = is_journal();
}

bool log_is_journal(void)
{
	return log_prefix;
}

void log_to(int fd)
{
	log_fd = fd;
	log_prefix = log_prefix && fd == STDERR_FILENO;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	size_t len = 0;
	va_list ap;

	if (level > log_level_max || log_fd < 0)
		return;
	if (log_prefix)
		len = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		len = (size_t)snprintf(line, sizeof(line), "%s: ", log_program);
	va_start(ap, fmt);
	(void)vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	if (write(log_fd, line, len) < 0)
		return; /* nobody to tell */
}
