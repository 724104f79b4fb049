/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the process that asks NVML, taken in. It runs foreign code, so that
 * anything may come: what does not look like NVML's answer is none.
 */
#include "nvml/answer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define INSTANCE_MAX 999

/* Ended, and printable ASCII throughout. */
static bool is_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	if (len == size)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

/* "GPU-<hex>", "MIG-<hex>", "MIG-GPU-<hex>/1/0" */
static bool is_uuid(const char *text, size_t size, const char *prefix)
{
	if (!is_text(text, size))
		return false;
	if (!*text)
		return true;
	if (strncmp(text, prefix, strlen(prefix)) != 0 || !text[strlen(prefix)])
		return false;
	for (const char *c = text + strlen(prefix); *c; c++)
		if (!isxdigit((unsigned char)*c) && !strchr("-/GPU", *c))
			return false;
	return true;
}

static const struct answer_gpu *gpu_told(const struct answer *answer, uint32_t index)
{
	for (size_t i = 0; i < answer->n_gpus; i++)
		if (answer->gpus[i].nvml_index == index)
			return &answer->gpus[i];
	return NULL;
}

static int add_call(struct answer *answer, const struct answer_message *m)
{
	struct answer_failure *failures;

	if (!is_text(m->call.function, sizeof(m->call.function)) ||
	    !is_text(m->call.text, sizeof(m->call.text)))
		return -EBADMSG;
	if (m->type == ANSWER_STEP) {
		memcpy(answer->step, m->call.function, sizeof(answer->step));
		answer->step_gpu = m->gpu;
		return 0;
	}
	if (answer->n_failures == ANSWER_FAILURES_MAX)
		return 0;
	failures = reallocarray(answer->failures, answer->n_failures + 1, sizeof(*failures));
	if (!failures)
		return -ENOMEM;
	answer->failures = failures;
	failures += answer->n_failures++;
	*failures = (struct answer_failure){ .gpu = m->gpu, .code = m->call.code };
	memcpy(failures->function, m->call.function, sizeof(failures->function));
	memcpy(failures->text, m->call.text, sizeof(failures->text));
	return 0;
}

static int add_system(struct answer *answer, const struct answer_message *m)
{
	if (!is_text(m->system.driver, sizeof(m->system.driver)) || m->system.cuda > 999999)
		return -EBADMSG;
	memcpy(answer->driver, m->system.driver, sizeof(answer->driver));
	if (m->system.cuda)
		(void)snprintf(answer->cuda, sizeof(answer->cuda), "%u.%u", m->system.cuda / 1000,
			       m->system.cuda % 1000 / 10);
	return 0;
}

static int add_gpu(struct answer *answer, const struct answer_message *m)
{
	const char *brand = nvml_brand_name(m->gpu_facts.brand);
	struct answer_gpu *gpus, *gpu;

	if (m->gpu >= ANSWER_GPUS_MAX || gpu_told(answer, m->gpu) || m->gpu_facts.bus > 0xff ||
	    m->gpu_facts.device > 0x1f || m->gpu_facts.mig_mode > GPU_MIG_ON ||
	    m->gpu_facts.arch_major >= 1000 || m->gpu_facts.arch_minor >= 100 ||
	    !is_uuid(m->gpu_facts.uuid, sizeof(m->gpu_facts.uuid), "GPU-") ||
	    strlen(m->gpu_facts.uuid) >= sizeof(((struct gpu *)NULL)->uuid) ||
	    !is_text(m->gpu_facts.name, sizeof(m->gpu_facts.name)))
		return -EBADMSG;
	gpus = reallocarray(answer->gpus, answer->n_gpus + 1, sizeof(*gpus));
	if (!gpus)
		return -ENOMEM;
	answer->gpus = gpus;
	gpu = &gpus[answer->n_gpus++];
	*gpu = (struct answer_gpu){
		.nvml_index = m->gpu,
		.bus_id = (unsigned long long)m->gpu_facts.domain << 16 | m->gpu_facts.bus << 8 |
			  m->gpu_facts.device << 3,
		.minor = m->gpu_facts.minor,
		.fabric = m->gpu_facts.fabric,
		.fabric_status = m->gpu_facts.fabric_status,
		.mig_mode = (enum gpu_mig_mode)m->gpu_facts.mig_mode,
	};
	memcpy(gpu->uuid, m->gpu_facts.uuid, sizeof(gpu->uuid));
	memcpy(gpu->model, m->gpu_facts.name, sizeof(gpu->model));
	(void)snprintf(gpu->brand, sizeof(gpu->brand), "%s", brand ? brand : "");
	if (m->gpu_facts.arch_major)
		(void)snprintf(gpu->arch, sizeof(gpu->arch), "%u.%u",
			       m->gpu_facts.arch_major % 1000, m->gpu_facts.arch_minor % 100);
	return 0;
}

static bool mig_told(const struct answer *answer, size_t gpu, const struct answer_message *m)
{
	for (size_t i = 0; i < answer->n_migs; i++) {
		const struct answer_mig *mig = &answer->migs[i];

		if (mig->gpu == gpu && (mig->index == m->mig.index ||
					(mig->gi == m->mig.gi && mig->ci == m->mig.ci)))
			return true;
	}
	return false;
}

static int add_mig(struct answer *answer, const struct answer_message *m)
{
	const struct answer_gpu *gpu = gpu_told(answer, m->gpu);
	struct answer_mig *migs;

	if (!gpu || m->mig.index >= ANSWER_MIGS_MAX || m->mig.gi > INSTANCE_MAX ||
	    m->mig.ci > INSTANCE_MAX || !is_uuid(m->mig.uuid, sizeof(m->mig.uuid), "MIG-") ||
	    mig_told(answer, (size_t)(gpu - answer->gpus), m))
		return -EBADMSG;
	migs = reallocarray(answer->migs, answer->n_migs + 1, sizeof(*migs));
	if (!migs)
		return -ENOMEM;
	answer->migs = migs;
	migs += answer->n_migs++;
	*migs = (struct answer_mig){ .gpu = (size_t)(gpu - answer->gpus), .index = m->mig.index,
				     .gi = m->mig.gi, .ci = m->mig.ci };
	memcpy(migs->uuid, m->mig.uuid, sizeof(migs->uuid));
	return 0;
}

int answer_add(struct answer *answer, const void *bytes, size_t size)
{
	struct answer_message m;

	if (size != sizeof(m))
		return -EBADMSG;
	memcpy(&m, bytes, sizeof(m));
	if (m.gpu != ANSWER_NO_GPU && m.gpu >= ANSWER_GPUS_MAX)
		return -EBADMSG;
	switch (m.type) {
	case ANSWER_STEP:
	case ANSWER_FAILED:
		return add_call(answer, &m);
	case ANSWER_SYSTEM:
		return add_system(answer, &m);
	case ANSWER_GPU:
		return add_gpu(answer, &m);
	case ANSWER_MIG:
		return add_mig(answer, &m);
	case ANSWER_END:
		answer->whole = true;
		return 0;
	}
	return -EBADMSG;
}

void answer_done(struct answer *answer)
{
	free(answer->gpus);
	free(answer->migs);
	free(answer->failures);
	*answer = (struct answer){ 0 };
}
