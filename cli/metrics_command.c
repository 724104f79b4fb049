/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's numbers, for whoever collects them: on standard output, or in a file that is never half written. */
#include "cli/metrics_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/metrics.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/status.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/config.h"

#define USAGE "metrics [--textfile FILE] [--socket PATH]"
#define CONNECT_MS 1000
#define ANSWER_MS 2000 /* a daemon that is silent for longer is replaced */

/* NULL: out of memory. */
static char *print(const json_t *status, const json_t *health)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	metrics_print(out, status, strcmp(varlink_string(health, "state", "down"), "ok") != 0);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static int deliver(const char *textfile, const char *text, struct error *err)
{
	if (!text)
		return error_set(err, -ENOMEM, "write the numbers");
	if (textfile)
		return output_write(textfile, text, err);
	return fputs(text, stdout) < 0 ? error_set(err, -errno, "write") : 0;
}

int metrics_run(const char *socket_path, const char *textfile)
{
	json_t *health = status_check(socket_path, CONNECT_MS, ANSWER_MS);
	struct varlink_message status = { 0 };
	struct error err = { 0 }, write_err = { 0 };
	int r = query_ask(socket_path, "io.nvfs.Status", json_object(), &status, &err), written;
	auto_free char *text = print(r == 0 ? status.json : NULL, health);

	json_decref(health);
	written = deliver(textfile, text, &write_err);
	/* A file that nobody could write is the worse news. */
	return written < 0 ? query_end(&status, false, written, &write_err)
			   : query_end(&status, false, r, &err);
}

int cmd_metrics(int argc, char **argv)
{
	const char *socket_path = CONFIG_SOCKET, *textfile = NULL;
	bool help = false;
	const struct cli_option options[] = {
		{ "textfile", 't', &textfile, NULL },
		{ "socket", 's', &socket_path, NULL },
		{ "help", 'h', NULL, &help },
		{ 0 },
	};
	struct varlink_message none = { 0 };
	struct error err = { 0 };
	int r = options_parse(argc, argv, options, NULL, &err);

	if (r < 0) {
		(void)error_remedy(&err, r, "usage: nvfs %s", USAGE);
		return query_end(&none, false, r, &err);
	}
	if (help) {
		printf("Usage: nvfs %s\n", USAGE);
		return 0;
	}
	return metrics_run(socket_path, textfile);
}
