/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choosebench: what choosing devices and checking requirements costs on a host of 64
 * GPUs with 7 MIG devices each. Every one of the 448 is asked for by name, in each of the forms
 * that a name has; then what a CUDA image requires is judged for all GPUs, of which no two
 * neighbours are of one kind. Prints "FORM SELECT_NS REQUIRE_NS", medians.
 *
 * LINK: fs/requirement.c nvml/select.c nvml/gpu.c nvml/pci.c nvml/require.c
 * LINK: common/error.c common/file.c common/parse.c common/sys.c -ljansson
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "fs/generation.h"
#include "fs/requirement.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/select.h"

#define GPUS 64
#define MIGS 7
#define ROUNDS 201

static struct gpu gpus[GPUS];
static struct mig_device migs[GPUS * MIGS];
static struct gpu_list list = { .gpus = gpus, .n = GPUS, .migs = migs, .n_migs = GPUS * MIGS };
static struct driver driver = { .version = "535.261.03", .cuda = "12.2" };
static const struct generation generation = { .driver = &driver, .gpus = &list };

static long long now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const long long x = *(const long long *)a, y = *(const long long *)b;

	return x < y ? -1 : x > y;
}

static void make_host(void)
{
	for (unsigned int i = 0; i < GPUS; i++) {
		gpus[i].index = gpus[i].minor = i;
		gpus[i].usable = true;
		(void)snprintf(gpus[i].uuid, sizeof(gpus[i].uuid),
			       "GPU-%08x-46be-f1a2-99ef-f61d756ddecf", i * 2654435761U);
		(void)snprintf(gpus[i].bus_id, sizeof(gpus[i].bus_id), "%04x:%02x:00.0", i / 16, i);
		(void)snprintf(gpus[i].arch, sizeof(gpus[i].arch), "%u.0", 8 + i % 2);
		(void)snprintf(gpus[i].brand, sizeof(gpus[i].brand), "Nvidia");
	}
	for (unsigned int i = 0; i < GPUS * MIGS; i++) {
		migs[i] = (struct mig_device){ .gpu = i / MIGS,
					       .index = i % MIGS,
					       .gi = 7 + i % MIGS };
		(void)snprintf(migs[i].uuid, sizeof(migs[i].uuid),
			       "MIG-%08x-42e4-5de3-91c7-45d71c87eb3f", i * 2246822519U);
	}
}

/* Every MIG device, or every GPU, by one form of its name. */
static char *names_of(const char *form)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned int i = 0; i < GPUS * MIGS; i++) {
		const struct gpu *gpu = &gpus[migs[i].gpu];

		if (strcmp(form, "mig-uuid") == 0)
			fprintf(out, "%s,", migs[i].uuid);
		else if (strcmp(form, "mig-ids") == 0)
			fprintf(out, "MIG-%s/%u/%u,", gpu->uuid, migs[i].gi, migs[i].ci);
		else if (strcmp(form, "mig-index") == 0)
			fprintf(out, "%u:%u,", gpu->index, migs[i].index);
		else if (strcmp(form, "gpu-uuid") == 0)
			fprintf(out, "%s,", gpu->uuid);
		else if (strcmp(form, "bus-id") == 0)
			fprintf(out, "%s,", gpu->bus_id);
	}
	if (strcmp(form, "all") == 0)
		fprintf(out, "all");
	return fclose(out) == 0 ? text : NULL;
}

/* What NVIDIA's image for 12.8 says, some forty alternatives. */
static json_t *requirements(void)
{
	static const char *const brands[] = { "unknown",   "tesla",   "nvidia",	    "quadro",
					      "nvidiartx", "geforce", "geforcertx", "titan" };
	char text[4096] = "cuda>=12.8";

	for (unsigned int branch = 470; branch < 570; branch += 20)
		for (size_t i = 0; i < sizeof(brands) / sizeof(*brands); i++)
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
				       " brand=%s,driver>=%u,driver<%u", brands[i], branch,
				       branch + 1);
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " arch>=8");
	return json_pack("[s, s]", text, "driver>=470");
}

static int measure(const char *form, const json_t *wanted)
{
	long long select_ns[ROUNDS], require_ns[ROUNDS], from;
	struct error err = { 0 };
	char *names = names_of(form);
	int r = names ? 0 : -1;

	for (int i = 0; i < ROUNDS && r == 0; i++) {
		struct gpu_selection selection = { 0 };

		from = now_ns();
		r = gpu_select(&list, names, &selection, &err);
		select_ns[i] = now_ns() - from;
		if (r == 0 && selection.n != GPUS)
			r = -1;
		from = now_ns();
		r = r ? r : requirement_check(wanted, &generation, &selection, &err);
		require_ns[i] = now_ns() - from;
		gpu_selection_done(&selection);
	}
	free(names);
	if (r < 0) {
		fprintf(stderr, "choosebench: %s: %s\n", form, err.text);
		return r;
	}
	qsort(select_ns, ROUNDS, sizeof(*select_ns), compare);
	qsort(require_ns, ROUNDS, sizeof(*require_ns), compare);
	printf("%s %lld %lld\n", form, select_ns[ROUNDS / 2], require_ns[ROUNDS / 2]);
	return 0;
}

int main(void)
{
	static const char *const forms[] = { "all",	  "mig-uuid", "mig-ids",
					     "mig-index", "gpu-uuid", "bus-id" };
	json_t *wanted;
	int status = EXIT_SUCCESS;

	make_host();
	wanted = requirements();
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (measure(forms[i], wanted) < 0)
			status = EXIT_FAILURE;
	json_decref(wanted);
	return status;
}
