/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_IMAGEENV_H
#define NVFS_INJECT_IMAGEENV_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

/*
 * What the environment of a container asks for, as the NVIDIA Container Toolkit
 * understands it (internal/config/image/cuda_image.go). @env is process.env of
 * config.json: an array of "NAME=value", of which the last one of a name counts;
 * what is no string is skipped, and NULL is an empty one.
 */

/** imageenv_value() - of a variable; NULL where it is not set; points into @env */
const char *imageenv_value(const json_t *env, const char *name);

/** imageenv_is_legacy() - an image of before NVIDIA_REQUIRE_CUDA: CUDA_VERSION is set, the other is
 * not */
bool imageenv_is_legacy(const json_t *env);

/**
 * imageenv_devices() - which devices are asked for
 * @swarm: comma list of names, as in the toolkit's swarm-resource: "DOCKER_RESOURCE_GPU"; NULL for none
 * @ret:   new string, NULL where nothing is asked for; the caller frees it
 *
 * The values of all of @swarm that are set, one behind the other, an empty one too; or else of
 * NVIDIA_VISIBLE_DEVICES; or else "all" for a legacy image.
 *
 * Return: 0 or -ENOMEM.
 */
int imageenv_devices(const json_t *env, const char *swarm, char **ret, struct error *err);

/**
 * imageenv_requirements() - what the driver and the GPUs must be
 * @ret: array of expressions (nvml/require.h) that all must hold; the caller releases it
 *
 * Every NVIDIA_REQUIRE_* that is not empty, in the order of @env, but for
 * NVIDIA_REQUIRE_JETPACK*; and "cuda>=MAJOR.MINOR" for a legacy image. None at all
 * where NVIDIA_DISABLE_REQUIRE is one of 1, t, T, true, True, TRUE.
 *
 * Return: 0; -EINVAL (ERROR_REQUIREMENT: CUDA_VERSION of a legacy image is no
 * version, or there are too many); -ENOMEM.
 */
int imageenv_requirements(const json_t *env, json_t **ret, struct error *err);

/** imageenv_is_enabled() - NVIDIA_NVSWITCH and the like: "enabled", and no other word */
bool imageenv_is_enabled(const json_t *env, const char *name);

/**
 * imageenv_mig_control() - who may divide or watch GPUs
 * @name:       "NVIDIA_MIG_CONFIG_DEVICES" or "NVIDIA_MIG_MONITOR_DEVICES"
 * @privileged: the container's bounding set has CAP_SYS_ADMIN
 * @ret:        value, in @env; NULL: it asks for nothing
 *
 * Return: 0, or -EPERM (ERROR_PERMISSION), in the toolkit's words: not for an unprivileged container.
 */
int imageenv_mig_control(const json_t *env, const char *name, bool privileged, const char **ret,
			 struct error *err);

#endif
