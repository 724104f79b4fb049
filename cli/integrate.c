/* SPDX-License-Identifier: Apache-2.0 */
/* `nvfs integrate`: arguments in, text or JSON out. */
#include "cli/integrate.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/integrate_change.h"
#include "cli/integrate_client.h"
#include "cli/options.h"
#include "common/cleanup.h"
#include "common/error.h"

#define USAGE "integrate CLIENT [--dry-run] [--revert] [--root DIR] [--json]"

struct arguments {
	const char *client, *root;
	bool dry_run, revert, json, help;
};

static void usage(void)
{
	const struct integrate_client *client;

	printf("Usage: nvfs " USAGE "\n\nCLIENT:");
	for (size_t i = 0; (client = integrate_client(i)); i++)
		printf(" %s", client->name);
	printf(", or with --revert all\n");
}

static int parse_arguments(int argc, char **argv, struct arguments *args, struct error *err)
{
	const struct cli_option options[] = {
		{ "dry-run", 'n', NULL, &args->dry_run }, { "revert", 'r', NULL, &args->revert },
		{ "root", 'R', &args->root, NULL },	  { "json", 'j', NULL, &args->json },
		{ "help", 'h', NULL, &args->help },	  { 0 },
	};
	int r = options_parse(argc, argv, options, &args->client, err);

	if (r < 0 || args->help)
		return r;
	if (!args->client)
		return error_setc(err, ERROR_USAGE, -EINVAL, "integrate: which client?");
	if (args->revert && strcmp(args->client, "all") == 0)
		return 0;
	if (!integrate_client_by_name(args->client))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.40s' is no client that nvfs knows",
				  args->client);
	return 0;
}

/* Where this program is, as it is seen from within the root. */
static int find_paths(const char *root, struct integrate_paths *paths, struct error *err)
{
	char real[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", paths->bin, sizeof(paths->bin) - 1);
	size_t len;

	if (n <= 0 || !realpath(root, real))
		return error_set(err, -errno, "open '%.100s'", root);
	paths->bin[n] = '\0';
	*strrchr(paths->bin, '/') = '\0';
	len = strcmp(real, "/") == 0 ? 0 : strlen(real);
	if (strncmp(paths->bin, real, len) == 0 && paths->bin[len] == '/')
		memmove(paths->bin, paths->bin + len, strlen(paths->bin + len) + 1);
	memcpy(paths->libexec, paths->bin, sizeof(paths->bin));
	slash = strrchr(paths->libexec, '/');
	n = snprintf(slash, (size_t)(paths->libexec + PATH_MAX - slash), "/libexec/nvfs");
	return n < paths->libexec + PATH_MAX - slash
		       ? 0
		       : error_set(err, -ENAMETOOLONG, "'%.100s'", paths->bin);
}

static void tell(const struct error *err)
{
	char line[ERROR_LINE_MAX];

	error_line(err, NULL, line);
	fprintf(stderr, "nvfs: %s\n", line);
}

/*
 * Every client, also after one that fails: the programs may be removed next, and a client that still names them would
 * start no container. The first error is returned, the others are printed.
 */
static int revert_all(struct integrate_run *run, struct error *err)
{
	const struct integrate_client *client;
	int first = 0;

	for (size_t i = 0; (client = integrate_client(i)); i++) {
		struct error why = { 0 };
		int r = integrate_revert(run, client, &why);

		if (r < 0)
			(void)error_wrap(&why, r, "%s", client->name);
		if (r < 0 && first == 0) {
			first = r;
			*err = why;
		} else if (r < 0) {
			tell(&why);
		}
	}
	return first;
}

static int run_clients(struct integrate_run *run, const struct arguments *args, struct error *err)
{
	const struct integrate_client *client = integrate_client_by_name(args->client);

	if (!client)
		return revert_all(run, err);
	return args->revert ? integrate_revert(run, client, err)
			    : integrate_apply(run, client, err);
}

static void print_lines(const char *lines)
{
	for (; lines && *lines; lines += strcspn(lines, "\n"), lines += *lines == '\n')
		printf("  %.*s\n", (int)strcspn(lines, "\n"), lines);
}

static void print_text(const struct integrate_run *run, const char *then)
{
	const json_t *file;
	size_t i;

	json_array_foreach(run->report, i, file) {
		printf("%s: %s%s\n", json_string_value(json_object_get(file, "path")),
		       run->dry_run ? "would be " : "",
		       json_string_value(json_object_get(file, "what")));
		print_lines(json_string_value(json_object_get(file, "lines")));
	}
	if (json_array_size(run->report) == 0)
		printf("nothing to do\n");
	if (then)
		printf("then: %s\n", then);
}

static void print_json(const struct integrate_run *run, const struct arguments *args,
		       const char *then)
{
	json_t *json = json_pack("{s:i, s:s, s:b, s:b, s:O, s:s?}", "schema", 1, "client",
				 args->client, "revert", args->revert, "dry_run", args->dry_run,
				 "files", run->report, "then", then);

	(void)json_dumpf(json, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(json);
}

static bool has_changed(const struct integrate_run *run)
{
	const json_t *file;
	size_t i;

	json_array_foreach(run->report, i, file) {
		if (strcmp(json_string_value(json_object_get(file, "what")), "unchanged") != 0)
			return true;
	}
	return false;
}

static void print_run(const struct integrate_run *run, const struct arguments *args)
{
	const struct integrate_client *client = integrate_client_by_name(args->client);
	const char *then = client && has_changed(run) ? client->then : NULL;

	if (args->json)
		print_json(run, args, then);
	else
		print_text(run, then);
}

static int fail(const struct integrate_run *run, const struct error *err)
{
	tell(err);
	if (run->by_hand)
		fprintf(stderr, "nvfs: nothing was changed; by hand it would be, in %s%s",
			run->by_hand, run->by_hand[strlen(run->by_hand) - 1] == '\n' ? "" : "\n");
	return error_exit_status(err);
}

int cmd_integrate(int argc, char **argv)
{
	struct arguments args = { .root = "/" };
	struct integrate_paths paths;
	struct error err = { 0 };
	struct integrate_run run = { .root = -1, .paths = &paths };
	int r = parse_arguments(argc, argv, &args, &err);

	if (r < 0)
		(void)error_remedy(&err, r, "see nvfs integrate --help");
	if (r == 0 && args.help) {
		usage();
		return 0;
	}
	r = r ? r : find_paths(args.root, &paths, &err);
	if (r == 0) {
		run.dry_run = args.dry_run;
		run.report = json_array();
		run.root = open(args.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = run.root < 0 ? error_set(&err, -errno, "open '%.100s'", args.root)
				 : run_clients(&run, &args, &err);
	}
	if (r == 0 || json_array_size(run.report) > 0) /* one of all may fail */
		print_run(&run, &args);
	if (r == -EACCES || r == -EPERM)
		(void)error_remedy(&err, error_classify(&err, r, ERROR_PERMISSION),
				   "run it as root");
	r = r < 0 ? fail(&run, &err) : 0;
	json_decref(run.report);
	free(run.by_hand);
	if (run.root >= 0)
		(void)close(run.root);
	return r;
}
