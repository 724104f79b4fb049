/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_GIVEN_H
#define NVFS_FS_GIVEN_H

#include <jansson.h>
#include <stdbool.h>

struct gpu_list;
struct gpu_selection;

/* What a container was given, out of the request that its tree keeps (see inject_method.c), now. */

/**
 * given_select() - GPUs and MIG devices that a tree was given, as far as they are still there
 * @spec: JSON of the request; what is not as it should be is nothing
 * @ret:  never others than those given; the caller releases it with gpu_selection_done()
 *
 * GPUs are known by their UUIDs. MIG devices by GPU, GPU instance and compute instance, which is what
 * their device nodes stand for, and by UUID where there was one and is one.
 *
 * Return: 0 or -ENOMEM.
 */
int given_select(const json_t *spec, const struct gpu_list *gpus, struct gpu_selection *ret);

/** given_has_mig_control() - may it divide or watch GPUs? Then it has all MIG devices on its GPUs */
bool given_has_mig_control(const json_t *spec);

/** given_flag() - "mig_config", "mig_monitor", "nvswitch", "imex_mgmt" */
bool given_flag(const json_t *spec, const char *key);

#endif
