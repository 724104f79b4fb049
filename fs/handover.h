/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_HANDOVER_H
#define NVFS_FS_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/inject_method.h"

/*
 * The daemon's part in giving way to the program on disk. The keeper starts
 * that one (keeper_handover.c); the caller of io.nvfs.Handover has its answer
 * when the successor has read the state, or could not.
 */

struct client;
struct daemon;
struct error;

/** method_handover() - io.nvfs.Handover: the answer comes later */
int method_handover(struct daemon *daemon, struct client *client, json_t *params,
		    struct varlink_message *message, const char *trace, struct method_reply *reply,
		    struct error *err);

/** handover_failed() - the successor could not, and ended with this exit status */
void handover_failed(struct daemon *daemon, uint32_t status);

/** handover_stop() - a successor stands by: stop serving as soon as no injection is under way */
void handover_stop(struct daemon *daemon);

/** handover_tick() - stop in any case: what is under way does not end */
void handover_tick(struct daemon *daemon);

/** handover_client_gone() - nobody waits for the answer any more */
void handover_client_gone(struct daemon *daemon, const struct client *client);

/**
 * handover_rehearse() - can this program go on with a state that another one is writing?
 * @fd: the state; nothing in it is changed
 *
 * Return: 0, or what store_open() and generation_load() say.
 */
int handover_rehearse(int fd, struct error *err);

#endif
