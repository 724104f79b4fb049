/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_PERMIT_H
#define NVFS_FS_PERMIT_H

/*
 * Keeping what a container was permitted: its device cgroups are looked at again and again, and where
 * somebody else has changed them, systemd at a daemon-reload for one, nvinject --heal is run. Where the
 * cgroup is a unit's, the unit's DeviceAllow= is made to say the same, so that systemd itself permits
 * it from then on.
 *
 * Rules: the daemon changes no cgroup. A unit is given what the injector had to add in that unit's own
 * cgroup, which it does only where nothing but the container lives there. What is to be permitted is
 * said by the record's step "cgroup", which only root can write.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/inject_method.h"

struct client;
struct daemon;
struct error;
struct permits;

/** permits_new() - nothing is watched yet; release with permits_free() */
int permits_new(struct daemon *daemon, struct permits **ret, struct error *err);
void permits_free(struct permits *permits);

/** permit_tick() - every few seconds: look at the containers, heal, tell units */
void permit_tick(struct daemon *daemon);

/** permit_committed() - the record of a tree has changed */
void permit_committed(struct daemon *daemon, uint32_t tree);

/** permit_forget() - the tree goes; a service that outlives the container is given nothing any more */
void permit_forget(struct daemon *daemon, uint32_t tree);

/**
 * permit_check_process() - is the one descriptor of a message, "pidfd", of a process of this
 * container?
 *
 * Its pid may have become another container's by the time that it was pinned. The first process is
 * one of it whatever mount namespace it has by now.
 *
 * Return: 0, -EINVAL, -ESRCH, or what process_from_pidfd() says.
 */
int permit_check_process(const struct daemon *daemon, uint32_t tree, json_t *params,
			 const struct varlink_message *message, struct error *err);

/** permit_pause() - somebody is about to take the permission back: heal nothing for half a minute */
void permit_pause(struct daemon *daemon, uint32_t tree);

/**
 * permit_remove() - the permission has been taken back: make that the unit's word, too, and heal it
 * no more
 * @keep: the tree stays
 *
 * Return: 1 where nothing is left to be done; 0: when it is done the tree is removed, unless it
 * stays, and the client has its answer; else a negative errno.
 */
int permit_remove(struct daemon *daemon, uint32_t tree, struct client *client, bool keep,
		  struct error *err);

/** permit_is_removing() - does a removal wait for the unit? It must not take what comes meanwhile with it */
bool permit_is_removing(const struct daemon *daemon, uint32_t tree);

/** permit_record_number() - names a container's record: another one after each injection; 0: has none */
int64_t permit_record_number(const struct daemon *daemon, uint32_t tree);

/** permit_name() - of the tree; borrowed */
const char *permit_name(const struct daemon *daemon, uint32_t tree);

/** permit_client_gone() - nobody waits for the answer any more */
void permit_client_gone(struct daemon *daemon, const struct client *client);

/** permit_trusted() - a record as a client tells it, without steps that are not its to tell; new reference */
json_t *permit_trusted(const json_t *done, bool is_root);

/** permit_status() - for io.nvfs.Status */
json_t *permit_status(const struct daemon *daemon);

/** method_heal() - io.nvfs.Heal: what a container is to be permitted */
int method_heal(struct daemon *daemon, uint32_t tree, json_t *params,
		struct varlink_message *message, struct method_reply *reply, struct error *err);

/** method_healed() - io.nvfs.Healed: how it is permitted now */
int method_healed(struct daemon *daemon, uint32_t tree, json_t *params, struct method_reply *reply,
		  struct error *err);

#endif
