/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short-lived child that enters a container's mount namespace.
 *
 * CLONE_VM: no page table is copied, results need no pipe, and a child that the
 * time limit has ended leaves its record of changes behind for the undo.
 * CLONE_FILES: a descriptor that it opens outlives it. CLONE_FS is not given,
 * since setns(2) refuses to move a shared working directory.
 *
 * As after vfork(2) only one of the two runs: we wait for the child's pidfd and
 * touch nothing meanwhile. CLONE_VFORK itself is not given, since its wait has
 * no time limit, and a child that waits for a FUSE server which has taken its
 * request and does not answer cannot be ended: fuse_simple_request(), "Either
 * request is already in userspace, or it was forced. Wait it out." Such a child
 * is left behind. It has SIGKILL pending and never runs another instruction of
 * ours, so whatever it shares with us is ours alone from then on.
 */
#include "inject/enter.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/privilege.h"

#define STACK_SIZE (256 * 1024)
#define GUARD_SIZE 4096

#define KILL_TIMEOUT_MS 500 /* until a process that can die of SIGKILL has died of it */

struct call {
	int mntns_fd;
	unsigned int timeout_ms;
	int (*fn)(void *arg, struct error *err);
	void *arg;
	struct error *err;
	bool returned;
	int result;
};

static pid_t left_behind; /* the last child that could not be ended; 0: none */

bool enter_left_behind(void)
{
	return left_behind != 0;
}

static int call_inside(const struct call *call)
{
	int r;

	/* Should we be killed meanwhile, the child does not stay for long. */
	(void)alarm(call->timeout_ms / 1000 + 2);
	r = privilege_enter(PRIVILEGE_INSIDE, call->err);
	if (r < 0)
		return r;
	if (call->mntns_fd >= 0 && setns(call->mntns_fd, CLONE_NEWNS) < 0)
		return error_set(call->err, -errno, "enter the mount namespace");
	return call->fn(call->arg, call->err);
}

static int child_main(void *arg)
{
	struct call *call = arg;

	call->result = call_inside(call);
	call->returned = true;
	return 0;
}

/* Has the process ended? A stop by a debugger may cut the wait short, which does not matter. */
static bool wait_end(int pidfd, unsigned int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&p, 1, (int)timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

/* Returns 0, or -ETIMEDOUT and leaves the child dead or to its fate. */
static int wait_for(pid_t pid, int pidfd, const struct call *call)
{
	if (wait_end(pidfd, call->timeout_ms))
		return 0;
	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	if (!wait_end(pidfd, KILL_TIMEOUT_MS))
		left_behind = pid;
	if (call->returned) /* just in time */
		return 0;
	if (left_behind == pid)
		(void)error_setc(call->err, ERROR_MOUNT, -ETIMEDOUT,
				 "no answer from the container's filesystem in %u ms, process %d waits on",
				 call->timeout_ms, (int)pid);
	else
		(void)error_setc(call->err, ERROR_MOUNT, -ETIMEDOUT,
				 "no answer from the container's filesystem in %u ms",
				 call->timeout_ms);
	return error_remedy(call->err, -ETIMEDOUT,
			    "end what serves that filesystem, or raise --timeout");
}

static int call_result(const struct call *call, pid_t pid, int pidfd)
{
	int status = 0, r = wait_for(pid, pidfd, call);

	while (left_behind != pid && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0 || call->returned)
		return r < 0 ? r : call->result;
	return error_setc(call->err, ERROR_MOUNT, -ECHILD,
			  "ended inside the container by signal %d", WTERMSIG(status));
}

int enter_run(int mntns_fd, unsigned int timeout_ms, int (*fn)(void *arg, struct error *err),
	      void *arg, struct error *err)
{
	struct call call = { mntns_fd, timeout_ms, fn, arg, err, false, 0 };
	char *stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	auto_close int pidfd = -1;
	pid_t pid;
	int r;

	if (stack == MAP_FAILED || mprotect(stack, GUARD_SIZE, PROT_NONE) < 0)
		return error_set(err, -ENOMEM, "make a stack");
	pid = clone(child_main, stack + GUARD_SIZE + STACK_SIZE,
		    CLONE_VM | CLONE_FILES | CLONE_PIDFD | SIGCHLD, &call, &pidfd);
	r = pid < 0 ? error_set(err, -errno, "clone") : call_result(&call, pid, pidfd);
	if (left_behind != pid)
		(void)munmap(stack, GUARD_SIZE + STACK_SIZE);
	return r;
}
