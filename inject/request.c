/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line as a struct: one table of options. What belongs together is checked in request_check.c.
 * Nothing here needs privilege or looks at the system.
 */
#include "inject/request.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/whendown.h"
#include "inject/request_impl.h"

static const char usage_text[] =
	"usage: nvinject --pid PID --devices LIST [OPTION]...\n"
	"       nvinject --standalone --id ID --rootfs DIR --devices LIST [OPTION]...\n"
	"       nvinject --remove --pid PID | --id ID\n"
	"       nvinject --heal --pid PID --id ID\n"
	"       nvinject hook [--socket PATH]      (OCI state on standard input)\n"
	"       nvidia-container-runtime-hook prestart     (the same)\n"
	"\n"
	"Give a container the NVIDIA driver and GPUs, while it starts or while it runs.\n"
	"\n"
	"  --pid PID                   any process of the container\n"
	"  --devices LIST              all, none, or indexes, UUIDs, bus ids: 0,GPU-...\n"
	"  --driver-capabilities LIST  compute,utility,video,graphics,display,ngx,compat32,all\n"
	"  --cuda-compat-mode MODE     which libcuda, of image or host: auto, ldconfig, mount, "
	"disabled\n"
	"  --mig-config all            let it divide the GPUs; --mig-monitor all: watch them\n"
	"  --imex-channel LIST         IMEX channels: 0,1; may be repeated\n"
	"  --fabric LIST               nvswitch: the NVSwitches; imex-mgmt: for the daemon "
	"nvidia-imex\n"
	"  --classic-paths             links to libraries in the container's own directory of "
	"them, too\n"
	"  --without LIST              leave out: devices (are permitted only), persistenced, "
	"fabricmanager\n"
	"  --require EXPRESSION        what driver and GPUs must be: cuda>=12.4; may be repeated\n"
	"  --cdi-device NAME           hook: called for this device of a CDI specification\n"
	"  --swarm-resource NAMES      hook: variables that count more than "
	"NVIDIA_VISIBLE_DEVICES\n"
	"  --client NAME               by which metrics and events tell who asked; default nvinject, hook, ...\n"
	"  --on-daemon-down WORD       where nobody listens: fail, skip, or config (as nvfs.conf "
	"says; for hook)\n"
	"  --id ID                     name of the container; default: from its cgroup\n"
	"  --rootfs DIR                its root before pivot_root, as its mount namespace has it\n"
	"  --target DIR                where the tree goes; default /usr/local/nvidia\n"
	"  --standalone                the container's mount namespace is our own\n"
	"  --no-cgroup                 leave the device cgroups alone\n"
	"  --owner UID                 do only what this user, whose container it is, could do in "
	"it\n"
	"  --remove                    take everything back\n"
	"  --heal                      permit the devices again that it was given, nothing else\n"
	"  --dry-run                   print the plan, change nothing\n"
	"  --json                      print the result as JSON\n"
	"  --timeout SECONDS           give up after so long; default 10\n"
	"  --socket PATH               of the daemon; default " REQUEST_SOCKET "\n"
	"  --help, --version\n";

enum {
	OPT_PID = 256,
	OPT_DEVICES,
	OPT_CAPS,
	OPT_COMPAT_MODE,
	OPT_MIG_CONFIG,
	OPT_MIG_MONITOR,
	OPT_IMEX_CHANNEL,
	OPT_FABRIC,
	OPT_CLASSIC,
	OPT_WITHOUT,
	OPT_REQUIRE,
	OPT_SWARM,
	OPT_CDI,
	OPT_CLIENT,
	OPT_ON_DOWN,
	OPT_ID,
	OPT_ROOTFS,
	OPT_TARGET,
	OPT_STANDALONE,
	OPT_NO_CGROUP,
	OPT_OWNER,
	OPT_REMOVE,
	OPT_HEAL,
	OPT_DRY_RUN,
	OPT_JSON,
	OPT_SOCKET,
	OPT_TIMEOUT,
	OPT_HELP,
	OPT_VERSION,
	OPT_NVIDIAS_CONFIG,
	OPT_NVIDIAS_DEBUG,
};

