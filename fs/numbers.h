/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_NUMBERS_H
#define NVFS_FS_NUMBERS_H

/* Numbers of io.nvfs.Status that are counted when somebody asks. Threads: the control thread's. */

#include <jansson.h>

struct daemon;

/**
 * numbers_views() - trees by state, "in_use", "ending" and "reference", and "stale", those of another
 * generation than the present one
 *
 * Return: a new reference, or NULL (out of memory).
 */
json_t *numbers_views(const struct daemon *daemon);

/**
 * numbers_process() - "cpu_us", "resident_bytes", "open_fds" and "max_fds" of this process
 *
 * Source: getrusage(2), proc_pid_statm(5), proc_pid_fd(5), getrlimit(2). What cannot be told is 0.
 *
 * Return: a new reference, or NULL (out of memory).
 */
json_t *numbers_process(void);

#endif
