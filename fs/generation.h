/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_GENERATION_H
#define NVFS_FS_GENERATION_H

#include <stddef.h>
#include <stdint.h>

#include "nvml/finding.h"

struct driver;
struct driver_config;
struct error;
struct gpu_list;
struct store;

/*
 * A generation: what the driver was at one moment. Its files are open and
 * recorded as objects in the store, its texts from /proc are copies; nothing in
 * it changes any more, whatever happens to the host's files.
 */

/* The texts of one GPU's directory in /proc/driver/nvidia/gpus. */
struct generation_gpu {
	char *information;
	char *registry;
};

struct generation {
	uint32_t number;
	struct driver *driver;
	struct gpu_list *gpus;
	uint32_t *objects;                /* store index of each of driver->files */
	char *proc_version;               /* NULL where the module is not loaded */
	char *proc_params;                /* with ModifyDeviceFiles: 0; NULL likewise */
	char *proc_registry;              /* NULL likewise */
	struct generation_gpu *gpu_texts; /* one for each of gpus->gpus */
};

/**
 * generation_new() - look at the driver and keep what is found
 * @config: borrowed for the call
 * @store:  gets an object and a descriptor for each file; the caller does not
 *          hold its lock
 * @number: counted by the caller, from 1
 * @ret:    untouched on failure; release with generation_free()
 * @err:    ERROR_DRIVER where there is no driver
 *
 * Return: 0, -ENOENT (no driver), or what driver_discover() says.
 */
int generation_new(const struct driver_config *config, struct store *store, uint32_t number,
		   struct generation **ret, struct error *err);

/**
 * generation_save() - write a generation into the store, for a later process
 *
 * The caller does not hold the store's lock. Return: 0 or -ENOMEM.
 */
int generation_save(const struct generation *generation, struct store *store, struct error *err);

/**
 * generation_load() - the generation that another process saved
 * @ret: release with generation_free(); its driver's files have no descriptors,
 *       no findings and no directories
 *
 * Return: 0, -ENOENT (none was saved), -EBADMSG or -ENOMEM.
 */
int generation_load(const struct store *store, struct generation **ret, struct error *err);

/** generation_free() - NULL is fine; the store keeps the objects and descriptors */
void generation_free(struct generation *generation);

/**
 * generation_params() - /proc/driver/nvidia/params for a container
 *
 * "ModifyDeviceFiles: 1" becomes 0: the driver's libraries would otherwise make
 * device nodes in the container.
 *
 * Return: a new string that the caller frees, or NULL (out of memory).
 */
char *generation_params(const char *host_params);

#endif
