/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_REQUIREMENT_H
#define NVFS_FS_REQUIREMENT_H

#include <jansson.h>

struct error;
struct generation;
struct gpu_selection;

/**
 * requirement_check() - do driver and GPUs have what a container asks for?
 * @list: io.nvfs.Inject's "requirements", an array of expressions; NULL for none
 *
 * Each expression must hold for each GPU of the selection; without one, for the
 * driver alone. A MIG device is judged as its GPU.
 *
 * Return: 0, -EINVAL (ERROR_USAGE: not such an array), or what require_check() says.
 */
int requirement_check(const json_t *list, const struct generation *generation,
		      const struct gpu_selection *selection, struct error *err);

#endif
