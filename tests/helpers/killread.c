/* SPDX-License-Identifier: Apache-2.0 */
/*
 * killread KEEPER OPCODE TIMES: kills the daemon below this keeper with a FUSE request of this kind
 * in work: once, in the moment in which it has been read; or more often, each time before it is
 * answered, by whichever daemon.
 *
 * From outside, with ptrace(2), so that the daemon under test is the one that is installed: nothing
 * in it is made for the test. Every system call of its threads stops twice. Where a read(2) of
 * /dev/fuse returns, the request's header is looked at, and SIGKILL finds the thread before it is back
 * in user space; where a write to it begins, SIGKILL finds it before anything is written. The keeper
 * is traced for its children's sake, where more than one are to die.
 *
 * OPCODE is of linux/fuse.h; 2 (FORGET) stands for 42 (BATCH_FORGET) too. For 36 (INTERRUPT) a thread
 * that reads another request is held, since only a request in work is interrupted. For 26 (INIT) the keeper
 * has no daemon yet. Prints "ready",
 * "killed OPCODE NODEID" for each death, and ends with the last; the keeper and what it
 * starts then go on untraced.
 *
 * LINK: -static
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORGET 2
#define INIT 26
#define INTERRUPT 36
#define BATCH_FORGET 42
#define THREADS_MAX 4096
#define OPTIONS \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK)

/* linux/fuse.h */
struct in_header {
	uint32_t len, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid, padding;
};

struct out_header {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};

#define UNIQUE_RESEND (1ULL << 63) /* in a request that comes again */

/* The system call that a thread is in. */
struct thread {
	pid_t tid;
	uint64_t nr, fd, buf, fd_out;
	uint64_t unique; /* of the request that it has read last */
};

static struct thread threads[THREADS_MAX];
static size_t n_threads;
static struct in_header target; /* the request with which more than one daemon is to die */

static struct thread *thread_of(pid_t tid)
{
	for (size_t i = 0; i < n_threads; i++)
		if (threads[i].tid == tid)
			return &threads[i];
	if (n_threads == THREADS_MAX)
		exit(2);
	threads[n_threads] = (struct thread){ .tid = tid };
	return &threads[n_threads++];
}

static long seize(pid_t tid)
{
	if (ptrace(PTRACE_SEIZE, tid, 0, OPTIONS) < 0) {
		perror("PTRACE_SEIZE");
		exit(2);
	}
	return ptrace(PTRACE_INTERRUPT, tid, 0, 0);
}

static int seize_process(pid_t pid)
{
	char path[64];
	const struct dirent *entry;
	int n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			n += seize(atoi(entry->d_name)) == 0;
	if (dir)
		(void)closedir(dir);
	return n;
}

static pid_t child_of(pid_t keeper)
{
	char path[64];
	int pid = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		(void)fclose(f);
	return pid;
}

static pid_t process_of(pid_t tid)
{
	char path[64], line[128];
	int pid = tid;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &pid) == 1)
			break;
	if (f)
		(void)fclose(f);
	return pid;
}

