/* SPDX-License-Identifier: Apache-2.0 */
/* The questions to NVML, in their order. See ask.h. */
#include "nvml/ask.h"

#include <stdio.h>
#include <string.h>

#include "nvml/answer.h"
#include "nvml/nvml_api.h"

/* Of each GPU NVML is asked for no more MIG devices than this, whatever it says. */
#define MIG_INDEXES_MAX ANSWER_MIGS_MAX

static void tell_call(const struct ask *ask, enum answer_type type, uint32_t gpu,
		      const char *function, int code)
{
	struct answer_message message = { .type = type, .gpu = gpu };

	message.call.code = code;
	(void)snprintf(message.call.function, sizeof(message.call.function), "%s", function);
	ask->tell(ask->data, &message);
}

/* What is no failure: a function that this driver or this GPU does not have. */
static bool is_answer(int code)
{
	return code == NVML_SUCCESS || code == NVML_NOT_SUPPORTED ||
	       code == NVML_FUNCTION_NOT_FOUND;
}

static int end_call(const struct ask *ask, uint32_t gpu, const char *function, int code)
{
	if (!is_answer(code))
		tell_call(ask, ANSWER_FAILED, gpu, function, code);
	return code;
}

/* Tell the step, call the function where the library has it, tell its failure; gives its code. */
#define CALL(ask, gpu, field, function, ...)                                                \
	((ask)->api->field ? (tell_call(ask, ANSWER_STEP, gpu, function, 0),                \
			      end_call(ask, gpu, function, (ask)->api->field(__VA_ARGS__))) \
			   : NVML_FUNCTION_NOT_FOUND)

static void ask_system(const struct ask *ask)
{
	struct answer_message message = { .type = ANSWER_SYSTEM, .gpu = ANSWER_NO_GPU };
	int cuda = 0;

	if (CALL(ask, ANSWER_NO_GPU, driver_version, "nvmlSystemGetDriverVersion",
		 message.system.driver, sizeof(message.system.driver)) != NVML_SUCCESS)
		message.system.driver[0] = '\0';
	if (CALL(ask, ANSWER_NO_GPU, cuda_version, "nvmlSystemGetCudaDriverVersion", &cuda) ==
		    NVML_SUCCESS &&
	    cuda > 0)
		message.system.cuda = (uint32_t)cuda;
	ask->tell(ask->data, &message);
}

static uint32_t ask_mig_mode(const struct ask *ask, uint32_t index, struct nvml_device *device)
{
	unsigned int current = 0, pending = 0;
	int code = CALL(ask, index, mig_mode, "nvmlDeviceGetMigMode", device, &current, &pending);

	if (code == NVML_SUCCESS)
		return current ? GPU_MIG_ON : GPU_MIG_OFF;
	/* A library from before MIG knows no GPU that has it. */
	return code == NVML_NOT_SUPPORTED || code == NVML_FUNCTION_NOT_FOUND ? GPU_MIG_NONE
									     : GPU_MIG_UNKNOWN;
}

static void ask_fabric(const struct ask *ask, uint32_t index, struct nvml_device *device,
		       struct answer_message *message)
{
	struct nvml_fabric fabric = { 0 };

	message->gpu_facts.fabric = ANSWER_UNKNOWN;
	if (CALL(ask, index, fabric, "nvmlDeviceGetGpuFabricInfo", device, &fabric) != NVML_SUCCESS)
		return;
	message->gpu_facts.fabric = fabric.state;
	message->gpu_facts.fabric_status = fabric.state == 3 ? fabric.status : 0;
}

static void ask_facts(const struct ask *ask, uint32_t index, struct nvml_device *device,
		      struct answer_message *message)
{
	unsigned int minor;
	int major = 0, arch_minor = 0, brand = 0;

	message->gpu_facts.minor = ANSWER_UNKNOWN;
	if (CALL(ask, index, minor, "nvmlDeviceGetMinorNumber", device, &minor) == NVML_SUCCESS)
		message->gpu_facts.minor = minor;
	if (CALL(ask, index, uuid, "nvmlDeviceGetUUID", device, message->gpu_facts.uuid,
		 sizeof(message->gpu_facts.uuid)) != NVML_SUCCESS)
		message->gpu_facts.uuid[0] = '\0';
	if (CALL(ask, index, name, "nvmlDeviceGetName", device, message->gpu_facts.name,
		 sizeof(message->gpu_facts.name)) != NVML_SUCCESS)
		message->gpu_facts.name[0] = '\0';
	if (CALL(ask, index, brand, "nvmlDeviceGetBrand", device, &brand) == NVML_SUCCESS)
		message->gpu_facts.brand = brand;
	if (CALL(ask, index, arch, "nvmlDeviceGetCudaComputeCapability", device, &major,
		 &arch_minor) == NVML_SUCCESS &&
	    major > 0 && arch_minor >= 0) {
		message->gpu_facts.arch_major = (uint32_t)major;
		message->gpu_facts.arch_minor = (uint32_t)arch_minor;
	}
	ask_fabric(ask, index, device, message);
	message->gpu_facts.mig_mode = ask_mig_mode(ask, index, device);
}

