/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_GENERATION_H
#define NVFS_FS_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "nvml/finding.h"
#include "nvml/mig.h"
#include "nvml/nvcap.h"

struct driver;
struct driver_config;
struct error;
struct gpu_list;
struct store;

/*
 * A generation: what the driver was at one moment. Its files are open and
 * recorded as objects in the store, its texts from /proc are copies; nothing in
 * it changes any more, whatever happens to the host's files. What NVML tells of
 * its GPUs comes later, and MIG devices come and go: see facts.h.
 */

enum generation_nvml_state {
	GENERATION_NVML_PENDING, /* it is being asked, or will be */
	GENERATION_NVML_TOLD,
	GENERATION_NVML_FAILED,  /* what it told before counts; findings say why */
	GENERATION_NVML_OFF,     /* by the configuration */
};

/* How far NVML has been asked. */
struct generation_nvml {
	enum generation_nvml_state state;
	unsigned int took_ms;
	struct mig_print print; /* of the MIG devices that gpus has */
	struct finding_list findings;
};

/* The texts of one GPU's directory in /proc/driver/nvidia/gpus. */
struct generation_gpu {
	char *information;
	char *registry;
};

struct generation {
	struct generation *older;         /* one that trees still have; NULL at the end */
	uint32_t number;
	int64_t made_s;                   /* CLOCK_REALTIME */
	int64_t unused_ms;                /* since then no tree has it, CLOCK_MONOTONIC; 0: used */
	int64_t forgotten_ms;             /* when the kernel was told to ask again for its names; 0: not since */
	bool damaged;                     /* files of it are lost: for nothing new. See revive.h */
	struct driver *driver;
	struct gpu_list *gpus;
	uint32_t *objects;                /* store index of each of driver->files */
	char *proc_version;               /* NULL where the module is not loaded */
	char *proc_params;                /* with ModifyDeviceFiles: 0; NULL likewise */
	char *proc_registry;              /* NULL likewise */
	char *majors;                     /* the driver's lines of /proc/devices; NULL likewise */
	struct generation_gpu *gpu_texts; /* one for each of gpus->gpus */
	struct generation_nvml nvml;
	struct nvcap_list nvcaps;         /* that there are: of MIG devices, to divide GPUs, ... */
};

/**
 * generation_discover() - look at the driver and keep what is found
 * @config: borrowed for the call
 * @number: counted by the caller, from 1
 * @ret:    untouched on failure; release with generation_free()
 * @err:    ERROR_DRIVER where there is no driver
 *
 * Its files are open, and not yet in the store: generation_record() does that.
 *
 * Return: 0, -ENOENT (no driver), or what driver_discover() says.
 */
int generation_discover(const struct driver_config *config, uint32_t number,
			struct generation **ret, struct error *err);

/**
 * generation_record() - give each file an object in the store
 * @store:  gets the descriptors of new objects; the caller does not hold its lock
 * @before: a file that is the same one as in this generation keeps its object,
 *          and with it nodeid, page cache and backing id; NULL for none
 *
 * Return: 0 or -ENOMEM.
 */
int generation_record(struct generation *generation, const struct generation *before,
		      struct store *store, struct error *err);

enum generation_change {
	GENERATION_SAME,    /* nothing has changed */
	GENERATION_DEVICES, /* the files are the same, but GPUs, MIG devices or texts in /proc are not */
	GENERATION_MORE,  /* the same version, nothing lost: new trees may have it */
	GENERATION_LESS,  /* the same version, but files are missing: packages are being changed */
	GENERATION_OTHER, /* another version: the one before must not be given out any more */
};

/**
 * generation_compare() - what a new look at the driver means
 * @before: recorded in @store; the caller holds the store's lock or is its only writer
 * @now:    from generation_discover()
 */
enum generation_change generation_compare(const struct store *store,
					  const struct generation *before,
					  const struct generation *now);

/** generation_has_files_of() - are these two, both recorded, made of the very same files? */
bool generation_has_files_of(const struct generation *a, const struct generation *b);

/* What tells that the module was loaded anew. Strings are owned; NULL without a module. */
struct generation_module {
	char *version; /* text of /proc/driver/nvidia/version */
	char *majors;
};

/** generation_module_read() - the module as it is now; release with generation_module_done() */
void generation_module_read(const char *proc_root, struct generation_module *ret);
void generation_module_done(struct generation_module *module);

/** generation_module_is() - is it still the one that the generation was made with? */
bool generation_module_is(const struct generation *generation,
			  const struct generation_module *module);

/** generation_find() - by number, in a list of generations; NULL: not there any more */
struct generation *generation_find(struct generation *first, uint32_t number);

/**
 * generation_save() - write generations into the store, for a later process
 * @first: the present one, and behind it those that trees still have
 *
 * The caller does not hold the store's lock. Return: 0 or -ENOMEM.
 */
int generation_save(const struct generation *first, struct store *store, struct error *err);

/**
 * generation_load() - the generations that another process saved
 * @ret: the present one; release each with generation_free(). The files of their
 *       drivers have no descriptors, and there are no findings and directories
 *
 * Return: 0, -ENOENT (none was saved), -EBADMSG or -ENOMEM.
 */
int generation_load(const struct store *store, struct generation **ret, struct error *err);

/**
 * generation_describe() - all of a generation that is not recorded yet but its open files, as JSON
 *
 * Return: a new reference, or NULL (out of memory).
 */
json_t *generation_describe(const struct generation *generation);

/**
 * generation_from_description() - what another process has discovered
 * @ret: release with generation_free(); its files have no descriptors
 *
 * Return: 0, -EBADMSG or -ENOMEM.
 */
int generation_from_description(const json_t *json, uint32_t number, struct generation **ret);

/**
 * generation_again() - the same driver, as another generation: for devices that have changed
 * @of:  recorded. Its files' objects are the new one's, too
 * @ret: NVML has told nothing of it yet, but what it told of @of is kept; release with generation_free()
 *
 * Return: 0, -EBADMSG or -ENOMEM.
 */
int generation_again(const struct generation *of, uint32_t number, struct generation **ret);

/** generation_free() - this one alone; NULL is fine. The store keeps objects and descriptors */
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
