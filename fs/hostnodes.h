/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_HOSTNODES_H
#define NVFS_FS_HOSTNODES_H

#include <stddef.h>

struct error;

/*
 * The host's own device nodes, for those who want them made by nvfs (load_kmods of nvfs.conf(5)) and not
 * by nvidia-modprobe or udev.
 */

struct hostnodes_report {
	unsigned int made, mended;
	unsigned int refused; /* something else stands at the place of one, or it could not be made: logged */
};

/**
 * hostnodes_make() - make what is missing in /dev, and mend what is wrong
 * @dev_root, @proc_root: as in nvfs.conf(5)
 *
 * nvidiactl, nvidia<minor> of each GPU, nvidia-modeset where that module is loaded, nvidia-uvm and
 * nvidia-uvm-tools, and the nvcaps that there are, by the majors in <proc_root>/devices. Owner and mode
 * are those of <proc_root>/driver/nvidia/params, and of the nvcaps' own files; what these say is
 * not to be modified is left alone, missing or not. Each of them gets its link in <dev_root>/char, and loses that of
 * a number which it had before. A node of another number is made anew; a file or link at the
 * place of one is not touched. Nothing is done where no module is loaded.
 *
 * Sources: nvml/devnode.h, nvml/nvcap.h, nvml/devparams.h. Privilege: CAP_MKNOD, CAP_CHOWN.
 *
 * Return: 0, -ENODEV (no module), -ENOMEM, or the errno of reading these.
 */
int hostnodes_make(const char *dev_root, const char *proc_root, struct hostnodes_report *ret,
		   struct error *err);

/* What is wrong with a node, as hostnodes_check() finds it. */
enum hostnodes_fault {
	HOSTNODES_RIGHT,
	HOSTNODES_MISSING,
	HOSTNODES_NO_DEVICE, /* a file or link stands there */
	HOSTNODES_NUMBER,    /* of another major or minor: of a module that was loaded before */
	HOSTNODES_MODE,      /* owner or mode are not what the module's parameters say */
};

/**
 * hostnodes_check() - look at the same nodes, and change nothing
 * @tell: called for each, with its path below @dev_root
 *
 * Nodes of modules that are not loaded are not told of. Owner and mode of a node that is not to be modified are right.
 * No device is opened. Privilege: none.
 *
 * Return: as hostnodes_make().
 */
int hostnodes_check(const char *dev_root, const char *proc_root,
		    void (*tell)(void *data, const char *path, enum hostnodes_fault fault),
		    void *data, struct error *err);

#endif
