/* SPDX-License-Identifier: Apache-2.0 */
/* Options and answers of the commands that ask nobody. */
#include "cli/local.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "nvml/node.h"
#include "nvml/rules.h"

int local_options(int argc, char **argv, bool may_ask, struct local_options *ret)
{
	static const struct option socket = { "socket", required_argument, NULL, 's' };
	static const struct option rules = { "rules-dir", required_argument, NULL, 'R' };
	const struct option table[] = {
		may_ask ? socket : rules,
		{ "driver-root", required_argument, NULL, 'r' },
		{ "proc-root", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	*ret = (struct local_options){ .config.rules_dir = RULES_DIR };
	optind = 0; /* getopt(3): start anew, another command may have used it */
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		ret->is_elsewhere = ret->is_elsewhere || c == 'r' || c == 'p';
		switch (c) {
		case 's':
			ret->socket = optarg;
			break;
		case 'r':
			ret->config.driver_root = optarg;
			break;
		case 'p':
			ret->config.proc_root = optarg;
			break;
		case 'R':
			ret->config.rules_dir = optarg;
			break;
		case 'j':
			ret->json = true;
			break;
		case 'h':
			ret->help = true;
			break;
		default:
			return -1; /* getopt_long() has told it */
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "nvfs %s: unexpected argument '%s'\n", argv[0], argv[optind]);
		return -1;
	}
	return 0;
}

int local_print_json(json_t *json)
{
	int r = json ? json_dumpf(json, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) : -1;

	json_decref(json);
	(void)putchar('\n');
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int local_tell_error(const struct error *err, const char *trace, bool json)
{
	char line[ERROR_LINE_MAX];

	error_line(err, trace, line);
	(void)fprintf(stderr, "nvfs: %s\n", line);
	if (json)
		(void)local_print_json(json_pack(
			"{s:{s:s, s:o, s:o, s:i, s:s*}}", "error", "class",
			error_class_name(err->class), "message", node_text_json(err->text),
			"remedy", node_text_json(err->remedy), "errno", -err->code, "trace",
			trace));
	return error_exit_status(err);
}

int local_flush(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	perror("nvfs: write");
	return EXIT_FAILURE;
}