static bool ask_mig(const struct ask *ask, uint32_t index, struct nvml_device *mig,
		    struct answer_message *message)
{
	unsigned int gi, ci;

	if (CALL(ask, index, mig_gi, "nvmlDeviceGetGpuInstanceId", mig, &gi) != NVML_SUCCESS ||
	    CALL(ask, index, mig_ci, "nvmlDeviceGetComputeInstanceId", mig, &ci) != NVML_SUCCESS)
		return false;
	message->mig.gi = gi;
	message->mig.ci = ci;
	if (CALL(ask, index, uuid, "nvmlDeviceGetUUID", mig, message->mig.uuid,
		 sizeof(message->mig.uuid)) != NVML_SUCCESS)
		message->mig.uuid[0] = '\0';
	return true;
}

/* Indices may have holes, which end nothing. */
static void ask_migs(const struct ask *ask, uint32_t index, struct nvml_device *device)
{
	unsigned int max = 0;

	if (CALL(ask, index, mig_max, "nvmlDeviceGetMaxMigDeviceCount", device, &max) !=
	    NVML_SUCCESS)
		return;
	for (unsigned int i = 0; i < max && i < MIG_INDEXES_MAX && ask->api->mig_handle; i++) {
		struct answer_message message = { .type = ANSWER_MIG,
						  .gpu = index,
						  .mig.index = i };
		struct nvml_device *mig;
		int code;

		tell_call(ask, ANSWER_STEP, index, "nvmlDeviceGetMigDeviceHandleByIndex", 0);
		code = ask->api->mig_handle(device, i, &mig);
		if (code == NVML_NOT_FOUND)
			continue;
		if (end_call(ask, index, "nvmlDeviceGetMigDeviceHandleByIndex", code) ==
			    NVML_SUCCESS &&
		    ask_mig(ask, index, mig, &message))
			ask->tell(ask->data, &message);
	}
}

static void ask_gpu(const struct ask *ask, uint32_t index)
{
	struct answer_message message = { .type = ANSWER_GPU, .gpu = index };
	struct nvml_device *device;
	struct nvml_pci pci = { 0 };

	if (CALL(ask, index, handle, "nvmlDeviceGetHandleByIndex", index, &device) !=
		    NVML_SUCCESS ||
	    CALL(ask, index, pci, "nvmlDeviceGetPciInfo", device, &pci) != NVML_SUCCESS)
		return;
	message.gpu_facts.domain = pci.domain;
	message.gpu_facts.bus = pci.bus;
	message.gpu_facts.device = pci.device;
	ask_facts(ask, index, device, &message);
	ask->tell(ask->data, &message);
	if (message.gpu_facts.mig_mode == GPU_MIG_ON)
		ask_migs(ask, index, device);
}

static bool is_skipped(const struct ask *ask, uint32_t index)
{
	for (size_t i = 0; i < ask->n_skipped; i++)
		if (ask->skipped[i] == index)
			return true;
	return false;
}

void nvml_ask(const struct ask *ask)
{
	struct answer_message end = { .type = ANSWER_END, .gpu = ANSWER_NO_GPU };
	unsigned int n = 0;

	if (CALL(ask, ANSWER_NO_GPU, init, "nvmlInit") == NVML_SUCCESS) {
		ask_system(ask);
		if (CALL(ask, ANSWER_NO_GPU, count, "nvmlDeviceGetCount", &n) != NVML_SUCCESS)
			n = 0;
		for (uint32_t i = 0; i < n && i < ANSWER_GPUS_MAX; i++)
			if (!is_skipped(ask, i))
				ask_gpu(ask, i);
		(void)CALL(ask, ANSWER_NO_GPU, shutdown, "nvmlShutdown");
	}
	ask->tell(ask->data, &end);
}
