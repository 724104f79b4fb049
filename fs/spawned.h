/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_SPAWNED_H
#define NVFS_FS_SPAWNED_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "fs/loop.h"

struct error;

/* A program as a child of the daemon: nobody waits for it, its pidfd is an event source. */

struct spawned {
	struct loop_source source; /* pidfd; first: cast back */
	struct loop *loop;
	pid_t pid; /* 0: none, this place is free */
	time_t started; /* CLOCK_MONOTONIC */
	void (*ended)(struct spawned *child, int status); /* as of waitpid(2); the place is free again */
};

struct spawn {
	const char *program;
	const char *const *argv; /* NULL at the end */
	int out;     /* its standard output, borrowed; -1: /dev/null */
	bool silent; /* its standard error is /dev/null, and not ours */
};

/**
 * spawned_start() - run a program with an empty environment
 * @child: `ended` is filled in, `pid` 0; must stay until it is called, or spawned_kill()
 *
 * Return: 0, or the errno of posix_spawn(3), pidfd_open(2) or epoll_ctl(2): then none runs.
 */
int spawned_start(struct spawned *child, struct loop *loop, const struct spawn *spawn,
		  struct error *err);

/** spawned_check() - end one that has run for longer; its end is told as any other */
void spawned_check(const struct spawned *child, unsigned int limit_s);

/** spawned_kill() - end it and wait for that; nobody is told. Nothing where none runs */
void spawned_kill(struct spawned *child);

#endif
