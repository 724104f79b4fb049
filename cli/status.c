/* SPDX-License-Identifier: Apache-2.0 */
/* `nvfs status`: the daemon's own account of itself, for people and for programs. */
#include "cli/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "cli/metrics_command.h"
#include "cli/node.h"
#include "cli/options.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/config.h"

#define USAGE "status [--check | --metrics] [--json] [--socket PATH]"

/* Together under a tenth of a second, with what it takes to start. */
#define CONNECT_MS 20
#define ANSWER_MS 50

struct arguments {
	const char *socket;
	bool json, check, metrics, help;
};

enum check_status { CHECK_OK = 0, CHECK_DEGRADED = 1, CHECK_DOWN = 2 };

static int parse_arguments(int argc, char **argv, struct arguments *args, struct error *err)
{
	const struct cli_option options[] = {
		{ "socket", 's', &args->socket, NULL },
		{ "json", 'j', NULL, &args->json },
		{ "check", 'c', NULL, &args->check },
		{ "metrics", 'm', NULL, &args->metrics },
		{ "help", 'h', NULL, &args->help },
		{ 0 },
	};
	int r = options_parse(argc, argv, options, NULL, err);

	if (r < 0)
		return r;
	if (args->check + args->metrics + (args->metrics && args->json) > 1)
		return error_setc(err, ERROR_USAGE, -EINVAL, "--metrics stands alone");
	return 0;
}

/* printing */

static json_int_t bucket(const json_t *latency, size_t i)
{
	json_t *operations = json_object_get(latency, "operations"), *operation;
	const char *name;
	json_int_t n = 0;

	json_object_foreach(operations, name, operation)
		n += json_integer_value(json_array_get(json_object_get(operation, "buckets"), i));
	return n;
}

long long status_quantile(const json_t *latency, unsigned int percent)
{
	const json_t *bounds = json_object_get(latency, "bounds_us");
	size_t n_bounds = json_array_size(bounds);
	json_int_t all = 0, below = 0;

	for (size_t i = 0; i <= n_bounds; i++)
		all += bucket(latency, i);
	if (!all)
		return 0;
	for (size_t i = 0; i < n_bounds; i++) {
		below += bucket(latency, i);
		if (below * 100 >= all * (json_int_t)percent)
			return json_integer_value(json_array_get(bounds, i));
	}
	return -1;
}

static void print_quantile(const json_t *latency, unsigned int percent)
{
	long long us = status_quantile(latency, percent);

	if (us < 0)
		printf(" %u%% above all bounds", percent);
	else
		printf(" %u%% below %lld us", percent, us);
}

static void print_numbers(const char *title, const json_t *numbers)
{
	const char *key;
	json_t *value;
	bool any = false;

	printf("%-12s", title);
	json_object_foreach((json_t *)(uintptr_t)numbers, key, value) {
		if (!json_integer_value(value))
			continue;
		printf(" %s %lld", key, (long long)json_integer_value(value));
		any = true;
	}
	printf("%s\n", any ? "" : " none");
}

static void print_counters(const json_t *counters)
{
	const json_t *latency = json_object_get(counters, "latency");
	char age[32];

	query_age(query_number(counters, "since"), age, sizeof(age));
	printf("counted for  %s, by %lld daemon%s\n", age, query_number(counters, "takeovers") + 1,
	       query_number(counters, "takeovers") ? "s" : "");
	print_numbers("requests", json_object_get(counters, "requests"));
	print_numbers("errors", json_object_get(counters, "errors"));
	printf("latency     ");
	print_quantile(latency, 50);
	printf(",");
	print_quantile(latency, 99);
	printf("\n");
}

static void print_sandbox(const json_t *sandbox)
{
	const json_t *refusal;
	size_t i;

	printf("sandbox      %s", json_is_true(json_object_get(sandbox, "seccomp"))
					  ? "capabilities, system calls"
					  : "capabilities alone (NVFS_DISABLE=seccomp)");
	json_array_foreach(json_object_get(sandbox, "refused"), i, refusal)
		printf("%s %s %lld times",
		       i ? "," : "; refused:", varlink_string(refusal, "call", "?"),
		       query_number(refusal, "count"));
	printf("\n");
}

static void print_reinject(const json_t *reinject)
{
	long long waiting = query_number(reinject, "waiting");
	const json_t *id;
	size_t i;

	if (waiting)
		printf("reinject     %lld container%s to be injected anew\n", waiting,
		       waiting == 1 ? "" : "s");
	json_array_foreach(json_object_get(reinject, "failed"), i, id)
		printf("failed       %s could not be injected anew: do it by hand, or restart it\n",
		       json_string_value(id));
}

