/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities by kind of process: the table of sandbox.h, and how it is put into force. */
#include "fs/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/error.h"

#define BIT(cap) (UINT64_C(1) << (cap))

#define DAEMON (BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_KILL))
#define PARSER (BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP))
#define NVINJECT (BIT(CAP_DAC_OVERRIDE) | BIT(CAP_SYS_CHROOT) | BIT(CAP_NET_ADMIN))
#define DONOR (BIT(CAP_MKNOD) | BIT(CAP_CHOWN))
#define HANDED_ON (DAEMON | PARSER | NVINJECT | DONOR)

#define FUSE_THREAD BIT(CAP_SYS_PTRACE)
#define LOOKER BIT(CAP_DAC_READ_SEARCH)

static uint64_t effective_of(enum sandbox_process process)
{
	switch (process) {
	case SANDBOX_KEEPER_END:
		return BIT(CAP_SYS_ADMIN);
	case SANDBOX_DAEMON:
		return DAEMON;
	case SANDBOX_FUSE_THREAD:
		return FUSE_THREAD;
	case SANDBOX_LOOKER:
		return LOOKER;
	default:
		return 0;
	}
}

/* What it may hand on to its children as well. */
static uint64_t permitted_of(enum sandbox_process process)
{
	return process == SANDBOX_KEEPER || process == SANDBOX_DAEMON ? HANDED_ON
								      : effective_of(process);
}

/* @wanted, as far as we have it, becomes @flag of @caps. */
static int put_flag(cap_t caps, cap_t have, cap_flag_t flag, uint64_t wanted)
{
	for (cap_value_t cap = 0; cap < 64; cap++) {
		cap_flag_value_t value = CAP_CLEAR;

		if (!(wanted & BIT(cap)) || cap_get_flag(have, cap, CAP_PERMITTED, &value) < 0)
			continue;
		if (value == CAP_SET && cap_set_flag(caps, flag, 1, &cap, CAP_SET) < 0)
			return -errno;
	}
	return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted)
{
	cap_t have = cap_get_proc(), caps = cap_init();
	int r = have && caps ? 0 : -ENOMEM;

	r = r ? r : put_flag(caps, have, CAP_PERMITTED, permitted);
	r = r ? r : put_flag(caps, have, CAP_EFFECTIVE, effective);
	if (r == 0 && cap_set_proc(caps) < 0)
		r = -errno;
	(void)cap_free(have);
	(void)cap_free(caps);
	return r;
}

static int keep_in_bounding(uint64_t kept)
{
	/* 0 or 1 for a capability that this kernel knows */
	for (cap_value_t cap = 0; cap < 64 && cap_get_bound(cap) >= 0; cap++) {
		if (!(kept & BIT(cap)) && cap_get_bound(cap) == 1 && cap_drop_bound(cap) < 0)
			return -errno;
	}
	return 0;
}

int sandbox_drop_bounding(void)
{
	return keep_in_bounding(0);
}

/* The bounding set first: CAP_SETPCAP, which it takes, is not in effect later. */
int sandbox_limit(enum sandbox_process process, struct error *err)
{
	int r = set_capabilities(HANDED_ON, HANDED_ON);

	/* Without CAP_SETPCAP the bounding set stays; no_new_privs keeps it from mattering. */
	r = r ? r : keep_in_bounding(permitted_of(process));
	r = r == -EPERM ? 0 : r;
	if (r == 0 && cap_reset_ambient() < 0 && errno != EINVAL) /* before Linux 4.3 */
		r = -errno;
	r = r ? r : set_capabilities(effective_of(process), permitted_of(process));
	if (r == 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		r = -errno;
	return r < 0 ? error_set(err, r, "limit capabilities") : 0;
}

int sandbox_limit_resource(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit limit, old;

	if (getrlimit(resource, &old) < 0)
		return -errno;
	limit.rlim_max = old.rlim_max < hard ? old.rlim_max : hard;
	limit.rlim_cur = limit.rlim_max < soft ? limit.rlim_max : soft;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

int sandbox_limit_thread(enum sandbox_process process)
{
	return set_capabilities(effective_of(process), permitted_of(process));
}

/*
 * The bounding set first, which needs CAP_SETPCAP. Groups and ids, which need CAP_SETGID and CAP_SETUID; then what is left
 * of capabilities (a change of uid keeps them where securebits say so); then
 * the way back, by execve(). A change of ids makes a process dumpable or not as
 * a sysctl says, so that PR_SET_DUMPABLE comes after it: nobody's other
 * processes must not trace this one.
 */
int sandbox_become(uid_t uid, gid_t gid)
{
	int r = sandbox_drop_bounding();

	if (r < 0 && r != -EPERM) /* without CAP_SETPCAP it was never to matter: no_new_privs */
		return r;
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
			       setresuid(uid, uid, uid) < 0))
		return -errno;
	r = set_capabilities(0, 0);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}
