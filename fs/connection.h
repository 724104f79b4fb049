/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CONNECTION_H
#define NVFS_FS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/features.h"

struct error;
struct store;

/*
 * The FUSE connection behind /dev/fuse: libfuse's session over it, the worker
 * threads, and what another process needs to go on with it. That is kept in
 * the store: the INIT request, and each request that a worker has read and not
 * yet answered.
 */

struct connection;

/**
 * connection_new() - a session over a FUSE descriptor; no thread yet
 * @fuse_fd: /dev/fuse, mounted or about to be; borrowed for the connection's life
 * @store:   borrowed likewise
 * @err:     message chain, may be NULL
 *
 * Return: 0 or a negative errno.
 */
int connection_new(int fuse_fd, struct store *store, struct connection **ret, struct error *err);

/** connection_free() - wait for the workers, which end with the connection; NULL is fine */
void connection_free(struct connection *connection);

/**
 * connection_start() - serve a connection that is new
 * @allowed: kernel features that may be used
 * @overlay: the host's files are on overlayfs
 *
 * Waits until the kernel's INIT has been answered.
 *
 * Return: 0, -ETIME or the errno of pthread_create(3).
 */
int connection_start(struct connection *connection, unsigned int n_workers,
		     const struct features *allowed, bool overlay, struct error *err);

/**
 * connection_resume() - serve a connection that another process has served
 *
 * The kernel's INIT is replayed from the store to libfuse, whose answer goes
 * nowhere, and of @allowed only what is no matter of the connection counts.
 * What the process before had read and not answered comes again from the kernel
 * (FUSE_NOTIFY_RESEND, Linux 6.9), or is served from the store. A request with
 * which three processes have died is answered with EIO.
 *
 * Return: 0, -EBADMSG (the store has no INIT) or the errno of pthread_create(3).
 */
int connection_resume(struct connection *connection, unsigned int n_workers,
		      const struct features *allowed, struct error *err);

/** connection_features() - what is in use, once it has been started */
const struct features *connection_features(const struct connection *connection);

/** connection_ended_fd() - becomes readable when the connection has ended */
int connection_ended_fd(const struct connection *connection);

/** connection_forget_name(), _attr(), _all() - see filesystem.h */
void connection_forget_name(struct connection *connection, uint64_t parent, const char *name);
void connection_forget_attr(struct connection *connection, uint64_t nodeid);

/** connection_is_known() - see filesystem_is_known() */
bool connection_is_known(struct connection *connection, uint64_t nodeid);
int connection_forget_all(struct connection *connection);

/** connection_stalled() - see hostread_stalled() */
size_t connection_stalled(const struct connection *connection, uint32_t *objects, size_t max);

#endif