static void print_status(const json_t *reply)
{
	char age[32], keeper[32] = "no keeper";
	const json_t *path;
	size_t i;

	query_age(query_number(reply, "started"), age, sizeof(age));
	if (query_number(reply, "keeper_pid"))
		(void)snprintf(keeper, sizeof(keeper), "keeper %lld",
			       query_number(reply, "keeper_pid"));
	printf("nvfs %s, pid %lld, %s, up %s\n", varlink_string(reply, "version", "?"),
	       query_number(reply, "daemon_pid"), keeper, age);
	printf("mount        %s, %s\n", varlink_string(reply, "mountpoint", "?"),
	       varlink_string(reply, "mode", "?"));
	if (json_object_get(reply, "driver_version"))
		printf("driver       %s below %s, generation %lld, %lld GPU%s\n",
		       query_driver_version(reply),
		       varlink_string(reply, "driver_root", "?"), query_number(reply, "generation"),
		       query_number(reply, "gpus"), query_number(reply, "gpus") == 1 ? "" : "s");
	else
		printf("driver       none yet: %s\n", varlink_string(reply, "no_driver", "?"));
	if (json_object_get(reply, "nvml"))
		node_print_nvml(reply, "NVML         ");
	json_array_foreach(json_object_get(reply, "stalled"), i, path)
		printf("stalled      %s does not answer: who reads it waits\n",
		       json_string_value(path));
	if (json_object_get(reply, "note"))
		printf("note         %s\n", varlink_string(reply, "note", ""));
	print_sandbox(json_object_get(reply, "sandbox"));
	printf("containers   %lld\n", query_number(reply, "containers"));
	print_reinject(json_object_get(reply, "reinject"));
	print_counters(json_object_get(reply, "counters"));
}

/* checking */

/* The first process that listened: the keeper. It is alive as long as the socket takes connections. */
static pid_t listener_pid(int sock)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ? 0 : peer.pid;
}

static json_t *down(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static json_t *down(const char *fmt, ...)
{
	char text[ERROR_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:s, s:[s]}", "state", "down", "reasons", text);
}

/* What is the matter with a daemon that took the connection. */
static json_t *check_answer(int sock, unsigned int limit_ms)
{
	struct timeval limit = { .tv_sec = (time_t)(limit_ms / 1000),
				 .tv_usec = (suseconds_t)(limit_ms % 1000) * 1000 };
	struct varlink_message reply = { 0 };
	struct error err = { 0 };
	json_t *answer = NULL;
	int r = setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));

	r = r < 0 ? -errno : varlink_call(sock, "io.nvfs.Check", NULL, NULL, 0, &reply, &err);
	if (r == 0)
		answer = json_incref(reply.json);
	else if (r == -ENOSYS) /* it lives, and is older than this program */
		answer = json_pack("{s:s, s:[s]}", "state", "degraded", "reasons",
				   "the daemon is of an older version, and cannot say how it is");
	else if (r == -ETIME)
		answer = down("the daemon does not answer within %u ms (keeper: pid %d)", limit_ms,
			      listener_pid(sock));
	else
		answer = down("%s", err.text);
	varlink_message_done(&reply);
	return answer;
}

json_t *status_check(const char *path, unsigned int connect_ms, unsigned int answer_ms)
{
	struct error err = { 0 };
	auto_close int sock = varlink_connect(path, connect_ms, &err);

	return sock < 0 ? down("%s", err.text) : check_answer(sock, answer_ms);
}

static enum check_status check_status(const char *state)
{
	if (strcmp(state, "ok") == 0)
		return CHECK_OK;
	return strcmp(state, "degraded") == 0 ? CHECK_DEGRADED : CHECK_DOWN;
}

static void print_check(const json_t *answer)
{
	const json_t *reasons = json_object_get(answer, "reasons"), *reason;
	size_t i;

	printf("%s: ", varlink_string(answer, "state", "down"));
	json_array_foreach(reasons, i, reason)
		printf("%s%s", i ? "; " : "", json_string_value(reason));
	if (!json_array_size(reasons))
		printf("driver %s, %s, %lld container%s", query_driver_version(answer),
		       varlink_string(answer, "mode", "?"), query_number(answer, "containers"),
		       query_number(answer, "containers") == 1 ? "" : "s");
	printf("\n");
}

static int run_check(const struct arguments *args)
{
	struct varlink_message answer = { .json = status_check(args->socket, CONNECT_MS,
							       ANSWER_MS) };
	enum check_status status = check_status(varlink_string(answer.json, "state", "down"));
	int r;

	if (!args->json) {
		query_make_printable(answer.json);
		print_check(answer.json);
	}
	r = query_end(&answer, args->json, 0, NULL);
	return r ? (int)CHECK_DOWN : (int)status;
}

/* the command */

int cmd_status(int argc, char **argv)
{
	struct arguments args = { .socket = CONFIG_SOCKET };
	struct varlink_message reply = { 0 };
	struct error err = { 0 };
	int r = parse_arguments(argc, argv, &args, &err);

	if (r < 0)
		(void)error_remedy(&err, r, "usage: nvfs %s", USAGE);
	if (r == 0 && args.help) {
		printf("Usage: nvfs %s\n", USAGE);
		return 0;
	}
	if (r == 0 && args.check)
		return run_check(&args);
	if (r == 0 && args.metrics)
		return metrics_run(args.socket, NULL);
	if (r == 0)
		r = query_ask(args.socket, "io.nvfs.Status", json_object(), &reply, &err);
	if (r == 0 && !args.json) {
		query_make_printable(reply.json);
		print_status(reply.json);
	}
	return query_end(&reply, args.json, r, &err);
}
