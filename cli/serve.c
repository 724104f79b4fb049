/* SPDX-License-Identifier: Apache-2.0 */
/* `nvfs serve`: an option is a configuration key on the command line. */
#include "cli/serve.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "common/error.h"
#include "common/log.h"
#include "fs/config.h"
#include "fs/keeper.h"
#include "fs/kmods.h"
#include "fs/serve.h"

enum { OPT_CONFIG = 'c', OPT_DEBUG = 'd', OPT_HELP = 'h', OPT_KMODS = 'k', OPT_KEY = 256 };

static const struct option options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "driver-root", required_argument, NULL, OPT_KEY },
	{ "mountpoint", required_argument, NULL, OPT_KEY + 1 },
	{ "socket", required_argument, NULL, OPT_KEY + 2 },
	{ "load-kmods", no_argument, NULL, OPT_KMODS },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* Configuration keys of the options from OPT_KEY on. */
static const char *const option_keys[] = { "driver_root", "mountpoint", "socket" };

static void print_help(void)
{
	printf("Usage: nvfs serve [OPTION...]\n\n"
	       "  --driver-root DIR   where the driver's files are (/)\n"
	       "  --mountpoint DIR    where the trees are shown (%s)\n"
	       "  --socket PATH       control socket (%s)\n"
	       "  --load-kmods        load the driver's kernel modules, make the host's device "
	       "nodes\n"
	       "  --config FILE       configuration (%s)\n"
	       "  --debug             say more\n\n"
	       "Serves in the foreground until SIGTERM. nvfs.conf(5) has all keys.\n",
	       CONFIG_MOUNTPOINT, CONFIG_SOCKET, CONFIG_PATH);
}

struct arguments {
	const char *config; /* NULL: the default, which may be missing */
	const char *keys[3];
	enum log_level level;
	int load_kmods;
	int help;
};

static int parse_arguments(int argc, char **argv, struct arguments *args, struct error *err)
{
	int opt;

	optind = 1;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+c:dhk", options, NULL)) != -1) {
		if (opt == OPT_CONFIG)
			args->config = optarg;
		else if (opt == OPT_DEBUG)
			args->level = LOG_LEVEL_DEBUG;
		else if (opt == OPT_KMODS)
			args->load_kmods = 1;
		else if (opt == OPT_HELP)
			args->help = 1;
		else if (opt >= OPT_KEY)
			args->keys[opt - OPT_KEY] = optarg;
		else
			return error_setc(err, ERROR_USAGE, -EINVAL, "option '%s'",
					  argv[optind - 1]);
	}
	if (optind < argc)
		return error_setc(err, ERROR_USAGE, -EINVAL, "argument '%s'", argv[optind]);
	return 0;
}

static int configure(const struct arguments *args, struct config *config, struct error *err)
{
	int r = config_init(config);

	if (r < 0)
		return error_set(err, r, "configure");
	r = config_read(config, args->config ? args->config : CONFIG_PATH, !args->config, err);
	for (size_t i = 0; i < sizeof(option_keys) / sizeof(option_keys[0]) && r == 0; i++) {
		if (args->keys[i])
			r = config_set(config, option_keys[i], args->keys[i], err);
	}
	if (args->load_kmods)
		config->load_kmods = true;
	return r;
}

/* Before anything is limited. A daemon without a driver is one, too: nothing here ends it. */
static void load_kmods(const struct config *config)
{
	struct error err = { 0 };

	if (config->load_kmods && kmods_load(config->dev_root, config->proc_root, &err) < 0)
		log_warning("load the driver's modules: %s%s%s, ignoring", err.text,
			    *err.remedy ? "; " : "", err.remedy);
}

static int finish(int r, const struct error *err)
{
	char line[ERROR_LINE_MAX];

	if (r == 0)
		return 0;
	if (r != -ECANCELED) { /* else the daemon has said it */
		error_line(err, NULL, line);
		log_error("%s", line);
	}
	return error_exit_status(err);
}

int cmd_serve(int argc, char **argv)
{
	struct arguments args = { .level = LOG_LEVEL_INFO };
	struct config config = { 0 };
	struct error err = { 0 };
	int r = parse_arguments(argc, argv, &args, &err);

	if (r < 0)
		(void)error_remedy(&err, r, "nvfs serve --help");
	if (r == 0 && args.help) {
		print_help();
		return 0;
	}
	log_open("nvfs", args.level);
	if (r == 0)
		r = configure(&args, &config, &err);
	if (r == 0)
		load_kmods(&config);
	if (r == 0)
		r = keeper_run(&config, argv + 1, &err);
	config_done(&config);
	return finish(r, &err);
}

int cmd_daemon(int argc, char **argv)
{
	struct arguments args = { .level = LOG_LEVEL_INFO };
	struct config config = { 0 };
	struct keeper_fds fds;
	struct error err = { 0 };
	int r = argc > KEEPER_DAEMON_ARGS ? keeper_fds_parse(argv + 1, &fds) : -EINVAL;

	if (r < 0) {
		(void)error_setc(&err, ERROR_USAGE, r,
				 "'nvfs daemon' is called by 'nvfs serve' alone");
		return finish(r, &err);
	}
	(void)prctl(PR_SET_NAME, "nvfs"); /* it was executed as a descriptor, and would be called a number */
	r = parse_arguments(argc - KEEPER_DAEMON_ARGS, argv + KEEPER_DAEMON_ARGS, &args, &err);
	log_open("nvfs", args.level);
	if (r == 0)
		r = configure(&args, &config, &err);
	if (r == 0)
		r = serve(&config, &fds, &err);
	config_done(&config);
	return finish(r, &err);
}

int cmd_keeper(int argc, char **argv)
{
	struct arguments args = { .level = LOG_LEVEL_INFO };
	struct config config = { 0 };
	struct error err = { 0 };
	char **rest = argv + KEEPER_RESUME_ARGS;
	int r = argc > KEEPER_RESUME_ARGS ? 0 : -EINVAL;

	if (r < 0) {
		(void)error_setc(&err, ERROR_USAGE, r,
				 "'nvfs keeper' is called by 'nvfs serve' alone");
		return finish(r, &err);
	}
	r = parse_arguments(argc - KEEPER_RESUME_ARGS, rest, &args, &err);
	log_open("nvfs", args.level);
	if (r == 0)
		r = configure(&args, &config, &err);
	if (r == 0)
		r = keeper_resume(&config, argv + 1, rest + 1, &err);
	config_done(&config);
	return finish(r, &err);
}
