/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the daemon: one call, one answer, printed. No logic of its own. */
#include "cli/query.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/local.h"
#include "cli/options.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/config.h"

#define TIMEOUT_MS 10000
#define AGAIN_MS 50
#define AGAIN_MAX 3 /* a question that kills daemons is given up, as a request of the filesystem is */

struct query {
	const char *method;
	const char *usage;
	const char *in_pieces; /* the array that one reply after the other has a part of; NULL: one reply */
	bool once; /* asked again it would do something else */
	bool takes_id, takes_force;
	void (*print)(const json_t *reply);
};

struct arguments {
	const char *socket, *id;
	bool json, force, help;
};

static int parse_arguments(int argc, char **argv, const struct query *query,
			   struct arguments *args, struct error *err)
{
	const struct cli_option options[] = {
		{ "socket", 's', &args->socket, NULL },
		{ "json", 'j', NULL, &args->json },
		{ "help", 'h', NULL, &args->help },
		{ query->takes_force ? "force" : NULL, 'f', NULL, &args->force },
		{ 0 },
	};
	int r = options_parse(argc, argv, options, query->takes_id ? &args->id : NULL, err);

	if (r < 0)
		return r;
	if (query->takes_id && !args->id && !args->help)
		return error_setc(err, ERROR_USAGE, -EINVAL, "no ID");
	return 0;
}

/* A question, and where its answer goes. */
struct question {
	const char *socket, *method;
	json_t *params;
	const char *in_pieces; /* as of struct query */
	struct varlink_message *reply;
};

static int ask_whole(const struct question *question, struct error *err)
{
	auto_close int sock = varlink_connect(question->socket, TIMEOUT_MS, err);

	return sock < 0 ? sock
			: varlink_call(sock, question->method, question->params, NULL, 0,
				       question->reply, err);
}

struct pieces {
	const char *key;
	json_t *whole;
	bool broken; /* a reply without its part */
};

static bool add_piece(void *data, json_t *piece)
{
	struct pieces *pieces = data;

	pieces->broken = json_array_extend(pieces->whole, json_object_get(piece, pieces->key)) < 0;
	return !pieces->broken;
}

static int ask_in_pieces(const struct question *question, struct error *err)
{
	auto_close int sock = varlink_connect(question->socket, TIMEOUT_MS, err);
	struct pieces pieces = { .key = question->in_pieces, .whole = json_array() };
	int r = sock < 0 ? sock
			 : varlink_call_more(sock, question->method, question->params, add_piece,
					     &pieces, err);

	if (r == 0 && pieces.broken)
		r = error_setc(err, ERROR_DAEMON, -EBADMSG, "a reply has no '%s'", pieces.key);
	*question->reply = (struct varlink_message){
		.json = json_pack("{s:o}", question->in_pieces, pieces.whole)
	};
	return r;
}

/* The daemon that had taken it died. It is replaced within milliseconds, behind the same socket. */
static bool is_lost(int r, const struct error *err)
{
	return err->class == ERROR_DAEMON && (r == -ECONNRESET || r == -EPIPE);
}

static int ask_until_answered(const struct question *question, struct error *err)
{
	const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000L };

	for (unsigned int i = 0;; i++) {
		struct error why = { 0 };
		int r = question->in_pieces ? ask_in_pieces(question, &why)
					    : ask_whole(question, &why);

		if (r == 0 || !is_lost(r, &why) || i == AGAIN_MAX) {
			if (r < 0 && err)
				*err = why;
			return r;
		}
		varlink_message_done(question->reply);
		*question->reply = (struct varlink_message){ 0 };
		(void)nanosleep(&pause, NULL);
	}
}

int query_ask(const char *socket_path, const char *method, json_t *params,
	      struct varlink_message *reply, struct error *err)
{
	const struct question question = {
		.socket = socket_path, .method = method, .params = params, .reply = reply
	};
	int r = ask_until_answered(&question, err);

	json_decref(params);
	return r;
}

static json_t *parameters(const struct arguments *args)
{
	json_t *params = json_object();

	if (args->id)
		(void)json_object_set_new(params, "id", json_string(args->id));
	if (args->force)
		(void)json_object_set_new(params, "force", json_true());
	return params;
}

