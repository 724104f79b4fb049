/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_CGROUP_H
#define NVFS_INJECT_CGROUP_H

/*
 * Permission of device nodes in a container's device cgroups: devices.allow on
 * cgroup v1, the BPF_CGROUP_DEVICE programs on v2, both where a host has both.
 *
 * The rule that must not be broken: a cgroup that also holds processes outside
 * the container is never changed.
 *
 * Everything here works on the caller's own view of /proc and of the cgroup
 * mounts, so it is called before any setns(2). Single-threaded.
 * Privilege: CAP_SYS_ADMIN (bpf(2), devices.allow), CAP_NET_ADMIN (bpf(2) on
 * Linux 6.1) and CAP_SYS_PTRACE (the /proc/PID/ns links of the container's
 * processes).
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cgroup_text.h"

struct error;

/* What was found or done at one cgroup; strings and rules belong to the cgroup_undo. */
struct cgroup_change {
	unsigned int version; /* of the hierarchy: 1 or 2 */
	const char *path;     /* directory, as this process sees it */
	const char *result;   /* "changed", "unchanged" (allowed already), "detached" (a program of
			       * ours that systemd has put another one beside), "unknown" (an
			       * ancestor's program that cannot be read and is not ours to change) */
	uint32_t program_before, program_after; /* v2: program ids; equal if unchanged */
	const struct cgroup_rule *added;	/* rules, or access bits, that were not there */
	size_t n_added;
};

struct cgroup_target; /* one container's cgroups, pinned by fd */
struct cgroup_undo;   /* what cgroup_allow() did */

/**
 * cgroup_target_open() - find and pin the device cgroups of a process
 * @pid:         the process, as the /proc that it was named by counts
 * @proc_pid_fd: O_PATH directory fd of /proc/PID; borrowed for the call
 * @ret:         new target; the caller releases it with cgroup_target_free()
 * @err:         message chain, may be NULL
 *
 * Reads /proc/PID/cgroup and, where the hierarchies are not in their usual places, our own
 * mountinfo, and opens the directory of the
 * process and of its visible ancestors in the v1 devices hierarchy and in v2.
 * The process must be listed in the directory found. No hierarchy at all, or
 * none mounted here, is a success: there is nothing to do then.
 * Source: cgroups(7), proc(5).
 *
 * Return: 0, -ESRCH (process gone, ERROR_MOUNT, or moved, ERROR_AGAIN), -EXDEV (its cgroup lies
 * outside what this process can see, ERROR_PERMISSION), -EINVAL (unreadable text),
 * -ENOMEM or the errno of open(2).
 */
int cgroup_target_open(pid_t pid, int proc_pid_fd, struct cgroup_target **ret, struct error *err);

/**
 * cgroup_target_adopt() - count what looks like ours in the container's own cgroup as not there
 *
 * For a container of which the daemon knows nothing: an injector that was killed before it could
 * tell has left rules of the form that we write, and they must be recorded to be taken back later.
 * On v1 that form, exactly the access asked for and no mknod, is all there is to know them by.
 */
void cgroup_target_adopt(struct cgroup_target *target);

#define CGROUP_LEVELS_MAX 128
#define CGROUP_ORIGINALS_MAX 16 /* of one cgroup, in the record */
#define CGROUP_ORIGINALS_ALL (CGROUP_LEVELS_MAX * CGROUP_ORIGINALS_MAX)

/** cgroup_target_has() - is this, of v1 or v2, the process's own cgroup or one above it? */
bool cgroup_target_has(const struct cgroup_target *target, unsigned int version, const char *path);

/**
 * cgroup_target_originals() - programs that ours have been put in the place of, the oldest first
 * @ids: of all its cgroups; the last CGROUP_ORIGINALS_ALL are kept
 *
 * Whoever attached one still has it: cgroup_revoke() puts it back rather than a copy, which its
 * owner would not know and never take away.
 */
void cgroup_target_originals(struct cgroup_target *target, const uint32_t *ids, size_t n);

/** cgroup_target_free() - close everything; NULL is fine */
void cgroup_target_free(struct cgroup_target *target);

/**
 * cgroup_allow() - permit the devices in every cgroup of the target that denies them
 * @target: from cgroup_target_open(); may be freed before @ret
 * @rules:  borrowed for the call; @n may be 0
 * @ret:    what was done, also when nothing had to be changed; the caller
 *          releases it with cgroup_undo_free(), which undoes nothing
 * @err:    message chain, may be NULL
 *
 * Idempotent, and whole or nothing: on failure what was done before is undone.
 * A cgroup that denies and holds foreign processes is refused by name before
 * anything is changed.
 *
 * Return: 0, -EPERM (foreign processes, or no privilege; ERROR_PERMISSION),
 * -EOPNOTSUPP (a program that cannot be extended; ERROR_PERMISSION), -EAGAIN
 * (programs kept changing under us; ERROR_AGAIN), -EINVAL (a bad rule), -ENOMEM
 * or another errno of bpf(2) or write(2).
 */
int cgroup_allow(struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		 struct cgroup_undo **ret, struct error *err);

/**
 * cgroup_undo() - take back what cgroup_allow() did, in reverse
 *
 * Goes on after a failure and returns the first one. A program that somebody
 * else has replaced since is left alone. A second call does nothing.
 *
 * Return: 0 or a negative errno.
 */
int cgroup_undo(struct cgroup_undo *undo, struct error *err);

/** cgroup_undo_free() - release the memory and fds; NULL is fine */
void cgroup_undo_free(struct cgroup_undo *undo);

/** cgroup_undo_count() - number of cgroups looked at that restrict devices at all */
size_t cgroup_undo_count(const struct cgroup_undo *undo);

/** cgroup_undo_at() - one of them, for the record; borrowed from @undo */
const struct cgroup_change *cgroup_undo_at(const struct cgroup_undo *undo, size_t i);

/**
 * cgroup_undo_added() - the rules to hand to cgroup_revoke() for a later removal
 * @ret: borrowed from @undo; each device once, with the access bits that were added
 *
 * Return: their number; 0 when the container had everything before.
 */
size_t cgroup_undo_added(const struct cgroup_undo *undo, const struct cgroup_rule **ret);

/**
 * cgroup_undo_asked() - the rules that cgroup_allow() was called with
 * @ret: borrowed from @undo
 */
size_t cgroup_undo_asked(const struct cgroup_undo *undo, const struct cgroup_rule **ret);

/**
 * cgroup_undo_note() - one line for people: "changed '/sys/fs/cgroup/...' (program 12 -> 15)",
 * or "unchanged"; cut to @size
 */
void cgroup_undo_note(const struct cgroup_undo *undo, char *buf, size_t size);

/**
 * cgroup_revoke() - take the permission back, possibly long after cgroup_allow()
 * @rules: what cgroup_undo_added() gave at the time; rules that the runtime itself
 *         had given must not be among them
 *
 * v2: our rules at the head of a program are removed, the runtime's own program
 * goes on; v1: devices.deny of the exact lines. What is not there is not an error.
 * The process's own cgroup loses them whoever is in it. One above it that holds foreign processes
 * is left alone, and on v2 that is an error where nothing in the own one denies the devices: the
 * container would keep them.
 *
 * Return: 0 or a negative errno as for cgroup_allow(); all that can be taken back below the cgroup
 * that failed has been.
 */
int cgroup_revoke(struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		  struct error *err);

#endif
