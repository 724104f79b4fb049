/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_MIG_FILL_H
#define NVFS_NVML_MIG_FILL_H

struct gpu_list;
struct nvcap_list;

/**
 * mig_list_fill() - MIG devices as the module's capabilities tell them
 * @list:   gets those of its GPUs, numbered by GPU instance and compute instance, which is how NVML
 *          counts where none was destroyed; their UUIDs are unknown
 * @nvcaps: borrowed
 *
 * Return: 0 or -ENOMEM: nothing has changed.
 */
int mig_list_fill(struct gpu_list *list, const struct nvcap_list *nvcaps);

#endif
