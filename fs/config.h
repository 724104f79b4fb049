/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CONFIG_H
#define NVFS_FS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/whendown.h"
#include "nvml/compat.h"

struct error;

#define CONFIG_PATH "/etc/nvfs/nvfs.conf"
#define CONFIG_MOUNTPOINT "/run/nvfs"
#define CONFIG_SOCKET "/run/nvfsd/nvfs.sock"

/* Whose word counts when only the container's environment asks for GPUs. */
enum accept_env { ACCEPT_ENV_ALWAYS, ACCEPT_ENV_PRIVILEGED, ACCEPT_ENV_NEVER };

/* Every key of nvfs.conf(5); the strings are owned. */
struct config {
	char *driver_root;
	char *proc_root;
	char *sys_root;
	char *rules_dir; /* the admin's rules: nvml/rules.h */
	char *dev_root;
	char *ipc_root; /* holds the host's run/ and tmp/ with the sockets of the driver's daemons */
	char *mountpoint;
	char *socket;
	char *selinux_context; /* NULL for none */
	char *nvinject;        /* the program; NULL: beside our own */
	char *cdi_dir;               /* for the CDI file; "" for none */
	char *runtime;               /* of nvfs-runtime: the one below; "" for runc, or else crun */
	char *swarm_resource;        /* of nvfs-runtime: as nvinject's option; "" for none */
	enum accept_env accept_env;
	enum when_down on_daemon_down; /* read by nvinject itself, which then has nobody to ask */
	bool disable_require; /* of images, of driver and GPUs */
	enum compat_mode cuda_compat_mode; /* where a request names none */
	unsigned int trees_per_user; /* uids but root */
	char *user_group;   /* whose members may ask besides root: name or number; "" is anybody */
	char *user_devices; /* what they may ask for, as in --devices */
	unsigned int grace_s;        /* between the end of a container and that of its tree */
	unsigned int heal_s;         /* between two looks at a container's cgroup; 0: none */
	unsigned int workers;
	unsigned int settle_s; /* the driver's directories must be quiet so long */
	bool nvml;                   /* ask it */
	unsigned int nvml_timeout_s; /* all of it, once */
	unsigned int nvml_uid, nvml_gid; /* of the process that asks */
	bool load_kmods;       /* load the driver's modules at the start, and keep the host's device nodes */
	bool pin;              /* a tree keeps the driver that it was made with */
};

/** config_init() - the defaults; 0 or -ENOMEM. Release with config_done() in any case */
int config_init(struct config *config);
void config_done(struct config *config);

/**
 * config_read() - what a file says over what is there
 * @path:     INI file, borrowed
 * @optional: a missing file is fine
 * @err:      ERROR_USAGE with file and line for a value that cannot be
 *
 * An unknown key or section is logged as a warning, with its line, and ignored, so that a
 * file for a newer version serves an older one.
 *
 * Return: 0, -EINVAL, -ENOMEM or the errno of open(2).
 */
int config_read(struct config *config, const char *path, bool optional, struct error *err);

/* What a file says, as it is read; each function may be NULL. */
struct config_watcher {
	void (*on_key)(void *data, const char *key, int line);                             /* one that was set */
	void (*on_unknown)(void *data, const char *section, const char *key, int line); /* section "" is ours */
	void *data;
};

/** config_read_watched() - as config_read(); unknown keys are told to @watcher, and not logged */
int config_read_watched(struct config *config, const char *path, bool optional,
			const struct config_watcher *watcher, struct error *err);

/** config_key() - the name of key @i, counted from 0; NULL behind the last one */
const char *config_key(size_t i);

#define CONFIG_NUMBER_MAX 16

/**
 * config_value() - what a key is set to, as a file says it
 * @buf: for numbers
 *
 * Return: @buf, the configuration's own or static text; NULL for no value, or no such key.
 */
const char *config_value(const struct config *config, const char *key, char buf[CONFIG_NUMBER_MAX]);

/** config_set() - one key; -ENOENT for an unknown key, -EINVAL for a bad value, -ENOMEM */
int config_set(struct config *config, const char *key, const char *value, struct error *err);

#endif
