/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of system calls, each put on in a child of its own. */
#include "inject/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject/privilege.h"
#include "tests/unit/unit.h"

/* What @fn returns below the filter, or minus the signal that it dies of. */
static int filtered(enum filter_place place, int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_enter(place, NULL) < 0)
			_exit(99);
		_exit(fn());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int look_around(void)
{
	struct stat st;

	return fstatat(AT_FDCWD, "/", &st, 0) == 0 && chdir("/") == 0 &&
			       unlinkat(AT_FDCWD, "nowhere", AT_REMOVEDIR) < 0 && errno == ENOENT ?
		       0 :
		       1;
}

#ifndef __SANITIZE_ADDRESS__ /* its run time asks for more, so that there is no filter then */
static int make_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 0 : errno;
}

static int run_program(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int is_refused(long number)
{
	return syscall(number, -1, NULL, 0) < 0 && errno == EPERM;
}

static int call_beyond_the_list(void)
{
	for (long number = 448; number < 512; number++) {
		if (number != 457 /* statmount */ && !is_refused(number))
			return 1;
	}
	return is_refused(512) && is_refused(512 + SYS_read) && is_refused(0x40000000 + SYS_read)
		       ? 0
		       : 1;
}

/* x32's read(2) */
static int call_of_other_abi(void)
{
	(void)syscall(0x40000000 + SYS_read, -1, NULL, 0);
	return 0;
}

static int call_far_away(void)
{
	(void)syscall(512 + SYS_read, -1, NULL, 0);
	return 0;
}

static int stay_hidden(void)
{
	return privilege_stay_hidden() == 0 ? 0 : errno;
}

static int ask_for_another_prctl(void)
{
	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

/* prctl(2) as a kernel answers it: with @everything, one without filters; else one that refuses ours. */
static int put_strange_kernel(bool everything)
{
	const unsigned int fprog = offsetof(struct seccomp_data, args[2]);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, fprog),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 everything ? SECCOMP_RET_ERRNO | EINVAL : SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ?
		       -1 :
		       0;
}

/* What filter_enter() says there. */
static int enter_in_strange_kernel(bool everything)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(put_strange_kernel(everything) < 0 ? 99 : -filter_enter(FILTER_INSIDE, NULL));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int trace_parent(void)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0 ? 0 : errno;
}

#endif

START_TEST(inside_a_container_files_are_left_and_little_else)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(filtered(FILTER_INSIDE, make_socket), -SIGSYS);
	ck_assert_int_eq(filtered(FILTER_INSIDE, run_program), -SIGSYS);
	ck_assert_int_eq(filtered(FILTER_INSIDE, trace_parent), -SIGSYS);
#endif
}
END_TEST

START_TEST(inside_a_container_it_can_stay_hidden_and_no_other_prctl_is_left)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(filtered(FILTER_INSIDE, stay_hidden), 0);
	ck_assert_int_eq(filtered(FILTER_INSIDE, ask_for_another_prctl), -SIGSYS);
	ck_assert_int_eq(filtered(FILTER_HOST, ask_for_another_prctl), 0);
#endif
}
END_TEST

START_TEST(a_filter_is_done_without_where_the_kernel_has_none_alone)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(enter_in_strange_kernel(true), 0);
	ck_assert_int_eq(enter_in_strange_kernel(false), EINVAL);
#endif
}
END_TEST

START_TEST(on_the_host_no_program_is_run)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(filtered(FILTER_HOST, make_socket), 0);
	ck_assert_int_eq(filtered(FILTER_HOST, run_program), EPERM);
	ck_assert_int_eq(filtered(FILTER_HOST, trace_parent), EPERM);
#endif
}
END_TEST

START_TEST(numbers_that_are_no_call_of_ours_are_refused)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(filtered(FILTER_HOST, call_beyond_the_list), 0);
	ck_assert_int_eq(filtered(FILTER_INSIDE, call_of_other_abi), -SIGSYS);
	ck_assert_int_eq(filtered(FILTER_INSIDE, call_far_away), -SIGSYS);
#endif
}
END_TEST

START_TEST(files_may_be_looked_at_everywhere)
{
	ck_assert_int_eq(filtered(FILTER_INSIDE, look_around), 0);
	ck_assert_int_eq(filtered(FILTER_HOST, look_around), 0);
}
END_TEST

/*
 * The same lists given to libseccomp: what its program answers ours must answer. Both are run by the
 * interpreter below, for every number that there is and numbers that there are not.
 */

struct code {
	struct sock_filter at[8192];
	size_t n;
};

/* As the kernel runs it; what neither program uses is an error. Linux 6.18: net/core/filter.c */
static uint32_t answer(const struct code *code, const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0;

	for (size_t pc = 0; pc < code->n; pc++) {
		const struct sock_filter *i = &code->at[pc];
		bool yes;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			ck_assert_uint_le(i->k, sizeof(*data) - sizeof(a));
			memcpy(&a, (const char *)data + i->k, sizeof(a));
			continue;
		case BPF_LD | BPF_IMM:
			a = i->k;
			continue;
		case BPF_MISC | BPF_TAX:
			x = a;
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_ALU | BPF_RSH | BPF_K:
			a >>= i->k;
			continue;
		case BPF_ALU | BPF_RSH | BPF_X:
			ck_assert_uint_lt(x, 32);
			a >>= x;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = a & i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > i->k;
			break;
		default:
			ck_abort_msg("instruction %#x", i->code);
		}
		pc += yes ? i->jt : i->jf;
	}
	ck_abort_msg("the program has no end");
}

/* Of prctl(2), what is left inside. */
static const uint32_t hiding[] = { PR_SET_DUMPABLE, PR_SET_PDEATHSIG };

