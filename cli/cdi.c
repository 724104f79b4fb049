/* SPDX-License-Identifier: Apache-2.0 */
/* `nvfs cdi`: the daemon makes the specification, this writes it. */
#include "cli/cdi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/varlink.h"
#include "fs/cdi.h"
#include "fs/config.h"

#define USAGE                                                                                  \
	"cdi generate [--format json|yaml] [--output FILE] [--vendor VENDOR] [--class CLASS] " \
	"[--no-hooks]\n"                                                                       \
	"                         [--socket PATH]\n       nvfs cdi list [--vendor VENDOR] "    \
	"[--class CLASS] [--json] [--socket PATH]"
#define FILE_MAX (16 * 1024 * 1024)

struct arguments {
	const char *word, *socket, *format, *output, *vendor, *class;
	bool no_hooks, json, help;
};

static int check_arguments(const struct arguments *args, struct error *err)
{
	bool list = args->word && strcmp(args->word, "list") == 0;

	if (!args->word)
		return error_setc(err, ERROR_USAGE, -EINVAL, "cdi: generate or list?");
	if (!list && strcmp(args->word, "generate") != 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.40s' is no word of cdi",
				  args->word);
	if (list && (args->format || args->output || args->no_hooks))
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "list takes no --format, --output, --no-hooks");
	if (!list && args->json)
		return error_setc(err, ERROR_USAGE, -EINVAL, "generate takes --format, not --json");
	if (args->format && strcmp(args->format, "json") != 0 && strcmp(args->format, "yaml") != 0)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "format '%.40s' is neither json nor yaml", args->format);
	return cdi_check_kind(args->vendor, args->class, err);
}

static int parse_arguments(int argc, char **argv, struct arguments *args, struct error *err)
{
	const struct cli_option options[] = {
		{ "socket", 's', &args->socket, NULL }, { "format", 'f', &args->format, NULL },
		{ "output", 'o', &args->output, NULL }, { "vendor", 'v', &args->vendor, NULL },
		{ "class", 'c', &args->class, NULL },	{ "no-hooks", 'n', NULL, &args->no_hooks },
		{ "json", 'j', NULL, &args->json },	{ "help", 'h', NULL, &args->help },
		{ 0 },
	};
	int r = options_parse(argc, argv, options, &args->word, err);

	return r || args->help ? r : check_arguments(args, err);
}

/* whose kind it is */

static bool has_text(int dir, const char *name, const char *text)
{
	auto_free char *content = NULL;
	struct stat st;

	/* A FIFO would hold us. */
	return fstatat(dir, name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
	       file_read_at(dir, name, FILE_MAX, &content, NULL, NULL) == 0 &&
	       strstr(content, text);
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

static bool is_same_file(int dir, const char *name, const char *path)
{
	struct stat a, b;

	return path && fstatat(dir, name, &a, 0) == 0 && stat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

size_t cdi_claimed_by(const char *dir, const char *kind, const char *but, char ret[PATH_MAX])
{
	DIR *list = opendir(dir);
	struct dirent *entry;
	size_t n = 0;

	while (list && (entry = readdir(list))) {
		if ((!ends_with(entry->d_name, ".json") && !ends_with(entry->d_name, ".yaml")) ||
		    is_same_file(dirfd(list), entry->d_name, but) ||
		    !has_text(dirfd(list), entry->d_name, kind))
			continue;
		if (n++ == 0)
			(void)snprintf(ret, PATH_MAX, "%s/%s", dir, entry->d_name);
	}
	if (list)
		(void)closedir(list);
	return n;
}

/* Two files with one device: engines then refuse it. Our own kind is ours. */
static int check_claims(const struct arguments *args, struct error *err)
{
	static const char *const dirs[] = { "/etc/cdi", CDI_DIR };
	char kind[256], path[PATH_MAX];

	(void)snprintf(kind, sizeof(kind), "%s/%s", args->vendor, args->class);
	if (strcmp(kind, CDI_VENDOR "/" CDI_CLASS) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		if (!cdi_claimed_by(dirs[i], kind, args->output, path))
			continue;
		(void)error_setc(err, ERROR_USAGE, -EEXIST, "'%.80s' has devices of %.60s already",
				 path, kind);
		return error_remedy(err, -EEXIST, "remove it, or use another --vendor");
	}
	return 0;
}

/* writing */

static int generate(const struct arguments *args, const json_t *spec, struct error *err)
{
	bool yaml = args->format ? strcmp(args->format, "yaml") == 0 :
				   !args->output || !ends_with(args->output, ".json");
	auto_free char *text = cdi_text(spec, yaml);

	if (!text)
		return error_set(err, -ENOMEM, "write a specification");
	if (args->output && *args->output)
		return output_write(args->output, text, err);
	return fputs(text, stdout) < 0 ? error_set(err, -errno, "write") : 0;
}

static void list(const json_t *spec, bool json)
{
	json_t *names = json_array(), *report;
	const json_t *device;
	size_t i;

	json_array_foreach(json_object_get(spec, "devices"), i, device) {
		(void)json_array_append(names, json_object_get(device, "name"));
		if (!json)
			printf("%s=%s\n", varlink_string(spec, "kind", "?"),
			       varlink_string(device, "name", "?"));
	}
	report = json_pack("{s:O, s:o}", "kind", json_object_get(spec, "kind"), "devices", names);
	if (json) {
		(void)json_dumpf(report, stdout, JSON_INDENT(2));
		(void)putchar('\n');
	}
	json_decref(report);
}

static int run(const struct arguments *args, struct varlink_message *reply, struct error *err)
{
	bool lists = strcmp(args->word, "list") == 0;
	const json_t *spec;
	int r = lists ? 0 : check_claims(args, err);

	r = r ? r
	      : query_ask(args->socket, "io.nvfs.Cdi",
			  json_pack("{s:s, s:s, s:b}", "vendor", args->vendor, "class", args->class,
				    "hooks", !args->no_hooks),
			  reply, err);
	if (r < 0)
		return r;
	spec = json_object_get(reply->json, "spec");
	if (!lists)
		return generate(args, spec, err);
	list(spec, args->json);
	return 0;
}

int cmd_cdi(int argc, char **argv)
{
	struct arguments args = { .socket = CONFIG_SOCKET,
				  .vendor = CDI_VENDOR,
				  .class = CDI_CLASS };
	struct varlink_message reply = { 0 };
	struct error err = { 0 };
	int r = parse_arguments(argc, argv, &args, &err);

	if (r < 0)
		(void)error_remedy(&err, r, "see nvfs cdi --help");
	if (r == 0 && args.help) {
		printf("Usage: nvfs " USAGE "\n");
		return 0;
	}
	r = r ? r : run(&args, &reply, &err);
	return query_end(&reply, args.json && r < 0, r, &err);
}
