/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_PROCESS_H
#define NVFS_FS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/* Who a process is, so that its number cannot be taken by another unnoticed. */
struct process {
	pid_t pid; /* in the daemon's pid namespace */
	uid_t uid; /* owner of /proc/PID: its effective uid */
	uint64_t start_time; /* field 22 of /proc/PID/stat, clock ticks since boot */
	uint64_t mnt_ns, user_ns, pid_ns; /* inode numbers in nsfs */
};

/**
 * process_from_pidfd() - who a pidfd stands for
 * @pidfd: from anybody; checked to be one; stays the caller's
 * @err:   message chain; ERROR_MOUNT
 *
 * Everything is read from /proc/PID and then the pidfd is asked whether the
 * process still lives, so that what was read was its own.
 *
 * Return: 0, -EBADF (no pidfd), -ESRCH (dead, or not in our pid namespace), or
 * the errno of reading /proc/PID.
 */
int process_from_pidfd(int pidfd, struct process *ret, struct error *err);

/** process_use_proc() - from now on by /proc alone, as before Linux 6.11: that has no namespaces of a pidfd */
void process_use_proc(void);

/**
 * process_namespaces() - the namespaces of a process, and nothing else
 * @pid: its number, which the caller knows already
 * @ret: pid and namespaces are set; uid and start_time stay 0: process_from_pid() tells them
 *
 * Without a look at /proc, which costs the daemon 0.1 ms and leaves entries there that a short-lived process
 * must take away itself when it exits.
 *
 * Return: 0, -ESRCH (it has ended), or another errno where the kernel cannot tell (before Linux 6.11).
 */
int process_namespaces(int pidfd, pid_t pid, struct process *ret);

/* Who root of a user namespace is outside of it. */
struct process_root {
	uid_t uid;
	gid_t gid;
};

/**
 * process_root() - root of the user namespace that a process is in, as we see it
 *
 * Source: /proc/PID/uid_map and gid_map, user_namespaces(7). The number may be
 * another process's by the time of the answer: the caller asks its pidfd afterwards.
 *
 * Return: 0, -ENXIO (nobody is its root) or the errno of reading /proc/PID.
 */
int process_root(pid_t pid, struct process_root *ret);

/** process_self() - the daemon itself */
int process_self(struct process *ret, struct error *err);

/** process_from_pid() - the same of a number, which may be another process's by the time of the answer */
int process_from_pid(pid_t pid, struct process *ret, struct error *err);

/**
 * process_could_enter() - could this process enter our mount namespace by itself?
 * @process: of another mount namespace, from process_from_pidfd(); the caller asks the pidfd again
 *           afterwards whether all of it was that process's
 *
 * setns(2) and namespaces(7): it takes CAP_SYS_ADMIN, CAP_SYS_CHROOT and, to open /proc/PID/ns/mnt of a
 * process with more capabilities, CAP_SYS_PTRACE, in our user namespace; our pid namespace, to see us at
 * all; and no security module that has another label for it. Beside that, its root directory must be ours:
 * who was given another one is to stay there.
 *
 * A container satisfies that only if it has the host's pid namespace, these capabilities without a user
 * namespace, no AppArmor or SELinux, and the host's root directory: then it is the host's root.
 */
bool process_could_enter(const struct process *process, const struct process *self);

/**
 * process_labels_match() - are two readings of /proc/PID/attr/current the same label? For process_could_enter()
 * @its, @ours: text, where @its_r and @our_r are 0; else these are the errnos of reading, and the text is
 *              not looked at
 *
 * proc_pid_attr(5): without a module that labels, reading is EINVAL for all alike. That alone, and two texts
 * without a difference, is the same label; whatever else could not be read is none that we know. Modes of
 * AppArmor, categories of SELinux and stacked profiles are parts of the text.
 */
bool process_labels_match(int its_r, const char *its, int our_r, const char *ours);

/** process_pidfd_is_dead() - poll(2) a pidfd */
bool process_pidfd_is_dead(int pidfd);

/** process_mnt_ns() - inode of a process's or thread's mount namespace; 0 where it cannot be told */
uint64_t process_mnt_ns(pid_t pid);

/* A question to all processes. */
struct process_wanted {
	uint64_t mnt_ns;  /* inode of a mount namespace */
	const char *tree; /* one that has the tree of this name mounted; NULL: any */
	pid_t pid;        /* the answer; 0: nobody */
};

/**
 * process_find_each() - a process for each of many mount namespaces, in one walk through /proc
 *
 * Numbers of namespaces come back: where a tree is mounted already, it is asked for. What a process has
 * mounted is read once, however many trees had its namespace's number.
 */
void process_find_each(struct process_wanted *wanted, size_t n);

/** process_find() - the same for one; its pid, or 0 */
pid_t process_find(uint64_t mnt_ns, const char *tree);

/* A question to all mount namespaces: is this directory of a filesystem mounted, or one below it? */
struct process_mounted {
	const char *root; /* from the filesystem's own root on, without a slash at the end */
	bool is_mounted;  /* the answer */
};

/**
 * process_mounts_each() - the answers to many of them, in one walk through /proc
 * @dev: of the filesystem
 *
 * Asks the kernel for the mounts of each mount namespace that a process is in,
 * see process_mounts_in_proc() for one that does not tell. For rare questions.
 */
void process_mounts_each(dev_t dev, struct process_mounted *asked, size_t n);

/**
 * process_mounts_in_proc() - the same before Linux 6.11
 *
 * Reads the mounts of each mount namespace that a process is in, and once more
 * for each root that somebody in it has: who is chrooted does not see all. What
 * no process of a namespace sees is missed. Where memory is out, or /proc cannot be read, the answer is yes.
 */
void process_mounts_in_proc(dev_t dev, struct process_mounted *asked, size_t n);

#endif
