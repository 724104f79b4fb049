/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_QUERY_H
#define NVFS_CLI_QUERY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct varlink_message;

/*
 * Commands that ask the daemon one thing and print the answer: text for
 * people, the daemon's JSON with --json. Each takes --socket PATH. argv[0] is
 * the command; each gives the exit status.
 */

int cmd_ls(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_generations(int argc, char **argv);
int cmd_rescan(int argc, char **argv);
int cmd_revoke(int argc, char **argv);
int cmd_shutdown(int argc, char **argv);

/* For commands that ask, and have options or words of their own. */

/**
 * query_ask() - one call that changes nothing, asked again where a daemon dies with it
 * @params: reference taken over
 * @reply:  zeroed; release with varlink_message_done(), or query_end(), in any case
 *
 * Return: 0 or a negative errno, as varlink_call().
 */
int query_ask(const char *socket_path, const char *method, json_t *params,
	      struct varlink_message *reply, struct error *err);

/**
 * query_end() - print what is left to print, and release the reply
 * @json: print the reply, or the error, as JSON
 * @r:    0, or the error in @err, which is printed, on standard error in any case
 *
 * Return: the exit status.
 */
int query_end(struct varlink_message *reply, bool json, int r, const struct error *err);

/** query_make_printable() - what strangers wrote, for a terminal: '?' for all but printable ASCII */
void query_make_printable(json_t *value);

/** query_number() - an integer member, 0 where it is absent */
long long query_number(const json_t *object, const char *key);

/** query_age() - "90s", "5m", "3h", "2d" since a time of day in seconds */
void query_age(long long since, char *buf, size_t size);

/** query_driver_version() - of a reply, for people: WSL2's driver tells none; the reply's, or static */
const char *query_driver_version(const json_t *reply);

#endif
