/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_CDI_H
#define NVFS_CLI_CDI_H

#include <limits.h>
#include <stddef.h>

/** cmd_cdi() - "cdi generate" and "cdi list"; argv[0] is the command; gives the exit status */
int cmd_cdi(int argc, char **argv);

/**
 * cdi_claimed_by() - files that have devices of this kind
 * @dir:  of specifications; need not be there
 * @kind: "nvidia.com/gpu"
 * @but:  path of a file that does not count; NULL for none
 * @ret:  path of one of them
 *
 * Files are searched for the word: no file that claims the kind can be without it.
 *
 * Return: their number.
 */
size_t cdi_claimed_by(const char *dir, const char *kind, const char *but, char ret[PATH_MAX]);

#endif
