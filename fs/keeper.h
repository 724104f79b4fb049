/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_KEEPER_H
#define NVFS_FS_KEEPER_H

struct config;
struct error;

/*
 * The keeper: the process that `nvfs serve` becomes. It holds what must not be
 * lost, /dev/fuse, the state and the listening socket, and lets a child, the
 * daemon, do the work. A daemon that dies, or is silent for two seconds, is
 * replaced, and the new one goes on where it stopped. The keeper itself does
 * nothing that could fail: it looks at no file, container or message of others.
 *
 * Where it begins it takes what there is: the descriptors that systemd has kept
 * of a keeper before, those of a daemon whose keeper was killed, or the state
 * file of both.
 */

/**
 * keeper_run() - start a daemon and keep one running until it says that it is done
 * @config: mountpoint and socket are read
 * @argv:   NULL-terminated arguments of `nvfs serve`, handed on to the daemon
 * @err:    message chain
 *
 * Return: 0, or a negative errno; -ECANCELED where the daemon has said why
 * itself, and @err has its class alone.
 */
int keeper_run(const struct config *config, char **argv, struct error *err);

/* A keeper that executes another program in its place: nvfs keeper FUSE STATE LISTEN LINK PID FILES ARGUMENT... */
#define KEEPER_RESUME_ARGS 6

/**
 * keeper_resume() - be the keeper that another program was, in the same process
 * @numbers: KEEPER_RESUME_ARGS arguments: descriptors, the daemon's pid, and a
 *           memfd that lists the host's files that are kept
 *
 * Otherwise as keeper_run(); -EINVAL for arguments that are none.
 */
int keeper_resume(const struct config *config, char **numbers, char **argv, struct error *err);

/*
 * How a daemon is called: nvfs daemon FUSE STATE LISTEN LINK MODE ARGUMENT...
 * with numbers of descriptors, and one of these modes.
 */
#define KEEPER_FIRST "first"         /* mount, make the state */
#define KEEPER_GO_ON "go-on"         /* the one before has died */
#define KEEPER_RECOVER "recover"     /* and its keeper too: mount, go on with the state */
#define KEEPER_HAND_OVER "hand-over" /* the one before lives: say that you could, and wait */
#define KEEPER_DAEMON_ARGS 5

enum keeper_mode {
	KEEPER_MODE_FIRST,
	KEEPER_MODE_GO_ON,
	KEEPER_MODE_RECOVER,
	KEEPER_MODE_HAND_OVER
};

/* What a daemon has from its keeper; the descriptors are the daemon's. */
struct keeper_fds {
	int fuse, state, listen, link;
	enum keeper_mode mode;
};

/** keeper_fds_parse() - the first five arguments; -EINVAL for anything else */
int keeper_fds_parse(char **argv, struct keeper_fds *ret);

#endif
