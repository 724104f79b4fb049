/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvfs devices`: the GPUs and what requirements are checked against, each fact
 * with its source. A fact that nobody tells is printed as unknown, and is null
 * in JSON.
 */
#include "cli/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/local.h"
#include "common/error.h"
#include "nvml/gpu.h"

static const char usage[] =
	"usage: nvfs devices [--driver-root DIR] [--proc-root DIR] [--rules-dir DIR] [--json]\n"
	"Show the GPUs, what is known of them and of the driver, and where that comes from.\n";

struct fact {
	const char *key, *title;
	const char *value; /* "" for unknown */
	enum fact_source source;
};

static enum fact_source from_proc(const char *value)
{
	return *value ? FACT_PROC : FACT_UNKNOWN;
}

#define DRIVER_FACTS 2
#define GPU_FACTS 8

static void driver_facts(const struct driver *driver, struct fact facts[DRIVER_FACTS])
{
	facts[0] = (struct fact){ "driver_version", "Driver version", driver->version,
				  driver->version_from_module ? FACT_PROC
				  : driver->version[0]	      ? FACT_FILES
							      : FACT_UNKNOWN };
	facts[1] = (struct fact){ "cuda_version", "CUDA version", driver->cuda,
				  driver->cuda_source };
}

/* @node and @device hold what is printed of numbers. */
static void gpu_facts(const struct gpu *gpu, char node[32], char device[16],
		      struct fact facts[GPU_FACTS])
{
	node[0] = device[0] = '\0';
	if (gpu->usable)
		(void)snprintf(node, 32, "/dev/nvidia%u", gpu->minor);
	if (gpu->device_id)
		(void)snprintf(device, 16, "10de:%04x", gpu->device_id);
	facts[0] = (struct fact){ "model", "Model", gpu->model, from_proc(gpu->model) };
	facts[1] = (struct fact){ "uuid", "UUID", gpu->uuid, from_proc(gpu->uuid) };
	facts[2] = (struct fact){ "bus_id", "Bus id", gpu->bus_id, from_proc(gpu->bus_id) };
	facts[3] = (struct fact){ "device_node", "Device node", node, from_proc(node) };
	facts[4] = (struct fact){ "firmware", "Firmware", gpu->firmware, from_proc(gpu->firmware) };
	facts[5] = (struct fact){ "pci_device", "PCI device", device, from_proc(device) };
	facts[6] = (struct fact){ "architecture", "Architecture", gpu->arch, gpu->arch_source };
	facts[7] = (struct fact){ "brand", "Brand", gpu->brand, gpu->brand_source };
}

static void print_facts(const struct fact *facts, size_t n, const char *indent)
{
	for (size_t i = 0; i < n; i++) {
		(void)printf("%s%s:%*s", indent, facts[i].title, (int)(16 - strlen(facts[i].title)),
			     "");
		if (facts[i].source == FACT_UNKNOWN)
			(void)printf("unknown\n");
		else
			(void)printf("%s (%s)\n", facts[i].value,
				     fact_source_name(facts[i].source));
	}
}

static void print_text(const struct driver *driver, const struct gpu_list *gpus)
{
	struct fact of_driver[DRIVER_FACTS], of_gpu[GPU_FACTS];
	char node[32], device[16];

	driver_facts(driver, of_driver);
	print_facts(of_driver, DRIVER_FACTS, "");
	(void)printf("GPUs:            %zu\n", gpus->n);
	for (size_t i = 0; i < gpus->n; i++) {
		const struct gpu *gpu = &gpus->gpus[i];

		if (gpu->index == GPU_NO_INDEX)
			(void)printf("\nGPU without index");
		else
			(void)printf("\nGPU %u", gpu->index);
		(void)printf("%s%s%s%s\n", gpu->usable ? "" : ", not usable",
			     gpu->note[0] ? " (" : "", gpu->note, gpu->note[0] ? ")" : "");
		gpu_facts(gpu, node, device, of_gpu);
		print_facts(of_gpu, GPU_FACTS, "  ");
	}
}

static void add_facts(json_t *object, const struct fact *facts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool known = facts[i].source != FACT_UNKNOWN;

		(void)json_object_set_new(
			object, facts[i].key,
			json_pack("{s:o, s:s}", "value",
				  known ? local_text_json(facts[i].value) : json_null(), "source",
				  fact_source_name(facts[i].source)));
	}
}

static json_t *gpu_json(const struct gpu *gpu)
{
	json_t *json = json_pack("{s:b, s:b, s:o}", "usable", gpu->usable, "excluded",
				 gpu->excluded, "note", local_text_json(gpu->note));
	struct fact facts[GPU_FACTS];
	char node[32], device[16];

	if (gpu->index != GPU_NO_INDEX)
		(void)json_object_set_new(json, "index", json_integer(gpu->index));
	gpu_facts(gpu, node, device, facts);
	add_facts(json, facts, GPU_FACTS);
	return json;
}

static json_t *devices_json(const struct driver *driver, const struct gpu_list *gpus)
{
	json_t *json = json_object(), *list = json_array();
	struct fact facts[DRIVER_FACTS];

	driver_facts(driver, facts);
	add_facts(json, facts, DRIVER_FACTS);
	for (size_t i = 0; i < gpus->n; i++)
		(void)json_array_append_new(list, gpu_json(&gpus->gpus[i]));
	(void)json_object_set_new(json, "gpus", list);
	return json;
}

/* GPUs are there without the driver's files too: then the module's version alone is known. */
static int discover(const struct driver_config *config, struct driver **ret, struct error *err)
{
	int r = driver_discover(config, ret, err);

	if (r != -ENOENT || err->class != ERROR_DRIVER)
		return r;
	*err = (struct error){ 0 };
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return error_set(err, -ENOMEM, "look for the driver");
	r = driver_module_version(config->proc_root, (*ret)->version, err);
	(*ret)->version_from_module = (*ret)->version[0];
	return r;
}

static int show(struct driver *driver, struct gpu_list *gpus, bool json)
{
	fact_fill(driver, gpus);
	if (json)
		return local_flush(local_print_json(devices_json(driver, gpus)));
	print_text(driver, gpus);
	return local_flush(EXIT_SUCCESS);
}

int cmd_devices(int argc, char **argv)
{
	struct local_options options;
	struct gpu_list *gpus = NULL;
	struct driver *driver = NULL;
	struct error err = { 0 };
	int r, status;

	if (local_options(argc, argv, &options) < 0) {
		(void)fputs(usage, stderr);
		return ERROR_USAGE;
	}
	if (options.help) {
		(void)fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	r = discover(&options.config, &driver, &err);
	r = r ? r : gpu_list_new(options.config.proc_root, &gpus, &err);
	status = r < 0 ? local_tell_error(&err, options.json) : show(driver, gpus, options.json);
	gpu_list_free(gpus);
	driver_free(driver);
	return status;
}
