/* SPDX-License-Identifier: Apache-2.0 */
/* `nvfs info`: what a person wants to know of a node, on one screen; two lines a GPU, one a MIG device. */
#include "cli/info.h"

#include <stdio.h>
#include <string.h>

#include "cli/node.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/varlink.h"

static const char usage[] =
	"Usage: nvfs info [--driver-root DIR] [--proc-root DIR] [--socket PATH] [--json]\n"
	"Show driver and GPUs of this node on one screen.\n";

static const char *or_unknown(const char *value)
{
	return *value ? value : "?";
}

static void print_driver(const json_t *node)
{
	char buf[32];

	(void)printf("%-10s%s (%s), files below %s\n", "Driver",
		     or_unknown(node_value(node, "driver_version", buf)),
		     node_source(node, "driver_version"), varlink_string(node, "driver_root", "?"));
	(void)printf("%-10s%s (%s)\n", "CUDA", or_unknown(node_value(node, "cuda_version", buf)),
		     node_source(node, "cuda_version"));
	node_print_nvml(node, "NVML      ");
}

static void print_mig(const json_t *gpu, const json_t *mig)
{
	char name[32] = "-", buf[32];

	if (json_object_get(mig, "index"))
		(void)snprintf(name, sizeof(name), "%lld:%lld", query_number(gpu, "index"),
			       query_number(mig, "index"));
	(void)printf("     MIG %-6s GI %-3lld CI %-3lld %s\n", name, query_number(mig, "gi"),
		     query_number(mig, "ci"), or_unknown(node_value(mig, "uuid", buf)));
}

static void print_gpu(const json_t *gpu)
{
	char index[32] = "-", buf[32];
	const char *note = varlink_string(gpu, "note", ""),
		   *fabric = node_value(gpu, "fabric", buf);
	const json_t *mig;
	size_t i;

	if (json_object_get(gpu, "index"))
		(void)snprintf(index, sizeof(index), "%lld", query_number(gpu, "index"));
	(void)printf("%3s  %5s  %-12s  ", index, or_unknown(node_value(gpu, "minor", buf)),
		     or_unknown(node_value(gpu, "bus_id", buf)));
	(void)printf("%-5s ", or_unknown(node_value(gpu, "architecture", buf)));
	(void)printf("%-10s ", or_unknown(node_value(gpu, "brand", buf)));
	(void)printf("%-4s  ", or_unknown(node_value(gpu, "mig_mode", buf)));
	(void)printf("%s\n", or_unknown(node_value(gpu, "model", buf)));
	(void)printf("     %s%s%s\n", or_unknown(node_value(gpu, "uuid", buf)),
		     *fabric ? "  fabric " : "", fabric);
	if (*note || !json_is_true(json_object_get(gpu, "usable")))
		(void)printf("     ! %s%s%s\n",
			     json_is_true(json_object_get(gpu, "usable")) ? "" : "not usable",
			     *note && !json_is_true(json_object_get(gpu, "usable")) ? ": " : "",
			     note);
	json_array_foreach(json_object_get(gpu, "migs"), i, mig)
		print_mig(gpu, mig);
}

static const struct {
	const char *key, *title;
} sources[] = {
	{ "uuid", "UUID" },    { "bus_id", "bus id" },	   { "minor", "minor" },
	{ "model", "model" },  { "architecture", "arch" }, { "brand", "brand" },
	{ "mig_mode", "MIG" },
};

/* "arch nvml/table": GPUs may differ in who tells of them. */
static void print_sources_of(const json_t *gpus, const char *key)
{
	const json_t *gpu;
	char seen[128] = "";
	size_t i;

	json_array_foreach(gpus, i, gpu) {
		const char *source = node_source(gpu, key);
		size_t len = strlen(seen);

		if (!strstr(seen, source) && len + strlen(source) + 2 < sizeof(seen))
			(void)snprintf(seen + len, sizeof(seen) - len, "%s%s", len ? "/" : "",
				       source);
	}
	(void)printf("%s", seen);
}

static void print_text(const json_t *node)
{
	const json_t *gpus = json_object_get(node, "gpus"), *gpu;
	size_t i;

	print_driver(node);
	(void)printf("%-10s%zu\n", "GPUs", json_array_size(gpus));
	if (!json_array_size(gpus))
		return;
	(void)printf("\nGPU  minor  bus id        arch  brand      MIG   model, UUID\n");
	json_array_foreach(gpus, i, gpu)
		print_gpu(gpu);
	(void)printf("\nknown from:");
	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		(void)printf("%s %s ", i ? "," : "", sources[i].title);
		print_sources_of(gpus, sources[i].key);
	}
	(void)printf("\n");
}

int cmd_info(int argc, char **argv)
{
	return node_command(argc, argv, usage, print_text);
}
