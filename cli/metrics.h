/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_METRICS_H
#define NVFS_CLI_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/**
 * metrics_print() - the daemon's numbers in the Prometheus text exposition format, 0.0.4
 * @status: reply of io.nvfs.Status; NULL where the daemon is down: nvfs_up is 0 then, and all there is
 * @degraded: of io.nvfs.Check
 *
 * Source: prometheus.io, "Exposition formats".
 */
void metrics_print(FILE *out, const json_t *status, bool degraded);

#endif
