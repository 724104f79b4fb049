/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stepfault MODE N COMMAND...: runs a command under ptrace(2) and lets something
 * go wrong at its N'th step, or its children's N'th for "cN": they work at the same
 * time, so each is counted for itself. A step is a system call that changes
 * something, or hands something on: see is_step(). The command itself is the one
 * that is shipped; it knows nothing of this.
 *
 *   count   nothing goes wrong; the last line on stderr is "steps: NUMBER CHILDRENS"
 *   error   the step is not done and fails with EIO
 *   die     whoever did the step is killed right after it: the child inside a
 *           container, or all
 *   end     all are killed right after it
 *   call:X  the step is done, then X is run by sh(1), then all goes on
 *
 * Exit status: the command's; 137 where all were killed; 99 without an N'th step.
 *
 * LINK: -static
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_move_mount
#define SYS_open_tree 428
#define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

#define OPTIONS                                                                              \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | \
	 PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC)

struct run {
	const char *mode;
	unsigned long at, n[2]; /* wanted step; steps so far, of the command and of its children */
	bool at_child;
	pid_t first;	     /* the command's own process */
	pid_t hit;	     /* who is inside the wanted step; 0: nobody */
	bool done;
};

static void die(const char *what)
{
	fprintf(stderr, "stepfault: %s: %s\n", what, strerror(errno));
	exit(98);
}

/* Descriptors 0 to 2 are the command's talk with us. */
static bool is_step(const struct __ptrace_syscall_info *info)
{
	const __uint64_t *args = info->entry.args;

	switch (info->entry.nr) {
	case SYS_openat:
		return args[2] & O_CREAT;
	case SYS_write:
		return args[0] > 2;
	case SYS_bpf:
		return args[0] == BPF_PROG_LOAD || args[0] == BPF_PROG_ATTACH ||
		       args[0] == BPF_LINK_UPDATE;
	case SYS_clone:
	case SYS_setns:
	case SYS_connect:
	case SYS_sendmsg:
	case SYS_recvmsg:
	case SYS_memfd_create:
	case SYS_mkdirat:
	case SYS_symlinkat:
	case SYS_unlinkat:
	case SYS_renameat:
	case SYS_open_tree:
	case SYS_mount_setattr:
	case SYS_move_mount:
	case SYS_umount2:
		return true;
	default:
		return false;
	}
}

#if defined(__x86_64__)
/* Another number in the place of the call's: -1 is none, and is not done. */
static void skip_call(pid_t pid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		die("read registers");
	regs.orig_rax = (unsigned long long)-1;
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0)
		die("skip a system call");
}

static void set_result(pid_t pid, long result)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		die("read registers");
	regs.rax = (unsigned long long)result;
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0)
		die("let a system call fail");
}
#elif defined(__aarch64__)
static void skip_call(pid_t pid)
{
	int number = -1;
	struct iovec iov = { &number, sizeof(number) };

	if (ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &iov) < 0)
		die("skip a system call");
}

static void set_result(pid_t pid, long result)
{
	struct user_regs_struct regs;
	struct iovec iov = { &regs, sizeof(regs) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov) < 0)
		die("read registers");
	regs.regs[0] = (unsigned long long)result;
	if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov) < 0)
		die("let a system call fail");
}
#else
#error "name the registers of a system call here"
#endif

static void entry(struct run *run, pid_t pid, const struct __ptrace_syscall_info *info)
{
	bool child = pid != run->first;

	if (!is_step(info) || ++run->n[child] != run->at || child != run->at_child)
		return;
	run->hit = pid;
	if (strcmp(run->mode, "error") == 0)
		skip_call(pid);
}

static void leave(struct run *run, pid_t pid)
{
	if (run->hit != pid)
		return;
	run->hit = 0;
	run->done = true;
	if (strcmp(run->mode, "error") == 0) {
		set_result(pid, -EIO);
	} else if (strcmp(run->mode, "die") == 0) {
		(void)kill(pid, SIGKILL);
	} else if (strcmp(run->mode, "end") == 0) {
		(void)kill(run->first, SIGKILL);
		(void)kill(pid, SIGKILL);
	} else if (strncmp(run->mode, "call:", 5) == 0) {
		if (system(run->mode + 5) == -1) /* NOLINT: a test's own text */
			die("run a command");
	}
}

/* Returns the signal to go on with. */
static int stopped(struct run *run, pid_t pid, int status)
{
	struct __ptrace_syscall_info info;
	int sig = WSTOPSIG(status);

	if (sig == (SIGTRAP | 0x80)) {
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
			return 0; /* killed meanwhile */
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			entry(run, pid, &info);
		else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
			leave(run, pid);
		return 0;
	}
	/* A new child's first stop, and the events that announce one. */
	return sig == SIGTRAP || sig == SIGSTOP ? 0 : sig;
}

/* Until the command itself has ended; returns its status. */
static int trace(struct run *run)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, __WALL);
		if (pid < 0)
			die("wait");
		if (WIFSTOPPED(status)) {
			int sig = stopped(run, pid, status);

			(void)ptrace(PTRACE_SYSCALL, pid, NULL, sig);
		} else if (pid == run->first) {
			return status;
		}
	}
}

int main(int argc, char *argv[])
{
	struct run run = { 0 };
	int status;

	if (argc < 4)
		return 98;
	run.mode = argv[1];
	run.at_child = argv[2][0] == 'c';
	run.at = strcmp(run.mode, "count") == 0 ? 0 : strtoul(argv[2] + run.at_child, NULL, 10);
	run.first = fork();
	if (run.first == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)raise(SIGSTOP);
		(void)execvp(argv[3], argv + 3);
		_exit(97);
	}
	if (waitpid(run.first, &status, 0) < 0 ||
	    ptrace(PTRACE_SETOPTIONS, run.first, NULL, OPTIONS) < 0 ||
	    ptrace(PTRACE_SYSCALL, run.first, NULL, 0) < 0)
		die("trace");
	status = trace(&run);
	if (run.at == 0)
		fprintf(stderr, "steps: %lu %lu\n", run.n[0], run.n[1]);
	else if (!run.done)
		return 99;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
