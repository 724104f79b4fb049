/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_ENGINE_H
#define NVFS_INJECT_ENGINE_H

#include <jansson.h>
#include <stdbool.h>

struct error;

/*
 * What the engine has written into config.json and no image can forge: its
 * hooks and its mounts. @config is the whole object, borrowed.
 */

#define ENGINE_CDI_OPTION "--cdi-device" /* of a hook that a CDI specification brings */

/**
 * engine_cdi_devices() - the devices that CDI was asked for
 * @own: of the hook that runs now
 * @ret: comma list of all hooks' ENGINE_CDI_OPTION, in the order of @config; the caller frees it
 * @ret_is_first: another hook before this one does not have the same task
 *
 * CDI adds one hook for each device, and whichever runs first injects all of them.
 *
 * Return: 0 or -ENOMEM.
 */
int engine_cdi_devices(const json_t *config, const char *own, char **ret, bool *ret_is_first,
		       struct error *err);

/**
 * engine_driver_file() - a file of the driver that is mounted already
 *
 * So containers look that NVIDIA's own runtime or a CDI file of nvidia-ctk has prepared:
 * libcuda.so or libnvidia-ml.so with a version, each a mount of its own.
 *
 * Return: its place in the container, which points into @config; NULL for none.
 */
const char *engine_driver_file(const json_t *config);

#endif
