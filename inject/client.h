/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_CLIENT_H
#define NVFS_INJECT_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "inject/plan.h"

struct classic;
struct error;
struct request;
struct targets;

/* The conversation with the daemon, one connection. Zero-initialise with sock = -1. */
struct client {
	int sock;
	bool met; /* there was a connection once */
	char trace[24]; /* of the last answer that had one: names this run in the daemon's log */
};

/**
 * client_connect() - connect, and bound each later wait for the daemon
 *
 * Return: 0, or a negative errno of class ERROR_DAEMON.
 */
int client_connect(struct client *client, const char *path, unsigned int timeout_ms,
		   struct error *err);
void client_done(struct client *client);

/**
 * client_ask() - io.nvfs.Inject: ask for a tree and a plan, which client_plan() takes
 * @classic: where libraries get links, too
 * @cache:  sealed memfd of the container's ld.so.cache; -1: none
 * @compat: sealed memfd of imagecompat_read(); -1: none
 * @target: where the tree is to go
 *
 * Return: 0 or a negative errno.
 */
int client_ask(struct client *client, const struct request *req, const struct targets *targets,
	       const struct classic *classic, int cache, int compat, const char *target,
	       struct error *err);

/**
 * client_plan() - wait for the plan that client_ask() has asked for
 * @ret: zero-initialised; release with plan_done() also on failure
 *
 * Warnings of the daemon go to the log. Return: 0 or a negative errno.
 */
int client_plan(struct client *client, const struct request *req, struct plan *ret,
		struct error *err);

/** client_commit() - io.nvfs.Commit: the plan is done, keep the tree; @done is borrowed */
int client_commit(struct client *client, const char *token, json_t *done, uint64_t time_us,
		  struct error *err);

/** client_abort() - io.nvfs.Abort: the plan was undone; its tree may go */
int client_abort(struct client *client, const char *token, struct error *err);

/**
 * client_get() - io.nvfs.Get: what is known of a container, by id or else by pid
 * @ret: new object; the caller releases it
 */
int client_get(struct client *client, const char *id, pid_t pid, json_t **ret, struct error *err);

/**
 * client_removing() - client_get() by id, and the daemon leaves its cgroups alone from now on
 * @pidfd: which must be of a process of the container; -1: not asked
 * @ret:   its "pid" is that of a process that is there, 0: nobody is left
 *
 * Return: 0, -ESRCH (ERROR_MOUNT: another container's process), or another negative errno.
 */
int client_removing(struct client *client, const char *id, int pidfd, json_t **ret,
		    struct error *err);

/**
 * client_strip() - io.nvfs.Strip: a cache without the entries below @target
 * @ret: sealed memfd of the caller's
 */
int client_strip(struct client *client, int cache, const char *target, int *ret,
		 struct error *err);

/**
 * client_heal() - io.nvfs.Heal: what is the container to be permitted?
 * @pidfd: of a process of it; borrowed
 * @ret:   new object, "cgroup" (the step of the record), "serial"; the caller releases it
 */
int client_heal(struct client *client, const char *id, int pidfd, json_t **ret, struct error *err);

/** client_healed() - io.nvfs.Healed: the new step; both references are borrowed */
int client_healed(struct client *client, const char *id, json_t *serial, json_t *step,
		  struct error *err);

/** client_removed() - io.nvfs.Remove of the permission alone, which is to be healed no more */
int client_removed(struct client *client, const char *id, json_t *serial, struct error *err);

/**
 * client_remove() - io.nvfs.Remove: forget the container, drop its tree
 * @serial: of the record that was taken back, as client_get() told it; NULL: not told. Borrowed
 *
 * Return: 0, -EBUSY (ERROR_AGAIN: it has been injected since), or another errno of the daemon's.
 */
int client_remove(struct client *client, const char *id, json_t *serial, struct error *err);

#endif
