/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_METRICS_COMMAND_H
#define NVFS_CLI_METRICS_COMMAND_H

/** cmd_metrics() - `nvfs metrics`; gives the exit status */
int cmd_metrics(int argc, char **argv);

/**
 * metrics_run() - ask the daemon, and write its numbers
 * @textfile: replaced at once and whole; NULL: standard output
 *
 * Where no daemon answers that is written, too, and the exit status says it.
 *
 * Return: the exit status.
 */
int metrics_run(const char *socket_path, const char *textfile);

#endif
