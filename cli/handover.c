/* SPDX-License-Identifier: Apache-2.0 */
/* `nvfs handover`: ask, and wait until the successor answers on the socket. */
#include "cli/handover.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/options.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/config.h"

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

static int status(const char *socket, json_int_t *ret_pid, char *version, size_t size,
		  struct error *err)
{
	struct varlink_message reply = { 0 };
	int r = call(socket, "io.nvfs.Status", &reply, err);

	if (r == 0) {
		*ret_pid = json_integer_value(json_object_get(reply.json, "daemon_pid"));
		(void)snprintf(version, size, "%s", varlink_string(reply.json, "version", "?"));
	}
	varlink_message_done(&reply);
	return r;
}

static int wait_for_successor(const char *socket, json_int_t before, struct error *err)
{
	const struct timespec pause = { .tv_nsec = WAIT_MS * 1000000L };
	char version[32];
	json_int_t now;

	for (int i = 0; i < WAIT_TRIES; i++) {
		struct error why = { 0 };

		if (status(socket, &now, version, sizeof(version), &why) == 0 && now != before) {
			printf("nvfs %.31s serves now, pid %" JSON_INTEGER_FORMAT "\n", version,
			       now);
			return 0;
		}
		(void)nanosleep(&pause, NULL);
	}
	(void)error_setc(err, ERROR_DAEMON, -ETIMEDOUT,
			 "the daemon gave way, but its successor does not answer");
	return error_remedy(err, -ETIMEDOUT, "see the log of nvfs serve");
}

static int hand_over(const char *socket, struct error *err)
{
	struct varlink_message reply = { 0 };
	char version[32];
	json_int_t before;
	int r = status(socket, &before, version, sizeof(version), err);

	if (r == 0)
		r = call(socket, "io.nvfs.Handover", &reply, err);
	varlink_message_done(&reply);
	return r < 0 ? r : wait_for_successor(socket, before, err);
}

int cmd_handover(int argc, char **argv)
{
	const char *socket = CONFIG_SOCKET;
	bool help = false;
	const struct cli_option options[] = { { "socket", 's', &socket, NULL },
					      { "help", 'h', NULL, &help },
					      { 0 } };
	struct error err = { 0 };
	char line[ERROR_LINE_MAX];
	int r = options_parse(argc, argv, options, NULL, &err);

	if (r == 0 && help) {
		printf("Usage: nvfs handover [--socket PATH]\n");
		return 0;
	}
	if (r < 0)
		(void)error_remedy(&err, r, "usage: nvfs handover [--socket PATH]");
	else
		r = hand_over(socket, &err);
	if (r == 0)
		return 0;
	error_line(&err, NULL, line);
	fprintf(stderr, "nvfs: %s\n", line);
	return error_exit_status(&err);
}
