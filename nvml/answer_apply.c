/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVML's facts over those of /proc and the tables. The rule: which devices there are,
 * and which node is whose, only the module itself says (/proc); NVML names them.
 */
#include "nvml/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "nvml/driver.h"
#include "nvml/finding.h"

#define NOWHERE SIZE_MAX
#define NOTE "NVML: " /* of what is noted here */

static size_t gpu_by_bus_id(const struct gpu_list *gpus, unsigned long long wanted)
{
	unsigned long long bus_id;

	for (size_t i = 0; i < gpus->n; i++)
		if (gpu_bus_id_parse(gpus->gpus[i].bus_id, &bus_id) == 0 && bus_id == wanted)
			return i;
	return NOWHERE;
}

/* Is it the GPU that /proc knows? Else nothing that NVML says of it counts. */
static bool is_same(const struct answer_gpu *from, const struct gpu *gpu,
		    struct finding_list *findings)
{
	if (gpu->uuid[0] && from->uuid[0] && strcasecmp(gpu->uuid, from->uuid) != 0) {
		(void)finding_add(findings, true,
				  "GPU %s: NVML calls it %s, /proc %s; using /proc alone",
				  gpu->bus_id, from->uuid, gpu->uuid);
		return false;
	}
	if (gpu->usable && from->minor != ANSWER_UNKNOWN && from->minor != gpu->minor) {
		(void)finding_add(findings, true,
				  "GPU %s: NVML says minor %u, /proc %u; using /proc alone",
				  gpu->bus_id, from->minor, gpu->minor);
		return false;
	}
	return true;
}

static void set_fabric(const struct answer_gpu *from, struct gpu *gpu)
{
	const char *name = nvml_fabric_name(from->fabric);

	if (name && from->fabric_status != NVML_SUCCESS)
		(void)snprintf(gpu->fabric, sizeof(gpu->fabric), "%s: %s", name,
			       nvml_return_name(from->fabric_status));
	else
		(void)snprintf(gpu->fabric, sizeof(gpu->fabric), "%s", name ? name : "");
}

/* A UUID that somebody has already is nobody's. */
static bool is_new_uuid(const struct gpu_list *gpus, const char *uuid)
{
	for (size_t i = 0; i < gpus->n; i++)
		if (strcasecmp(gpus->gpus[i].uuid, uuid) == 0)
			return false;
	return true;
}

static void set_uuid(const struct answer_gpu *from, struct gpu_list *gpus, struct gpu *gpu)
{
	if (gpu->uuid[0] || !from->uuid[0] || !gpu->usable || !is_new_uuid(gpus, from->uuid))
		return;
	memcpy(gpu->uuid, from->uuid, strlen(from->uuid) + 1); /* as long as one of ours: answer_add() */
	gpu->uuid_source = FACT_NVML;
	gpu->note[0] = '\0'; /* that it is not known yet */
}

static void set_facts(const struct answer_gpu *from, struct gpu_list *gpus, struct gpu *gpu)
{
	if (from->arch[0]) {
		memcpy(gpu->arch, from->arch, sizeof(gpu->arch));
		gpu->arch_source = FACT_NVML;
	}
	if (from->brand[0]) {
		memcpy(gpu->brand, from->brand, sizeof(gpu->brand));
		gpu->brand_source = FACT_NVML;
	}
	if (from->mig_mode != GPU_MIG_UNKNOWN) {
		gpu->mig_mode = from->mig_mode;
		gpu->mig_source = FACT_NVML;
	}
	set_uuid(from, gpus, gpu);
	set_fabric(from, gpu);
}

/* MIG devices */

static const struct answer_mig *mig_of(const struct answer *answer, size_t gpu, unsigned int gi,
				       unsigned int ci)
{
	for (size_t i = 0; i < answer->n_migs; i++) {
		const struct answer_mig *mig = &answer->migs[i];

		if (mig->gpu == gpu && mig->gi == gi && mig->ci == ci)
			return mig;
	}
	return NULL;
}

static int compare_migs(const void *a, const void *b)
{
	const struct mig_device *x = a, *y = b;

	if (x->gpu != y->gpu)
		return x->gpu < y->gpu ? -1 : 1;
	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (x->gi != y->gi)
		return x->gi < y->gi ? -1 : 1;
	return x->ci < y->ci ? -1 : x->ci > y->ci;
}

static void name_mig(struct mig_device *mig, const struct answer_mig *from)
{
	mig->index = from->index;
	mig->source = FACT_NVML;
	memcpy(mig->uuid, from->uuid, sizeof(mig->uuid));
}

/* Those of /proc on one GPU get NVML's names; returns how many of NVML's that were. */
static size_t name_migs(const struct answer *answer, size_t from, struct gpu_list *gpus, size_t at,
			struct finding_list *findings)
{
	size_t named = 0;

	for (size_t i = 0; i < gpus->n_migs; i++) {
		struct mig_device *mig = &gpus->migs[i];
		const struct answer_mig *told;

		if (mig->gpu != at)
			continue;
		told = mig_of(answer, from, mig->gi, mig->ci);
		if (told) {
			name_mig(mig, told);
			named++;
			continue;
		}
		/* Its index by order may be what NVML calls another one. */
		mig->index = GPU_NO_INDEX;
		(void)finding_add(findings, true,
				  "GPU %s: NVML does not tell of its MIG device gi%u/ci%u; it is "
				  "known by these numbers alone",
				  gpus->gpus[at].bus_id, mig->gi, mig->ci);
	}
	return named;
}

