/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvidia-container-cli: for callers of that program, nvfs in its place. Options before the command, in
 * order; then one of three commands, each in a file of its own.
 */
#include "cli/dropin.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "common/seed.h"
#include "fs/config.h"
#include "inject/warm.h"

#if defined(__aarch64__)
#define PLATFORM "aarch64"
#else
#define PLATFORM "x86_64"
#endif

#define ACCOUNTS_MAX (16UL << 20) /* bytes of passwd(5) or group(5) */

static const char usage[] =
	"Usage: " DROPIN_NAME " [OPTION...] COMMAND [ARG...]\n"
	"Command line utility for manipulating NVIDIA GPU containers: nvfs in the place of "
	"libnvidia-container's\n\n"
	"  -d, --debug=FILE           Log debug information\n"
	"  -k, --load-kmods           Accepted: see load_kmods in nvfs.conf(5)\n"
	"  -l, --ldcache=FILE         Accepted: nvfs serve finds the driver\n"
	"  -n, --no-pivot             Accepted: nothing of the container is run\n"
	"      --no-create-imex-channels   Accepted: see load_kmods in nvfs.conf(5)\n"
	"  -r, --root=PATH            Driver root: must be the one that nvfs serves\n"
	"      --socket=PATH          Of nvfs serve; default " CONFIG_SOCKET "\n"
	"  -u, --user[=UID[:GID]]     Accepted: see nvml_uid in nvfs.conf(5)\n"
	"  -?, --help                 Give this help list\n"
	"      --usage                Give a short usage message\n"
	"  -V, --version              Print program version\n\n"
	" Commands:\n"
	"  configure                  Configure a container with GPU support\n"
	"  info                       Report information about the NVIDIA driver and its devices\n"
	"  list                       List driver components\n";

enum {
	OPT_NO_IMEX = 256,
	OPT_SOCKET,
	OPT_HELP,
};

static const struct option options[] = {
	{ "debug", required_argument, NULL, 'd' },
	{ "load-kmods", no_argument, NULL, 'k' },
	{ "no-pivot", no_argument, NULL, 'n' },
	{ "user", optional_argument, NULL, 'u' },
	{ "root", required_argument, NULL, 'r' },
	{ "ldcache", required_argument, NULL, 'l' },
	{ "no-create-imex-channels", no_argument, NULL, OPT_NO_IMEX },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "usage", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static const struct {
	const char *name;
	int (*run)(struct dropin *dropin, int argc, char **argv);
} commands[] = {
	{ "info", dropin_info },
	{ "list", dropin_list },
	{ "configure", dropin_configure },
};

/* Seven lines, of which scripts read the first. No date: builds of one source are equal. */
static int print_version(void)
{
	return printf("cli-version: " DROPIN_SPEAKS "\n"
		      "lib-version: " DROPIN_SPEAKS "\n"
		      "build date: \n"
		      "build revision: nvfs " NVFS_VERSION "\n"
		      "build compiler: %s\n"
		      "build platform: " PLATFORM "\n"
		      "build flags: \n", __VERSION__) < 0;
}

static bool is_number(const char *text)
{
	uint64_t number;

	return parse_u64(text, UINT32_MAX - 1, &number) == 0;
}

/*
 * Not getpwnam(3), which in a static program loads what nsswitch.conf(5) names into it. Most are in the files
 * @path, whose first and third fields are name and number; getent(1) knows the others.
 */
static bool is_in_file(const char *path, const char *key, bool number)
{
	auto_free char *text = NULL;
	size_t len = strlen(key);

	if (file_read_at(AT_FDCWD, path, ACCOUNTS_MAX, &text, NULL, NULL) < 0)
		return false;
	for (char *line, *rest = text; (line = strsep(&rest, "\n"));) {
		const char *field = line;

		for (int i = 0; field && number && i < 2; i++) {
			field = strchr(field, ':');
			field += field != NULL;
		}
		if (field && strncmp(field, key, len) == 0 && field[len] == ':')
			return true;
	}
	return false;
}

static bool has_account(const char *database, const char *key, bool number)
{
	char *argv[] = { (char[]){ "getent" }, (char *)(uintptr_t)database, (char *)(uintptr_t)key,
			 NULL };
	char *environment[] = { NULL };
	posix_spawn_file_actions_t actions;
	char path[32];
	int status = -1;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "/etc/%s", database);
	if (is_in_file(path, key, number))
		return true;
	if (*key == '-' || posix_spawn_file_actions_init(&actions) != 0)
		return false;
	if (posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) ==
		    0 &&
	    posix_spawn(&pid, "/usr/bin/getent", &actions, NULL, argv, environment) == 0)
		(void)waitpid(pid, &status, 0);
	(void)posix_spawn_file_actions_destroy(&actions);
	return status == 0;
}

