/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_REQUEST_H
#define NVFS_INJECT_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct error;

#define REQUEST_SOCKET "/run/nvfsd/nvfs.sock"
#define REQUEST_CONFIG "/etc/nvfs/nvfs.conf" /* for on_daemon_down alone */
#define REQUEST_TARGET "/usr/local/nvidia"

/* As many as the existing tool takes, and each as long as the daemon takes. */
#define REQUEST_REQUIREMENTS_MAX 32
#define REQUEST_REQUIREMENT_BYTES 8191

#define REQUEST_DOWN_CONFIG "config" /* --on-daemon-down */
#define REQUEST_COMPAT_DISABLED "disabled" /* --cuda-compat-mode */

#define REQUEST_TIMEOUT_S 10
#define REQUEST_TIMEOUT_MAX_S 3600

enum request_action {
	REQUEST_INJECT,
	REQUEST_REMOVE,
	REQUEST_HEAL, /* the device cgroups of an injected container alone; called by the daemon */
	REQUEST_HOOK, /* the rest comes from the runtime: hook_request() */
	REQUEST_NONE, /* a hook of NVIDIA's that has nothing to do */
	REQUEST_HELP,
	REQUEST_VERSION,
};

/* What is asked of this run. Zero-initialise; strings are owned, NULL where not given. */
struct request {
	enum request_action action;
	pid_t pid;        /* any process of the container; 0: none is named */
	bool standalone;  /* our own mount namespace is the container's */
	char *id;         /* NULL: derived from the pid's cgroup */
	char *devices;    /* "all", "none", "0,GPU-..." */
	char *driver_caps; /* NULL: the daemon's default */
	char *mig_config, *mig_monitor; /* "all"; NULL: no */
	char *imex_channels; /* list of numbers; NULL: none */
	char *fabric;        /* "nvswitch,imex-mgmt"; NULL: none */
	const char *imex_source; /* who asked for these, as @source; NULL: the same */
	json_t *requirements; /* array of expressions, see nvml/require.h; NULL: none */
	char *rootfs;     /* as the container's mount namespace shows it; NULL: /proc/PID/root */
	char *target;     /* NULL: REQUEST_TARGET */
	char *without;    /* comma list of what is left out, "devices,persistenced"; NULL: nothing */
	bool classic_paths; /* libraries get links where the container has its own, too */
	char *compat_mode; /* for CUDA forward compatibility; NULL: the daemon's */
	char *nvidias_config; /* what NVIDIA's hook is to be configured by, and ours is not; NULL: not said */
	char *swarm_resource; /* hook: variables that count more than NVIDIA_VISIBLE_DEVICES; NULL: none */
	char *cdi_device; /* hook: of this device of a CDI specification; NULL: of none */
	char *client;     /* who asks, for metrics and events; never NULL after request_parse() */
	char *on_daemon_down; /* "fail", "skip" or "config"; NULL: the default of this action */
	char *socket;     /* never NULL after request_parse() */
	const char *source; /* who asked for the devices: "arguments", "env", "mounts", "cdi" */
	bool privileged;  /* the container's bounding set has CAP_SYS_ADMIN */
	unsigned int timeout_s; /* of the whole run; what has been begun is undone beyond it */
	bool cgroup;      /* change the device cgroups */
	bool as_owner;    /* in the container, with no more than its owner could do there */
	uid_t owner;      /* who that must be: of the user namespace that has its mount namespace */
	bool dry_run, json;
};

/**
 * request_parse() - read the command line
 *
 * Called by the name of NVIDIA's hook, nvidia-container-runtime-hook or nvidia-container-toolkit, its word
 * "prestart" is our "hook"; "poststart" and "poststop" are REQUEST_NONE. One dash stands for two there, as in
 * Go, and NVIDIA's own options are taken.
 *
 * @req:  zero-initialised; release with request_done() also on failure
 * @err:  message chain, may be NULL
 *
 * Return: 0, -EINVAL (ERROR_USAGE) or -ENOMEM.
 */
int request_parse(struct request *req, int argc, char *argv[], struct error *err);

/**
 * request_check_id() - may this name a container's tree?
 *
 * Return: 0, or -EINVAL (ERROR_USAGE): empty, longer than 255 bytes, ".", ".." or with a slash.
 */
int request_check_id(const char *id, struct error *err);

/**
 * request_set() - replace a string of the request by a copy
 *
 * Return: 0 or -ENOMEM.
 */
int request_set(char **field, const char *value, struct error *err);

/**
 * request_append() - add to a comma list; NULL is an empty one
 *
 * Return: 0 or -ENOMEM.
 */
int request_append(char **list, const char *value, struct error *err);

/**
 * request_add_requirement() - one more, checked for length and number
 * @list: array; borrowed
 *
 * Return: 0, -EINVAL (ERROR_REQUIREMENT) or -ENOMEM.
 */
int request_add_requirement(json_t *list, const char *expression, struct error *err);

/** request_done() - release the strings */
void request_done(struct request *req);

/** request_usage() - the text of --help */
const char *request_usage(void);

#endif
