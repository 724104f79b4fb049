/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_OWNERS_H
#define NVFS_INJECT_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/*
 * Whose directories a container's names may be made in. Who makes a user namespace may mount any
 * directory that he can see as its root, or in it, the host's own included. So names are made, moved and
 * taken away only in directories of users that the namespace has ids for: those the container could
 * write to by itself.
 */

#define OWNERS_MAX 64 /* lines of a map that count; a namespace has 340 at most, and as a rule two */

/* Zero: everybody's. */
struct owners {
	bool limited;
	size_t n;
	struct {
		uint32_t first, count; /* uids as we see them */
	} range[OWNERS_MAX];
};

/**
 * owners_read() - by the user namespace that a mount namespace belongs to
 * @proc_pid: O_PATH, /proc/PID of a process in the mount namespace; -1: our own namespaces, no limit
 * @mntns:    the mount namespace
 *
 * Where that is our own user namespace there is no limit. Where the process is in a third one, nobody's
 * directories are.
 * Privilege: CAP_SYS_PTRACE. Source: ioctl_ns(2), NS_GET_USERNS; user_namespaces(7), uid_map.
 *
 * Return: 0 or the errno of reading.
 */
int owners_read(int proc_pid, int mntns, struct owners *ret, struct error *err);

/** owners_parse() - lines "inside outside count" of a uid_map; what is none limits more */
void owners_parse(const char *uid_map, struct owners *ret);

/** owners_have() - does a directory of this user count? */
bool owners_have(const struct owners *owners, uid_t uid);

#endif
