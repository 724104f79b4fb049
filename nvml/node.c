/* SPDX-License-Identifier: Apache-2.0 */
/* See node.h. */
#include "nvml/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "nvml/driver.h"
#include "nvml/elf.h"
#include "nvml/gpu.h"

json_t *node_text_json(const char *text)
{
	auto_free char *clean = NULL;
	json_t *json = json_string(text);

	if (json)
		return json;
	clean = strdup(text);
	for (char *c = clean; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(clean ? clean : "");
}

static void add_value(json_t *object, const char *key, json_t *value, enum fact_source source)
{
	(void)json_object_set_new(object, key, json_pack("{s:o, s:s}", "value", value, "source",
							 fact_source_name(source)));
}

static void add_fact(json_t *object, const char *key, const char *value, enum fact_source source)
{
	bool known = source != FACT_UNKNOWN && *value;

	add_value(object, key, known ? node_text_json(value) : json_null(),
		  known ? source : FACT_UNKNOWN);
}

static enum fact_source version_source(const struct driver *driver)
{
	return driver->version_from_module ? FACT_PROC : FACT_FILES;
}

static json_t *mig_json(const struct mig_device *mig)
{
	json_t *json = json_pack("{s:i, s:i, s:s}", "gi", (int)mig->gi, "ci", (int)mig->ci,
				 "source", fact_source_name(mig->source));

	if (mig->index != GPU_NO_INDEX)
		(void)json_object_set_new(json, "index", json_integer(mig->index));
	add_fact(json, "uuid", mig->uuid, mig->source);
	return json;
}

static json_t *migs_json(const struct gpu_list *gpus, size_t gpu)
{
	json_t *list = json_array();

	for (size_t i = 0; i < gpus->n_migs; i++)
		if (gpus->migs[i].gpu == gpu)
			(void)json_array_append_new(list, mig_json(&gpus->migs[i]));
	return list;
}

static void add_gpu_facts(json_t *json, const struct gpu *gpu)
{
	char node[32] = "", device[16] = "";

	if (gpu->usable)
		(void)snprintf(node, sizeof(node), "/dev/nvidia%u", gpu->minor);
	if (gpu->device_id)
		(void)snprintf(device, sizeof(device), "10de:%04x", gpu->device_id);
	add_fact(json, "model", gpu->model, FACT_PROC);
	add_fact(json, "uuid", gpu->uuid, gpu->uuid_source ? gpu->uuid_source : FACT_PROC);
	add_fact(json, "bus_id", gpu->bus_id, FACT_PROC);
	add_value(json, "minor", gpu->usable ? json_integer(gpu->minor) : json_null(),
		  gpu->usable ? FACT_PROC : FACT_UNKNOWN);
	add_fact(json, "device_node", node, FACT_PROC);
	add_fact(json, "firmware", gpu->firmware, FACT_PROC);
	add_fact(json, "pci_device", device, FACT_PROC);
	add_fact(json, "architecture", gpu->arch, gpu->arch_source);
	add_fact(json, "brand", gpu->brand, gpu->brand_source);
	add_fact(json, "mig_mode",
		 gpu->mig_mode == GPU_MIG_UNKNOWN ? "" : gpu_mig_mode_name(gpu->mig_mode),
		 gpu->mig_source);
	add_fact(json, "fabric", gpu->fabric, FACT_NVML);
}

static json_t *gpu_json(const struct gpu_list *gpus, size_t at)
{
	const struct gpu *gpu = &gpus->gpus[at];
	json_t *json = json_pack("{s:b, s:b, s:o}", "usable", gpu->usable, "excluded",
				 gpu->excluded, "note", node_text_json(gpu->note));

	if (gpu->index != GPU_NO_INDEX)
		(void)json_object_set_new(json, "index", json_integer(gpu->index));
	add_gpu_facts(json, gpu);
	(void)json_object_set_new(json, "migs", migs_json(gpus, at));
	return json;
}

json_t *node_json(const struct driver *driver, const struct gpu_list *gpus)
{
	json_t *json = json_object(), *list = json_array();

	add_fact(json, "driver_version", driver->version, version_source(driver));
	add_fact(json, "cuda_version", driver->cuda, driver->cuda_source);
	if (driver->root)
		(void)json_object_set_new(json, "driver_root", node_text_json(driver->root));
	for (size_t i = 0; i < gpus->n; i++)
		(void)json_array_append_new(list, gpu_json(gpus, i));
	if (json_object_set_new(json, "gpus", list) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

json_t *node_caps_json(unsigned int caps)
{
	json_t *array = json_array();

	for (unsigned int bit = 1; bit <= DRIVER_CAP_ALL; bit <<= 1) {
		char word[DRIVER_CAPS_TEXT_MAX];

		if (!(caps & bit))
			continue;
		driver_caps_print(bit, word, sizeof(word));
		(void)json_array_append_new(array, json_string(word));
	}
	return array;
}

json_t *node_file_json(const struct driver_file *file)
{
	json_t *json = json_pack(
		"{s:s, s:o, s:o, s:I, s:o}", "kind", driver_file_kind_name(file->kind), "name",
		node_text_json(file->name), "path", node_text_json(file->path), "size",
		(json_int_t)file->st.st_size, "driver_capabilities", node_caps_json(file->caps));

	if (file->soname)
		(void)json_object_set_new(json, "soname", node_text_json(file->soname));
	if (file->elf_class) {
		(void)json_object_set_new(json, "class", json_integer(file->elf_class));
		(void)json_object_set_new(json, "machine",
					  json_string(elf_machine_name(file->elf_machine)));
	}
	return json;
}
