/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_INJECT_METHOD_H
#define NVFS_FS_INJECT_METHOD_H

#include <jansson.h>
#include <stdbool.h>

#include "common/varlink.h"

struct client;
struct daemon;
struct error;

/* What a method gives back: parameters (owned) and descriptors (owned). */
struct method_reply {
	json_t *params;
	int fds[VARLINK_FDS_MAX];
	size_t n_fds;
	bool later; /* nothing is given back yet: the method answers by itself */
};

/** method_inject() - io.nvfs.Inject: a tree and a plan for a container */
int method_inject(struct daemon *daemon, struct client *client, json_t *params,
		  struct varlink_message *message, const char *trace, struct method_reply *reply,
		  struct error *err);

#endif
