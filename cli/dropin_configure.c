/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvidia-container-cli configure`: that program's options become nvinject's, and nvinject's error that
 * program's words. Options that had to do with how it worked, and not with what a container gets, are accepted.
 */
#include "cli/dropin.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dropin_inject.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "inject/privilege.h"

#define REQUIREMENTS_MAX 32

static const char usage[] =
	"Usage: " DROPIN_NAME " configure [OPTION...] ROOTFS\n"
	"Configure a container with GPU support\n\n"
	"  -c, --compute              Enable compute capability\n"
	"      --compat32             Enable 32bits compatibility\n"
	"      --cuda-compat-mode=MODE   mount, ldconfig or disabled\n"
	"  -D, --display              Enable display capability\n"
	"  -d, --device=ID            Device UUID(s) or index(es) to isolate\n"
	"  -g, --graphics             Enable graphics capability\n"
	"      --imex-channel=CHANNEL IMEX channel ID(s) to inject\n"
	"  -l, --ldconfig=PATH        Accepted: no ldconfig is run\n"
	"      --mig-config=ID        MIG devices to configure: all\n"
	"      --mig-monitor=ID       MIG devices to monitor: all\n"
	"  -n, --ngx                  Enable ngx capability\n"
	"      --no-cgroups           Don't use cgroup enforcement\n"
	"      --no-cntlibs           As --cuda-compat-mode=disabled\n"
	"      --no-devbind           Don't bind mount devices\n"
	"      --no-fabricmanager     Don't include the nvidia-fabricmanager socket\n"
	"      --no-gsp-firmware      Accepted: nothing is mounted for firmware\n"
	"      --no-persistenced      Don't include the nvidia-persistenced socket\n"
	"  -p, --pid=PID              Container PID\n"
	"  -r, --require=EXPR         Check container requirements\n"
	"  -u, --utility              Enable utility capability\n"
	"  -v, --video                Enable video capability\n"
	"  -?, --help                 Give this help list\n"
	"      --usage                Give a short usage message\n";

enum {
	OPT_COMPAT32 = 256,
	OPT_MIG_CONFIG,
	OPT_MIG_MONITOR,
	OPT_IMEX,
	OPT_NO_CGROUPS,
	OPT_NO_DEVBIND,
	OPT_NO_PERSISTENCED,
	OPT_NO_FABRICMANAGER,
	OPT_NO_GSP,
	OPT_NO_CNTLIBS,
	OPT_COMPAT_MODE,
	OPT_HELP,
};

static const struct option options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "device", required_argument, NULL, 'd' },
	{ "require", required_argument, NULL, 'r' },
	{ "ldconfig", required_argument, NULL, 'l' },
	{ "compute", no_argument, NULL, 'c' },
	{ "utility", no_argument, NULL, 'u' },
	{ "video", no_argument, NULL, 'v' },
	{ "graphics", no_argument, NULL, 'g' },
	{ "display", no_argument, NULL, 'D' },
	{ "ngx", no_argument, NULL, 'n' },
	{ "compat32", no_argument, NULL, OPT_COMPAT32 },
	{ "mig-config", required_argument, NULL, OPT_MIG_CONFIG },
	{ "mig-monitor", required_argument, NULL, OPT_MIG_MONITOR },
	{ "imex-channel", required_argument, NULL, OPT_IMEX },
	{ "no-cgroups", no_argument, NULL, OPT_NO_CGROUPS },
	{ "no-devbind", no_argument, NULL, OPT_NO_DEVBIND },
	{ "no-persistenced", no_argument, NULL, OPT_NO_PERSISTENCED },
	{ "no-fabricmanager", no_argument, NULL, OPT_NO_FABRICMANAGER },
	{ "no-gsp-firmware", no_argument, NULL, OPT_NO_GSP },
	{ "no-cntlibs", no_argument, NULL, OPT_NO_CNTLIBS },
	{ "cuda-compat-mode", required_argument, NULL, OPT_COMPAT_MODE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "usage", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* Options that are one word of a list of nvinject's. */
static const struct {
	int option;
	const char *capability, *left_out;
} words[] = {
	{ 'c', "compute", NULL },
	{ 'u', "utility", NULL },
	{ 'v', "video", NULL },
	{ 'g', "graphics", NULL },
	{ 'D', "display", NULL },
	{ 'n', "ngx", NULL },
	{ OPT_COMPAT32, "compat32", NULL },
	{ OPT_NO_DEVBIND, NULL, "devices" },
	{ OPT_NO_PERSISTENCED, NULL, "persistenced" },
	{ OPT_NO_FABRICMANAGER, NULL, "fabricmanager" },
};

static int put_word(struct dropin_container *container, int option)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (words[i].option == option)
			return words[i].capability
				       ? dropin_append(&container->caps, words[i].capability)
				       : dropin_append(&container->without, words[i].left_out);
	}
	return -EINVAL;
}

static int put_requirement(const struct dropin *dropin, struct dropin_container *container,
			   const char *value)
{
	if (container->n_requirements == REQUIREMENTS_MAX)
		return dropin_fail(dropin, DROPIN_INPUT, "too many requirements");
	container->requirements[container->n_requirements++] = value;
	return 0;
}

static int put_pid(const struct dropin *dropin, struct dropin_container *container,
		   const char *value)
{
	uint64_t pid;

	if (parse_u64(value, INT_MAX, &pid) < 0 || pid == 0)
		return dropin_fail(dropin, DROPIN_INPUT, "invalid process id: %s", value);
	container->pid = value;
	return 0;
}

/* Return: 0, 1 (told), -ENOMEM, or -EINVAL (getopt(3) has told what is wrong). */
static int put_option(const struct dropin *dropin, struct dropin_container *container, int option,
		      const char *value)
{
	switch (option) {
	case 'p':
		return put_pid(dropin, container, value);
	case 'd':
		return dropin_append(&container->devices.list, value);
	case 'r':
		return put_requirement(dropin, container, value);
	case 'l':
		dropin_log(dropin, 'I', "ldconfig '%s' is not run: the linker's cache is merged",
			   value);
		return 0;
	case OPT_MIG_CONFIG:
		container->devices.mig_config = value;
		return 0;
	case OPT_MIG_MONITOR:
		container->devices.mig_monitor = value;
		return 0;
	case OPT_IMEX:
		return dropin_append(&container->devices.imex, value);
	case OPT_NO_CGROUPS:
		container->no_cgroups = true;
		return 0;
	case OPT_NO_CNTLIBS:
		container->compat_mode = "disabled";
		return 0;
	case OPT_COMPAT_MODE:
		container->compat_mode = value;
		return 0;
	case OPT_NO_GSP:
		return 0;
	}
	return put_word(container, option);
}

static bool is_compat_mode(const char *mode)
{
	return strcmp(mode, "mount") == 0 || strcmp(mode, "ldconfig") == 0 ||
	       strcmp(mode, "disabled") == 0;
}

static bool is_root(const char *path)
{
	return path[strspn(path, "/")] == '\0';
}

static int check(const struct dropin *dropin, const struct dropin_container *container)
{
	if (container->rootfs[0] != '/' || is_root(container->rootfs))
		return dropin_fail(dropin, DROPIN_INPUT, "invalid rootfs directory");
	if (container->compat_mode && !is_compat_mode(container->compat_mode))
		return dropin_fail(dropin, DROPIN_CONTAINER, "invalid option: cuda-compat-mode=%s",
				   container->compat_mode);
	return dropin_check_devices(dropin, &container->devices);
}

/* Return: 0, 1 (an error, which has been told) or -1 (help was given). */
static int parse(const struct dropin *dropin, int argc, char **argv,
		 struct dropin_container *container)
{
	int option, r = 0;

	optind = 0;
	while (r == 0 &&
	       (option = getopt_long(argc, argv, "p:d:r:l:cuvgDn", options, NULL)) != -1) {
		if (option == OPT_HELP)
			return fputs(usage, stdout) < 0 ? 1 : -1;
		r = put_option(dropin, container, option, optarg);
	}
	if (r == -ENOMEM)
		return dropin_fail(dropin, DROPIN_INPUT, "memory allocation failed");
	if (r < 0)
		return dropin_usage_error();
	if (r > 0)
		return r;
	if (argc - optind != 1) {
		(void)fprintf(stderr, DROPIN_NAME ": Too %s arguments\n",
			      optind < argc ? "many" : "few");
		return dropin_usage_error();
	}
	container->rootfs = argv[optind];
	if (!container->pid && !container->no_cgroups)
		dropin_log(dropin, 'W',
			   "no --pid: device cgroups are left alone, as with --no-cgroups");
	return check(dropin, container);
}

/* That program does not even look at the list of a host without GPUs. */
static bool has_no_gpu(const struct dropin *dropin, const struct error *err)
{
	const struct dropin quiet = { .socket = dropin->socket };
	json_t *status = NULL;
	bool none;

	if (err->class != ERROR_DEVICE || dropin_ask(&quiet, "io.nvfs.Status", NULL, &status))
		return false;
	none = json_is_integer(json_object_get(status, "gpus")) &&
	       json_integer_value(json_object_get(status, "gpus")) == 0;
	json_decref(status);
	return none;
}

/* What becomes of the container then is nvinject's to say: on_daemon_down of nvfs.conf(5). */
static bool is_down(const struct dropin *dropin)
{
	auto_close int sock = varlink_connect(dropin->socket, 1000, NULL);

	return sock == -ENOENT || sock == -ECONNREFUSED;
}

static int configure(const struct dropin *dropin, struct dropin_container *container)
{
	struct error err = { 0 };
	int r = dropin_inject_init(dropin, &err);

	if (r < 0)
		return dropin_fail_error(dropin, NULL, &err);
	/* What the daemon says of its root is read before the injection, which puts the filter on. */
	if (dropin->root && privilege_filter(&err) < 0)
		return dropin_fail_error(dropin, NULL, &err);
	if (dropin->root && !is_down(dropin) && dropin_check_root(dropin))
		return EXIT_FAILURE;
	r = dropin_inject(dropin, container, &err);
	if (r < 0 && container->devices.list && has_no_gpu(dropin, &err)) {
		dropin_log(dropin, 'W', "%s; this host has no GPU, using none", err.text);
		free(container->devices.list);
		container->devices.list = NULL;
		err = (struct error){ 0 };
		r = dropin_inject(dropin, container, &err);
	}
	if (privilege_enter(PRIVILEGE_REPORT, NULL) < 0 && r == 0)
		r = error_set(&err, -EPERM, "give up privileges");
	r = r < 0 ? dropin_fail_error(dropin, NULL, &err) : EXIT_SUCCESS;
	dropin_inject_end();
	return r;
}

int dropin_configure(struct dropin *dropin, int argc, char **argv)
{
	auto_free const char **requirements = calloc(REQUIREMENTS_MAX, sizeof(*requirements));
	struct dropin_container container = { .requirements = requirements };
	int r;

	if (!requirements)
		return dropin_fail(dropin, DROPIN_INPUT, "memory allocation failed");
	argv[0] = dropin_name;
	r = parse(dropin, argc, argv, &container);
	r = r ? r : configure(dropin, &container);
	dropin_devices_done(&container.devices);
	free(container.caps);
	free(container.without);
	return r < 0 ? EXIT_SUCCESS : r;
}
