/* SPDX-License-Identifier: Apache-2.0 */
/* nvfs: the daemon, and everything a person types. One table of commands. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/cdi.h"
#include "cli/config.h"
#include "cli/devices.h"
#include "cli/doctor.h"
#include "cli/driver.h"
#include "cli/events.h"
#include "cli/handover.h"
#include "cli/info.h"
#include "cli/integrate.h"
#include "cli/local.h"
#include "cli/metrics_command.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/serve.h"
#include "cli/status.h"
#include "cli/why.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/seed.h"
#include "fs/cachebox.h"
#include "fs/look.h"
#include "fs/nvmlbox.h"
#include "fs/nodemaker.h"

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the command; gives the exit status */
	const char *help;                  /* NULL: not for people */
} commands[] = {
	{ "serve", cmd_serve, "be the daemon, in the foreground" },
	{ "status", cmd_status, "what the daemon does" },
	{ "doctor", cmd_doctor, "what is wrong with this node or a container, and what to do" },
	{ "ls", cmd_ls, "containers that have a driver tree" },
	{ "show", cmd_show, "one container: its tree, and what was done to it" },
	{ "why", cmd_why, "why a file is in a container's tree, or is not" },
	{ "generations", cmd_generations,
	  "what the driver was, as far as containers still have it" },
	{ "rescan", cmd_rescan, "look for changes of the driver now" },
	{ "driver", cmd_driver, "the driver's files on this host, and what is missing" },
	{ "revoke", cmd_revoke, "take driver, GPUs and permission away from a living container" },
	{ "info", cmd_info, "driver and GPUs of this node, on one screen" },
	{ "devices", cmd_devices, "the GPUs, what is known of them, and from where" },
	{ "config", cmd_config, "every key of nvfs.conf, its value, and from where" },
	{ "events", cmd_events, "what happens, as it happens" },
	{ "metrics", cmd_metrics, "the daemon's numbers, for Prometheus" },
	{ "cdi", cmd_cdi, "a specification for engines with the Container Device Interface" },
	{ "integrate", cmd_integrate, "make Docker, podman and others use nvfs, or no more" },
	{ "handover", cmd_handover, "let the program on the disk go on in the daemon's place" },
	{ "shutdown", cmd_shutdown, "end the daemon" },
	{ "help", cmd_help, "this text" },
	{ "version", cmd_version, "the version" },
};

static int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("Usage: nvfs COMMAND [OPTION...]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-11s %s\n", commands[i].name, commands[i].help);
	printf("\nEvery command has --help; nvfs(1) has the rest.\n");
	return 0;
}

static int cmd_version(int argc, char **argv)
{
	bool json = false, help = false;
	const struct cli_option options[] = { { "json", 'j', NULL, &json },
					      { "help", 'h', NULL, &help },
					      { 0 } };
	struct error err = { 0 };
	int r = options_parse(argc, argv, options, NULL, &err);

	if (r < 0)
		return local_tell_error(&err, NULL, json);
	if (help)
		printf("Usage: nvfs version [--json]\n");
	else if (json)
		(void)local_print_json(json_pack("{s:s}", "version", NVFS_VERSION));
	else
		printf("nvfs %s\n", NVFS_VERSION);
	return local_flush(0);
}

/* Called by the daemon itself: see fs/cachebox.h. */
static int run_cachebox(const char *fd)
{
	uint64_t number;

	return parse_u64(fd, 65535, &number) < 0 ? ERROR_USAGE : cachebox_main((int)number);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	seed_json();
	if (argc == 3 && strcmp(name, "cachebox") == 0)
		return run_cachebox(argv[2]);
	if (argc == 2 && strcmp(name, "look") == 0)
		return look_main();
	if (strcmp(name, "nvml") == 0)
		return nvmlbox_main(argc - 1, argv + 1);
	if (argc == 4 && strcmp(name, "nodes") == 0)
		return nodemaker_main(argv[2], argv[3]);
	if (strcmp(name, "keeper") == 0)
		return cmd_keeper(argc - 1, argv + 1);
	if (strcmp(name, "daemon") == 0)
		return cmd_daemon(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "nvfs: usage: %s%s%s; nvfs help lists the commands\n",
		*name ? "unknown command '" : "no command", name, *name ? "'" : "");
	return ERROR_USAGE;
}
