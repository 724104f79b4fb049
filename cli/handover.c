/* SPDX-License-Identifier: Apache-2.0 */
/* `nvfs handover`: ask, and wait until the successor answers on the socket. */
#include "cli/handover.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "cli/options.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/config.h"

#define USAGE "handover [--json] [--socket PATH]"
#define ASK_MS 30000
#define WAIT_TRIES 100
#define WAIT_MS 100

static int call(const char *socket, const char *method, struct varlink_message *reply,
		struct error *err)
{
	auto_close int sock = varlink_connect(socket, ASK_MS, err);
	json_t *params;
	int r;

	if (sock < 0)
		return sock;
	params = json_object();
	r = varlink_call(sock, method, params, NULL, 0, reply, err);
	json_decref(params);
	return r;
}

/* @reply: released, also on failure, but when 0 is returned */
static int status(const char *socket, struct varlink_message *reply, struct error *err)
{
	int r = call(socket, "io.nvfs.Status", reply, err);

	if (r < 0) {
		varlink_message_done(reply);
		*reply = (struct varlink_message){ 0 };
	}
	return r;
}

static int wait_for_successor(const char *socket, long long before, struct varlink_message *ret,
			      struct error *err)
{
	const struct timespec pause = { .tv_nsec = WAIT_MS * 1000000L };

	for (int i = 0; i < WAIT_TRIES; i++) {
		struct error why = { 0 };

		if (status(socket, ret, &why) == 0) {
			if (query_number(ret->json, "daemon_pid") != before)
				return 0;
			varlink_message_done(ret);
			*ret = (struct varlink_message){ 0 };
		}
		(void)nanosleep(&pause, NULL);
	}
	(void)error_setc(err, ERROR_DAEMON, -ETIMEDOUT,
			 "the daemon gave way, but its successor does not answer");
	return error_remedy(err, -ETIMEDOUT, "see the log of nvfs serve");
}

/* @ret: the successor's status */
static int hand_over(const char *socket, struct varlink_message *ret, struct error *err)
{
	struct varlink_message reply = { 0 };
	long long before = 0;
	int r = status(socket, &reply, err);

	if (r == 0) {
		before = query_number(reply.json, "daemon_pid");
		varlink_message_done(&reply);
		reply = (struct varlink_message){ 0 };
		r = call(socket, "io.nvfs.Handover", &reply, err);
	}
	varlink_message_done(&reply);
	return r < 0 ? r : wait_for_successor(socket, before, ret, err);
}

int cmd_handover(int argc, char **argv)
{
	const char *socket = CONFIG_SOCKET;
	bool help = false, json = false;
	const struct cli_option options[] = { { "socket", 's', &socket, NULL },
					      { "json", 'j', NULL, &json },
					      { "help", 'h', NULL, &help },
					      { 0 } };
	struct varlink_message now = { 0 };
	struct error err = { 0 };
	int r = options_parse(argc, argv, options, NULL, &err);

	if (r == 0 && help) {
		printf("Usage: nvfs " USAGE "\n");
		return 0;
	}
	if (r < 0)
		(void)error_remedy(&err, r, "usage: nvfs " USAGE);
	else
		r = hand_over(socket, &now, &err);
	if (r == 0 && !json)
		printf("nvfs %.31s serves now, pid %lld\n", varlink_string(now.json, "version", "?"),
		       query_number(now.json, "daemon_pid"));
	return query_end(&now, json, r, &err);
}
