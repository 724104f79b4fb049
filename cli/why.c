/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvfs why`. The daemon knows what is in its trees and by which rule; why a
 * file of the host never came so far is found here, by the same discovery that
 * the daemon does, so that nobody makes the daemon look at files.
 */
#include "cli/why.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "fs/config.h"
#include "nvml/driver.h"
#include "nvml/driver_root.h"
#include "nvml/explain.h"

#define USAGE "why PATH [--id ID] [--json] [--socket PATH]"
#define REFERENCE "host"
#define BY_PID "by-pid"

struct arguments {
	const char *socket, *id, *path;
	bool json, help;
};

static int parse_arguments(int argc, char **argv, struct arguments *args, struct error *err)
{
	const struct cli_option options[] = {
		{ "socket", 's', &args->socket, NULL },
		{ "id", 'i', &args->id, NULL },
		{ "json", 'j', NULL, &args->json },
		{ "help", 'h', NULL, &args->help },
		{ 0 },
	};
	int r = options_parse(argc, argv, options, &args->path, err);

	if (r < 0)
		return r;
	if (!args->path && !args->help)
		return error_setc(err, ERROR_USAGE, -EINVAL, "no PATH");
	return 0;
}

/* what is asked */

/* Part of @path below @dir, "" for @dir itself, NULL where it is elsewhere. */
static const char *below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1 && path[0] == '/')
		return path + 1;
	if (strncmp(path, dir, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path[len] ? path + len + 1 : path + len;
}

/* Take the first part of a path: the rest, or NULL for one that is empty or too long. */
static const char *take_part(const char *path, char part[NAME_MAX + 1])
{
	size_t len;

	path += strspn(path, "/");
	len = strcspn(path, "/");
	if (!len || len > NAME_MAX)
		return NULL;
	memcpy(part, path, len);
	part[len] = '\0';
	return path + len;
}

/* "ID/lib64/...", or "by-pid/PID/lib64/..." */
static const char *classify_below_mount(const char *rest, struct why_question *ret)
{
	char part[NAME_MAX + 1];

	rest = take_part(rest, ret->tree);
	if (!rest || strcmp(ret->tree, BY_PID) != 0)
		return rest;
	ret->tree[0] = '\0';
	rest = take_part(rest, part);
	return rest && parse_u64(part, INT32_MAX, &ret->pid) == 0 && ret->pid ? rest : NULL;
}

int why_classify(const char *path, const char *id, const char *mountpoint, struct why_question *ret,
		 struct error *err)
{
	const char *mounted = below(path, mountpoint), *rest = path;

	*ret = (struct why_question){ .id = id };
	if (!*path)
		return error_setc(err, ERROR_USAGE, -EINVAL, "the path is empty");
	if (mounted && id)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "'%.64s' names its tree, and so does --id", path);
	if (mounted) {
		ret->kind = "tree";
		rest = classify_below_mount(mounted, ret);
		if (!rest)
			return error_setc(err, ERROR_USAGE, -EINVAL, "'%.64s' names no tree", path);
	} else if (path[0] == '/') {
		ret->kind = id ? "container" : "host";
	} else {
		ret->kind = strchr(path, '/') ? "tree" : "name";
	}
	if (!mounted && !id)
		(void)snprintf(ret->tree, sizeof(ret->tree), REFERENCE);
	if (strlen(rest) >= sizeof(ret->path))
		return error_setc(err, ERROR_USAGE, -ENAMETOOLONG, "the path is too long");
	strcpy(ret->path, rest);
	return 0;
}

/* Links resolved, below the driver root. -EXDEV: outside of it */
static int resolve_on_host(struct why_question *question, const char *driver_root,
			   struct error *err)
{
	auto_free char *real = realpath(question->path, NULL), *resolved = NULL;
	const char *rest = below(question->path, driver_root);
	struct driver_root root;
	struct stat st;
	int r = driver_root_open(driver_root, &root, err);

	if (r < 0)
		return r;
	if (!rest && real)
		rest = below(real, root.real);
	if (rest)
		r = driver_root_resolve(&root, rest, &resolved, &st);
	else
		r = real ? -EXDEV : -ENOENT;
	driver_root_done(&root);
	if (r == -EXDEV)
		return r;
	if (r < 0)
		return error_classify(err, error_set(err, r, "'%.64s'", question->path),
				      ERROR_USAGE);
	(void)snprintf(question->path, sizeof(question->path), "%s", resolved);
	return 0;
}

/* what is answered */

static json_t *parameters(const struct why_question *question)
{
	json_t *params = json_pack("{s:s, s:s}", "path", question->path, "kind", question->kind);

	if (question->tree[0])
		(void)json_object_set_new(params, "tree", json_string(question->tree));
	if (question->id)
		(void)json_object_set_new(params, "id", json_string(question->id));
	if (question->pid)
		(void)json_object_set_new(params, "pid", json_integer((json_int_t)question->pid));
	return params;
}

static void set_reason(json_t *answer, const char *rule, const char *why)
{
	(void)json_object_set_new(answer, "in_tree", json_false());
	(void)json_object_set_new(answer, "rule", json_string(rule));
	(void)json_object_set_new(answer, "why", json_string(why));
}

/* The daemon has no such file: is there one on the host, and why did it not get it? */
static void explain_absent(const struct why_question *question, const json_t *status,
			   json_t *answer)
{
	struct driver_config config = { .driver_root = varlink_string(status, "driver_root", NULL),
					.proc_root = varlink_string(status, "proc_root", NULL),
					.rules_dir = varlink_string(status, "rules_dir", NULL) };
	const char *slash = strrchr(question->path, '/');
	const char *name = slash ? slash + 1 : question->path;
	struct explanation explanation;
	struct driver *driver = NULL;
	struct error err = { 0 };

	if (driver_discover(&config, &driver, &err) < 0) {
		set_reason(answer, "absent", err.text);
		return;
	}
	driver_explain(driver, strcmp(question->kind, "host") == 0 ? question->path : name,
		       &explanation);
	if (explanation.file)
		set_reason(answer, "generation",
			   "it is on the host now, but not in the tree's generation of the driver");
	else
		set_reason(answer, finding_rule_name(explanation.rule), explanation.text);
	driver_free(driver);
}

int why_exit_status(int in_tree, const char *rule)
{
	static const char *const driver_rules[] = { "version", "machine", "shadowed",
						    "content", "missing", "generation" };

	if (in_tree)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(driver_rules); i++) {
		if (strcmp(rule, driver_rules[i]) == 0)
			return ERROR_DRIVER;
	}
	return strcmp(rule, "gpu") == 0 ? ERROR_DEVICE : ERROR_OTHER;
}

static void print_answer(const char *path, const json_t *answer)
{
	const json_t *links = json_object_get(answer, "links"), *link;
	bool in_tree = json_is_true(json_object_get(answer, "in_tree"));
	size_t i;

	printf("%s: %sin the tree '%s'\n", path, in_tree ? "" : "not ",
	       varlink_string(answer, "id", "?"));
	json_array_foreach(links, i, link)
		printf("%-12s %s\n", i ? "" : "links", json_string_value(link));
	if (json_object_get(answer, "path"))
		printf("path         %s\n", varlink_string(answer, "path", "?"));
	if (json_object_get(answer, "host_path"))
		printf("host file    %s\n", varlink_string(answer, "host_path", "?"));
	if (json_object_get(answer, "driver_version"))
		printf("driver       %s, generation %lld%s\n", query_driver_version(answer),
		       query_number(answer, "generation"),
		       json_is_true(json_object_get(answer, "current")) ? ""
									: ", not the present one");
	printf("rule         %s: %s\n", varlink_string(answer, "rule", "?"),
	       varlink_string(answer, "why", "?"));
}

static int ask(const struct arguments *args, const json_t *status, struct varlink_message *answer,
	       struct error *err)
{
	const char *driver_root = varlink_string(status, "driver_root", "/");
	struct why_question question;
	char text[ERROR_TEXT_MAX];
	json_t *params;
	int r = why_classify(args->path, args->id,
			     varlink_string(status, "mountpoint", CONFIG_MOUNTPOINT), &question,
			     err);

	if (r == 0 && strcmp(question.kind, "host") == 0)
		r = resolve_on_host(&question, driver_root, err);
	if (r == -EXDEV) {
		(void)snprintf(text, sizeof(text),
			       "outside of driver_root '%.64s', where the driver's files are",
			       driver_root);
		answer->json = json_pack("{s:s}", "id", REFERENCE);
		set_reason(answer->json, "configuration", text);
		return 0;
	}
	if (r < 0)
		return r;
	params = parameters(&question);
	if (!params)
		return error_setc(err, ERROR_USAGE, -EILSEQ, "the path is not UTF-8");
	r = query_ask(args->socket, "io.nvfs.Why", params, answer, err);
	if (r == 0 && strcmp(varlink_string(answer->json, "rule", ""), "absent") == 0)
		explain_absent(&question, status, answer->json);
	return r;
}

static int tell(const struct arguments *args, struct varlink_message *answer, int r,
		const struct error *err)
{
	char path[PATH_MAX];
	int status = 0;

	if (r == 0)
		status = why_exit_status(json_is_true(json_object_get(answer->json, "in_tree")),
					 varlink_string(answer->json, "rule", ""));
	if (r == 0 && !args->json) {
		json_t *shown = json_string(args->path);

		query_make_printable(answer->json);
		query_make_printable(shown);
		(void)snprintf(path, sizeof(path), "%s", shown ? json_string_value(shown) : "?");
		json_decref(shown);
		print_answer(path, answer->json);
	}
	r = query_end(answer, args->json, r, err);
	return r ? r : status;
}

int cmd_why(int argc, char **argv)
{
	struct arguments args = { .socket = CONFIG_SOCKET };
	struct varlink_message status = { 0 }, answer = { 0 };
	struct error err = { 0 };
	int r = parse_arguments(argc, argv, &args, &err);

	if (r < 0)
		(void)error_remedy(&err, r, "usage: nvfs %s", USAGE);
	if (r == 0 && args.help) {
		printf("Usage: nvfs %s\n", USAGE);
		return 0;
	}
	r = r ? r : query_ask(args.socket, "io.nvfs.Status", json_object(), &status, &err);
	r = r ? r : ask(&args, status.json, &answer, &err);
	varlink_message_done(&status);
	return tell(&args, &answer, r, &err);
}
