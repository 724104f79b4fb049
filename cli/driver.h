/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_DRIVER_H
#define NVFS_CLI_DRIVER_H

/**
 * cmd_driver() - `nvfs driver`: what was found of the driver, where, and what is missing
 * @argc: with @argv[0] = "driver"
 *
 * Prints text, or with --json one JSON object, on stdout; errors on stderr.
 *
 * Return: the exit status (0, or an enum error_class).
 */
int cmd_driver(int argc, char **argv);

#endif
