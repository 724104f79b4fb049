/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lists of system calls, as programs that search them. They are put
 * together here and not by libseccomp, which takes 0.1 ms for each at every
 * start of a container, for the same instructions.
 *
 * Arguments are not looked at: what matters about them (flags of openat2(2),
 * which descriptors) is behind pointers, where a filter cannot see it.
 */
#include "inject/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/error.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "which AUDIT_ARCH_ is this?"
#endif

/* Everywhere: memory, files that are open or are to be opened, time, the end. */
static const int common[] = {
	SYS_read, SYS_write, SYS_writev, SYS_lseek, SYS_close, SYS_close_range, SYS_fcntl, SYS_fstat,
	SYS_newfstatat, SYS_statx, SYS_fstatfs, SYS_openat, SYS_openat2, SYS_readlinkat, SYS_getdents64,
	SYS_sendfile, SYS_memfd_create, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise,
	SYS_brk, SYS_sysinfo, SYS_getrandom, SYS_geteuid, SYS_getegid, SYS_getpid, SYS_gettid,
	SYS_clock_gettime, SYS_clock_nanosleep, SYS_ppoll, SYS_rt_sigaction, SYS_rt_sigprocmask,
	SYS_rt_sigpending, SYS_rt_sigreturn, SYS_restart_syscall, SYS_tgkill, SYS_futex, SYS_capget,
	SYS_capset, SYS_exit, SYS_exit_group,
#ifdef SYS_poll
	SYS_poll,
#endif
};

/* What changes a container. */
static const int inside[] = {
	SYS_mkdirat, SYS_symlinkat, SYS_renameat, SYS_unlinkat, SYS_utimensat, SYS_fchdir, SYS_chdir,
	SYS_setfsuid, SYS_setfsgid, SYS_umount2, 428 /* open_tree */, 429 /* move_mount */,
	442 /* mount_setattr */, 457 /* statmount */,
};

/* The target, the daemon, device cgroups, the child and its own filter. */
static const int host[] = {
	SYS_pidfd_open, SYS_pidfd_send_signal, SYS_ioctl, SYS_socket, SYS_connect, SYS_setsockopt,
	SYS_sendmsg, SYS_recvmsg, SYS_bpf, SYS_clone, SYS_wait4, SYS_setns, SYS_prctl, SYS_seccomp,
	SYS_setitimer, SYS_eventfd2, SYS_ftruncate, SYS_setgroups, SYS_setresuid, SYS_setresgid,
#ifdef SYS_alarm
	SYS_alarm,
#endif
};

_Static_assert(ARRAY_SIZE(common) + ARRAY_SIZE(inside) + ARRAY_SIZE(host) <= FILTER_CALLS_MAX,
	       "more calls than there is room for");

struct program {
	struct sock_filter *code; /* FILTER_PROGRAM_MAX */
	unsigned short n;
};

/* The numbers at which the verdict changes, in ascending order: allowed from [0], not from [1]... */
struct edges {
	unsigned int at[2 * FILTER_CALLS_MAX];
	size_t n;
};

static void put(struct program *p, struct sock_filter instruction)
{
	p->code[p->n++] = instruction;
}

static int compare(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void find_edges(struct edges *edges, int *calls, size_t n)
{
	edges->n = 0;
	qsort(calls, n, sizeof(*calls), compare);
	for (size_t i = 0; i < n; i++) {
		if (edges->n && edges->at[edges->n - 1] == (unsigned int)calls[i])
			edges->n--;
		else
			edges->at[edges->n++] = (unsigned int)calls[i];
		edges->at[edges->n++] = (unsigned int)calls[i] + 1;
	}
}

/*
 * A binary search for the verdict on numbers between edges @from and @to. When a filter is put on,
 * the kernel runs it for every number that there is; one comparison for each call would cost 0.2 ms.
 */
static void put_search(struct program *p, const struct edges *edges, size_t from, size_t to,
		       unsigned int otherwise)
{
	size_t middle = from + (to - from) / 2;
	unsigned short branch = p->n;

	if (from == to) {
		put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
						    from % 2 ? SECCOMP_RET_ALLOW : otherwise));
		return;
	}
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, edges->at[middle], 0, 0));
	put_search(p, edges, from, middle, otherwise);
	p->code[branch].jt = (unsigned char)(p->n - branch - 1);
	put_search(p, edges, middle + 1, to, otherwise);
}

static size_t add(int *ret, size_t n, const int *calls, size_t n_calls)
{
	memcpy(ret + n, calls, n_calls * sizeof(*calls));
	return n + n_calls;
}

size_t filter_calls(enum filter_place place, int ret[FILTER_CALLS_MAX])
{
	size_t n = add(ret, 0, common, ARRAY_SIZE(common));

	n = add(ret, n, inside, ARRAY_SIZE(inside));
	return place == FILTER_HOST ? add(ret, n, host, ARRAY_SIZE(host)) : n;
}

unsigned short filter_program(enum filter_place place, struct sock_filter *ret)
{
	unsigned int otherwise = place == FILTER_HOST ? SECCOMP_RET_ERRNO | EPERM :
							SECCOMP_RET_KILL_PROCESS;
	struct program program = { .code = ret }, *p = &program;
	int calls[FILTER_CALLS_MAX];
	struct edges edges;

	find_edges(&edges, calls, filter_calls(place, calls));
	put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, arch)));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, nr)));
	put_search(p, &edges, 0, edges.n, otherwise);
	return p->n;
}

int filter_enter(enum filter_place place, struct error *err)
{
#ifdef __SANITIZE_ADDRESS__
	return 0; /* its own run time asks for more */
#endif
	struct sock_filter code[FILTER_PROGRAM_MAX];
	struct sock_fprog fprog = { .filter = code };

	fprog.len = filter_program(place, code);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &fprog, 0, 0) < 0)
		return errno == EINVAL ? 0 : error_set(err, -errno, "filter system calls");
	return 0;
}
