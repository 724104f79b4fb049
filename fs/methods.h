/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_METHODS_H
#define NVFS_FS_METHODS_H

#include <jansson.h>

struct client;
struct varlink_message;

/*
 * The methods of the varlink interface io.nvfs, and of org.varlink.service.
 * For server_handler: @data is a struct daemon.
 */
void methods_call(void *data, struct client *client, const char *method, json_t *params,
		  struct varlink_message *message);
void methods_gone(void *data, struct client *client);

#endif
