/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_DROPIN_INJECT_H
#define NVFS_CLI_DROPIN_INJECT_H

#include <stddef.h>

#include "cli/dropin.h"

/* What a container is to get. Strings that are not owned are the command line's. */
struct dropin_container {
	const char *pid;    /* NULL: standalone, the caller's own mount namespace */
	const char *rootfs;
	struct dropin_devices devices;
	char *caps;         /* comma list of driver capabilities; NULL: none; owned */
	char *without;      /* comma list, for nvinject; NULL: nothing is left out; owned */
	const char *compat_mode; /* NULL: as nvfs.conf says */
	const char **requirements;
	size_t n_requirements;
	bool no_cgroups;
};

/**
 * dropin_inject() - run nvinject
 *
 * It lies beside this program, or in bin where this one is installed in libexec/nvfs. It ends with us: what
 * it has begun is undone then. Its warnings go to the log.
 *
 * Return: 0, or a negative errno with nvinject's own class, message and remedy in @err.
 */
int dropin_inject(const struct dropin *dropin, const struct dropin_container *container, struct error *err);

/**
 * dropin_id() - a name for a container that has none: of its root's path and our mount namespace
 * @rootfs: absolute
 *
 * The same root in the same namespace has the same name, and another one another: it can be
 * configured again, and removed.
 */
void dropin_id(const char *rootfs, unsigned long long mnt_ns, char *buf, size_t size);

#endif
