/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_PRIVILEGE_H
#define NVFS_INJECT_PRIVILEGE_H

struct error;

/* In the order in which the program passes through them; the table is in privilege.c. */
enum privilege_phase {
	PRIVILEGE_START,  /* arguments, talk to the daemon: none in effect */
	PRIVILEGE_BUNDLE, /* a hook's state and config.json */
	PRIVILEGE_PIN,    /* pidfd, namespace, root and cgroups of the target */
	PRIVILEGE_CGROUP, /* device cgroups, done and undone */
	PRIVILEGE_INSIDE, /* a child in the container's mount namespace, for good */
	PRIVILEGE_REPORT, /* print the result: nothing is left */
};

/**
 * privilege_init() - close every door that is not needed from the start
 * @first: descriptors from this one on are closed: 3, or behind those that the caller has opened
 *
 * No new privileges by execve, no core dump or ptrace by the same uid, no
 * inherited descriptor from @first on, no environment, no inherited signal
 * disposition that would disturb waiting, "/" as the working directory,
 * umask 0 (modes are given in full).
 *
 * Return: 0 or a negative errno.
 */
int privilege_init(unsigned int first, struct error *err);

/**
 * privilege_filter() - from now on, the system calls that are needed outside a container alone
 *
 * Before a text is read that others can choose. Compiling the filter takes as long as the start of the
 * child that enters the container, which has one of its own: an injection starts that one first. After the
 * first time nothing.
 *
 * Return: 0 or a negative errno; then the caller must not go on.
 */
int privilege_filter(struct error *err);

/**
 * privilege_stay_hidden() - again no one's to trace or dump, and gone with our parent
 *
 * For the child that enters a container. Each change of its ids or capabilities, that of fsuid and
 * fsgid too, makes it what fs.suid_dumpable says, and takes the death signal away.
 * Source: prctl(2), PR_SET_DUMPABLE and PR_SET_PDEATHSIG.
 *
 * Return: 0 or a negative errno.
 */
int privilege_stay_hidden(void);

/**
 * privilege_enter() - put a phase's capabilities into effect and give up for
 * ever those that it and its successors do not need
 *
 * Capabilities that the caller never had are not an error here: the call that
 * needs them will say so. START, PIN and CGROUP may alternate.
 *
 * Return: 0 or a negative errno; then the caller must not go on.
 */
int privilege_enter(enum privilege_phase phase, struct error *err);

#endif
