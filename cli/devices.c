/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nvfs devices`: the GPUs and what requirements are checked against, each fact
 * with its source. A fact that nobody tells is printed as unknown, and is null
 * in JSON.
 */
#include "cli/devices.h"

#include <stdio.h>
#include <string.h>

#include "cli/node.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/varlink.h"

static const char usage[] =
	"Usage: nvfs devices [--driver-root DIR] [--proc-root DIR] [--socket PATH] [--json]\n"
	"Show the GPUs, what is known of them and of the driver, and where that comes from.\n";

struct fact {
	const char *key, *title;
};

static const struct fact driver_facts[] = {
	{ "driver_version", "Driver version" },
	{ "cuda_version", "CUDA version" },
};

static const struct fact gpu_facts[] = {
	{ "model", "Model" },	      { "uuid", "UUID" },	   { "bus_id", "Bus id" },
	{ "device_node", "Device node" }, { "firmware", "Firmware" }, { "pci_device", "PCI device" },
	{ "architecture", "Architecture" }, { "brand", "Brand" },	   { "mig_mode", "MIG" },
	{ "fabric", "Fabric" },
};

static void print_facts(const json_t *object, const struct fact *facts, size_t n,
			const char *indent)
{
	char buf[32];

	for (size_t i = 0; i < n; i++) {
		const char *value = node_value(object, facts[i].key, buf);

		(void)printf("%s%s:%*s", indent, facts[i].title, (int)(16 - strlen(facts[i].title)),
			     "");
		if (*value)
			(void)printf("%s (%s)\n", value, node_source(object, facts[i].key));
		else
			(void)printf("unknown\n");
	}
}

static void print_mig(const json_t *mig)
{
	const json_t *index = json_object_get(mig, "index");
	char buf[32];
	const char *uuid = node_value(mig, "uuid", buf);

	if (index)
		(void)printf("  MIG device %lld:%*s", query_number(mig, "index"), 4, "");
	else
		(void)printf("  MIG device:%*s", 6, "");
	(void)printf("GI %lld, CI %lld, UUID %s (%s)\n", query_number(mig, "gi"),
		     query_number(mig, "ci"), *uuid ? uuid : "unknown",
		     varlink_string(mig, "source", "unknown"));
}

static void print_gpu(const json_t *gpu)
{
	const char *note = varlink_string(gpu, "note", "");
	const json_t *mig;
	size_t i;

	if (json_object_get(gpu, "index"))
		(void)printf("\nGPU %lld", query_number(gpu, "index"));
	else
		(void)printf("\nGPU without index");
	(void)printf("%s%s%s%s\n",
		     json_is_true(json_object_get(gpu, "usable")) ? "" : ", not usable",
		     *note ? " (" : "", note, *note ? ")" : "");
	print_facts(gpu, gpu_facts, ARRAY_SIZE(gpu_facts), "  ");
	json_array_foreach(json_object_get(gpu, "migs"), i, mig)
		print_mig(mig);
}

static void print_text(const json_t *node)
{
	const json_t *gpus = json_object_get(node, "gpus"), *gpu;
	size_t i;

	print_facts(node, driver_facts, ARRAY_SIZE(driver_facts), "");
	node_print_nvml(node, "NVML:            ");
	(void)printf("GPUs:            %zu\n", json_array_size(gpus));
	json_array_foreach(gpus, i, gpu)
		print_gpu(gpu);
}

int cmd_devices(int argc, char **argv)
{
	return node_command(argc, argv, usage, print_text);
}
