/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of each process. ALL is what any of them needs; START what a
 * daemon calls only until it serves, which the keeper's list must therefore
 * have. A call stands under the reason that brought it here.
 */
#include "fs/sandbox_calls.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "fs/kfuse.h"
#include "fs/sandbox.h"

#define ALL (SANDBOX_KEEPER | SANDBOX_DAEMON)
#define START SANDBOX_KEEPER

#define NS_GET_USERNS _IO(0xb7, 0x1)           /* linux/nsfs.h, of nvinject --owner */
#define NS_GET_OWNER_UID _IO(0xb7, 0x4)        /* the same */
#define NS_GET_PARENT _IO(0xb7, 0x2)           /* linux/nsfs.h */
#define NS_GET_MNTNS_ID _IOR(0xb7, 0x5, uint64_t) /* the same, 6.11 */

static const struct sandbox_call calls[] = {
	/* memory and threads */
	{ SCMP_SYS(brk), ALL }, { SCMP_SYS(mmap), ALL }, { SCMP_SYS(munmap), ALL },
	{ SCMP_SYS(mremap), ALL }, { SCMP_SYS(mprotect), ALL }, { SCMP_SYS(madvise), ALL },
	{ SCMP_SYS(futex), ALL }, { SCMP_SYS(set_robust_list), ALL }, { SCMP_SYS(rseq), ALL },
	{ SCMP_SYS(sched_yield), ALL }, { SCMP_SYS(sched_getaffinity), ALL }, { SCMP_SYS(membarrier), ALL },
	{ SCMP_SYS(getcpu), ALL }, { SCMP_SYS(gettid), ALL }, { SCMP_SYS(tgkill), ALL },
	{ SCMP_SYS(exit), ALL }, { SCMP_SYS(exit_group), ALL }, { SCMP_SYS(getrandom), ALL },

	/* time, signals, events */
	{ SCMP_SYS(clock_gettime), ALL }, { SCMP_SYS(clock_nanosleep), ALL }, { SCMP_SYS(nanosleep), ALL },
	{ SCMP_SYS(gettimeofday), ALL }, { SCMP_SYS(time), ALL }, { SCMP_SYS(restart_syscall), ALL },
	{ SCMP_SYS(rt_sigaction), ALL }, { SCMP_SYS(rt_sigprocmask), ALL }, { SCMP_SYS(rt_sigreturn), ALL },
	{ SCMP_SYS(sigaltstack), ALL }, { SCMP_SYS(signalfd4), ALL }, { SCMP_SYS(eventfd2), ALL },
	{ SCMP_SYS(timerfd_create), ALL }, { SCMP_SYS(timerfd_settime), ALL }, { SCMP_SYS(poll), ALL },
	{ SCMP_SYS(ppoll), ALL }, { SCMP_SYS(epoll_create1), ALL }, { SCMP_SYS(epoll_ctl), ALL },
	{ SCMP_SYS(epoll_wait), ALL }, { SCMP_SYS(epoll_pwait), ALL }, { SCMP_SYS(epoll_pwait2), ALL },

	/* descriptors: /dev/fuse, the state, host files */
	{ SCMP_SYS(read), ALL }, { SCMP_SYS(readv), ALL }, { SCMP_SYS(pread64), ALL },
	{ SCMP_SYS(preadv), ALL }, { SCMP_SYS(preadv2), ALL }, { SCMP_SYS(write), ALL },
	{ SCMP_SYS(writev), ALL }, { SCMP_SYS(pwrite64), ALL }, { SCMP_SYS(splice), ALL },
	{ SCMP_SYS(vmsplice), ALL }, { SCMP_SYS(tee), ALL }, { SCMP_SYS(pipe2), ALL },
	{ SCMP_SYS(lseek), ALL }, { SCMP_SYS(close), ALL }, { SCMP_SYS(close_range), ALL },
	{ SCMP_SYS(dup), ALL }, { SCMP_SYS(dup2), ALL }, { SCMP_SYS(dup3), ALL }, { SCMP_SYS(fcntl), ALL },
	{ SCMP_SYS(flock), ALL }, { SCMP_SYS(ftruncate), ALL }, { SCMP_SYS(fallocate), ALL },
	{ SCMP_SYS(fsync), ALL }, { SCMP_SYS(fdatasync), ALL }, { SCMP_SYS(msync), ALL },
	{ SCMP_SYS(memfd_create), ALL },

	/* names: the driver's files, /proc, the socket's */
	{ SCMP_SYS(open), ALL }, { SCMP_SYS(openat), ALL }, { SCMP_SYS(openat2), ALL },
	{ SCMP_SYS(stat), ALL }, { SCMP_SYS(lstat), ALL }, { SCMP_SYS(fstat), ALL },
	{ SCMP_SYS(newfstatat), ALL }, { SCMP_SYS(statx), ALL }, { SCMP_SYS(statfs), ALL },
	{ SCMP_SYS(fstatfs), ALL }, { SCMP_SYS(access), ALL }, { SCMP_SYS(faccessat), ALL },
	{ SCMP_SYS(faccessat2), ALL }, { SCMP_SYS(readlink), ALL }, { SCMP_SYS(readlinkat), ALL },
	{ SCMP_SYS(getdents64), ALL }, { SCMP_SYS(getcwd), ALL }, { SCMP_SYS(chdir), ALL },
	{ SCMP_SYS(fchdir), ALL }, { SCMP_SYS(umask), ALL }, { SCMP_SYS(mkdir), ALL },
	{ SCMP_SYS(mkdirat), ALL }, { SCMP_SYS(rmdir), ALL }, { SCMP_SYS(unlink), ALL },
	{ SCMP_SYS(unlinkat), ALL }, { SCMP_SYS(rename), ALL }, { SCMP_SYS(renameat), ALL },
	{ SCMP_SYS(renameat2), ALL }, { SCMP_SYS(chmod), ALL }, { SCMP_SYS(fchmod), ALL },
	{ SCMP_SYS(fchmodat), ALL }, { SCMP_SYS(inotify_init1), ALL }, { SCMP_SYS(inotify_add_watch), ALL },
	{ SCMP_SYS(inotify_rm_watch), ALL },

	/* the control socket, the link between keeper and daemon, systemd's */
	{ SCMP_SYS(socketpair), ALL }, { SCMP_SYS(bind), ALL }, { SCMP_SYS(listen), ALL },
	{ SCMP_SYS(connect), ALL }, { SCMP_SYS(accept4), ALL }, { SCMP_SYS(shutdown), ALL },
	{ SCMP_SYS(sendmsg), ALL }, { SCMP_SYS(sendto), ALL }, { SCMP_SYS(recvmsg), ALL },
	{ SCMP_SYS(recvfrom), ALL }, { SCMP_SYS(getsockopt), ALL }, { SCMP_SYS(setsockopt), ALL },
	{ SCMP_SYS(getsockname), ALL }, { SCMP_SYS(getpeername), ALL },

	/* who we are, and limits of the process itself */
	{ SCMP_SYS(getpid), ALL }, { SCMP_SYS(getppid), ALL }, { SCMP_SYS(getuid), ALL },
	{ SCMP_SYS(geteuid), ALL }, { SCMP_SYS(getgid), ALL }, { SCMP_SYS(getegid), ALL },
	{ SCMP_SYS(getpgid), ALL }, { SCMP_SYS(getpgrp), ALL }, { SCMP_SYS(uname), ALL },
	{ SCMP_SYS(sysinfo), ALL }, { SCMP_SYS(getrusage), ALL }, { SCMP_SYS(getrlimit), ALL },
	{ SCMP_SYS(prlimit64), ALL }, { SCMP_SYS(prctl), ALL }, { SCMP_SYS(capget), ALL },
	{ SCMP_SYS(capset), ALL }, { SCMP_SYS(seccomp), ALL },

	/* children: daemon, cache parser (which becomes nobody), nvinject */
	{ SCMP_SYS(fork), ALL }, { SCMP_SYS(vfork), ALL }, { SCMP_SYS(execve), ALL }, { SCMP_SYS(execveat), START },
	{ SCMP_SYS(wait4), ALL }, { SCMP_SYS(waitid), ALL }, { SCMP_SYS(kill), ALL },
	{ SCMP_SYS(pidfd_open), ALL }, { SCMP_SYS(pidfd_send_signal), ALL }, { SCMP_SYS(setpgid), ALL },
	{ SCMP_SYS(setsid), ALL }, { SCMP_SYS(set_tid_address), ALL }, { SCMP_SYS(arch_prctl), ALL },
	{ SCMP_SYS(setgroups), ALL }, { SCMP_SYS(setresuid), ALL }, { SCMP_SYS(setresgid), ALL },

	/* mounts: clones of ours for containers; the end of the superblock */
	{ SCMP_SYS(open_tree), ALL }, { SCMP_SYS(mount_setattr), ALL }, { SCMP_SYS(umount2), ALL },
	{ SCMP_SYS(mount), START },

	/* what processes of containers have mounted */
	{ 458 /* listmount, 6.8 */, ALL },

	/* nvinject: into a container, its files, its device cgroup */
	{ SCMP_SYS(setns), ALL }, { SCMP_SYS(move_mount), ALL }, { SCMP_SYS(bpf), ALL },
	{ SCMP_SYS(symlinkat), ALL }, { SCMP_SYS(fchown), ALL }, { SCMP_SYS(fchownat), ALL },
	{ SCMP_SYS(setfsuid), ALL }, { SCMP_SYS(setfsgid), ALL }, { SCMP_SYS(alarm), ALL },
	{ SCMP_SYS(mknodat), ALL }, { SCMP_SYS(setitimer), ALL }, { SCMP_SYS(utimensat), ALL }, { SCMP_SYS(sendfile), ALL },
	{ SCMP_SYS(rt_sigpending), ALL }, { 457 /* statmount, 6.8 */, ALL },
	{ SCMP_SYS(getuid32), ALL }, { SCMP_SYS(rt_sigtimedwait), ALL },
};

