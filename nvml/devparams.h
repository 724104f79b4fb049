/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DEVPARAMS_H
#define NVFS_NVML_DEVPARAMS_H

#include <stdbool.h>
#include <sys/types.h>

/* How the module wants device nodes to be made, by its parameters. */
struct devparams {
	uid_t uid;
	gid_t gid;
	mode_t mode;    /* permission bits */
	bool may_modify; /* false: the administrator makes them by himself */
};

/**
 * devparams_parse() - /proc/driver/nvidia/params
 * @text: lines "DeviceFileMode: 438", numbers in decimal; NULL, and what is missing or no number, is
 *        root's, 0666, and may be modified
 *
 * A file of a capability, with its DeviceFileModify, is read likewise.
 * Source: nvidia-modprobe, modprobe-utils/nvidia-modprobe-utils.c.
 */
struct devparams devparams_parse(const char *text);

#endif