static size_t count_migs(const struct answer *answer, size_t gpu)
{
	size_t n = 0;

	for (size_t i = 0; i < answer->n_migs; i++)
		n += answer->migs[i].gpu == gpu;
	return n;
}

/* Where /proc tells nothing of MIG devices at all. */
static int add_migs(const struct answer *answer, size_t from, struct gpu_list *gpus, size_t at)
{
	struct mig_device *migs = reallocarray(gpus->migs, gpus->n_migs + answer->n_migs + 1,
					       sizeof(*migs));

	if (!migs)
		return -ENOMEM;
	gpus->migs = migs;
	for (size_t i = 0; i < answer->n_migs; i++) {
		if (answer->migs[i].gpu != from)
			continue;
		migs[gpus->n_migs] = (struct mig_device){ .gpu = at, .gi = answer->migs[i].gi,
							  .ci = answer->migs[i].ci };
		name_mig(&migs[gpus->n_migs++], &answer->migs[i]);
	}
	return 0;
}

static int set_migs(const struct answer *answer, size_t from, struct gpu_list *gpus, size_t at,
		    struct finding_list *findings)
{
	size_t named;

	if (answer->gpus[from].mig_mode != GPU_MIG_ON)
		return 0;
	if (!gpus->has_nvcaps)
		return add_migs(answer, from, gpus, at);
	named = name_migs(answer, from, gpus, at, findings);
	if (named < count_migs(answer, from))
		(void)finding_add(findings, true,
				  "GPU %s: NVML tells of %zu MIG devices, /proc has %zu of them; "
				  "using those",
				  gpus->gpus[at].bus_id, count_migs(answer, from), named);
	return 0;
}

/* failures */

/* NVML counts as we do, by bus id. */
static struct gpu *gpu_by_index(struct gpu_list *gpus, uint32_t index)
{
	for (size_t i = 0; i < gpus->n; i++)
		if (gpus->gpus[i].index == index)
			return &gpus->gpus[i];
	return NULL;
}

static void tell_failures(const struct answer *answer, struct gpu_list *gpus,
			  struct finding_list *findings)
{
	for (size_t i = 0; i < answer->n_failures; i++) {
		const struct answer_failure *failure = &answer->failures[i];
		const char *what = failure->text[0] ? failure->text
						    : nvml_return_name(failure->code);
		struct gpu *gpu = failure->gpu == ANSWER_NO_GPU ? NULL
								: gpu_by_index(gpus, failure->gpu);

		if (failure->gpu == ANSWER_NO_GPU)
			(void)finding_add(findings, true, "NVML: %s: %s", failure->function, what);
		else
			(void)finding_add(findings, true, "GPU %u (%s): NVML: %s: %s", failure->gpu,
					  gpu ? gpu->bus_id : "not in /proc", failure->function,
					  what);
		if (gpu && gpu->usable && !gpu->note[0] && failure->code == NVML_GPU_IS_LOST)
			(void)snprintf(gpu->note, sizeof(gpu->note), NOTE "%.64s",
				       nvml_return_name(failure->code));
	}
}

/* What an answer before has left. */
static void forget(struct gpu_list *gpus)
{
	for (size_t i = 0; i < gpus->n; i++) {
		struct gpu *gpu = &gpus->gpus[i];

		gpu->fabric[0] = '\0';
		if (strncmp(gpu->note, NOTE, strlen(NOTE)) == 0)
			gpu->note[0] = '\0';
	}
}

int answer_apply(const struct answer *answer, struct driver *driver, struct gpu_list *gpus,
		 struct finding_list *findings)
{
	int r = 0;

	forget(gpus);
	if (answer->driver[0] && driver->version[0] && strcmp(answer->driver, driver->version) != 0)
		(void)finding_add(findings, true, "NVML says driver %s, the libraries are of %s",
				  answer->driver, driver->version);
	if (answer->cuda[0] && driver->cuda_source != FACT_LIBCUDA) {
		memcpy(driver->cuda, answer->cuda, sizeof(driver->cuda));
		driver->cuda_source = FACT_NVML;
	}
	for (size_t i = 0; i < answer->n_gpus; i++) {
		const struct answer_gpu *from = &answer->gpus[i];
		size_t at = gpu_by_bus_id(gpus, from->bus_id);
		int set;

		if (at == NOWHERE) {
			(void)finding_add(findings, true,
					  "NVML tells of GPU %u (%s), which /proc does not have, "
					  "ignoring",
					  from->nvml_index, from->uuid);
			continue;
		}
		if (!is_same(from, &gpus->gpus[at], findings))
			continue;
		set_facts(from, gpus, &gpus->gpus[at]);
		set = set_migs(answer, i, gpus, at, findings);
		r = r ? r : set;
	}
	if (gpus->n_migs)
		qsort(gpus->migs, gpus->n_migs, sizeof(*gpus->migs), compare_migs);
	tell_failures(answer, gpus, findings);
	return r;
}
