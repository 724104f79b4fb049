/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_NODE_H
#define NVFS_CLI_NODE_H

#include <jansson.h>
#include <stdbool.h>

struct error;

/* What `nvfs devices` and `nvfs info` show: see nvml/node.h for its form. */

struct node_options {
	const char *driver_root, *proc_root; /* NULL: as the daemon has them, or / and /proc */
	const char *socket;                  /* NULL: the default, where a daemon need not be */
	bool json, help;
};

/**
 * node_options() - read the command line
 *
 * Return: 0, or -1 where usage is to be printed; what was wrong has been told.
 */
int node_options(int argc, char **argv, struct node_options *ret);

/**
 * node_get() - what is known of this node
 *
 * The daemon is asked, which has asked NVML. Where roots are named, or no daemon is there, this process looks by
 * itself, without NVML: nvml.state is then "unasked".
 *
 * Return: 0 or a negative errno; -ECONNREFUSED and the like where a socket was named and nobody answers.
 */
int node_get(const struct node_options *options, json_t **ret, struct error *err);

/** node_value() - of a fact, as text; "" for unknown. @buf is for numbers */
const char *node_value(const json_t *object, const char *key, char buf[32]);

/** node_source() - of a fact */
const char *node_source(const json_t *object, const char *key);

/** node_print_nvml() - whether NVML was asked, and what it could not tell */
void node_print_nvml(const json_t *node, const char *title);

#endif
