/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_REVOKE_H
#define NVFS_FS_REVOKE_H

#include <stdint.h>

#include "fs/inject_method.h"

struct client;
struct daemon;
struct error;
struct revoke;

/**
 * method_revoke() - io.nvfs.Revoke: take everything from a living container
 * @tree: of a container
 *
 * By nvinject --remove as a child; the answer comes when that has ended.
 */
int method_revoke(struct daemon *daemon, uint32_t tree, struct client *client,
		  struct method_reply *reply, struct error *err);

/** revoke_client_gone() - nobody waits for the answer any more */
void revoke_client_gone(struct daemon *daemon, const struct client *client);

void revokes_free(struct revoke *revokes);

#endif
