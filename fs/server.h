/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_SERVER_H
#define NVFS_FS_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/process.h"

struct client;
struct error;
struct loop;
struct server;
struct varlink_message;

/*
 * The control socket: connections, messages in and replies out. What a method
 * does is the handler's business.
 *
 * Every client is a stranger: connections are limited in all and per uid, a
 * message in size and depth (common/varlink.h), silence in time. A client that
 * breaks a rule is disconnected; no other one notices.
 */

/* Who is at the other end, as the kernel says (unix(7), SO_PEERCRED). */
struct peer {
	uid_t uid;
	pid_t pid;
	struct process process; /* zeroed where /proc did not tell; of root beside us only its namespaces */
	bool could_enter;       /* the daemon's mount namespace, by itself: see process_could_enter() */
};

/**
 * peer_is_root() - is this the host's root?
 * @self: the daemon
 *
 * uid 0 in the daemon's user namespace, and in its mount namespace or able to enter that anyway, as the
 * hooks that a runtime runs in a copy of it. Root of a container is nobody's root but the container's.
 */
bool peer_is_root(const struct peer *peer, const struct process *self);

struct server_handler {
	/* A method call; exactly one client_reply(), client_error() or client_answer_in_pieces() answers it. */
	void (*on_call)(void *data, struct client *client, const char *method, json_t *params,
			struct varlink_message *message);
	/* The connection is gone; what the client left half done is to be undone. */
	void (*on_gone)(void *data, struct client *client);
	void *data;
};

/**
 * server_listen() - open the control socket
 * @path: its directory is made (0755), a dead daemon's socket is replaced
 * @err:  message chain
 *
 * Return: the listening socket (the caller's), -EADDRINUSE (a living daemon
 * has it) or another negative errno.
 */
int server_listen(const char *path, struct error *err);

/**
 * server_new() - accept connections
 * @listener: from server_listen(), in this process or another; borrowed
 * @err:      message chain
 */
int server_new(int listener, struct loop *loop, const struct server_handler *handler,
	       struct server **ret, struct error *err);

/** server_free() - disconnect all; NULL is fine */
void server_free(struct server *server);

/** server_expire() - disconnect who has been silent too long; to be called every few seconds */
void server_expire(struct server *server);

const struct peer *client_peer(const struct client *client);

/**
 * client_is_in_group() - was who connected a member?
 *
 * unix(7), SO_PEERCRED and SO_PEERGROUPS: the effective and the supplementary groups at connect(2), as the
 * daemon's user namespace knows them.
 */
bool client_is_in_group(const struct client *client, gid_t gid);

/**
 * client_reply() - answer a call
 * @params: reference taken over; NULL for an empty reply or when out of memory
 * @fds:    @n_fds descriptors, closed when they are sent or not needed any more
 */
void client_reply(struct client *client, json_t *params, const int *fds, size_t n_fds);

/**
 * client_error() - answer a call with io.nvfs.Error
 * @trace: NULL for none; borrowed
 */
void client_error(struct client *client, const struct error *err, const char *trace);

/**
 * client_piece - make one piece of an answer
 * @at:   where the piece before ended, 0 at first; for the function alone
 * @last: to be set to false where there is more
 *
 * Return: the parameters of one reply, a new reference; NULL (out of memory) cuts the client off.
 */
typedef json_t *client_piece(void *data, struct client *client, uint32_t *at, bool *last);

/**
 * client_answer_in_pieces() - this client's call asked for "more": @next makes one reply after the other
 *
 * Each is made when the one before has been read, and other clients have their turn between them. No other
 * call of this client is taken meanwhile. Instead of client_reply().
 */
void client_answer_in_pieces(struct client *client, client_piece *next, void *data);

#define CLIENT_EVENTS_MAX 256 /* that wait for one listener to read them */

/**
 * client_listen() - this client's call asked for "more": it is answered by client_event() until it goes
 *
 * No other call of it is taken, and it may be silent for ever.
 */
void client_listen(struct client *client);

/**
 * client_event() - one more reply to a client that listens
 * @params: reference taken over
 *
 * A client that does not read is told so, with an error in the place of the event that found no room any more, and is
 * disconnected when it has read that; the events before come to it.
 *
 * Return: false where nothing is sent to it any more.
 */
bool client_event(struct client *client, json_t *params);

#endif
