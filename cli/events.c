/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvfs events`: what the daemon tells, a line each. Its connection ends with the daemon: the next one is asked, and
 * that is an event of our own, since what happened in between nobody tells.
 */
#include "cli/events.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/config.h"

#define USAGE "events [--json] [--socket PATH]"
#define CONNECT_MS 10000
#define AGAIN_MS 100
#define AGAIN_MAX 100 /* ten seconds without a daemon are the end */

struct listening {
	const char *socket;
	bool json, help;
	bool heard;      /* since it was connected */
	bool unwritable; /* standard output */
	long long daemon_pid; /* that was heard last; 0: none */
};

/* 2026-01-31T12:00:00+0000 */
static void print_time(FILE *out, long long time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm local;
	char text[40];

	if (localtime_r(&seconds, &local) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &local))
		(void)fputs(text, out);
}

static void print_value(FILE *out, const json_t *value)
{
	auto_free char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	const char *string = json_string_value(value);

	/* A word is shown as it is, anything else as JSON. */
	(void)fputs(string && *string && !strpbrk(string, " \"=") ? string
		    : text					  ? text
								  : "?",
		    out);
}

void events_print(FILE *out, const json_t *event)
{
	const char *key;
	json_t *value;

	print_time(out, query_number(event, "time_us"));
	(void)fprintf(out, " %s", varlink_string(event, "event", "?"));
	json_object_foreach((json_t *)(uintptr_t)event, key, value) {
		if (strcmp(key, "event") == 0 || strcmp(key, "time_us") == 0)
			continue;
		(void)fprintf(out, " %s=", key);
		print_value(out, value);
	}
	(void)fputc('\n', out);
}

/* The first event of a daemon that is not the one before: who reads us is to know of the gap. */
static void notice_takeover(struct listening *listening, json_t *event)
{
	long long pid = query_number(event, "daemon_pid");

	if (strcmp(varlink_string(event, "event", ""), "listening") != 0)
		return;
	if (listening->daemon_pid && listening->daemon_pid != pid)
		(void)json_object_set_new(event, "event", json_string("takeover"));
	listening->daemon_pid = pid;
}

static bool on_event(void *data, json_t *event)
{
	struct listening *listening = data;

	listening->heard = true;
	notice_takeover(listening, event);
	if (listening->json) {
		(void)json_dumpf(event, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else {
		query_make_printable(event);
		events_print(stdout, event);
	}
	listening->unwritable = fflush(stdout) != 0 || ferror(stdout);
	return !listening->unwritable;
}

/* Nothing may happen for days. */
static int wait_for_ever(int sock, struct error *err)
{
	const struct timeval no_limit = { 0 };

	return setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &no_limit, sizeof(no_limit)) < 0
		       ? error_set(err, -errno, "lift the time limit of the socket")
		       : 0;
}

static int listen_once(struct listening *listening, struct error *err)
{
	auto_close int sock = varlink_connect(listening->socket, CONNECT_MS, err);
	int r = sock < 0 ? sock : wait_for_ever(sock, err);

	return r < 0 ? r : varlink_call_more(sock, "io.nvfs.Events", NULL, on_event, listening, err);
}

/* Did it go away, as one that is replaced? Then its socket stays, and another one answers. */
static bool is_gone(const struct listening *listening, int r)
{
	return listening->daemon_pid &&
	       (r == -ECONNRESET || r == -EPIPE || r == -ECONNREFUSED || r == -ENOENT);
}

static int listen_on(struct listening *listening, struct error *err)
{
	const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000L };
	unsigned int failed = 0;
	int r;

	for (;;) {
		*err = (struct error){ 0 };
		listening->heard = false;
		r = listen_once(listening, err);
		failed = listening->heard ? 0 : failed + 1;
		if (listening->unwritable)
			return error_set(err, -EPIPE, "write");
		if (r == 0 || !is_gone(listening, r) || failed > AGAIN_MAX)
			return r;
		(void)nanosleep(&pause, NULL);
	}
}

int cmd_events(int argc, char **argv)
{
	struct listening listening = { .socket = CONFIG_SOCKET };
	const struct cli_option options[] = {
		{ "socket", 's', &listening.socket, NULL },
		{ "json", 'j', NULL, &listening.json },
		{ "help", 'h', NULL, &listening.help },
		{ 0 },
	};
	struct varlink_message none = { 0 };
	struct error err = { 0 };
	int r = options_parse(argc, argv, options, NULL, &err);

	if (r < 0)
		(void)error_remedy(&err, r, "usage: nvfs %s", USAGE);
	if (r == 0 && listening.help) {
		printf("Usage: nvfs %s\n", USAGE);
		return 0;
	}
	r = r ? r : listen_on(&listening, &err);
	return query_end(&none, listening.json && r < 0, r, &err);
}
