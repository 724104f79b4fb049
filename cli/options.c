/* SPDX-License-Identifier: Apache-2.0 */
/* A table of ours, as getopt_long(3) wants it. */
#include "cli/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>

#include "common/error.h"

static size_t translate(const struct cli_option *options, struct option *table, char *letters)
{
	size_t n = 0;

	for (; options[n].name; n++) {
		bool takes = options[n].value != NULL;

		assert(n < OPTIONS_MAX);
		table[n] = (struct option){ options[n].name,
					    takes ? required_argument : no_argument, NULL,
					    options[n].letter };
		*letters++ = options[n].letter;
		if (takes)
			*letters++ = ':';
	}
	*letters = '\0';
	table[n] = (struct option){ 0 };
	return n;
}

int options_parse(int argc, char **argv, const struct cli_option *options, const char **word,
		  struct error *err)
{
	struct option table[OPTIONS_MAX + 1];
	char letters[2 * OPTIONS_MAX + 1];
	size_t n = translate(options, table, letters), i;
	int opt;

	optind = 1;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, letters, table, NULL)) != -1) {
		for (i = 0; i < n && options[i].letter != opt;)
			i++;
		if (i == n)
			return error_setc(err, ERROR_USAGE, -EINVAL, "option '%s'",
					  argv[optind - 1]);
		if (options[i].value)
			*options[i].value = optarg;
		else
			*options[i].flag = true;
	}
	if (word && optind < argc)
		*word = argv[optind++];
	if (optind < argc)
		return error_setc(err, ERROR_USAGE, -EINVAL, "argument '%s'", argv[optind]);
	return 0;
}
