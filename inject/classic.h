/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_CLASSIC_H
#define NVFS_INJECT_CLASSIC_H

/* Where a container's own libraries lie, and where libnvidia-container put the driver's: static; NULL: nowhere. */
struct classic {
	const char *lib64, *lib32;
};

/**
 * classic_find() - what kind of container is this?
 * @root: O_PATH descriptor of its root
 *
 * Debian's multiarch directories where it has /etc/debian_version; else /usr/lib64, and /usr/lib32, or
 * /usr/lib where there is no such directory and it is another than /usr/lib64.
 * Source: libnvidia-container 1.17, src/nvc_container.c, by its behaviour.
 */
void classic_find(int root, struct classic *ret);

#endif
