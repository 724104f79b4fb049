/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_KEEPER_IMPL_H
#define NVFS_FS_KEEPER_IMPL_H

/* The inside of the keeper, for keeper*.c alone. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/link.h"

struct config;
struct error;

/* A child, and how to talk to it; pid 0: there is none. */
struct keeper_child {
	pid_t pid;
	int pidfd, link;
	int64_t started_ms;
};

#define KEEPER_NO_CHILD { .pidfd = -1, .link = -1 }

struct kept_file {
	uint32_t object;
	int fd;
};

struct keeper {
	const struct config *config;
	char **argv; /* of `nvfs serve` */
	int fuse, state, listen, signals;
	int program;         /* O_PATH: what daemons are started from */
	char path[PATH_MAX]; /* where its successor is to be found */
	struct keeper_child daemon;
	struct keeper_child successor; /* of a handover */
	int next_program;              /* O_PATH: the successor's; -1 */
	int64_t stop_by_ms;            /* the daemon must have given way by then; 0: nobody asked it to */
	bool renewed;    /* the keeper is to become the program of its daemon */
	bool left;       /* the state is one that a killed keeper has left */
	bool was_ready;  /* some daemon has been */
	bool stopping;   /* somebody has asked for the end */
	bool done, failed;
	bool leave;      /* go, and let the daemon go on without a keeper */
	int status;      /* of the daemon that could not begin */
	int64_t heard_ms, pinged_ms;
	int64_t asked_ms; /* the first ping that has not been answered; 0: there is none */
	int64_t asked_cpu_ms; /* processor time that the daemon had used then */
	int64_t turn_ms;  /* the keeper's own last turn */
	int64_t watchdog_ms; /* the service manager wants to hear from us as often; 0: it does not */
	int64_t fed_ms;   /* when it has last */
	int64_t dying_ms; /* since then the daemon is on its way out; 0: it is not */
	bool ready; /* the present one is */
	unsigned int quick_deaths;
	struct kept_file *files;
	size_t n_files;
};

/* keeper_open.c: what a keeper begins with, and ends with */

/**
 * keeper_open() - get hold of everything
 *
 * @k->was_ready says that the filesystem is mounted and another daemon has
 * served it, @k->left that there is the state of one.
 */
int keeper_open(struct keeper *k, struct error *err);
/** keeper_open_signals() - those that ask for the end, as a descriptor; the program and its path */
int keeper_open_own(struct keeper *k, struct error *err);
void keeper_close(struct keeper *k);

/* keeper_child.c: children */

/** keeper_child_start() - run a program as a daemon, or as the successor of one */
int keeper_child_start(const struct keeper *k, int program, const char *mode,
		       struct keeper_child *ret, struct error *err);
/**
 * keeper_child_reap() - forget a child that has ended, or was killed; its wait status
 *
 * Does not wait: a killed process of which a thread waits for a filesystem that does not answer
 * may never be gone, but no thread of it will run our code again.
 */
int keeper_child_reap(struct keeper_child *child);
/** keeper_child_end() - kill it, give it a moment, and forget it; its wait status */
int keeper_child_end(struct keeper_child *child);
/** keeper_give_files() - all that a daemon gets before it serves, and the word to begin */
int keeper_give_files(const struct keeper *k, int link);

/* keeper_handover.c */

/** handover_begin() - the daemon asks for the program on disk in its place */
void handover_begin(struct keeper *k);
/** handover_message() - the successor says something, or (@r <= 0) nothing any more */
void handover_message(struct keeper *k, const struct link_message *message, int r);
/** handover_check() - limits of time */
void handover_check(struct keeper *k);
/** handover_finish() - the daemon has gone: let a successor that stands by have its place; false: none */
bool handover_finish(struct keeper *k);
/** keeper_become() - execute the daemon's program in the keeper's place; returns where that fails */
void keeper_become(struct keeper *k);
/** keeper_become_parse() - what the program before has handed over */
int keeper_become_parse(struct keeper *k, char **numbers, struct error *err);

#endif
