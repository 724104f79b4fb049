/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_LOCAL_H
#define NVFS_CLI_LOCAL_H

#include <jansson.h>
#include <stdbool.h>

#include "nvml/driver.h"

struct error;

/* What the commands share that look at the host themselves: no daemon, no NVML, no privilege. */

struct local_options {
	struct driver_config config;
	bool is_elsewhere;  /* a directory was named: the daemon may have others */
	const char *socket; /* of the daemon; NULL: none was named */
	bool json;
	bool help;
};

/**
 * local_options() - read --driver-root, --proc-root, --json and --help
 * @may_ask: and --socket, of a command that asks the daemon where there is one; --rules-dir of one that does not
 *
 * Return: 0, or -1 where usage is to be printed; what was wrong has been told.
 */
int local_options(int argc, char **argv, bool may_ask, struct local_options *ret);

/** local_print_json() - write it to standard output and release it; gives the exit status */
int local_print_json(json_t *json);

/**
 * local_tell_error() - as a line on standard error, and as JSON where that is asked for
 * @trace: by which the daemon's log has it; NULL where it was not asked
 *
 * Return: the exit status.
 */
int local_tell_error(const struct error *err, const char *trace, bool json);

/** local_flush() - @status, or EXIT_FAILURE with a word where standard output could not be written
 */
int local_flush(int status);

#endif
