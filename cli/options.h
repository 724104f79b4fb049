/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_OPTIONS_H
#define NVFS_CLI_OPTIONS_H

#include <stdbool.h>

struct error;

/* The options of a command that asks the daemon something. */
struct cli_option {
	const char *name; /* NULL: the end of the list */
	char letter;
	const char **value; /* set, to a part of argv; NULL: it takes none */
	bool *flag;	    /* set where it takes no value */
};

#define OPTIONS_MAX 8

/**
 * options_parse() - read them by getopt_long(3)
 * @options: at most OPTIONS_MAX
 * @word:    set to the one argument that is no option, if there is one; NULL: there is to be none
 *
 * Return: 0 or -EINVAL (ERROR_USAGE), which names what is wrong.
 */
int options_parse(int argc, char **argv, const struct cli_option *options, const char **word,
		  struct error *err);

#endif
