/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_FACT_H
#define NVFS_NVML_FACT_H

struct driver;
struct gpu_list;

/*
 * What NVML would say of driver and GPUs, without starting it: from tables, and
 * from what the driver's files hold. Where neither has an answer a fact is
 * unknown; it is never guessed from its neighbours.
 */
enum fact_source {
	FACT_UNKNOWN,
	FACT_PROC,    /* /proc */
	FACT_FILES,   /* what the names of most driver libraries carry */
	FACT_TABLE,   /* fact_table.c */
	FACT_LIBCUDA, /* the note in libcuda: see elf_note() */
	FACT_NVML,    /* libnvidia-ml, asked: see answer.h */
};

#define FACT_ARCH_MAX 8
#define FACT_BRAND_MAX 16
#define FACT_CUDA_MAX 16

/** fact_source_name() - "unknown", "proc", "files", "table", "libcuda", "nvml" */
const char *fact_source_name(enum fact_source source);

/** fact_source_by_name() - FACT_UNKNOWN for what is none of these */
enum fact_source fact_source_by_name(const char *name);

/**
 * fact_fill() - set the facts that are derived
 * @driver: version and the note's text are there; sets cuda and cuda_source
 * @gpus:   model and device_id are there; sets arch, brand and their sources
 *
 * What was derived before is replaced: facts of an older program's state get
 * what the tables of this one say.
 */
void fact_fill(struct driver *driver, struct gpu_list *gpus);

/**
 * fact_cuda_from_note() - the version of CUDA in the note that newer libcuda carry
 * @note: text of section .note.cuda.fwd_compatibility:
 *        {"format":1,"CUDA version":"13.0","driver":[535,...],"device":[1,...]}
 * @ret:  "13.0"; untouched on failure
 *
 * Source: libcuda.so.580.159.04. Return: 0 or -EBADMSG.
 */
int fact_cuda_from_note(const char *note, char ret[FACT_CUDA_MAX]);

/* The tables. Each gives a static string, or NULL for unknown. */

/** fact_cuda_of_driver() - CUDA that a driver's branch has: "535.261.03" has "12.2" */
const char *fact_cuda_of_driver(const char *version);

/** fact_arch_of_device() - compute capability by PCI device id of vendor 10de */
const char *fact_arch_of_device(unsigned int device_id);

/** fact_arch_of_model() - compute capability by the name that the module gives: "NVIDIA H100 PCIe"
 */
const char *fact_arch_of_model(const char *model);

/**
 * fact_brand_of_model() - brand, as NVML calls it
 * @version: the driver's; before branch 470 NVML knew fewer brands, so that the answer is unknown
 */
const char *fact_brand_of_model(const char *model, const char *version);

#endif
