/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_FILTER_H
#define NVFS_INJECT_FILTER_H

struct error;

/*
 * System calls that are left, told in filter.c. A filter cannot be taken off
 * again, and a child has its parent's, too. Needs no_new_privs.
 * Source: seccomp(2), Documentation/userspace-api/seccomp_filter.rst.
 */
enum filter_place {
	FILTER_HOST,   /* from the start: no execve, no ptrace, no mount(2); others fail with EPERM */
	FILTER_INSIDE, /* where a container is changed: no socket, no bpf, no new process; others kill */
};

/**
 * filter_enter() - put a filter on
 *
 * Not for nothing: about 0.04 ms, the kernel's own work on the program.
 * Return: 0, also on a kernel without seccomp, or a negative errno.
 */
int filter_enter(enum filter_place place, struct error *err);

#endif
