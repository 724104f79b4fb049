/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child that enters a container's mount namespace.
 *
 * It is a copy of us, not a thread and not a vfork(2) child: it works while we
 * talk to the daemon and change cgroups, and no byte of ours is in its way.
 * What both must see is in shared memory, so that a child that the time limit
 * has ended leaves its record of changes behind for the undo. CLONE_FILES: a
 * descriptor that it opens outlives it. CLONE_FS is not given, since setns(2)
 * refuses to move a shared working directory.
 *
 * Each waits for the other by an eventfd; we wait for the child's pidfd too. A
 * child that waits for a FUSE server which has taken its request and does not
 * answer cannot be ended: fuse_simple_request(), "Either request is already in
 * userspace, or it was forced. Wait it out." Such a child is left behind. It
 * has SIGKILL pending and never runs another instruction of ours.
 */
#include "inject/enter.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/filter.h"
#include "inject/privilege.h"
#include "inject/shared.h"
#include "inject/warm.h"

#define NOBODY 65534
#define KILL_TIMEOUT_MS 500 /* until a process that can die of SIGKILL has died of it */
#define GRACE_S 4	    /* beyond the limit: we end the child ourselves, and may undo */

struct enter_call {
	int (*fn)(void *arg, struct error *err); /* NULL: the child is to end */
	void *arg;
	struct error err;
	int result;
	bool returned;
	bool last; /* the child ends after it */
};

static pid_t left_behind; /* the last child that could not be ended; 0: none */

bool enter_left_behind(void)
{
	return left_behind != 0;
}

/* inside */

