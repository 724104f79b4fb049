/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lists of system calls, as programs that look them up. They are put
 * together here and not by libseccomp, which takes 0.1 ms for each at every
 * start of a container, and compares where this looks up.
 *
 * Arguments are not looked at: what matters about them (flags of openat2(2),
 * which descriptors) is behind pointers, where a filter cannot see it. But
 * prctl(2) is many calls, of which two are needed inside a container.
 */
#include "inject/filter.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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

#define WORD_BITS 32
#define WORDS 16 /* numbers below 512 */

_Static_assert(3 * WORDS + 24 <= FILTER_PROGRAM_MAX, "more instructions than there is room for");

struct program {
	struct sock_filter *code; /* FILTER_PROGRAM_MAX */
	unsigned short n;
};

/* Of each number one bit: is the call allowed? */
struct calls {
	uint32_t words[WORDS];
};

static void put(struct program *p, struct sock_filter instruction)
{
	p->code[p->n++] = instruction;
}

/* Is it prctl(2), which the list has not: what privilege_stay_hidden() asks for, and no other form. */
static void put_prctl(struct program *p, unsigned int otherwise)
{
	static const uint32_t allowed[] = { PR_SET_DUMPABLE, PR_SET_PDEATHSIG };
	const unsigned char n = ARRAY_SIZE(allowed);

	/* The first argument is an int, the lower half of what is there. */
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, n + 3));
	put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, args[0])));
	for (unsigned char i = 0; i < n; i++)
		put(p,
		    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], n - i, 0));
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise));
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

static void allow(struct calls *calls, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert(list[i] < WORDS * WORD_BITS);
		calls->words[list[i] / WORD_BITS] |= 1U << list[i] % WORD_BITS;
	}
}

/*
 * The bit of a call, found by its word. A search of all numbers would be five times as long, and
 * compiling it, and running it for every number that there is, which the kernel does when a filter
 * is put on that only compares, cost 0.1 ms more. This one it does not run beforehand: each call
 * takes 0.03 us more.
 */
static void put_search(struct program *p, const struct calls *calls, unsigned int otherwise)
{
	unsigned short jumps[WORDS];
	size_t n = 0;

	put(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, WORD_BITS - 1));
	put(p, (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0));
	put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, nr)));
	put(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 5));
	for (unsigned int i = 0; i < WORDS; i++) {
		if (!calls->words[i])
			continue;
		put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, 2));
		put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, calls->words[i]));
		jumps[n++] = p->n;
		put(p, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
	}
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise));
	for (size_t i = 0; i < n; i++)
		p->code[jumps[i]].k = p->n - jumps[i] - 1U;
	put(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 0));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 1, 0));
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise));
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
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
	int list[FILTER_CALLS_MAX];
	struct calls calls = { { 0 } };

	allow(&calls, list, filter_calls(place, list));
	put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, arch)));
	put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					    offsetof(struct seccomp_data, nr)));
	if (place == FILTER_INSIDE)
		put_prctl(p, otherwise);
	put_search(p, &calls, otherwise);
	return p->n;
}

/* No program is to be read here: EFAULT where filters are known. Source: seccomp(2), SECCOMP_MODE_FILTER. */
static bool kernel_has_filters(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) == 0 || errno != EINVAL;
}

int filter_enter(enum filter_place place, struct error *err)
{
#ifdef __SANITIZE_ADDRESS__
	return 0; /* its own run time asks for more */
#endif
	struct sock_filter code[FILTER_PROGRAM_MAX];
	struct sock_fprog fprog = { .filter = code };
	int r = 0;

	fprog.len = filter_program(place, code);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &fprog, 0, 0) < 0)
		r = -errno;
	if (r == -EINVAL && !kernel_has_filters())
		return 0;
	return r < 0 ? error_set(err, r, "filter system calls") : 0;
}
