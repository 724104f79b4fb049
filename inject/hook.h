/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_HOOK_H
#define NVFS_INJECT_HOOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "inject/request.h"

/*
 * An OCI runtime hook (runtime-spec config.md "POSIX-platform Hooks",
 * runtime.md "State"): the state on standard input names the container, the
 * bundle's config.json says what it wants. Both are read as data of a
 * stranger: bounded in size and depth, types checked.
 */

/* Release with hook_state_done(). */
struct hook_state {
	char *id;
	char *bundle;
	char *root; /* crun only: the root directory; NULL */
	pid_t pid;  /* 0: absent, or the container's own view of it ("1") */
};

/* Release with hook_wish_done(). */
struct hook_wish {
	bool wanted;        /* false: no GPU is asked for, the rest is unset */
	char *devices;      /* list, as the daemon takes it */
	char *driver_caps;  /* NULL: the default */
	json_t *requirements; /* array of expressions that must hold */
	char *mig_config, *mig_monitor; /* "all"; NULL: not asked for */
	char *imex_channels; /* list of numbers; NULL: none */
	const char *imex_source; /* "env" or "mounts" */
	bool nvswitch;
	const char *source; /* "env", "mounts" or "cdi" */
	char *root;         /* root.path, maybe relative to the bundle; NULL */
	bool privileged;
	char *why; /* where nothing is wanted */
};

/* How the hook was called. */
struct hook_rules {
	const char *swarm; /* comma list of variables that count more than NVIDIA_VISIBLE_DEVICES; NULL for none */
	const char *cdi_device; /* it is the hook of this device of a CDI specification; NULL: of none */
};

/**
 * hook_state_parse() - read the state
 * @ret: filled on success
 *
 * Return: 0, -EINVAL (ERROR_USAGE: not JSON, or a field missing or of a wrong type), -ENOMEM.
 */
int hook_state_parse(const char *text, size_t len, struct hook_state *ret, struct error *err);
void hook_state_done(struct hook_state *state);

/**
 * hook_config_parse() - what config.json asks for
 *
 * Where CDI asks, all its hooks' devices (engine.h), whatever the environment says, and every driver
 * capability unless NVIDIA_DRIVER_CAPABILITIES says which. Otherwise
 * devices are asked for by mounts of /dev/null below /var/run/nvidia-container-devices,
 * or else by imageenv_devices() of process.env: unset, empty or "void" is none at
 * all, "none" the driver without GPUs.
 * Nothing is wanted where the driver's files are among the mounts: somebody else has given them.
 * What the driver must be, imageenv_requirements() tells.
 *
 * Return: 0, -EINVAL (ERROR_USAGE, ERROR_REQUIREMENT) or -ENOMEM.
 */
int hook_config_parse(const char *text, size_t len, const struct hook_rules *rules,
		      struct hook_wish *ret, struct error *err);
void hook_wish_done(struct hook_wish *wish);

/**
 * hook_request() - read state and config.json, complete the request
 * @req:        of action REQUEST_HOOK; on success one of REQUEST_INJECT
 * @state_fd:   standard input; stays open
 * @ret_why:    NULL, or why nothing is to be done for this container; the caller frees it
 *
 * Return: 0, -EINVAL, -EFBIG (more than 1 MiB of state, 16 MiB of config.json),
 * -ENOMEM or the errno of open(2) or read(2); of class ERROR_USAGE, or ERROR_REQUIREMENT.
 */
int hook_request(struct request *req, int state_fd, char **ret_why, struct error *err);

#endif
