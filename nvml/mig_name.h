/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_MIG_NAME_H
#define NVFS_NVML_MIG_NAME_H

struct gpu_list;
struct mig_device;

#define MIG_NAME_MAX 96

/** mig_name() - "MIG-GPU-<uuid>/<gi>/<ci>", by which gpu_select() finds it, with NVML or without */
void mig_name(const struct gpu_list *list, const struct mig_device *mig, char name[MIG_NAME_MAX]);

#endif
