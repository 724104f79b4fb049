/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_ENTER_H
#define NVFS_INJECT_ENTER_H

#include <stdbool.h>
#include <sys/types.h>

struct enter_call;
struct error;

/*
 * A child inside a mount namespace, which does one call after the other while
 * we go on, so that nobody has to find the way back. It is made by the first
 * call and sees our memory as it was then; later calls get, and all calls
 * give back, what lies in shared memory (inject/shared.h). The descriptor
 * table is one: what the child opens is ours, also when it was ended half way.
 * Its namespace, working directory, capabilities, filter of system calls and
 * fsuid are its own.
 *
 * Single-threaded; SIGALRM and SIGCHLD are at their defaults, as
 * privilege_init() leaves them. A called function must not leave by exit(3).
 */
struct enter {
	pid_t pid;	 /* 0: no child */
	int pidfd;
	int go, done;	 /* eventfds: there is a call; it has returned */
	bool running;	 /* between enter_begin() and enter_end() */
	bool last;	 /* set by the caller: the next call is the last, and the child ends by itself after it */
	struct enter_call *call; /* shared */
};

/* Where the child goes. -1: not elsewhere. */
struct enter_ns {
	int mnt;
	int user;    /* the child is its owner from then on, and can no more than he in what he has made */
	uid_t owner;
};

#define ENTER_NOWHERE { .mnt = -1, .user = -1 }

#define ENTER_EMPTY { .pidfd = -1, .go = -1, .done = -1 }

/**
 * enter_begin() - let a function be called inside a mount namespace
 * @ns:       borrowed for the call; those of the first call count
 * @limit_ms: for all calls together: so long the child lives at most, should we be stopped
 * @fn:       returns 0 or a negative errno and fills @err itself
 * @arg:      shared memory, if anything is to come back
 * @err:      message chain, may be NULL
 *
 * Every call that has begun is waited for by enter_end(). After the last one another child is made.
 * Return: 0, or the errno of clone(2) or eventfd(2).
 */
int enter_begin(struct enter *enter, const struct enter_ns *ns, unsigned int limit_ms,
		int (*fn)(void *arg, struct error *err), void *arg, struct error *err);

/**
 * enter_end() - wait until the call has returned
 * @timeout_ms: from now; then the child is ended: whatever lies in a
 *              container, a FUSE mount for one, may never answer
 *
 * After a failure to return there is no child any more: the next call makes a new one.
 *
 * Return: what the function returned, the errno of setns(2), -ETIMEDOUT (ended by the time
 * limit, or left behind) or -ECHILD (ended otherwise).
 */
int enter_end(struct enter *enter, unsigned int timeout_ms, struct error *err);

/** enter_done() - end the child, if there is one, and wait for it */
void enter_done(struct enter *enter);

/** enter_run() - one call in a child of its own; @arg as above */
int enter_run(const struct enter_ns *ns, unsigned int timeout_ms,
	      int (*fn)(void *arg, struct error *err), void *arg, struct error *err);

/**
 * enter_left_behind() - is there a child that SIGKILL does not end?
 *
 * It holds our descriptors open until what serves the container's filesystem
 * answers or ends: whoever waits for the end of our output would wait for it.
 */
bool enter_left_behind(void);

#endif
