/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_UEVENT_H
#define NVFS_FS_UEVENT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What the kernel tells of devices and modules that come and go: netlink(7),
 * NETLINK_KOBJECT_UEVENT. A hint to look at /proc at once, which is looked at anyway.
 */

/** uevent_open() - a socket that is readable when something was told; or a negative errno */
int uevent_open(void);

/** uevent_receive() - take in all that was told; was something of the driver's among it? */
bool uevent_receive(int fd);

/**
 * uevent_is_drivers() - is this about NVIDIA's module, or a device of NVIDIA's?
 * @text: "add@/module/nvidia", then KEY=value, each ended by NUL
 *
 * Source: lib/kobject_uevent.c, drivers/pci/pci-driver.c.
 */
bool uevent_is_drivers(const char *text, size_t size);

#endif