/* "UID[:GID]", numbers or names; a uid alone must have a primary group. */
static int check_user(const struct dropin *dropin, const char *value)
{
	auto_free char *user = strdup(value);
	char *group = user ? strchr(user, ':') : NULL;
	bool known;

	if (!user)
		return dropin_fail(dropin, DROPIN_INPUT, "memory allocation failed");
	if (group)
		*group++ = '\0';
	known = is_number(user) && group ? true : has_account("passwd", user, is_number(user));
	if (known && (!group || is_number(group) || has_account("group", group, false)))
		return 0;
	return dropin_fail(dropin, DROPIN_INPUT, "parse user/group failed: no such entry");
}

/* Return: 0, 1 (an error, which has been told), or -1: that was all. */
static int put_option(struct dropin *dropin, int option, const char *value, const char **log)
{
	switch (option) {
	case 'd':
		*log = value;
		return 0;
	case 'r':
		dropin->root = value;
		return 0;
	case 'u':
		return value ? check_user(dropin, value) : 0;
	case OPT_SOCKET:
		dropin->socket = value;
		return 0;
	case 'k':
	case 'n':
	case 'l':
	case OPT_NO_IMEX:
		return 0;
	case OPT_HELP:
		return fputs(usage, stdout) < 0 ? 1 : -1;
	case 'V':
		return print_version() ? 1 : -1;
	}
	return dropin_usage_error();
}

static int parse(struct dropin *dropin, int argc, char **argv, const char **log)
{
	int option, r = 0;

	*log = secure_getenv("NVC_DEBUG_FILE");
	while (r == 0 && (option = getopt_long(argc, argv, "+d:knu::r:l:V", options, NULL)) != -1)
		r = put_option(dropin, option, optarg, log);
	return r;
}

static int run_command(struct dropin *dropin, int argc, char **argv)
{
	for (size_t i = 0; argc > 0 && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, argv[0]) == 0)
			return commands[i].run(dropin, argc, argv);
	}
	if (argc > 0)
		(void)fprintf(stderr, DROPIN_NAME ": unknown command '%s'\n", argv[0]);
	else
		(void)fprintf(stderr, "Usage: " DROPIN_NAME " [OPTION...] COMMAND [ARG...]\n");
	return dropin_usage_error();
}

static int finish(const struct dropin *dropin, int status)
{
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_SUCCESS)
		return dropin_fail(dropin, DROPIN_INPUT, "write: %s", strerror(errno));
	return status;
}

int main(int argc, char **argv)
{
	struct dropin dropin = { .socket = CONFIG_SOCKET };
	const char *log = NULL;
	int r;

	warm_code();
	(void)signal(SIGCHLD, SIG_DFL); /* a caller that ignores it hides how getent ended */
	seed_json();
	if (argc > 0)
		argv[0] = dropin_name;
	r = parse(&dropin, argc, argv, &log);
	if (r)
		return finish(&dropin, r < 0 ? EXIT_SUCCESS : r);
	if (log && *log && dropin_log_open(&dropin, log))
		return EXIT_FAILURE;
	dropin_log(&dropin, 'I', "nvfs %s in the place of " DROPIN_NAME " " DROPIN_SPEAKS,
		   NVFS_VERSION);
	return finish(&dropin, run_command(&dropin, argc - optind, argv + optind));
}
