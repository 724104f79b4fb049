/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_LOG_H
#define NVFS_COMMON_LOG_H

/*
 * Only programs log; libraries return errors. One event, one line, on stderr,
 * with a "<N>" priority prefix where systemd reads it ($JOURNAL_STREAM names it,
 * systemd.exec(5), sd-daemon(3)). A warning ends ", ignoring" or ", using X".
 */

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/**
 * log_open() - name the program and set the level; call once, before threads
 * @program: printed in front of each line; borrowed for ever
 * @level:   messages above it are dropped
 */
void log_open(const char *program, enum log_level level);

/** log_is_journal() - does journald read the lines? */
bool log_is_journal(void);

/** log_to() - lines go to this descriptor, borrowed, and not to stderr; -1: nowhere */
void log_to(int fd);

/** log_msg() - print one line; safe from every thread */
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_msg(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
