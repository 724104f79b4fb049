/* SPDX-License-Identifier: Apache-2.0 */
/* Which source answers for which fact, in their order: what the driver itself says comes first. */
#include "nvml/fact.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "nvml/driver.h"
#include "nvml/gpu.h"

const char *fact_source_name(enum fact_source source)
{
	switch (source) {
	case FACT_PROC:
		return "proc";
	case FACT_FILES:
		return "files";
	case FACT_TABLE:
		return "table";
	case FACT_LIBCUDA:
		return "libcuda";
	case FACT_NVML:
		return "nvml";
	case FACT_UNKNOWN:
		break;
	}
	return "unknown";
}

enum fact_source fact_source_by_name(const char *name)
{
	for (enum fact_source source = FACT_PROC; source <= FACT_NVML; source++)
		if (strcmp(fact_source_name(source), name) == 0)
			return source;
	return FACT_UNKNOWN;
}

int fact_cuda_from_note(const char *note, char ret[FACT_CUDA_MAX])
{
	json_t *json = json_loads(note, 0, NULL);
	const char *version = json_string_value(json_object_get(json, "CUDA version"));
	size_t len = version ? strlen(version) : 0;
	int r = -EBADMSG;

	if (len > 0 && len < FACT_CUDA_MAX && strspn(version, "0123456789.") == len &&
	    version[0] != '.') {
		memcpy(ret, version, len + 1);
		r = 0;
	}
	json_decref(json);
	return r;
}

/* NULL leaves "" and unknown. */
static enum fact_source put(char *to, size_t size, const char *value)
{
	(void)snprintf(to, size, "%s", value ? value : "");
	return value ? FACT_TABLE : FACT_UNKNOWN;
}

static void fill_gpu(struct gpu *gpu, const char *version)
{
	const char *arch = fact_arch_of_device(gpu->device_id);

	gpu->arch_source = put(gpu->arch, sizeof(gpu->arch),
			       arch ? arch : fact_arch_of_model(gpu->model));
	gpu->brand_source = put(gpu->brand, sizeof(gpu->brand),
				fact_brand_of_model(gpu->model, version));
}

void fact_fill(struct driver *driver, struct gpu_list *gpus)
{
	if (driver->cuda_note && fact_cuda_from_note(driver->cuda_note, driver->cuda) == 0)
		driver->cuda_source = FACT_LIBCUDA;
	else
		driver->cuda_source = put(driver->cuda, sizeof(driver->cuda),
					  fact_cuda_of_driver(driver->version));
	for (size_t i = 0; i < gpus->n; i++)
		fill_gpu(&gpus->gpus[i], driver->version);
}
