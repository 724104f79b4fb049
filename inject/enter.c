/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short-lived child that enters a container's mount namespace.
 *
 * CLONE_VM | CLONE_VFORK: no page table is copied, results need no pipe, and a
 * child that the time limit has killed leaves its record of changes behind for
 * the undo. CLONE_FILES: a descriptor that it opens outlives it. CLONE_FS is
 * not given, since setns(2) refuses to move a shared working directory.
 */
#include "inject/enter.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/error.h"
#include "inject/privilege.h"

#define STACK_SIZE (256 * 1024)
#define GUARD_SIZE 4096

struct call {
	int mntns_fd;
	unsigned int timeout_s;
	int (*fn)(void *arg, struct error *err);
	void *arg;
	struct error *err;
	bool returned;
	int result;
};

static int call_inside(const struct call *call)
{
	int r;

	(void)alarm(call->timeout_s);
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

static int call_result(const struct call *call, int status)
{
	if (call->returned)
		return call->result;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return error_setc(call->err, ERROR_MOUNT, -ETIME,
				  "the container's filesystem did not answer within %u s",
				  call->timeout_s);
	return error_setc(call->err, ERROR_MOUNT, -ECHILD,
			  "ended inside the container by signal %d", WTERMSIG(status));
}

int enter_run(int mntns_fd, unsigned int timeout_s, int (*fn)(void *arg, struct error *err),
	      void *arg, struct error *err)
{
	struct call call = { mntns_fd, timeout_s, fn, arg, err, false, 0 };
	char *stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int status = 0, r = 0;
	pid_t pid;

	if (stack == MAP_FAILED || mprotect(stack, GUARD_SIZE, PROT_NONE) < 0)
		return error_set(err, -ENOMEM, "make a stack");
	pid = clone(child_main, stack + GUARD_SIZE + STACK_SIZE,
		    CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &call);
	if (pid < 0)
		r = error_set(err, -errno, "clone");
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)munmap(stack, GUARD_SIZE + STACK_SIZE);
	return r < 0 ? r : call_result(&call, status);
}