static void build_by_libseccomp(enum filter_place place, struct code *ret)
{
	scmp_filter_ctx ctx = seccomp_init(place == FILTER_HOST ? SCMP_ACT_ERRNO(EPERM)
								: SCMP_ACT_KILL_PROCESS);
	int calls[FILTER_CALLS_MAX], fd = memfd_create("filter", MFD_CLOEXEC);
	size_t n = filter_calls(place, calls);
	ssize_t len;

	ck_assert_ptr_nonnull(ctx);
	ck_assert_int_eq(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0), 0);
	for (size_t i = 0; place == FILTER_INSIDE && i < sizeof(hiding) / sizeof(*hiding); i++)
		ck_assert_int_eq(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
						  SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, hiding[i])),
				 0);
	ck_assert_int_eq(seccomp_export_bpf(ctx, fd), 0);
	seccomp_release(ctx);
	len = pread(fd, ret->at, sizeof(ret->at), 0);
	ck_assert_int_gt(len, 0);
	ret->n = (size_t)len / sizeof(*ret->at);
	(void)close(fd);
}

#ifdef __x86_64__
#define NATIVE AUDIT_ARCH_X86_64

/* From this number on they are x32's, which are neither ours nor anybody's. */
static bool is_x32(const struct seccomp_data *data)
{
	return data->arch == NATIVE && (uint32_t)data->nr >= 0x40000000U;
}
#else
#define NATIVE AUDIT_ARCH_AARCH64

static bool is_x32(const struct seccomp_data *data)
{
	(void)data;
	return false;
}
#endif

/* x32's numbers kill in libseccomp's program; ours takes them for numbers that it does not know. */
static void compare(const struct code *ours, const struct code *theirs, struct seccomp_data *data)
{
	uint32_t a = answer(ours, data), b = answer(theirs, data);

	if (is_x32(data)) {
		ck_assert_uint_ne(a, SECCOMP_RET_ALLOW);
		ck_assert_uint_ne(b, SECCOMP_RET_ALLOW);
	} else {
		ck_assert_msg(a == b, "arch %#x, call %#x: %#x, and %#x by libseccomp", data->arch,
			      data->nr, a, b);
	}
}

static void compare_all(enum filter_place place)
{
	static const uint32_t archs[] = {
		NATIVE, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, 0, ~0U
	};
	static const uint32_t bases[] = { 0,	      0x1000,	  0x3ffffc00, 0x40000000,
					  0x7ffffc00, 0x80000000, 0xfffffc00 };
	static struct code ours, theirs;
	struct seccomp_data data;

	ours.n = filter_program(place, ours.at);
	ck_assert_uint_le(ours.n, FILTER_PROGRAM_MAX);
	build_by_libseccomp(place, &theirs);
	for (int args = 0; args < 4; args++) {
		memset(&data, args == 1 ? 0xff : 0, sizeof(data)); /* looked at for prctl(2) alone */
		if (args >= 2)
			data.args[0] = (uint64_t)args << 32 | hiding[args - 2];
		for (size_t i = 0; i < sizeof(archs) / sizeof(*archs); i++) {
			for (size_t k = 0; k < 1024 * sizeof(bases) / sizeof(*bases); k++) {
				data.arch = archs[i];
				data.nr = (int)(bases[k / 1024] + k % 1024);
				compare(&ours, &theirs, &data);
			}
		}
	}
}

START_TEST(the_programs_are_what_libseccomp_would_make_of_the_lists)
{
	compare_all(FILTER_HOST);
	compare_all(FILTER_INSIDE);
}
END_TEST

/* Nothing that is dangerous by itself has come into a list; asked by name, whatever the numbers are. */
START_TEST(what_must_not_be_in_a_list_is_in_none)
{
	static const char *const never[] = { "execve",
					     "execveat",
					     "ptrace",
					     "process_vm_readv",
					     "mount",
					     "pivot_root",
					     "chroot",
					     "init_module",
					     "mknodat",
					     "fchmodat",
					     "fchownat",
					     "kexec_load",
					     "open_by_handle_at",
					     "finit_module",
					     "process_vm_writev",
					     "keyctl" };
	static const char *const not_inside[] = { "socket", "connect",	 "bpf",	    "clone",
						  "setns",  "ioctl",	 "sendmsg", "seccomp",
						  "prctl",  "pidfd_open" };
	static struct code code;
	struct seccomp_data data = { .arch = NATIVE };

	for (int place = FILTER_HOST; place <= FILTER_INSIDE; place++) {
		code.n = filter_program(place, code.at);
		for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
			data.nr = seccomp_syscall_resolve_name(never[i]);
			ck_assert_msg(answer(&code, &data) != SECCOMP_RET_ALLOW, "%s", never[i]);
		}
	}
	for (size_t i = 0; i < sizeof(not_inside) / sizeof(*not_inside); i++) {
		data.nr = seccomp_syscall_resolve_name(not_inside[i]);
		ck_assert_msg(answer(&code, &data) == SECCOMP_RET_KILL_PROCESS, "%s",
			      not_inside[i]);
	}
}
END_TEST

UNIT_MAIN("filter", the_programs_are_what_libseccomp_would_make_of_the_lists,
	  what_must_not_be_in_a_list_is_in_none,
	  inside_a_container_it_can_stay_hidden_and_no_other_prctl_is_left,
	  a_filter_is_done_without_where_the_kernel_has_none_alone,
	  inside_a_container_files_are_left_and_little_else, on_the_host_no_program_is_run,
	  numbers_that_are_no_call_of_ours_are_refused, files_may_be_looked_at_everywhere)
