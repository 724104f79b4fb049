/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_IPC_H
#define NVFS_FS_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;
struct finding_list;

/*
 * Sockets of the driver's own daemons on the host: nvidia-persistenced, the
 * fabric manager, and the pipe directory of MPS. A container gets a bind of
 * each that is there. A socket of a FUSE filesystem would lead to nobody, so
 * they are no part of a tree.
 *
 * They are looked up for each request: a daemon that was started anew has
 * another socket than before.
 */

#define IPC_MAX 3

#define IPC_PERSISTENCED "persistenced"
#define IPC_FABRICMANAGER "fabricmanager"

struct ipc {
	unsigned int cap;   /* enum driver_cap that gives it */
	const char *target; /* in the container: "/run/nvidia-persistenced/socket"; static */
	char *path;         /* absolute, in our mount namespace; owned */
	int fd;             /* O_PATH; owned */
};

struct ipc_list {
	struct ipc items[IPC_MAX];
	size_t n;
};

struct ipc_request {
	const char *root;  /* directory that holds the host's run/ and tmp/: "/" */
	unsigned int caps; /* enum driver_cap, expanded */
	uid_t uid;         /* who asks */
	bool by_root;      /* root in the daemon's own namespaces asks */
	const char *without; /* comma list of words below: left out; NULL or "": none */
};

/**
 * ipc_find() - what is there, and may be given to who asks
 * @ret:      zero-initialised; release with ipc_list_done() also on failure
 * @findings: gets a line for what is there and is not given; may be NULL
 *
 * A request that root has not made gives nothing that the caller could not
 * reach: every directory on the way must be searchable by everybody, and the
 * thing itself writable (a socket) or readable (a directory) by everybody or
 * the caller's own. In /tmp anybody can make a name: what stands there must be
 * root's or the caller's, and no mount. Links are followed nowhere.
 *
 * Nothing there is no error, nor a @root that is not there.
 * Return: 0 or -ENOMEM.
 */
int ipc_find(const struct ipc_request *request, struct ipc_list *ret, struct finding_list *findings,
	     struct error *err);
void ipc_list_done(struct ipc_list *list);

/** ipc_is_target() - is this where a container gets one of them? */
bool ipc_is_target(const char *path);

#endif
