/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CLAIM_H
#define NVFS_FS_CLAIM_H

#include <jansson.h>
#include <stdbool.h>

#include "fs/config.h"
#include "fs/ident.h"
#include "fs/process.h"
#include "nvml/imex.h"

struct error;
struct gpu_list;
struct gpu_selection;
struct peer;
struct varlink_message;

#define CLAIM_TARGET_MAX 200
#define CLAIM_WITHOUT_DEVICES "devices" /* they are permitted, and not bound */

/* io.nvfs.Inject's parameters, checked. Strings point into the message. */
struct claim {
	const char *id;
	char name[IDENT_MAX + 1];
	const char *devices;
	unsigned int caps; /* enum driver_cap, expanded */
	const char *target;
	const char *source; /* "arguments", "env" or "mounts" */
	const char *compat_mode; /* for CUDA forward compatibility; "" is the configuration's */
	const char *without; /* comma list of CLAIM_WITHOUT_DEVICES and what ipc.h has; "" is none */
	const char *lib64_at, *lib32_at; /* where else libraries are looked for, and get links; "" is nowhere */
	bool standalone; /* the caller's own namespaces */
	bool cgroup;     /* the caller is going to change a cgroup */
	bool dry_run;
	bool privileged; /* the container's bounding set has CAP_SYS_ADMIN, says the caller */
	const char *mig_config, *mig_monitor; /* "" or "all"; see gpu_select_mig_control() */
	struct imex_channels imex;
	bool nvswitch, imex_mgmt; /* the words of "fabric" */
	const char *imex_source; /* who asked for them, as @source */
	int pidfd;    /* the message's; -1 where standalone and absent */
	int cache_fd; /* the message's; -1 without */
	int compat_fd; /* likewise: what the image has for CUDA forward compatibility */
	struct process process; /* the container's init, or the caller */
};

/**
 * claim_parse() - check what a client wants
 * @params:  from the message; borrowed, and so are the descriptors
 * @message: for the descriptors
 * @peer:    who asks
 * @err:     ERROR_USAGE, or ERROR_MOUNT for a process that is not there
 *
 * Return: 0, -EINVAL, or what process_from_pidfd() says.
 */
int claim_parse(json_t *params, const struct varlink_message *message, const struct peer *peer,
		  struct claim *ret, struct error *err);

/* What counts of a peer that isn't root. */
struct claim_standing {
	unsigned int trees; /* that it has already */
	bool in_group;      /* user_group of nvfs.conf(5) */
};

/**
 * claim_allowed() - the policy: may this peer have this?
 * @self:     the daemon
 * @standing: borrowed; not looked at for root
 * @err:      ERROR_PERMISSION
 *
 * The host's root, see peer_is_root(), may do all. Anybody else may have a
 * tree for a process of its own, without a change of cgroups, and neither divides nor watches GPUs.
 *
 * Return: 0 or -EPERM.
 */
int claim_allowed(const struct claim *claim, const struct peer *peer,
		    const struct process *self, const struct config *config,
		    const struct claim_standing *standing, struct error *err);

/**
 * claim_limit_devices() - what of a selection may who isn't root have?
 * @devices:   as it was asked for
 * @ceiling:   user_devices of nvfs.conf(5)
 * @selection: what @devices came to; of "all" there stays what @ceiling has
 * @err:       ERROR_PERMISSION: the GPU or MIG device that is beyond, or a ceiling that is nonsense: nobody
 *             has anything by it then
 *
 * A GPU of the ceiling stands also for the MIG devices on it. A MIG device of the ceiling stands for
 * itself, and its GPU's node comes with it.
 *
 * Return: 0, -EPERM or -ENOMEM.
 */
int claim_limit_devices(const char *devices, const struct gpu_list *gpus, const char *ceiling,
			struct gpu_selection *selection, struct error *err);

/**
 * claim_env_counts() - is the container's environment reason enough for GPUs?
 * @params: from the message, not looked at before: what an environment asks may be nonsense
 *
 * accept_env of nvfs.conf(5); a request by arguments or mounts always counts.
 */
bool claim_env_counts(json_t *params, enum accept_env accept_env);

/** claim_asks_mig_control() - is it to divide or watch GPUs? */
bool claim_asks_mig_control(const struct claim *claim);

/** claim_control_counts() - the same of dividing and watching GPUs, and of the fabric */
bool claim_control_counts(const struct claim *claim, enum accept_env accept_env);

/** claim_imex_counts() - the same of the IMEX channels, which may have come from elsewhere */
bool claim_imex_counts(const struct claim *claim, enum accept_env accept_env);

/** claim_target_is_valid() - absolute, no detours, printable, of bearable length */
bool claim_target_is_valid(const char *target);

#endif