/* Device and namespace ioctls have arguments of every kind: each by its number. */
static const unsigned long ioctls[] = {
	0x5401, /* TCGETS, of isatty(3) */
	KFUSE_DEV_IOC_BACKING_OPEN,
	KFUSE_DEV_IOC_BACKING_CLOSE,
	NS_GET_USERNS,
	NS_GET_OWNER_UID,
	NS_GET_PARENT,
	NS_GET_MNTNS_ID,
	PIDFD_GET_MNT_NAMESPACE,
	PIDFD_GET_PID_NAMESPACE,
	PIDFD_GET_USER_NAMESPACE,
};

/* Those of NVIDIA's module, of which the process that asks NVML makes many: by their letter.
 * Source: NV_IOCTL_MAGIC of the open kernel modules' nv-ioctl-numbers.h. */
#define NVIDIA_IOCTL_TYPE ('F' << _IOC_TYPESHIFT)
#define IOCTL_TYPE_MASK (_IOC_TYPEMASK << _IOC_TYPESHIFT)

/* The lock donor (donor.h) takes a user and a mount namespace; nobody takes one of these. */
#define NAMESPACES (CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET)

/* Flags of its mount(2) calls: donor.c. Else see above. */
static const unsigned long mounts[] = { MS_REC | MS_PRIVATE, MS_NOSUID | MS_NOEXEC };

const struct sandbox_call *sandbox_calls(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(calls);
	return calls;
}

int sandbox_calls_with_arguments(scmp_filter_ctx filter)
{
	int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				 SCMP_A0(SCMP_CMP_EQ, AF_UNIX));

	if (r == 0) /* a thread or a child */
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));
	/* Of a daemon that serves: the lock donor's mounts are to tell no others, and its nodes need a place. */
	for (size_t i = 0; i < ARRAY_SIZE(mounts) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mount), 1,
				     SCMP_A3(SCMP_CMP_EQ, mounts[i]));
	/* Its flags cannot be looked at: libc goes on with clone(2), and nobody needs to hear of it. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ioctls) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, ioctls[i]));
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, IOCTL_TYPE_MASK, NVIDIA_IOCTL_TYPE));
	/* What the kernel tells of devices and modules: see uevent.h. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				     SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
				     SCMP_A2(SCMP_CMP_EQ, NETLINK_KOBJECT_UEVENT));
	return r;
}
