/* SPDX-License-Identifier: Apache-2.0 */
/* NVML's names: which function is found by which, and what its numbers mean. See nvml_api.h. */
#include "nvml/nvml_api.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"

#define NAMES_MAX 3

/* The newest name first. */
static const struct {
	size_t at;
	bool needed;
	const char *names[NAMES_MAX];
} functions[] = {
#define FUNCTION(field, needed, ...) { offsetof(struct nvml_api, field), needed, { __VA_ARGS__ } }
	FUNCTION(init, true, "nvmlInit_v2", "nvmlInit"),
	FUNCTION(shutdown, true, "nvmlShutdown"),
	FUNCTION(driver_version, false, "nvmlSystemGetDriverVersion"),
	FUNCTION(cuda_version, false, "nvmlSystemGetCudaDriverVersion"),
	FUNCTION(count, true, "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"),
	FUNCTION(handle, true, "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"),
	FUNCTION(pci, true, "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2",
		 "nvmlDeviceGetPciInfo"),
	FUNCTION(minor, false, "nvmlDeviceGetMinorNumber"),
	FUNCTION(uuid, false, "nvmlDeviceGetUUID"),
	FUNCTION(name, false, "nvmlDeviceGetName"),
	FUNCTION(brand, false, "nvmlDeviceGetBrand"),
	FUNCTION(arch, false, "nvmlDeviceGetCudaComputeCapability"),
	FUNCTION(fabric, false, "nvmlDeviceGetGpuFabricInfo"),
	FUNCTION(mig_mode, false, "nvmlDeviceGetMigMode"),
	FUNCTION(mig_max, false, "nvmlDeviceGetMaxMigDeviceCount"),
	FUNCTION(mig_handle, false, "nvmlDeviceGetMigDeviceHandleByIndex"),
	FUNCTION(mig_gi, false, "nvmlDeviceGetGpuInstanceId"),
	FUNCTION(mig_ci, false, "nvmlDeviceGetComputeInstanceId"),
};

int nvml_api_load(void *library, struct nvml_api *ret)
{
	struct nvml_api api = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *found = NULL;

		for (size_t n = 0; n < NAMES_MAX && functions[i].names[n] && !found; n++)
			found = dlsym(library, functions[i].names[n]);
		if (!found && functions[i].needed)
			return -ENOSYS;
		/* POSIX lets a data pointer hold a function's address: dlsym(3). */
		memcpy((char *)&api + functions[i].at, &found, sizeof(found));
	}
	*ret = api;
	return 0;
}

const char *nvml_return_name(int code)
{
	static const char *const names[] = {
		[0] = "success",
		[1] = "not initialized",
		[2] = "invalid argument",
		[3] = "not supported",
		[4] = "no permission",
		[6] = "not found",
		[8] = "a power cable is missing",
		[9] = "the driver is not loaded",
		[10] = "timed out",
		[11] = "an interrupt does not come",
		[12] = "library not found",
		[13] = "function not found",
		[14] = "the infoROM is corrupted",
		[15] = "the GPU is lost",
		[16] = "the GPU needs a reset",
		[17] = "the operating system has blocked it",
		[18] = "driver/library version mismatch",
		[19] = "in use",
		[20] = "out of memory",
	};

	if (code < 0 || (size_t)code >= ARRAY_SIZE(names) || !names[code])
		return "unknown error";
	return names[code];
}

const char *nvml_brand_name(int brand)
{
	/* 0 is NVML's own word for unknown */
	static const char *const names[] = {
		NULL,	     "Quadro",	  "Tesla",  "NVS",	  "GRID",     "GeForce",
		"TITAN",     "VApps",	  "VPC",    "VCS",	  "VWS",      "CloudGaming",
		"QuadroRTX", "NvidiaRTX", "Nvidia", "GeForceRTX", "TitanRTX",
	};

	return brand < 0 || (size_t)brand >= ARRAY_SIZE(names) ? NULL : names[brand];
}

const char *nvml_fabric_name(unsigned int state)
{
	static const char *const names[] = { "not supported", "not started", "in progress",
					     "completed" };

	return state < ARRAY_SIZE(names) ? names[state] : NULL;
}
