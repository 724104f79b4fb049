/* SPDX-License-Identifier: Apache-2.0 */
/* Two option parsers are spoken here: Go's ("-bundle X", "--bundle=X") and argp's ("-bX"). */
#include "cli/runtime_args.h"

#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"

static const char *const commands[] = { "create", "run",	"start",   "state",  "kill",
					"delete", "exec",	"ps",	   "list",   "pause",
					"resume", "update",	"spec",	   "events", "features",
					"init",	  "checkpoint", "restore", "help" };

/* Before the command, each with a value behind it. */
static const char *const with_value[] = { "root", "log", "log-format", "criu", "cgroup-manager" };

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}

/* "--name" and "-name" alike; NULL where it is no option. */
static const char *option_name(const char *arg)
{
	if (arg[0] != '-' || !arg[1])
		return NULL;
	return arg + 1 + (arg[1] == '-');
}

/* The position of the command, or of the NULL at the end. */
static size_t find_command(char *const argv[])
{
	size_t i = 1;

	for (; argv[i]; i++) {
		const char *name = option_name(argv[i]);

		if (!name && is_one_of(argv[i], commands, ARRAY_SIZE(commands)))
			return i;
		if (name && is_one_of(name, with_value, ARRAY_SIZE(with_value)) && argv[i + 1])
			i++;
	}
	return i;
}

/* The value of an option at @argv, or NULL; long by its name, short by its letter. */
static const char *value_at(char *const argv[], const char *name, char letter)
{
	const char *arg = option_name(argv[0]);
	size_t len = strlen(name);

	if (!arg)
		return NULL;
	if (strncmp(arg, name, len) == 0 && (!arg[len] || arg[len] == '='))
		return arg[len] ? arg + len + 1 : argv[1];
	if (arg[0] != letter || argv[0][1] == '-')
		return NULL;
	if (!arg[1])
		return argv[1];
	return arg[1] == '=' ? arg + 2 : arg + 1;
}

void runtime_args_parse(char *const argv[], struct runtime_call *ret)
{
	size_t i = find_command(argv);

	*ret = (struct runtime_call){ .bundle = "." };
	ret->makes = argv[i] && (strcmp(argv[i], "create") == 0 || strcmp(argv[i], "run") == 0);
	for (; argv[i] && strcmp(argv[i], "--") != 0; i++) {
		const char *bundle = value_at(argv + i, "bundle", 'b'),
			   *config = value_at(argv + i, "config", 'f');

		ret->bundle = bundle ? bundle : ret->bundle;
		ret->config = config ? config : ret->config;
	}
}
