/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_OUTPUT_H
#define NVFS_CLI_OUTPUT_H

struct error;

/**
 * output_write() - give the file that the user named this text
 * @path: a regular file, or none yet, is replaced at once and whole; anything else, as /dev/stdout, is written to
 *
 * Return: 0 or a negative errno: then a regular file is as it was.
 */
int output_write(const char *path, const char *text, struct error *err);

#endif
