/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_METHODS_IMPL_H
#define NVFS_FS_METHODS_IMPL_H

/*
 * What methods.c, its table, shares with methods_look.c, methods_record.c and methods_interface.c, where most
 * of the methods are; nobody else includes this.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/inject_method.h"

struct client;
struct error;

/**
 * method_function - one method
 * @params:  of the call; borrowed
 * @message: has the descriptors that came with it; borrowed, with these
 * @trace:   of this call
 * @reply:   empty; what a method has put into it is released by the caller, also on failure
 *
 * Return: 0, or a negative errno with @err, which is the reply then.
 */
typedef int method_function(struct daemon *daemon, struct client *client, json_t *params,
			    struct varlink_message *message, const char *trace,
			    struct method_reply *reply, struct error *err);

/** methods_is_root() - is it root in the daemon's own namespaces that calls? */
bool methods_is_root(const struct daemon *daemon, const struct client *client);

/** methods_viewer() - the caller, as the one who looks for trees */
struct daemon_viewer methods_viewer(const struct daemon *daemon, const struct client *client);

/**
 * methods_tree() - the tree that "id" or "pid" of the parameters names
 *
 * What the client may not see is "no tree".
 *
 * Return: its index, or a negative errno.
 */
int64_t methods_tree(struct daemon *daemon, const struct client *client, json_t *params,
		     struct error *err);

/** methods_reply() - @params, taken over, are the reply; NULL is -ENOMEM */
int methods_reply(struct method_reply *reply, json_t *params, struct error *err);

/** methods_tree_json() - a tree as Get and Show tell it, with the record of what was done; a new reference */
json_t *methods_tree_json(const struct daemon *daemon, uint32_t tree);

/* methods_look.c: nothing is changed */
method_function method_status, method_node, method_cdi, method_call_files, method_check,
	method_list;
method_function method_show, method_generations, method_why;

/* methods_record.c: the record, and those who act on it */
method_function method_get, method_commit, method_abort, method_strip, method_remove;
method_function method_call_heal, method_call_healed, method_call_revoke;

/* methods_interface.c: org.varlink.service */
method_function method_info, method_description;

#endif
