/* SPDX-License-Identifier: Apache-2.0 */
/* `nvidia-container-cli info`: driver and GPUs, byte for byte as that program prints them. */
#include "cli/dropin.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/node.h"
#include "cli/query.h"
#include "common/cleanup.h"
#include "common/varlink.h"

#define UNKNOWN "Unknown"
#define NVML_WAIT_MS 10000 /* that program's own limit for NVML */
#define NVML_PAUSE_MS 50

static const char usage[] = "Usage: " DROPIN_NAME " info [OPTION...]\n"
			    "Report information about the NVIDIA driver and its devices\n\n"
			    "      --csv                  Output in CSV format\n"
			    "  -?, --help                 Give this help list\n"
			    "      --usage                Give a short usage message\n";

/* One GPU, as text. */
struct gpu_text {
	char index[32], minor[32], arch[32], brand[32], bus[32];
	const char *model, *uuid;
};

static void put_text(const json_t *gpu, const char *key, char ret[32])
{
	char buf[32];
	const char *value = node_value(gpu, key, buf);

	(void)snprintf(ret, 32, "%s", *value ? value : UNKNOWN);
}

/* "0000:06:00.0" is written with a domain of eight digits; a GPU has function 0. */
static void put_bus(const json_t *gpu, char ret[32])
{
	unsigned int domain, bus, device;
	char buf[32];

	if (sscanf(node_value(gpu, "bus_id", buf), "%8x:%2x:%2x", &domain, &bus, &device) == 3)
		(void)snprintf(ret, 32, "%08x:%02x:%02x.0", domain, bus, device);
	else
		(void)snprintf(ret, 32, UNKNOWN);
}

static const char *text_of(const json_t *gpu, const char *key)
{
	const char *value = varlink_string(json_object_get(gpu, key), "value", "");

	return *value ? value : UNKNOWN;
}

static void gpu_text(const json_t *gpu, struct gpu_text *ret)
{
	(void)snprintf(ret->index, sizeof(ret->index), "%lld", query_number(gpu, "index"));
	put_text(gpu, "minor", ret->minor);
	put_text(gpu, "architecture", ret->arch);
	put_text(gpu, "brand", ret->brand);
	put_bus(gpu, ret->bus);
	ret->model = text_of(gpu, "model");
	ret->uuid = text_of(gpu, "uuid");
}

static void print_gpu(const struct gpu_text *gpu, bool csv)
{
	if (csv) {
		(void)printf("%s,%s,%s,%s,%s,%s,%s\n", gpu->index, gpu->minor, gpu->model,
			     gpu->brand, gpu->uuid, gpu->bus, gpu->arch);
		return;
	}
	(void)printf("\n%-15s %s\n", "Device Index:", gpu->index);
	(void)printf("%-15s %s\n", "Device Minor:", gpu->minor);
	(void)printf("%-15s %s\n", "Model:", gpu->model);
	(void)printf("%-15s %s\n", "Brand:", gpu->brand);
	(void)printf("%-15s %s\n", "GPU UUID:", gpu->uuid);
	(void)printf("%-15s %s\n", "Bus Location:", gpu->bus);
	(void)printf("%-15s %s\n", "Architecture:", gpu->arch);
}

static void print_driver(const json_t *node, bool csv)
{
	char version[32], cuda[32];

	put_text(node, "driver_version", version);
	put_text(node, "cuda_version", cuda);
	if (csv)
		(void)printf("NVRM version,CUDA version\n%s,%s\n\n"
			     "Device Index,Device Minor,Model,Brand,GPU UUID,Bus "
			     "Location,Architecture\n",
			     version, cuda);
	else
		(void)printf("%-15s %s\n%-15s %s\n", "NVRM version:", version,
			     "CUDA version:", cuda);
}

/* GPUs that NVML would not count have no index, those that it could not open are not usable. */
static void print(const json_t *node, bool csv)
{
	const json_t *gpus = json_object_get(node, "gpus"), *gpu;
	struct gpu_text text;
	size_t i;

	print_driver(node, csv);
	json_array_foreach(gpus, i, gpu) {
		if (!json_object_get(gpu, "index") || !json_is_true(json_object_get(gpu, "usable")))
			continue;
		gpu_text(gpu, &text);
		print_gpu(&text, csv);
	}
}

static bool is_pending(const json_t *node)
{
	return strcmp(varlink_string(json_object_get(node, "nvml"), "state", ""), "pending") == 0;
}

/* A daemon that has just started knows a brand some tens of milliseconds later. */
static int ask(const struct dropin *dropin, json_t **ret)
{
	const struct timespec pause = { .tv_nsec = NVML_PAUSE_MS * 1000000L };
	int waited_ms = 0, r;

	for (;;) {
		r = dropin_ask(dropin, "io.nvfs.Node", NULL, ret);
		if (r || !is_pending(*ret) || waited_ms >= NVML_WAIT_MS)
			return r;
		json_decref(*ret);
		*ret = NULL;
		(void)nanosleep(&pause, NULL);
		waited_ms += NVML_PAUSE_MS;
	}
}

int dropin_info(struct dropin *dropin, int argc, char **argv)
{
	static const struct option options[] = {
		{ "csv", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, '?' + 256 },
		{ "usage", no_argument, NULL, '?' + 256 },
		{ 0 },
	};
	json_t *node = NULL;
	bool csv = false;
	int c;

	argv[0] = dropin_name;
	optind = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?' + 256)
			return fputs(usage, stdout) < 0;
		if (c != 'c')
			return dropin_usage_error();
		csv = true;
	}
	if (optind < argc) {
		(void)fputs(DROPIN_NAME ": Too many arguments\n", stderr);
		return dropin_usage_error();
	}
	if (dropin_check_root(dropin) || ask(dropin, &node))
		return EXIT_FAILURE;
	print(node, csv);
	json_decref(node);
	return EXIT_SUCCESS;
}
