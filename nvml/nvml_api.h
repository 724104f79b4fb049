/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_NVML_API_H
#define NVFS_NVML_NVML_API_H

/*
 * What is used of NVML, libnvidia-ml.so.1: our own declarations, so that no header
 * of a toolkit is needed, and every driver's library does.
 *
 * Names and layouts are the library's ABI, which only grows: a function whose
 * meaning changes gets a new name (_v2, _v3), and the old one stays. A name that a
 * library lacks is NULL here.
 * Source: NVML API Reference, https://docs.nvidia.com/deploy/nvml-api, of drivers 470,
 * 535 and 580; the numbers are told for each below with the first driver that had them.
 */

struct nvml_device; /* the library's own */

/* nvmlReturn_t, as far as something is made of it */
enum nvml_return {
	NVML_SUCCESS = 0,
	NVML_NOT_SUPPORTED = 3,
	NVML_NO_PERMISSION = 4,
	NVML_NOT_FOUND = 6,
	NVML_DRIVER_NOT_LOADED = 9,
	NVML_FUNCTION_NOT_FOUND = 13,
	NVML_GPU_IS_LOST = 15,
	NVML_LIB_RM_VERSION_MISMATCH = 18,
};

/* nvmlPciInfo_t of _v3; those of _v2 and before begin in the same way and are smaller. */
struct nvml_pci {
	char bus_id_legacy[16];
	unsigned int domain, bus, device;
	unsigned int device_id, subsystem_id;
	char bus_id[32];
};

/* nvmlGpuFabricInfo_t (525): state 0 not supported, 1 not started, 2 in progress, 3 completed */
struct nvml_fabric {
	unsigned char cluster_uuid[16];
	int status; /* nvmlReturn_t; only with state 3 */
	unsigned int clique_id;
	unsigned char state;
};

#define NVML_VERSION_MAX 80 /* NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE */
#define NVML_UUID_MAX 96    /* NVML_DEVICE_UUID_V2_BUFFER_SIZE (450): MIG devices have longer ones */
#define NVML_NAME_MAX 96    /* NVML_DEVICE_NAME_V2_BUFFER_SIZE */

struct nvml_api {
	/* the library */
	int (*init)(void);
	int (*shutdown)(void);
	int (*driver_version)(char *version, unsigned int size);
	int (*cuda_version)(int *version); /* 12020 is 12.2 */
	int (*count)(unsigned int *count);
	int (*handle)(unsigned int index, struct nvml_device **device);

	/* a GPU */
	int (*pci)(struct nvml_device *device, struct nvml_pci *pci);
	int (*minor)(struct nvml_device *device, unsigned int *minor);
	int (*uuid)(struct nvml_device *device, char *uuid, unsigned int size); /* a MIG device's too */
	int (*name)(struct nvml_device *device, char *name, unsigned int size);
	int (*brand)(struct nvml_device *device, int *brand); /* see nvml_brand_name() */
	int (*arch)(struct nvml_device *device, int *major, int *minor);
	int (*fabric)(struct nvml_device *device, struct nvml_fabric *fabric);

	/* MIG (450) */
	int (*mig_mode)(struct nvml_device *device, unsigned int *current, unsigned int *pending);
	int (*mig_max)(struct nvml_device *device, unsigned int *count);
	int (*mig_handle)(struct nvml_device *device, unsigned int index, struct nvml_device **mig);
	int (*mig_gi)(struct nvml_device *mig, unsigned int *id);
	int (*mig_ci)(struct nvml_device *mig, unsigned int *id);
};

/**
 * nvml_api_load() - find the functions
 * @library: from dlopen(3)
 *
 * Of several versions of a function the newest one that is known here counts.
 *
 * Return: 0, or -ENOSYS where one is missing without which nothing can be asked.
 */
int nvml_api_load(void *library, struct nvml_api *ret);

/** nvml_return_name() - what a nvmlReturn_t means, in words; static */
const char *nvml_return_name(int code);

/** nvml_brand_name() - of nvmlBrandType_t, as the existing tool prints it: "Nvidia"; NULL for unknown */
const char *nvml_brand_name(int brand);

/** nvml_fabric_name() - of nvml_fabric.state: "completed"; NULL for none of the known ones */
const char *nvml_fabric_name(unsigned int state);

#endif
