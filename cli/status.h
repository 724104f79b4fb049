/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_STATUS_H
#define NVFS_CLI_STATUS_H

#include <jansson.h>

/** cmd_status() - `nvfs status`: what the daemon does, in several forms; gives the exit status */
int cmd_status(int argc, char **argv);

/**
 * status_check() - is all well with the daemon?
 * @connect_ms, @answer_ms: how long that may take
 *
 * Return: a new object, {"state": "ok", "degraded" or "down", "reasons": [...]} and what io.nvfs.Check has beside.
 */
json_t *status_check(const char *socket_path, unsigned int connect_ms, unsigned int answer_ms);

/**
 * status_quantile() - a duration that a part of the requests did not exceed
 * @latency: of the daemon's counters: bounds_us, and operations with their buckets
 * @percent: 1 to 100
 *
 * Over all operations. Return: the upper bound in us of the bucket where that
 * part is reached; 0 where there were no requests; -1 above all bounds.
 */
long long status_quantile(const json_t *latency, unsigned int percent);

#endif
