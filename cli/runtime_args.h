/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_RUNTIME_ARGS_H
#define NVFS_CLI_RUNTIME_ARGS_H

#include <stdbool.h>

/* A command line of runc's or crun's, as far as it concerns a container's config.json. */
struct runtime_call {
	bool makes;         /* "create" or "run": a container is made */
	const char *bundle; /* part of argv; "." where none is named */
	const char *config; /* crun's --config: another file than the bundle's; NULL */
};

/**
 * runtime_args_parse() - what a runtime is called for
 * @argv: ends with NULL; borrowed
 *
 * Options of other runtimes are passed over: what makes a container is one of two words, and what
 * stands before them cannot be one of a runtime's commands, but for values of options known here.
 * Source: runc(8), crun(1); OCI runtime-tools, command-line-interface.md.
 */
void runtime_args_parse(char *const argv[], struct runtime_call *ret);

#endif
