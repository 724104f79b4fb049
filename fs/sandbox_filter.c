/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of system calls put into force, and what happens to the others: the
 * kernel sends SIGSYS instead (SECCOMP_RET_TRAP), whose handler counts the call
 * and lets it fail. See seccomp(2); the call's number is in siginfo, its result
 * is the register that the handler leaves behind.
 */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include "common/error.h"
#include "common/log.h"
#include "fs/features.h"
#include "fs/sandbox.h"
#include "fs/sandbox_calls.h"

#define CODE_SECCOMP 1 /* SYS_SECCOMP of the kernel's asm-generic/siginfo.h */

/* What a signal handler may touch: it has no argument of ours, so this is the process's own. */
static struct refusal {
	atomic_int number; /* of the call, plus 1; 0: free */
	atomic_uint count;
	unsigned int reported; /* count at the last sandbox_report(); one thread's */
} refusals[SANDBOX_REFUSALS_MAX];

static atomic_bool filtered;

static void set_result(ucontext_t *context, long result)
{
#if defined(__x86_64__)
	context->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
	context->uc_mcontext.regs[0] = (unsigned long long)result;
#else
#error "name the register of a system call's result here"
#endif
}

static void count_refusal(int number)
{
	for (size_t i = 0; i < SANDBOX_REFUSALS_MAX; i++) {
		int before = 0;

		if (atomic_compare_exchange_strong(&refusals[i].number, &before, number + 1) ||
		    before == number + 1) {
			atomic_fetch_add(&refusals[i].count, 1);
			return;
		}
	}
}

static void on_refusal(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	if (info->si_code != CODE_SECCOMP)
		return; /* somebody's kill(2) */
	count_refusal(info->si_syscall);
	set_result(context, -ENOSYS);
}

static int catch_refusals(void)
{
	struct sigaction action = { .sa_sigaction = on_refusal,
				    .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t sigsys;

	(void)sigemptyset(&action.sa_mask);
	(void)sigemptyset(&sigsys);
	(void)sigaddset(&sigsys, SIGSYS);
	(void)sigprocmask(SIG_UNBLOCK, &sigsys, NULL); /* blocked, it would be death */
	return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

static int filter_fill(scmp_filter_ctx filter, enum sandbox_process process)
{
	size_t n;
	const struct sandbox_call *calls = sandbox_calls(&n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (calls[i].processes & process)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i].number, 0);
	}
	return r < 0 ? r : sandbox_calls_with_arguments(filter);
}

static int filter_set_attributes(scmp_filter_ctx filter)
{
	static const struct {
		enum scmp_filter_attr attr;
		uint32_t value;
	} attributes[] = {
		{ SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS },
		{ SCMP_FLTATR_CTL_TSYNC, 1 },
		{ SCMP_FLTATR_CTL_SSB, 1 },      /* no foreign code runs here: no slower memory */
		{ SCMP_FLTATR_CTL_OPTIMIZE, 2 }, /* a tree, not a list */
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]) && r == 0; i++)
		r = seccomp_attr_set(filter, attributes[i].attr, attributes[i].value);
	return r;
}

int sandbox_filter(enum sandbox_process process, struct error *err)
{
	scmp_filter_ctx filter;
	int r;

	if (features_is_disabled(getenv("NVFS_DISABLE"), "seccomp"))
		return 0;
	filter = seccomp_init(SCMP_ACT_TRAP);
	r = filter ? filter_set_attributes(filter) : -ENOMEM;
	r = r ? r : filter_fill(filter, process);
	r = r ? r : catch_refusals();
	r = r ? r : seccomp_load(filter);
	seccomp_release(filter);
	if (r < 0) {
		(void)error_set(err, r, "limit system calls");
		return error_remedy(err, r, "a kernel without seccomp: NVFS_DISABLE=seccomp");
	}
	atomic_store(&filtered, true);
	return 0;
}

int sandbox_filter_inherited(struct error *err)
{
	int r;

	if (features_is_disabled(getenv("NVFS_DISABLE"), "seccomp"))
		return 0;
	r = catch_refusals();
	if (r < 0)
		return error_set(err, r, "limit system calls");
	atomic_store(&filtered, true);
	return 0;
}

int sandbox_is_filtered(void)
{
	return atomic_load(&filtered);
}

static void name_call(int number, char *buf, size_t size)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

	if (name)
		(void)snprintf(buf, size, "%s", name);
	else
		(void)snprintf(buf, size, "%d", number);
	free(name);
}

size_t sandbox_refusals(struct sandbox_refusal ret[SANDBOX_REFUSALS_MAX])
{
	size_t n = 0;

	for (int number; n < SANDBOX_REFUSALS_MAX && (number = atomic_load(&refusals[n].number));
	     n++) {
		name_call(number - 1, ret[n].call, sizeof(ret[n].call));
		ret[n].count = atomic_load(&refusals[n].count);
	}
	return n;
}

void sandbox_report(void)
{
	struct sandbox_refusal now[SANDBOX_REFUSALS_MAX];
	size_t n = sandbox_refusals(now);

	for (size_t i = 0; i < n; i++) {
		if (!refusals[i].reported)
			log_error("the system call %s is not on this process's list and was "
				  "refused; please report it, "
				  "NVFS_DISABLE=seccomp allows all",
				  now[i].call);
		refusals[i].reported = now[i].count;
	}
}
