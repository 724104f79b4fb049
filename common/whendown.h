/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_WHENDOWN_H
#define NVFS_COMMON_WHENDOWN_H

struct error;

/*
 * on_daemon_down of nvfs.conf(5): what becomes of a container that asks for GPUs while nobody serves them.
 * It is the one key that is needed when there is no daemon to ask.
 */
enum when_down { WHEN_DOWN_FAIL, WHEN_DOWN_SKIP };

#define WHENDOWN_KEY "on_daemon_down"

/** whendown_parse() - "fail" or "skip"; 0, or -EINVAL (ERROR_USAGE) and @ret untouched */
int whendown_parse(const char *word, enum when_down *ret, struct error *err);

/** whendown_name() - its word; static storage */
const char *whendown_name(enum when_down word);

/**
 * whendown_read() - this key of a configuration, without looking at any other
 * @path: INI file, borrowed; one that is not there says nothing
 * @ret:  what it says, WHEN_DOWN_FAIL unless it says anything; untouched on failure
 *
 * Return: 0, -EINVAL (a value that cannot be, or a line that is none), or the errno of open(2); ERROR_USAGE.
 */
int whendown_read(const char *path, enum when_down *ret, struct error *err);

#endif