static bool is_fuse(pid_t tid, uint64_t fd)
{
	char path[64], at[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%llu", tid, (unsigned long long)fd);
	n = readlink(path, at, sizeof(at) - 1);
	at[n < 0 ? 0 : n] = '\0';
	return strcmp(at, "/dev/fuse") == 0;
}

static bool is_wanted(uint32_t opcode, uint32_t wanted)
{
	return opcode == wanted || (wanted == FORGET && opcode == BATCH_FORGET);
}

static bool peek(pid_t tid, uint64_t from, void *to, size_t size)
{
	struct iovec here = { to, size };
	struct iovec there = { (void *)(uintptr_t)from, size };

	return process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

static bool header_read(const struct thread *thread, int64_t n, struct in_header *header)
{
	return thread->nr == SYS_read && n >= (int64_t)sizeof(*header) &&
	       is_fuse(thread->tid, thread->fd) &&
	       peek(thread->tid, thread->buf, header, sizeof(*header));
}

/* Of a call with an array of buffers. */
static bool first_header(const struct thread *thread, struct out_header *header)
{
	struct iovec first = { 0 };

	return peek(thread->tid, thread->buf, &first, sizeof(first)) &&
	       peek(thread->tid, (uintptr_t)first.iov_base, header, sizeof(*header));
}

/* Is this thread about to answer the target? */
static bool is_answer(const struct thread *thread)
{
	struct out_header header;

	if (!target.unique)
		return false;
	if (thread->nr == SYS_splice) /* the header is in the pipe: who has read the request, or filled the pipe */
		return thread->unique == target.unique && is_fuse(thread->tid, thread->fd_out);
	if ((thread->nr != SYS_write && thread->nr != SYS_writev) ||
	    !is_fuse(thread->tid, thread->fd))
		return false;
	if (thread->nr == SYS_writev ? !first_header(thread, &header)
				     : !peek(thread->tid, thread->buf, &header, sizeof(header)))
		return false;
	return (header.unique & ~UNIQUE_RESEND) == target.unique;
}

static void kill_daemon(pid_t tid, const struct in_header *with, int *times)
{
	(void)kill(process_of(tid), SIGKILL);
	printf("killed %u %#llx\n", with->opcode, (unsigned long long)with->nodeid);
	(*times)--;
}

static void on_entry(struct thread *thread, const struct __ptrace_syscall_info *info, int *times)
{
	struct out_header header;

	thread->nr = info->entry.nr;
	thread->fd = info->entry.args[0];
	thread->buf = info->entry.args[1];
	thread->fd_out = info->entry.args[2];
	if (thread->nr == SYS_vmsplice && first_header(thread, &header))
		thread->unique = header.unique & ~UNIQUE_RESEND;
	if (is_answer(thread))
		kill_daemon(thread->tid, &target, times);
}

/* At a stop of a system call. false: leave the thread where it is. */
static bool on_syscall(pid_t tid, uint32_t wanted, int *times)
{
	struct __ptrace_syscall_info info = { 0 };
	struct thread *thread = thread_of(tid);
	struct in_header header;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0)
		return true;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		on_entry(thread, &info, times);
		return true;
	}
	if (info.op != PTRACE_SYSCALL_INFO_EXIT || !header_read(thread, info.exit.rval, &header))
		return true;
	thread->unique = header.unique & ~UNIQUE_RESEND;
	if (!is_wanted(header.opcode, wanted))
		return wanted != INTERRUPT;
	if (*times == 1 && !target.unique)
		kill_daemon(tid, &header, times);
	else if (!target.unique)
		target = header;
	return true;
}

static void on_stop(pid_t tid, int status, uint32_t wanted, int *times)
{
	int sig = WSTOPSIG(status);

	if (sig == (SIGTRAP | 0x80)) {
		if (!on_syscall(tid, wanted, times))
			return;
		sig = 0;
	} else if (status >> 16) {
		sig = 0; /* an event: a child, an exec, the stop that was asked for */
	}
	(void)ptrace(PTRACE_SYSCALL, tid, 0, sig);
}

int main(int argc, char *argv[])
{
	pid_t keeper = argc == 4 ? atoi(argv[1]) : 0, tid;
	uint32_t wanted = argc == 4 ? (uint32_t)atoi(argv[2]) : 0;
	int times = argc == 4 ? atoi(argv[3]) : 0, status, starting;

	if (keeper <= 0 || times <= 0)
		return 2;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	starting = seize_process(child_of(keeper));
	if (times > 1 || wanted == INIT)
		starting += seize_process(keeper);
	while (times > 0 && (tid = waitpid(-1, &status, __WALL)) > 0) {
		if (!WIFSTOPPED(status))
			continue;
		on_stop(tid, status, wanted, &times);
		if (starting && --starting == 0)
			puts("ready");
	}
	return times > 0; /* tracees go on when their tracer ends */
}
