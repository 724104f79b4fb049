/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process that asks NVML may do: open what nobody may open, for reading and, of devices, for
 * writing; the module's ioctls; threads. No programs, no nodes, no network, no file of its own.
 *
 * The daemon's list is in force beside this one. Where that one refuses, it is by SIGSYS, which whoever
 * executed a program must catch anew.
 */
#include "fs/nvmlbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/asan.h"
#include "fs/features.h"
#include "fs/sandbox.h"

#define MEMORY_MAX ASAN_MEMORY_MAX(16ULL << 30) /* addresses: it maps registers of GPUs */

/* Of each GPU it opens some nodes, and those of MIG devices. */
#define DESCRIPTORS_MAX 4096

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* linux/prctl.h, 5.17 */
#endif

/* As the module numbers them: see sandbox_calls.c. */
#define NVIDIA_IOCTL_TYPE ('F' << _IOC_TYPESHIFT)
#define IOCTL_TYPE_MASK (_IOC_TYPEMASK << _IOC_TYPESHIFT)

static const int plain_calls[] = {
	/* the loader, memory */
	SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise),
	SCMP_SYS(arch_prctl), SCMP_SYS(getrandom), SCMP_SYS(membarrier),
	/* files and devices */
	SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64),
	SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(pipe2), SCMP_SYS(eventfd2), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(umask),
	/* threads, time, signals */
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* who and where we are; our socket */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrlimit), SCMP_SYS(uname),
	SCMP_SYS(sysinfo), SCMP_SYS(sendto),
};

/*
 * Forms of prctl(2): names of threads and of memory, and to ask. None with which others could look into
 * this process, or it could outlive the daemon.
 */
static const unsigned int prctls[] = { PR_SET_NAME,	PR_GET_NAME,	 PR_SET_VMA,
				       PR_GET_DUMPABLE, PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS };

/* Nothing is made by opening it: where anybody may make a file, in /tmp, an empty one would be left. */
static const struct {
	int call;
	unsigned int flags; /* which argument */
} opens[] = { { SCMP_SYS(open), 1 }, { SCMP_SYS(openat), 2 } };

#define MAKING (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

static int fill(scmp_filter_ctx filter)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; i < ARRAY_SIZE(plain_calls) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, IOCTL_TYPE_MASK, NVIDIA_IOCTL_TYPE));
	if (r == 0) /* threads, no processes */
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r == 0) /* its flags cannot be looked at: libc goes on with clone(2) */
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0) /* abort(3): others of this uid are not ours */
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	for (size_t i = 0; i < ARRAY_SIZE(opens) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, opens[i].call, 1,
				     SCMP_CMP(opens[i].flags, SCMP_CMP_MASKED_EQ, MAKING, 0));
	for (size_t i = 0; i < ARRAY_SIZE(prctls) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, prctls[i]));
	/* To ask for a limit, not to set one. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
				     SCMP_A2(SCMP_CMP_EQ, 0));
	return r;
}

static int limit_calls(struct error *err)
{
	scmp_filter_ctx filter;
	int r;

	if (features_is_disabled(getenv("NVFS_DISABLE"), "seccomp"))
		return 0;
	r = sandbox_filter_inherited(err);
	if (r < 0)
		return r;
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	r = filter ? fill(filter) : -ENOMEM;
	r = r ? r : seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? error_set(err, r, "limit system calls") : 0;
}

static int set_limit(int resource, rlim_t value, struct error *err)
{
	int r = sandbox_limit_resource(resource, value, value);

	return r < 0 ? error_set(err, r, "limits") : 0;
}

int nvmlbox_wall_in(unsigned int limit_s, struct error *err)
{
	int r = set_limit(RLIMIT_AS, MEMORY_MAX, err);

	r = r ? r : set_limit(RLIMIT_CPU, limit_s, err);
	r = r ? r : set_limit(RLIMIT_FSIZE, 0, err);
	r = r ? r : set_limit(RLIMIT_CORE, 0, err);
	r = r ? r : set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, err);
	(void)alarm(limit_s);
	return r ? r : limit_calls(err);
}
