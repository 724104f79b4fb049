/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Privilege, told in phases. The effective set is that of the phase; the
 * permitted set only ever shrinks, and is empty in the last phase. The child
 * that enters a container takes PRIVILEGE_INSIDE, which has no way back: its
 * credentials are its own, those of the parent stay as they are.
 *
 * The system call filters are in filter.c: one for all that is read and done outside a
 * container, and a narrower one in a child that enters it.
 */
#include "inject/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/filter.h"
#include "inject/regular.h"

#define DESCRIPTORS 1024 /* more than an injection opens, but for hundreds of channels */

#define BIT(cap) (UINT64_C(1) << (cap))

/* setns(2) into a mount namespace needs SYS_ADMIN and SYS_CHROOT; move_mount(2) SYS_ADMIN;
 * fsuid and fsgid of a directory's owner SETUID and SETGID; a directory of somebody
 * else's in the image DAC_OVERRIDE. */
#define INSIDE                                                                          \
	(BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_CHROOT) | BIT(CAP_SETUID) | BIT(CAP_SETGID) | \
	 BIT(CAP_DAC_OVERRIDE))

/* The bundle of a container with a user namespace belongs to its root, and may be closed to others. */
#define BUNDLE BIT(CAP_DAC_OVERRIDE)

/* /proc/PID/ns and /proc/PID/root of a container's process. */
#define PIN BIT(CAP_SYS_PTRACE)

/* bpf(2) on a cgroup and devices.allow; /proc/PID/ns of the cgroup's processes. Linux 6.1 asks for
 * NET_ADMIN to query and attach a cgroup's program, and SYS_ADMIN does not stand in for it. */
#define CGROUP (BIT(CAP_SYS_ADMIN) | BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_PTRACE))

static const struct {
	uint64_t effective, permitted;
} phases[] = {
	[PRIVILEGE_START] = { 0, PIN | CGROUP | INSIDE },
	[PRIVILEGE_BUNDLE] = { BUNDLE, PIN | CGROUP | INSIDE },
	[PRIVILEGE_PIN] = { PIN, PIN | CGROUP | INSIDE },
	[PRIVILEGE_CGROUP] = { CGROUP, PIN | CGROUP | INSIDE },
	[PRIVILEGE_INSIDE] = { INSIDE, INSIDE },
	[PRIVILEGE_REPORT] = { 0, 0 },
};

/* Read once: each look by libcap is three system calls, and a set only ever shrinks. */
static cap_t next;   /* what is to be in effect next */
static uint64_t had; /* permitted at the start */

static int read_capabilities(void)
{
	next = cap_get_proc();
	if (!next)
		return -errno;
	for (cap_value_t cap = 0; cap < 64; cap++) {
		cap_flag_value_t value = CAP_CLEAR;

		if (cap_get_flag(next, cap, CAP_PERMITTED, &value) == 0 && value == CAP_SET)
			had |= BIT(cap);
	}
	return 0;
}

/* What was inherited beyond stderr, and 0 to 2 if somebody closed them: no file of ours may become one. */
static int tidy_descriptors(unsigned int first)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	}
	return sys_close_range(first, ~0U, 0);
}

/* Each node needs some, and the usual soft limit is too low for as many as one message brings. */
static int raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

/*
 * The descriptor table grows to its full size while nobody shares it. In a table that is shared,
 * as it is with the child that enters the container, each growth waits for an RCU grace period:
 * 25 ms on a machine with 16 processors. Source: expand_fdtable(), fs/file.c.
 */
static void grow_descriptor_table(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, DESCRIPTORS - 1);

	cleanup_close(&fd); /* -1 where RLIMIT_NOFILE is lower: slower, that is all */
}

int privilege_init(unsigned int first, struct error *err)
{
	sigset_t none;
	int r;

	if (clearenv() != 0 || chdir("/") < 0)
		return error_set(err, -EIO, "clear the environment");
	(void)umask(0);
	(void)sigemptyset(&none);
	if (signal(SIGCHLD, SIG_DFL) == SIG_ERR || signal(SIGALRM, SIG_DFL) == SIG_ERR ||
	    sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return error_set(err, -errno, "reset signals");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, -errno, "prctl");
	r = tidy_descriptors(first);
	if (r < 0)
		return error_set(err, r, "close inherited descriptors");
	r = raise_descriptor_limit();
	if (r < 0)
		return error_set(err, r, "raise RLIMIT_NOFILE");
	grow_descriptor_table();
	r = regular_init();
	return r < 0 ? error_set(err, r, "open '/proc'") : privilege_enter(PRIVILEGE_START, err);
}

int privilege_filter(struct error *err)
{
	static bool done;
	int r = done ? 0 : filter_enter(FILTER_HOST, err);

	done = r == 0;
	return r;
}

int privilege_stay_hidden(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* @wanted, as far as we had it at the start, becomes @flag of @caps. */
static int put_flag(cap_t caps, cap_flag_t flag, uint64_t wanted)
{
	cap_value_t list[64];
	int n = 0;

	for (cap_value_t cap = 0; cap < 64; cap++) {
		if (wanted & had & BIT(cap))
			list[n++] = cap;
	}
	return n && cap_set_flag(caps, flag, n, list, CAP_SET) < 0 ? -errno : 0;
}

int privilege_enter(enum privilege_phase phase, struct error *err)
{
	int r = next ? 0 : read_capabilities();

	if (r == 0 && cap_clear(next) < 0)
		r = -errno;
	r = r ? r : put_flag(next, CAP_PERMITTED, phases[phase].permitted);
	r = r ? r : put_flag(next, CAP_EFFECTIVE, phases[phase].effective);
	if (r == 0 && cap_set_proc(next) < 0)
		r = -errno;
	return r < 0 ? error_set(err, r, "limit capabilities") : 0;
}
