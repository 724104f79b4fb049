/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_ADOPT_H
#define NVFS_FS_ADOPT_H

struct error;

/*
 * A keeper that begins where another one was killed. Its daemon may live and
 * serve: then its descriptors are taken from it (pidfd_getfd(2)) and it is ended,
 * for a daemon of our own to go on. Or systemd has kept the descriptors.
 */

struct adopted {
	int fuse, state, listen; /* the caller's to close */
};

/**
 * adopt_orphan() - take over from a daemon that has lost its keeper
 * @socket: of the daemon; the state lies beside it
 * @err:    where there is one, and it cannot be taken over
 *
 * Privilege: CAP_SYS_PTRACE, or root where Yama allows it.
 *
 * Return: 1, 0 (there is none; untouched), or a negative errno.
 */
int adopt_orphan(const char *socket, struct adopted *ret, struct error *err);

/**
 * adopt_stored() - take over what systemd has kept for us (sd_listen_fds(3))
 *
 * A daemon that still serves with it is ended. The variables go from the
 * environment, and descriptors that we do not know are closed.
 *
 * Return: 1, 0 (nothing, or it is of no use any more), -EPROTO (the state is of another layout, which is
 * named), or another negative errno. Where it is not 1, all is closed.
 */
int adopt_stored(struct adopted *ret, struct error *err);

/** adopt_store() - let systemd keep these, for a keeper that comes next; nothing without systemd */
void adopt_store(const struct adopted *fds);

/** adopt_unstore() - there is nothing to go on with any more */
void adopt_unstore(void);

#endif
