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
 * dropin_inject_init() - be nvinject: no environment, no descriptors but the standard ones and the log's, "/", no new
 * privileges, the capabilities that an injection takes. Once; see privilege_init(). The system calls: privilege_filter().
 */
int dropin_inject_init(const struct dropin *dropin, struct error *err);

/**
 * dropin_inject() - what nvinject with these arguments would do, in this process
 *
 * Its warnings go to the log. Whole or nothing; a signal that would end us waits until that is settled.
 *
 * Return: 0, or a negative errno with nvinject's own class, message and remedy in @err.
 */
int dropin_inject(const struct dropin *dropin, const struct dropin_container *container,
		  struct error *err);

/** dropin_inject_end() - before the end, when all has been said: whoever is held by a container's filesystem keeps no pipe */
void dropin_inject_end(void);

/**
 * dropin_id() - a name for a container that has none: of its root's path and our mount namespace
 * @rootfs: absolute
 *
 * The same root in the same namespace has the same name, and another one another: it can be
 * configured again, and removed.
 */
void dropin_id(const char *rootfs, unsigned long long mnt_ns, char *buf, size_t size);

#endif