/* The first ones only by the name of NVIDIA's hook. */
#define NVIDIAS_OPTIONS 3
static const struct option options[] = {
	{ "config", required_argument, NULL, OPT_NVIDIAS_CONFIG },
	{ "debug", optional_argument, NULL, OPT_NVIDIAS_DEBUG },
	{ "h", no_argument, NULL, OPT_HELP },
	{ "pid", required_argument, NULL, OPT_PID },
	{ "devices", required_argument, NULL, OPT_DEVICES },
	{ "driver-capabilities", required_argument, NULL, OPT_CAPS },
	{ "capabilities", required_argument, NULL, OPT_CAPS },
	{ "cuda-compat-mode", required_argument, NULL, OPT_COMPAT_MODE },
	{ "mig-config", required_argument, NULL, OPT_MIG_CONFIG },
	{ "mig-monitor", required_argument, NULL, OPT_MIG_MONITOR },
	{ "imex-channel", required_argument, NULL, OPT_IMEX_CHANNEL },
	{ "fabric", required_argument, NULL, OPT_FABRIC },
	{ "classic-paths", no_argument, NULL, OPT_CLASSIC },
	{ "without", required_argument, NULL, OPT_WITHOUT },
	{ "require", required_argument, NULL, OPT_REQUIRE },
	{ "swarm-resource", required_argument, NULL, OPT_SWARM },
	{ "cdi-device", required_argument, NULL, OPT_CDI },
	{ "client", required_argument, NULL, OPT_CLIENT },
	{ "on-daemon-down", required_argument, NULL, OPT_ON_DOWN },
	{ "id", required_argument, NULL, OPT_ID },
	{ "rootfs", required_argument, NULL, OPT_ROOTFS },
	{ "target", required_argument, NULL, OPT_TARGET },
	{ "standalone", no_argument, NULL, OPT_STANDALONE },
	{ "no-cgroup", no_argument, NULL, OPT_NO_CGROUP },
	{ "owner", required_argument, NULL, OPT_OWNER },
	{ "remove", no_argument, NULL, OPT_REMOVE },
	{ "heal", no_argument, NULL, OPT_HEAL },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

const char *request_usage(void)
{
	return usage_text;
}

void request_done(struct request *req)
{
	free(req->id);
	free(req->devices);
	free(req->driver_caps);
	free(req->compat_mode);
	free(req->without);
	free(req->swarm_resource);
	free(req->mig_config);
	free(req->mig_monitor);
	free(req->imex_channels);
	free(req->fabric);
	free(req->cdi_device);
	free(req->nvidias_config);
	json_decref(req->requirements);
	free(req->rootfs);
	free(req->target);
	free(req->client);
	free(req->on_daemon_down);
	free(req->socket);
	memset(req, 0, sizeof(*req));
}

int request_set(char **field, const char *value, struct error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return error_set(err, -ENOMEM, "copy an argument");
	free(*field);
	*field = copy;
	return 0;
}

int request_append(char **list, const char *value, struct error *err)
{
	char *longer = NULL;

	if (!*list)
		return request_set(list, value, err);
	if (asprintf(&longer, "%s,%s", *list, value) < 0)
		return error_set(err, -ENOMEM, "copy an argument");
	free(*list);
	*list = longer;
	return 0;
}

int request_add_requirement(json_t *list, const char *expression, struct error *err)
{
	if (json_array_size(list) == REQUEST_REQUIREMENTS_MAX)
		return error_setc(err, ERROR_REQUIREMENT, -EINVAL, "too many requirements");
	if (strlen(expression) > REQUEST_REQUIREMENT_BYTES || !request_is_text(expression))
		return error_setc(err, ERROR_REQUIREMENT, -EINVAL,
				  "a requirement is longer than %d bytes, or not UTF-8",
				  REQUEST_REQUIREMENT_BYTES);
	if (json_array_append_new(list, json_string(expression)) < 0)
		return error_set(err, -ENOMEM, "copy a requirement");
	return 0;
}

static int put_requirement(struct request *req, const char *value, struct error *err)
{
	if (!req->requirements)
		req->requirements = json_array();
	return request_add_requirement(req->requirements, value, err);
}

static int put_pid(struct request *req, const char *value, struct error *err)
{
	uint64_t pid;

	if (parse_u64(value, INT_MAX, &pid) < 0 || pid == 0)
		return usage(err, "'%.40s' is not a process id", value);
	req->pid = (pid_t)pid;
	return 0;
}

static int put_owner(struct request *req, const char *value, struct error *err)
{
	uint64_t uid;

	if (parse_u64(value, UINT32_MAX - 1, &uid) < 0)
		return usage(err, "'%.40s' is not a user id", value);
	req->owner = (uid_t)uid;
	req->as_owner = true;
	req->cgroup = false;
	return 0;
}

static int put_timeout(struct request *req, const char *value, struct error *err)
{
	uint64_t seconds;

	if (parse_u64(value, REQUEST_TIMEOUT_MAX_S, &seconds) < 0 || seconds == 0)
		return usage(err, "'%.40s' is not a number of seconds from 1 to %d", value,
			     REQUEST_TIMEOUT_MAX_S);
	req->timeout_s = (unsigned int)seconds;
	return 0;
}

/* As Go's flag package reads them. */
static int check_truth(const char *value, struct error *err)
{
	static const char *const words[] = { "1", "t", "T", "TRUE", "true", "True",
					     "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; value && i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i], value) == 0)
			return 0;
	return value ? usage(err, "'%.40s' is neither true nor false", value) : 0;
}

static int put_on_down(struct request *req, const char *value, struct error *err)
{
	enum when_down word;
	int r = strcmp(value, REQUEST_DOWN_CONFIG) == 0 ? 0 : whendown_parse(value, &word, err);

	return r < 0 ? error_remedy(err, r, "fail, skip or config")
		     : request_set(&req->on_daemon_down, value, err);
}

static int put_option(struct request *req, int opt, const char *value, struct error *err)
{
	switch (opt) {
	case OPT_PID:
		return put_pid(req, value, err);
	case OPT_DEVICES:
		return request_set(&req->devices, value, err);
	case OPT_CAPS:
		return request_set(&req->driver_caps, value, err);
	case OPT_COMPAT_MODE:
		return request_set(&req->compat_mode, value, err);
	case OPT_MIG_CONFIG:
		return request_set(&req->mig_config, value, err);
	case OPT_MIG_MONITOR:
		return request_set(&req->mig_monitor, value, err);
	case OPT_IMEX_CHANNEL:
		return request_append(&req->imex_channels, value, err);
	case OPT_FABRIC:
		return request_append(&req->fabric, value, err);
	case OPT_WITHOUT:
		return request_set(&req->without, value, err);
	case OPT_REQUIRE:
		return put_requirement(req, value, err);
	case OPT_SWARM:
		return request_set(&req->swarm_resource, value, err);
	case OPT_CDI:
		return request_set(&req->cdi_device, value, err);
	case OPT_CLIENT:
		return request_set(&req->client, value, err);
	case OPT_ON_DOWN:
		return put_on_down(req, value, err);
	case OPT_ID:
		return request_set(&req->id, value, err);
	case OPT_ROOTFS:
		return request_set(&req->rootfs, value, err);
	case OPT_TARGET:
		return request_set(&req->target, value, err);
	case OPT_SOCKET:
		return request_set(&req->socket, value, err);
	case OPT_TIMEOUT:
		return put_timeout(req, value, err);
	case OPT_OWNER:
		return put_owner(req, value, err);
	case OPT_CLASSIC:
		req->classic_paths = true;
		return 0;
	case OPT_STANDALONE:
		req->standalone = true;
		return 0;
	case OPT_NO_CGROUP:
		req->cgroup = false;
		return 0;
	case OPT_REMOVE:
		req->action = REQUEST_REMOVE;
		return 0;
	case OPT_HEAL:
		req->action = REQUEST_HEAL;
		return 0;
	case OPT_DRY_RUN:
		req->dry_run = true;
		return 0;
	case OPT_JSON:
		req->json = true;
		return 0;
	case OPT_NVIDIAS_CONFIG:
		return request_set(&req->nvidias_config, value, err);
	case OPT_NVIDIAS_DEBUG:
		return check_truth(value, err);
	case OPT_HELP:
		req->action = REQUEST_HELP;
		return 0;
	default:
		req->action = REQUEST_VERSION;
		return 0;
	}
}

/* As which dockerd (--gpus), podman and CRI-O (hooks.d) know NVIDIA's own. */
static bool is_nvidias_hook(const char *program)
{
	static const char *const names[] = { "nvidia-container-runtime-hook",
					     "nvidia-container-toolkit" };
	const char *slash = program ? strrchr(program, '/') : NULL;

	for (size_t i = 0; program && i < ARRAY_SIZE(names); i++)
		if (strcmp(slash ? slash + 1 : program, names[i]) == 0)
			return true;
	return false;
}

/* The one argument that is no option. */
static int put_word(struct request *req, bool as_nvidias, const char *word, bool *ret_hook,
		    struct error *err)
{
	if (as_nvidias && (strcmp(word, "poststart") == 0 || strcmp(word, "poststop") == 0)) {
		req->action = REQUEST_NONE;
		return 0;
	}
	if (strcmp(word, as_nvidias ? "prestart" : "hook") != 0)
		return usage(err, "surplus argument '%.60s'", word);
	*ret_hook = true;
	return 0;
}

/*
 * NVIDIA's hook is a Go program, which takes one dash for two. Source: pkg.go.dev/flag;
 * cmd/nvidia-container-runtime-hook/main.go of nvidia-container-toolkit.
 */
static int next_option(bool as_nvidias, int argc, char *argv[])
{
	return as_nvidias ? getopt_long_only(argc, argv, ":", options, NULL) :
			    getopt_long(argc, argv, ":", options + NVIDIAS_OPTIONS, NULL);
}

static int parse_options(struct request *req, int argc, char *argv[], bool *ret_hook,
			 struct error *err)
{
	bool as_nvidias = is_nvidias_hook(argv[0]);
	int opt, r = 0;

	opterr = 0;
	optind = 1;
	while (r == 0 && (opt = next_option(as_nvidias, argc, argv)) != -1) {
		if (opt == ':')
			return usage(err, "'%.60s' needs a value", argv[optind - 1]);
		if (opt == '?')
			return usage(err, "unknown option '%.60s'", argv[optind - 1]);
		r = put_option(req, opt, optarg, err);
		if (req->action == REQUEST_HELP || req->action == REQUEST_VERSION)
			return r;
	}
	if (r == 0 && as_nvidias && optind >= argc)
		return usage(err, "called as a hook, without the word 'prestart'");
	if (r == 0 && optind < argc)
		r = put_word(req, as_nvidias, argv[optind++], ret_hook, err);
	if (r == 0 && optind < argc)
		return usage(err, "surplus argument '%.60s'", argv[optind]);
	return r;
}

static const char *who_asks(const struct request *req, const char *program, bool hook)
{
	if (is_nvidias_hook(program))
		return "nvidia-container-runtime-hook";
	return !hook ? "nvinject" : req->cdi_device ? "cdi" : "hook";
}

int request_parse(struct request *req, int argc, char *argv[], struct error *err)
{
	bool hook = false;
	int r;

	req->source = "arguments";
	req->cgroup = true;
	req->timeout_s = REQUEST_TIMEOUT_S;
	req->action = REQUEST_INJECT;
	r = parse_options(req, argc, argv, &hook, err);
	if (r < 0 || req->action == REQUEST_HELP || req->action == REQUEST_VERSION ||
	    req->action == REQUEST_NONE)
		return r;
	if (!req->socket)
		r = request_set(&req->socket, REQUEST_SOCKET, err);
	if (r == 0 && !req->client)
		r = request_set(&req->client, who_asks(req, argv[0], hook), err);
	if (r == 0 && hook && !req->on_daemon_down)
		r = request_set(&req->on_daemon_down, REQUEST_DOWN_CONFIG, err);
	r = r ? r : request_check_places(req, err);
	if (r < 0)
		return r;
	if (hook && req->action != REQUEST_INJECT)
		return usage(err, "hook excludes --remove and --heal");
	if (!hook && (req->swarm_resource || req->cdi_device))
		return usage(err, "--%s is for hook alone",
			     req->swarm_resource ? "swarm-resource" : "cdi-device");
	if (hook)
		req->action = REQUEST_HOOK;
	return req->action == REQUEST_HOOK     ? request_check_hook(req, err)
	       : req->action == REQUEST_REMOVE ? request_check_remove(req, err)
	       : req->action == REQUEST_HEAL   ? request_check_heal(req, err)
					       : request_check_inject(req, err);
}
