/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_MIG_H
#define NVFS_NVML_MIG_H

#include <stdint.h>

struct error;
struct gpu_list;

/**
 * mig_list_read() - the MIG devices that the loaded module has now
 * @proc_root: NULL for "/proc"; borrowed for the call
 * @list:      from gpu_list_new(); its MIG devices are replaced, and has_nvcaps and the mode of
 *             GPUs that have some are set
 *
 * Each has the ids of its instances; index is the order of these, and the UUID is not known:
 * answer_apply() has both from NVML.
 * Source: <proc_root>/driver/nvidia/capabilities/gpu<minor>/mig/gi<G>/ci<C>, seen with 580.159.04;
 * NVIDIA MIG User Guide, "Device Nodes and Capabilities". Privilege: none.
 *
 * Return: 0 or -ENOMEM. A directory that cannot be read has no instances.
 */
int mig_list_read(const char *proc_root, struct gpu_list *list, struct error *err);

/* What of the module's GPUs and MIG devices there is, as two numbers: others when something has come or
 * gone, an instance that came anew under its old numbers among it. 0: nothing is there. */
struct mig_print {
	uint64_t gpus, migs;
};

/**
 * mig_print_read() - see mig_list_read() for where; no file is read, and no GPU wakes up
 *
 * Return: 0, or -EMFILE, -ENFILE or -ENOMEM: what is in @ret is less than what is there.
 */
int mig_print_read(const char *proc_root, struct mig_print *ret);

#endif
