/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_SANDBOX_CALLS_H
#define NVFS_FS_SANDBOX_CALLS_H

#include <seccomp.h>
#include <stddef.h>

/* A system call, and the processes (enum sandbox_process) that may make it. */
struct sandbox_call {
	int number;
	unsigned int processes;
};

/** sandbox_calls() - calls allowed with any argument; static */
const struct sandbox_call *sandbox_calls(size_t *ret_n);

/** sandbox_calls_with_arguments() - rules for calls of which some forms are allowed; 0 or a negative errno */
int sandbox_calls_with_arguments(scmp_filter_ctx filter);

#endif
