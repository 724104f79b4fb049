/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_FILTER_H
#define NVFS_INJECT_FILTER_H

#include <stddef.h>

struct error;
struct sock_filter;

/*
 * System calls that are left, told in filter.c. A filter cannot be taken off
 * again, and a child that is forked later has its parent's, too. Needs no_new_privs.
 * Source: seccomp(2), Documentation/userspace-api/seccomp_filter.rst.
 */
enum filter_place {
	FILTER_HOST,   /* outside containers: no execve, no ptrace, no mount(2); others fail with EPERM */
	FILTER_INSIDE, /* where a container is changed: no socket, no bpf, no new process; of prctl(2), what
			* privilege_stay_hidden() needs; others kill */
};

/**
 * filter_enter() - put a filter on
 *
 * Not for nothing: about 0.04 ms, the kernel's own work on the program.
 * Return: 0, also on a kernel without seccomp, or a negative errno; then the caller must not go on.
 */
int filter_enter(enum filter_place place, struct error *err);

#define FILTER_CALLS_MAX 128
#define FILTER_PROGRAM_MAX 80

/** filter_calls() - the list of what is allowed with any argument, in no order; for the program and its test */
size_t filter_calls(enum filter_place place, int ret[FILTER_CALLS_MAX]);

/** filter_program() - what filter_enter() puts on; @ret: room for FILTER_PROGRAM_MAX; number of instructions */
unsigned short filter_program(enum filter_place place, struct sock_filter *ret);

#endif