/*
 * Ids come from anybody, and end on root's terminal: in what is shown to
 * people, nothing but printable ASCII. The tree's text is ours and has lines.
 */
void query_make_printable(json_t *value)
{
	auto_free char *text = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
	const char *key;
	json_t *item;
	size_t i;

	for (char *c = text; c && *c; c++) {
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	}
	if (text)
		(void)json_string_set(value, text);
	json_array_foreach(value, i, item)
		query_make_printable(item);
	json_object_foreach(value, key, item) {
		if (strcmp(key, "tree") != 0)
			query_make_printable(item);
	}
}

int query_end(struct varlink_message *reply, bool json, int r, const struct error *err)
{
	int status = 0;

	if (r == 0 && json) {
		(void)json_dumpf(reply->json, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (r < 0) {
		status = local_tell_error(err, varlink_string(reply->json, "trace", NULL), json);
	}
	varlink_message_done(reply);
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		return ERROR_OTHER;
	return status;
}

static int query_run(const struct query *query, int argc, char **argv)
{
	struct arguments args = { .socket = CONFIG_SOCKET };
	struct varlink_message reply = { 0 };
	struct question question = { .method = query->method,
				     .in_pieces = query->in_pieces,
				     .reply = &reply };
	struct error err = { 0 };
	int r = parse_arguments(argc, argv, query, &args, &err);

	if (r < 0)
		(void)error_remedy(&err, r, "usage: nvfs %s", query->usage);
	if (r == 0 && args.help) {
		printf("Usage: nvfs %s\n", query->usage);
		return 0;
	}
	if (r == 0) {
		question.socket = args.socket;
		question.params = parameters(&args);
		r = query->once ? ask_whole(&question, &err) : ask_until_answered(&question, &err);
		json_decref(question.params);
		if (r < 0 && query->once && is_lost(r, &err))
			(void)error_remedy(&err, r, "see with nvfs ls whether it was done");
	}
	if (r == 0 && !args.json) {
		query_make_printable(reply.json);
		query->print(reply.json);
	}
	return query_end(&reply, args.json, r, &err);
}

/* printing */

const char *query_driver_version(const json_t *reply)
{
	const char *version = varlink_string(reply, "driver_version", "?");

	return *version ? version : "of WSL2";
}

long long query_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void query_age(long long since, char *buf, size_t size)
{
	long long s = (long long)time(NULL) - since;

	if (s < 0)
		s = 0;
	if (s < 120)
		(void)snprintf(buf, size, "%llds", s);
	else if (s < 7200)
		(void)snprintf(buf, size, "%lldm", s / 60);
	else if (s < 172800)
		(void)snprintf(buf, size, "%lldh", s / 3600);
	else
		(void)snprintf(buf, size, "%lldd", s / 86400);
}

/* Ids as runtimes make them are 64 digits: 12 are what people know. */
static void print_short(const char *id, int width)
{
	size_t len = strlen(id);

	printf("%-*.*s", width, len == 64 ? 12 : (int)len, id);
}

static void print_gpus(const json_t *tree)
{
	const json_t *gpus = json_object_get(tree, "gpus");
	size_t n = json_array_size(gpus);

	if (n == 1)
		printf("%-12.12s", json_string_value(json_array_get(gpus, 0)));
	else if (n)
		printf("%-12zu", n);
	else
		printf("%-12s", "none");
}

static void print_ls(const json_t *reply)
{
	const json_t *trees = json_object_get(reply, "trees"), *tree;
	char age[32];
	size_t i;

	printf("%-24s %8s  %-12s %-14s %s\n", "ID", "PID", "GPUS", "DRIVER", "AGE");
	json_array_foreach(trees, i, tree)
	{
		query_age(query_number(tree, "made"), age, sizeof(age));
		print_short(varlink_string(tree, "id", "?"), 24);
		printf(" %8lld  ", query_number(tree, "pid"));
		print_gpus(tree);
		printf(" %-14s %s\n", query_driver_version(tree), age);
	}
}

static void print_show(const json_t *reply)
{
	const json_t *done = json_object_get(reply, "done"), *gpus = json_object_get(reply, "gpus");
	const json_t *item;
	char age[32];
	size_t i;

	query_age(query_number(reply, "made"), age, sizeof(age));
	printf("id           %s\n", varlink_string(reply, "id", "?"));
	printf("pid          %lld\n", query_number(reply, "pid"));
	printf("state        %s, made %s ago\n", varlink_string(reply, "state", "?"), age);
	printf("driver       %s, generation %lld\n", query_driver_version(reply),
	       query_number(reply, "generation"));
	printf("opens        %lld\n", query_number(reply, "opens"));
	printf("devices      %s (%s)\n", varlink_string(reply, "devices", "-"),
	       varlink_string(reply, "driver_capabilities", "-"));
	json_array_foreach(gpus, i, item)
		printf("gpu          %s\n", json_string_value(item));
	item = json_object_get(reply, "cuda_compat");
	if (item)
		printf("cuda compat  %s, %zu libraries of the image: %s\n",
		       varlink_string(item, "mode", "?"),
		       json_array_size(json_object_get(item, "libraries")),
		       varlink_string(item, "why", "?"));
	json_array_foreach(done, i, item)
	{
		printf("%-12s %s: %s%s%s\n", i ? "" : "done", varlink_string(item, "step", "?"),
		       varlink_string(item, "target", ""),
		       *varlink_string(item, "target", "") ? " " : "",
		       varlink_string(item, "result", "?"));
	}
	printf("\n%s", varlink_string(reply, "tree", ""));
}

static void print_generations(const json_t *reply)
{
	const json_t *list = json_object_get(reply, "generations"), *g;
	const json_t *warnings = json_object_get(reply, "warnings"), *warning;
	char age[32];
	size_t i;

	printf("%-10s %-14s %6s %5s %6s  %s\n", "GENERATION", "DRIVER", "FILES", "GPUS", "TREES",
	       "AGE");
	json_array_foreach(list, i, g)
	{
		query_age(query_number(g, "made"), age, sizeof(age));
		printf("%-10lld %-14s %6lld %5lld %6lld  %s%s\n", query_number(g, "number"),
		       query_driver_version(g), query_number(g, "files"), query_number(g, "gpus"),
		       query_number(g, "trees"), age, i ? "" : ", current");
	}
	json_array_foreach(warnings, i, warning)
		printf("warning: %s\n", json_string_value(warning));
}

static void print_result(const json_t *reply)
{
	printf("%s\n", varlink_string(reply, "result", "?"));
}

static void print_revoked(const json_t *reply)
{
	printf("revoked %s%s\n", varlink_string(reply, "id", "?"),
	       json_is_true(json_object_get(reply, "ended")) ? ", which had ended" : "");
}

static void print_nothing(const json_t *reply)
{
	(void)reply;
}

int cmd_ls(int argc, char **argv)
{
	static const struct query query = { .method = "io.nvfs.List",
					    .in_pieces = "trees",
					    .print = print_ls,
					    .usage = "ls [--json] [--socket PATH]" };

	return query_run(&query, argc, argv);
}

int cmd_show(int argc, char **argv)
{
	static const struct query query = { .method = "io.nvfs.Show", .print = print_show,
					    .takes_id = true,
					    .usage = "show ID [--json] [--socket PATH]" };

	return query_run(&query, argc, argv);
}

int cmd_generations(int argc, char **argv)
{
	static const struct query query = { .method = "io.nvfs.Generations",
					    .print = print_generations,
					    .usage = "generations [--json] [--socket PATH]" };

	return query_run(&query, argc, argv);
}

int cmd_rescan(int argc, char **argv)
{
	static const struct query query = { .method = "io.nvfs.Rescan", .print = print_result,
					    .usage = "rescan [--json] [--socket PATH]" };

	return query_run(&query, argc, argv);
}

int cmd_revoke(int argc, char **argv)
{
	static const struct query query = { .method = "io.nvfs.Revoke", .print = print_revoked,
					    .once = true,
					    .takes_id = true,
					    .usage = "revoke ID [--json] [--socket PATH]" };

	return query_run(&query, argc, argv);
}

int cmd_shutdown(int argc, char **argv)
{
	static const struct query query = {
		.method = "io.nvfs.Shutdown",
		.print = print_nothing,
		.once = true,
		.takes_force = true,
		.usage = "shutdown [--force] [--json] [--socket PATH]"
	};

	return query_run(&query, argc, argv);
}
