/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_KMODS_H
#define NVFS_FS_KMODS_H

#include <stdbool.h>

struct error;

/*
 * The driver's kernel modules, loaded before the daemon limits itself: nothing of it may load one later.
 * What comes after, device nodes of a module that is loaded anew, is made by a child, see nodemaker.h.
 */

/**
 * kmods_load() - load nvidia, nvidia-uvm and nvidia-modeset, and make the host's device nodes
 * @dev_root, @proc_root: as in nvfs.conf(5)
 *
 * By the program that <proc_root>/sys/kernel/modprobe names, or /sbin/modprobe, one minute for each, and only
 * where <proc_root>/bus/pci/devices has a device of NVIDIA's. A module that is loaded is
 * left alone. A module that cannot be loaded is a warning: there is a daemon without a driver, too.
 *
 * Source: nvidia-modprobe; libnvidia-container, --load-kmods.
 * Privilege: root of the initial user namespace; anybody else is refused. Threads: none.
 *
 * Return: 0; -EPERM (ERROR_PERMISSION); or what hostnodes_make() says.
 */
int kmods_load(const char *dev_root, const char *proc_root, struct error *err);

/** kmods_has_device() - does <proc_root>/bus/pci/devices have a device of NVIDIA's? */
bool kmods_has_device(const char *proc_root);

/** kmods_is_loaded() - does <proc_root>/modules have it? */
bool kmods_is_loaded(const char *proc_root, const char *name);

/** kmods_maps_all() - is a text of /proc/self/uid_map or gid_map the initial user namespace's? */
bool kmods_maps_all(const char *map);

#endif