/* Signals to all of a terminal are ours to answer: we undo what the child has done. */
static void ignore_terminal(void)
{
	static const int ours[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		(void)sigaddset(&set, ours[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/*
 * In another user namespace the uid is the same and the capabilities are those of that namespace: the files
 * that its owner may not write to, because they are not of a user whom he has in there, are closed to
 * us too. Root's groups stay outside: inside, setgroups(2) may be forbidden.
 */
static int become_owner(const struct enter_ns *ns, struct error *err)
{
	int r;

	/* The saved uid stays root's, so that we may end the child. No way back: inside the filter is before that. */
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(ns->owner, ns->owner, 0) < 0)
		return error_set(err, -errno, "become uid %u", ns->owner);
	/* With another uid it is what fs.suid_dumpable says: prctl(2). He must not look into us. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, -errno, "be no one's to trace");
	r = privilege_enter(PRIVILEGE_INSIDE, err); /* what is in effect went with uid 0 */
	if (r < 0)
		return r;
	if (setns(ns->user, CLONE_NEWUSER) < 0)
		return error_set(err, -errno, "enter the user namespace of uid %u", ns->owner);
	/* His own as a rule; where it is not in there, that of nobody does. */
	if (setresgid(0, 0, 0) < 0 && errno != EINVAL)
		return error_set(err, -errno, "become uid %u", ns->owner);
	return privilege_enter(PRIVILEGE_INSIDE, err);
}

static int go_inside(const struct enter_ns *ns, unsigned int limit_ms, struct error *err)
{
	int r;

	(void)alarm(limit_ms / 1000 + GRACE_S);
	ignore_terminal();
	r = privilege_enter(PRIVILEGE_INSIDE, err);
	if (r == 0 && ns->user >= 0)
		r = become_owner(ns, err);
	if (r < 0)
		return r;
	/* Not before we are who we are to be. Where our parent is dead already, the alarm ends us. */
	r = privilege_stay_hidden();
	if (r < 0)
		return error_set(err, r, "be no one's to trace");
	if (ns->mnt >= 0 && setns(ns->mnt, CLONE_NEWNS) < 0)
		return error_set(err, -errno, "enter the mount namespace");
	return filter_enter(FILTER_INSIDE, err);
}

static _Noreturn void child_main(const struct enter *enter, const struct enter_ns *ns,
				 unsigned int limit_ms)
{
	struct enter_call *call = enter->call;
	eventfd_t n;
	int r;

	warm_code();
	r = go_inside(ns, limit_ms, &call->err);
	for (bool first = true;; first = false) {
		bool last = call->last; /* once it has returned, @call is the next one already */

		call->result = r < 0 ? r : call->fn(call->arg, &call->err);
		call->returned = true;
		if (eventfd_write(enter->done, 1) < 0 || last)
			break;
		if (first)
			warm_stack();
		if (eventfd_read(enter->go, &n) < 0 || !call->fn)
			break;
	}
	_exit(0);
}

/* outside */

static void forget(struct enter *enter)
{
	cleanup_close(&enter->pidfd);
	cleanup_close(&enter->go);
	cleanup_close(&enter->done);
	*enter = (struct enter)ENTER_EMPTY;
}

static int start(struct enter *enter, const struct enter_ns *ns, unsigned int limit_ms,
		 struct error *err)
{
	int r;

	enter->go = eventfd(0, EFD_CLOEXEC);
	enter->done = eventfd(0, EFD_CLOEXEC);
	if (enter->go < 0 || enter->done < 0)
		return error_set(err, -errno, "make an eventfd");
	r = enter->pid = sys_fork_sharing_files(&enter->pidfd);
	if (r == 0)
		child_main(enter, ns, limit_ms);
	if (r < 0)
		enter->pid = 0;
	return r < 0 ? error_set(err, r, "clone") : 0;
}

int enter_begin(struct enter *enter, const struct enter_ns *ns, unsigned int limit_ms,
		int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	bool last = enter->last;
	int r = 0;

	if (enter->call && enter->call->last)
		enter_done(enter);
	if (!enter->call)
		enter->call = shared_new(sizeof(*enter->call));
	if (!enter->call)
		return error_set(err, -ENOMEM, "call inside");
	*enter->call = (struct enter_call){ .fn = fn, .arg = arg, .last = last };
	if (!enter->pid)
		r = start(enter, ns, limit_ms, err);
	else if (eventfd_write(enter->go, 1) < 0)
		r = error_set(err, -errno, "call inside");
	if (r < 0)
		enter_done(enter);
	else
		enter->running = true;
	return r;
}

/* A stop by a debugger may cut a wait short, which does not matter. */
static bool wait_end(int pidfd, unsigned int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&p, 1, (int)timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

/* Has the call returned, or the child ended? */
static bool wait_return(const struct enter *enter, unsigned int timeout_ms)
{
	struct pollfd p[] = { { .fd = enter->done, .events = POLLIN },
			      { .fd = enter->pidfd, .events = POLLIN } };
	eventfd_t n;
	int r;

	do
		r = poll(p, ARRAY_SIZE(p), (int)timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r > 0 && p[0].revents)
		(void)eventfd_read(enter->done, &n);
	return r > 0;
}

/* Returns whether it is dead. */
static bool end_by_force(const struct enter *enter)
{
	(void)sys_pidfd_send_signal(enter->pidfd, SIGKILL);
	if (wait_end(enter->pidfd, KILL_TIMEOUT_MS))
		return true;
	left_behind = enter->pid;
	return false;
}

static int reap(const struct enter *enter)
{
	int status = 0;

	while (waitpid(enter->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static int no_answer(const struct enter *enter, unsigned int timeout_ms, bool dead,
		     struct error *err)
{
	if (dead)
		(void)error_setc(err, ERROR_MOUNT, -ETIMEDOUT,
				 "no answer from the container's filesystem in %u ms", timeout_ms);
	else
		(void)error_setc(
			err, ERROR_MOUNT, -ETIMEDOUT,
			"no answer from the container's filesystem in %u ms, process %d waits on",
			timeout_ms, (int)enter->pid);
	return error_remedy(err, -ETIMEDOUT, "end what serves that filesystem, or raise --timeout");
}

static int returned(struct enter *enter, struct error *err)
{
	int r = enter->call->result;

	if (r < 0 && err)
		*err = enter->call->err;
	if (r == -EMFILE)
		(void)error_remedy(err, r, "raise the hard limit of open files of who calls nvinject");
	return r;
}

int enter_end(struct enter *enter, unsigned int timeout_ms, struct error *err)
{
	bool dead = false, in_time = wait_return(enter, timeout_ms);
	int r;

	enter->running = false;
	if (in_time && enter->call->returned)
		return returned(enter, err);
	if (!in_time)
		dead = end_by_force(enter);
	if (enter->call->returned) /* just in time */
		r = returned(enter, err);
	else if (!in_time)
		r = no_answer(enter, timeout_ms, dead, err);
	else
		r = 0;
	if (in_time)
		r = error_setc(err, ERROR_MOUNT, -ECHILD, "ended inside the container by signal %d",
			       WTERMSIG(reap(enter)));
	else if (dead)
		(void)reap(enter);
	forget(enter);
	return r;
}

/* No more calls: it ends by itself. */
static void stop(const struct enter *enter)
{
	if (!enter->pid || enter->running || enter->call->last)
		return;
	enter->call->fn = NULL;
	(void)eventfd_write(enter->go, 1);
}

void enter_done(struct enter *enter)
{
	stop(enter);
	if (enter->pid && ((!enter->running && wait_end(enter->pidfd, KILL_TIMEOUT_MS)) ||
			   end_by_force(enter)))
		(void)reap(enter);
	forget(enter);
}

int enter_run(const struct enter_ns *ns, unsigned int timeout_ms,
	      int (*fn)(void *arg, struct error *err), void *arg, struct error *err)
{
	struct enter enter = ENTER_EMPTY;
	int r;

	enter.last = true;
	r = enter_begin(&enter, ns, timeout_ms, fn, arg, err);
	r = r ? r : enter_end(&enter, timeout_ms, err);
	enter_done(&enter);
	return r;
}
