/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvfs config`: every key as nvfs serve would have it from this file. The text is a configuration file
 * itself. No daemon is asked: one that runs has read the file when it started.
 */
#include "cli/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/local.h"
#include "cli/options.h"
#include "common/error.h"
#include "fs/config.h"
#include "nvml/node.h"

#define USAGE "config [--config FILE] [--origin] [--json]"

struct arguments {
	const char *config;
	bool origin, json, help;
};

/* What was read, beside the values. */
struct origins {
	const char *path;
	json_t *lines;   /* by key, of those that the file sets */
	json_t *unknown; /* {"line", "section", "key"} */
};

static int parse_arguments(int argc, char **argv, struct arguments *args, struct error *err)
{
	const struct cli_option options[] = {
		{ "config", 'c', &args->config, NULL },
		{ "origin", 'o', NULL, &args->origin },
		{ "json", 'j', NULL, &args->json },
		{ "help", 'h', NULL, &args->help },
		{ 0 },
	};

	return options_parse(argc, argv, options, NULL, err);
}

static void on_key(void *data, const char *key, int line)
{
	const struct origins *origins = data;

	(void)json_object_set_new(origins->lines, key, json_integer(line));
}

static void on_unknown(void *data, const char *section, const char *key, int line)
{
	const struct origins *origins = data;

	(void)json_array_append_new(origins->unknown,
				    json_pack("{s:i, s:o, s:o}", "line", line, "section",
					      node_text_json(section), "key", node_text_json(key)));
	(void)fprintf(stderr, "nvfs: %s:%d: %s%s%skey '%s': unknown, ignoring\n", origins->path,
		      line, *section ? "section [" : "", section, *section ? "], " : "", key);
}

static void origin_of(const struct origins *origins, const char *key, char *buf, size_t size)
{
	const json_t *line = json_object_get(origins->lines, key);

	if (line)
		(void)snprintf(buf, size, "%s:%d", origins->path, (int)json_integer_value(line));
	else
		(void)snprintf(buf, size, "default");
}

static void print_text(const struct config *config, const struct origins *origins, bool with_origin)
{
	char number[CONFIG_NUMBER_MAX], line[512], origin[512];
	const char *key, *value;

	for (size_t i = 0; (key = config_key(i)); i++) {
		value = config_value(config, key, number);
		/* A key without a value is one that the file does not have. */
		(void)snprintf(line, sizeof(line), "%s%s =%s%s", value ? "" : "# ", key,
			       value && *value ? " " : "", value ? value : "");
		origin_of(origins, key, origin, sizeof(origin));
		if (with_origin)
			printf("%-40s ; %s\n", line, origin);
		else
			printf("%s\n", line);
	}
}

static json_t *config_json(const struct config *config, const struct config *defaults,
			   const struct origins *origins)
{
	json_t *keys = json_object();
	const char *key, *value, *usual;
	char number[CONFIG_NUMBER_MAX], usual_number[CONFIG_NUMBER_MAX], origin[512];

	for (size_t i = 0; (key = config_key(i)); i++) {
		value = config_value(config, key, number);
		usual = config_value(defaults, key, usual_number);
		origin_of(origins, key, origin, sizeof(origin));
		(void)json_object_set_new(keys, key,
					  json_pack("{s:o, s:o, s:o}", "value",
						    value ? node_text_json(value) : json_null(),
						    "default",
						    usual ? node_text_json(usual) : json_null(),
						    "origin", node_text_json(origin)));
	}
	return json_pack("{s:o, s:o, s:O}", "file", node_text_json(origins->path), "keys", keys,
			 "unknown", origins->unknown);
}

static int show(const struct arguments *args, const struct config *config,
		const struct config *defaults, const struct origins *origins)
{
	int status = 0;

	if (args->json)
		status = local_print_json(config_json(config, defaults, origins));
	else
		print_text(config, origins, args->origin);
	return local_flush(status);
}

int cmd_config(int argc, char **argv)
{
	struct arguments args = { 0 };
	struct config config = { 0 }, defaults = { 0 };
	struct origins origins = { .lines = json_object(), .unknown = json_array() };
	const struct config_watcher watcher = { .on_key = on_key,
						.on_unknown = on_unknown,
						.data = &origins };
	struct error err = { 0 };
	int r = parse_arguments(argc, argv, &args, &err), status;

	if (r < 0)
		(void)error_remedy(&err, r, "usage: nvfs %s", USAGE);
	if (r == 0 && args.help) {
		printf("Usage: nvfs %s\n", USAGE);
		r = -ECANCELED;
	}
	origins.path = args.config ? args.config : CONFIG_PATH;
	if (r == 0 && (config_init(&config) < 0 || config_init(&defaults) < 0))
		r = error_set(&err, -ENOMEM, "configure");
	r = r ? r : config_read_watched(&config, origins.path, !args.config, &watcher, &err);
	if (r == -ECANCELED)
		status = 0;
	else
		status = r < 0 ? local_tell_error(&err, NULL, args.json)
			       : show(&args, &config, &defaults, &origins);
	config_done(&config);
	config_done(&defaults);
	json_decref(origins.lines);
	json_decref(origins.unknown);
	return status;
}
