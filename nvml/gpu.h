/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_GPU_H
#define NVFS_NVML_GPU_H

#include <stdbool.h>
#include <stddef.h>

#include "nvml/fact.h"

struct error;

#define GPU_NO_INDEX (~0U)

/* Is the GPU divided? What is set for after the next reset does not count. */
enum gpu_mig_mode {
	GPU_MIG_UNKNOWN,
	GPU_MIG_NONE, /* it cannot be */
	GPU_MIG_OFF,
	GPU_MIG_ON,
};

#define GPU_FABRIC_MAX 64

struct gpu {
	unsigned int index; /* order of bus ids, as NVML counts; GPU_NO_INDEX for excluded ones */
	unsigned int minor; /* of /dev/nvidia<minor> */
	char uuid[64];      /* "GPU-..."; "" while the module does not know it yet */
	char bus_id[32];    /* "0000:00:06.0", lower case, as the directory in /proc is named */
	char model[128];
	char firmware[64]; /* "580.159.04"; "" without GSP firmware */
	unsigned int device_id; /* PCI device id, vendor 10de; 0 for unknown */
	char arch[FACT_ARCH_MAX]; /* compute capability, "9.0"; "" for unknown */
	char brand[FACT_BRAND_MAX]; /* NVML's name, "Nvidia"; "" for unknown */
	enum fact_source arch_source, brand_source; /* who says so: fact_fill() */
	enum fact_source uuid_source; /* FACT_NVML where /proc does not know it; else FACT_UNKNOWN: /proc */
	enum gpu_mig_mode mig_mode;
	enum fact_source mig_source;
	char fabric[GPU_FABRIC_MAX]; /* NVLink fabric, as NVML calls it: "completed"; "" for unknown */
	bool excluded;     /* by the module's parameter ExcludedGpus: nobody can open it */
	bool usable;       /* false: note says why; it is never given to a container */
	char note[96];     /* "" for nothing to say */
};

/*
 * A MIG device: a compute instance (CI) inside of a GPU instance (GI). The ids are the
 * driver's own and may have holes; a GPU that is divided has one or more of these.
 */
struct mig_device {
	size_t gpu;         /* position in gpu_list.gpus */
	unsigned int index; /* within its GPU, as NVML counts: the M of "G:M"; GPU_NO_INDEX for unknown */
	unsigned int gi, ci;
	char uuid[96]; /* "MIG-...", or "MIG-GPU-<uuid>/<gi>/<ci>" of drivers before 470; "" for unknown */
	enum fact_source source; /* who tells of it: /proc has no index, which is then by order, and no UUID */
};

struct gpu_list {
	struct gpu *gpus; /* in the order of bus ids */
	size_t n;
	struct mig_device *migs; /* by GPU, then by index; NULL without MIG */
	size_t n_migs;
	bool has_nvcaps; /* /proc tells which MIG devices there are, be it none */
	bool provisional; /* NVML will tell more: names that are not known yet may be of devices that are there */
};

/**
 * gpu_list_new() - the GPUs that the loaded module knows
 * @proc_root: NULL for "/proc"; borrowed for the call
 * @ret:       new list on success, untouched on failure; the caller owns it
 *             and releases it with gpu_list_free()
 * @err:       message chain, may be NULL
 *
 * No module and no GPU are a success with an empty list. A GPU whose entry
 * is broken is in the list, not usable and with a note; it keeps its index, so
 * that the others do not move.
 * What fact_fill() sets is left unknown, and there are no MIG devices: mig_list_read() tells them.
 * Source: <proc_root>/driver/nvidia/gpus/<bus id>/information, <proc_root>/bus/pci/devices.
 * Privilege: none.
 *
 * Return: 0, -ENOMEM, or the errno of reading the directory.
 */
int gpu_list_new(const char *proc_root, struct gpu_list **ret, struct error *err);

/** gpu_list_free() - its MIG devices too; NULL is fine */
void gpu_list_free(struct gpu_list *list);

/** gpu_mig_mode_name() - "unknown", "none", "off", "on" */
const char *gpu_mig_mode_name(enum gpu_mig_mode mode);

/**
 * gpu_parse_information() - fill a GPU from the text of its information file
 * @text: "Key: <blanks> value" lines; unknown keys are skipped
 * @gpu:  bus_id and index stay; the rest is set, usable and note included
 */
void gpu_parse_information(const char *text, struct gpu *gpu);

/**
 * gpu_bus_id_parse() - "0000:00:06.0" as numbers
 * @text: hexadecimal domain (1 to 8 digits; may be absent with its colon), bus, device, function
 * @ret:  domain << 16 | bus << 8 | device << 3 | function
 *
 * Return: 0 or -EINVAL.
 */
int gpu_bus_id_parse(const char *text, unsigned long long *ret);

#endif
