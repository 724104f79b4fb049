/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_EVENTS_H
#define NVFS_FS_EVENTS_H

/*
 * What happens, told to who listens as it happens (io.nvfs.Events). Nothing is kept for who comes later, and
 * a takeover cuts listeners off: they ask the next daemon. What listeners do never holds the daemon up: see
 * client_event().
 */

#include <jansson.h>
#include <stdint.h>

struct client;
struct daemon;
struct daemon_viewer;
struct error;
struct events;

enum event_kind {
	EVENT_INJECTED,   /* of a container: a Commit was accepted */
	EVENT_REFUSED,    /* an injection was not to be */
	EVENT_REMOVED,    /* of a container: its tree goes */
	EVENT_HEALED,     /* of a container: it was permitted its devices again */
	EVENT_GENERATION, /* the driver is another one */
	EVENT_FINDING,    /* something that an operator should look at */
	EVENT_KINDS,
};

/** events_new() - release with events_free() */
int events_new(struct events **ret, struct error *err);
void events_free(struct events *events);

/**
 * events_client() - who asked for an injection, as events and metrics tell it
 * @name: what a client calls itself
 *
 * Return: one of a few names, "other" for what is none of them. A literal.
 */
const char *events_client(const char *name);

/**
 * events_listen() - from now on, tell this client
 * @viewer: who it is; copied
 *
 * Its first event is "listening", with what it may need to know that another daemon goes on: daemon_pid and
 * takeovers.
 *
 * Return: 0 or -ENOMEM.
 */
int events_listen(struct daemon *daemon, struct client *client, const struct daemon_viewer *viewer,
		  struct error *err);

/** events_client_gone() - a client goes away, whether it listens or not */
void events_client_gone(struct daemon *daemon, const struct client *client);

/**
 * events_of_tree() - something of a container's
 * @tree:    index; must be there. Only who may see it is told
 * @details: members beside "event", "time_us", "id", "pid" and "uid"; reference taken over; NULL for none.
 *           "client", of events_client(), is counted by its name
 */
void events_of_tree(struct daemon *daemon, enum event_kind kind, uint32_t tree, json_t *details);

/** events_of_host() - something of the host's, for everybody who listens; of a finding: root, and who is local */
void events_of_host(struct daemon *daemon, enum event_kind kind, json_t *details);

/** events_finding() - EVENT_FINDING with these words as "what" */
void events_finding(struct daemon *daemon, const char *what);

/** events_of_user() - something that a uid has tried: for root, and for that uid on the host */
void events_of_user(struct daemon *daemon, enum event_kind kind, uint32_t uid, json_t *details);

/**
 * events_status() - how often each has happened since this daemon's start, how many listen, how long
 * injections took, and who asked for them and for those refused; a new reference
 */
json_t *events_status(const struct daemon *daemon);

#endif
