/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_NODE_H
#define NVFS_CLI_NODE_H

#include <jansson.h>

/* What `nvfs devices` and `nvfs info` show: see nvml/node.h for its form. */

/**
 * node_command() - such a command: show what is known of this node
 * @usage: text of --help
 * @print: for people; what it is given has no bytes that a terminal obeys
 *
 * The daemon is asked, which has asked NVML. Where directories are named, or no daemon is there, this process looks
 * by itself, without NVML: nvml.state is then "unasked". Where a socket is named, somebody must answer there.
 *
 * Return: exit status.
 */
int node_command(int argc, char **argv, const char *usage, void (*print)(const json_t *node));

/** node_value() - of a fact, as text; "" for unknown. @buf is for numbers */
const char *node_value(const json_t *object, const char *key, char buf[32]);

/** node_source() - of a fact */
const char *node_source(const json_t *object, const char *key);

/** node_print_nvml() - whether NVML was asked, and what it could not tell */
void node_print_nvml(const json_t *node, const char *title);

#endif
