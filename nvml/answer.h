/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_ANSWER_H
#define NVFS_NVML_ANSWER_H

/*
 * What NVML answers, as plain values. The process that asks it (ask.h) tells it in
 * messages of one size while it goes on, so that what was told before a crash or a
 * hang still counts; they are gathered here, by somebody who believes nothing of them.
 *
 *   STEP    begins: a function of NVML, of a GPU or of none
 *   FAILED  that function, and its code
 *   SYSTEM  the driver's version, and CUDA's
 *   GPU     one that answers
 *   MIG     a MIG device on the GPU before it
 *   END     all has been told, and NVML is shut down
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nvml/gpu.h"
#include "nvml/nvml_api.h"

struct driver;
struct error;
struct finding_list;

#define ANSWER_NO_GPU UINT32_MAX
#define ANSWER_UNKNOWN UINT32_MAX
#define ANSWER_GPUS_MAX 256 /* as many as gpu_list has */
#define ANSWER_MIGS_MAX 16  /* of a GPU; there are 7 */
#define ANSWER_FAILURES_MAX 512
#define ANSWER_FUNCTION_MAX 48

enum answer_type {
	ANSWER_STEP = 1,
	ANSWER_FAILED,
	ANSWER_SYSTEM,
	ANSWER_GPU,
	ANSWER_MIG,
	ANSWER_END,
};

/* Between processes that are one program. What a type has no use for is 0. */
struct answer_message {
	uint32_t type;
	uint32_t gpu; /* NVML's index, or ANSWER_NO_GPU */
	union {
		struct {
			int32_t code;                   /* nvmlReturn_t; of FAILED */
			char function[ANSWER_FUNCTION_MAX]; /* of NVML, or "dlopen" */
			char text[160];                 /* what dlopen(3) said; else "" */
		} call;
		struct {
			char driver[NVML_VERSION_MAX]; /* "" for unknown */
			uint32_t cuda;                 /* 13000; 0 for unknown */
		} system;
		struct {
			uint32_t domain, bus, device;
			uint32_t minor; /* ANSWER_UNKNOWN likewise */
			uint32_t arch_major, arch_minor; /* 0.0 likewise */
			int32_t brand;                   /* 0 likewise */
			uint32_t mig_mode;               /* enum gpu_mig_mode */
			uint32_t fabric;                 /* nvml_fabric.state; ANSWER_UNKNOWN likewise */
			int32_t fabric_status;
			char uuid[NVML_UUID_MAX], name[NVML_NAME_MAX];
		} gpu_facts;
		struct {
			uint32_t index, gi, ci;
			char uuid[NVML_UUID_MAX];
		} mig;
	};
};

struct answer_gpu {
	uint32_t nvml_index;
	unsigned long long bus_id; /* as gpu_bus_id_parse() gives it */
	uint32_t minor, fabric;
	int fabric_status;
	enum gpu_mig_mode mig_mode;
	char uuid[NVML_UUID_MAX], model[NVML_NAME_MAX];
	char arch[FACT_ARCH_MAX], brand[FACT_BRAND_MAX]; /* "" for unknown */
};

struct answer_mig {
	size_t gpu; /* position in answer.gpus */
	unsigned int index, gi, ci;
	char uuid[NVML_UUID_MAX];
};

struct answer_failure {
	uint32_t gpu; /* NVML's index, or ANSWER_NO_GPU */
	int code;
	char function[ANSWER_FUNCTION_MAX];
	char text[160];
};

struct answer {
	char driver[NVML_VERSION_MAX];
	char cuda[FACT_CUDA_MAX]; /* "" for unknown */
	struct answer_gpu *gpus;
	size_t n_gpus;
	struct answer_mig *migs;
	size_t n_migs;
	struct answer_failure *failures;
	size_t n_failures;
	char step[ANSWER_FUNCTION_MAX]; /* the last one begun; "" before the first */
	uint32_t step_gpu;
	bool whole; /* END was there */
};

/**
 * answer_add() - take a message in
 * @answer: zeroed at first; release with answer_done()
 * @bytes:  from another process: every field is checked
 *
 * Return: 0, -EBADMSG (nothing of it was taken) or -ENOMEM.
 */
int answer_add(struct answer *answer, const void *bytes, size_t size);

void answer_done(struct answer *answer);

/**
 * answer_apply() - facts of NVML in the place of those that are derived
 * @driver:   cuda, where libcuda itself has not told it
 * @gpus:     from gpu_list_new(), fact_fill() and mig_list_read(): what /proc says of a GPU stays,
 *            but an unknown UUID; arch, brand, MIG mode, fabric and MIG devices are NVML's
 * @findings: what NVML and /proc do not agree on, and what failed
 *
 * GPUs are the same by bus id. MIG devices are those that /proc has (where it tells
 * of none, NVML's), with the index and UUID that NVML gives them; one of which NVML does
 * not tell has neither.
 *
 * Return: 0 or -ENOMEM; the lists are whole then, too.
 */
int answer_apply(const struct answer *answer, struct driver *driver, struct gpu_list *gpus,
		 struct finding_list *findings);

#endif
