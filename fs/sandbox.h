/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_SANDBOX_H
#define NVFS_FS_SANDBOX_H

/*
 * What each process of `nvfs serve` may still do once it has started. The
 * permitted set of capabilities only ever shrinks, no_new_privs is set, and a
 * child has at most what its parent has.
 *
 *   process      capability       until       for
 *   keeper       in effect: none  from start  nothing: it waits, starts daemons, signals its own child
 *     handed on  all of the below its end     a daemon that it starts has them by execve(2) as root,
 *                                             and the program that takes its place at a handover
 *     at its end SYS_ADMIN        its end     umount2 of a mount that its last daemon has left dead
 *   daemon       SYS_ADMIN        its end     mount and umount2 of the superblock, FUSE backing ids,
 *                                             clones of mounts and their flags
 *                SYS_PTRACE       its end     /proc/PID/ns of containers, whose processes may have more
 *                                             capabilities than this one
 *                DAC_READ_SEARCH  its end     configured roots below directories of others
 *                KILL             its end     to end the cache parser, which is nobody's process
 *     handed on  SETUID, SETGID   its end     the cache parser becomes nobody
 *                SETPCAP          its end     the cache parser empties its bounding set
 *                DAC_OVERRIDE,
 *                SYS_CHROOT,
 *                NET_ADMIN        its end     nvinject as a child: setns(2), an image's directories,
 *                                             device programs before Linux 5.8
 *                MKNOD, CHOWN     its end     the lock donor (donor.h): device nodes for one container
 *     FUSE       SYS_PTRACE       its end     what serves containers' requests: whose they are (opens.h).
 *     threads                                 Each such thread gives the rest up, for good
 *     closing    as the daemon    its end     FUSE backing ids, whose end may wait for the host (closer.h)
 *     thread
 *     read       none             -           threads in which reads wait for the host (hostread.h)
 *     threads
 *   looker       DAC_READ_SEARCH  its end     the driver's files, wherever they lie (see look.h)
 *   cache parser none             -           foreign bytes: uid nobody, nothing in any set
 *   NVML         none             -           foreign code: likewise, or the uid and gid that the
 *                                             configuration names, and a list of calls of its own
 *                                             (nvmlbox.h)
 *
 * "Handed on" is permitted and not in effect. CAP_SYS_ADMIN is as good as root:
 * this is no cell for a daemon that an attacker has taken over. It takes away
 * what a daemon gone astray would use first, modules, raw devices, the
 * network, tracing, and makes every attempt heard.
 *
 * System calls: an allow-list (sandbox_calls.c), one for each kind of process.
 * It is inherited and cannot be taken off, so that the keeper's list has
 * everything that any of its descendants needs: what a daemon calls while it
 * starts, the parser, nvinject. The daemon's own list, once it has started, lacks
 * what only starting needs.
 *
 * A call that is not on the list does not end the process. To kill would turn
 * each gap in the list, after an upgrade of libc say, into a dead node: the
 * successor would make the same call. It fails with ENOSYS, as on a kernel
 * without it, for which libraries have another way, while few expect EPERM of a
 * plain call. It is said in the log by name, and counted in nvfs status. A child that
 * execve(2) made has no such handler: there it is death by SIGSYS, which whoever
 * waits for it reports. Calls of a foreign ABI (i386, x32) are death for all.
 *
 * At a handover the keeper executes the new program in its place, under the list
 * that it has; so do the daemons that it starts from then on. A program that needs
 * more does not say that it could take over, and the handover is refused; a new
 * nvfs serve, which takes over from a daemon without a keeper, has a list of its own. Taking the descriptors of another keeper's daemon (adopt.h)
 * happens before the keeper gives anything up.
 *
 * To extend: a call goes into the table of sandbox_calls.c with the processes
 * that make it and the reason; a capability into the table of sandbox.c and
 * the one above. What a new child of the keeper or daemon calls counts for
 * both, as SANDBOX_KEEPER | SANDBOX_DAEMON. NVFS_DISABLE=seccomp turns the
 * lists off, for kernels and libraries that nobody has tried.
 */

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

struct error;

enum sandbox_process {
	SANDBOX_KEEPER = 1,
	SANDBOX_DAEMON = 2,
	/* These have no list of their own beside the daemon's or keeper's. */
	SANDBOX_LOOKER = 4,
	SANDBOX_FUSE_THREAD = 8,
	SANDBOX_READ_THREAD = 16,
	SANDBOX_KEEPER_END = 32,
};

/**
 * sandbox_limit() - capabilities of this kind of process, and no way back
 *
 * Capabilities of the calling thread and of those that it makes: to be called
 * while there is one. What the process never had is no error: the call that
 * needs it will say so. It is not dumpable afterwards: another process of
 * uid 0, that of a container say, can neither trace it nor follow its
 * descriptors, and it leaves no core.
 *
 * Return: 0 or the errno of capset(2) or prctl(2).
 */
int sandbox_limit(enum sandbox_process process, struct error *err);

/** sandbox_limit_thread() - capabilities of the calling thread alone; 0 or the errno of capset(2) */
int sandbox_limit_thread(enum sandbox_process process);

/*
 * Owns nothing, and is nobody's but ours: what other services run as 65534, the kernel's overflow id, could signal
 * our processes and change their limits. Debian's policy reserves 65000 to 65533, and systemd's UIDS-GIDS.md
 * knows 65520 to 65533 as unused; images have 65532 and 65533.
 */
#define SANDBOX_NOBODY 65531

/**
 * sandbox_become() - somebody else, for good: who can do nothing that anybody could not do
 *
 * No capabilities in any set, no supplementary groups, no_new_privs, not dumpable, and in "/". Who is not
 * root keeps its ids. To be called while there is one thread.
 *
 * Return: 0 or a negative errno: the process is then to end.
 */
int sandbox_become(uid_t uid, gid_t gid);

/** sandbox_drop_bounding() - nothing can come back by execve(2); needs CAP_SETPCAP, else -EPERM */
int sandbox_drop_bounding(void);

/**
 * sandbox_limit_resource() - setrlimit(2), but that a limit which is lower already, of a service, stays
 * @soft, @hard: in the resource's unit
 *
 * Return: 0 or the errno of setrlimit(2).
 */
int sandbox_limit_resource(int resource, rlim_t soft, rlim_t hard);

/**
 * sandbox_filter() - from now on only the calls of this kind of process, for all its threads
 *
 * Threads must not block SIGSYS. Does nothing where $NVFS_DISABLE has "seccomp".
 *
 * Return: 0, -ENOMEM or the errno of seccomp(2).
 */
int sandbox_filter(enum sandbox_process process, struct error *err);

/**
 * sandbox_filter_inherited() - the same for a program that was executed in place of one that has its list
 *
 * The list is on already, and another copy at every such exec would end at the kernel's limit.
 */
int sandbox_filter_inherited(struct error *err);

/** sandbox_is_filtered() - has this process its list of system calls? */
int sandbox_is_filtered(void);

/* A system call that was refused. */
struct sandbox_refusal {
	char call[32]; /* "ptrace", or its number */
	unsigned int count;
};

#define SANDBOX_REFUSALS_MAX 16 /* different ones; further ones are refused and not counted */

/** sandbox_refusals() - those of this process so far; returns their number */
size_t sandbox_refusals(struct sandbox_refusal ret[SANDBOX_REFUSALS_MAX]);

/** sandbox_report() - log what was refused for the first time since the last call */
void sandbox_report(void);

#endif
