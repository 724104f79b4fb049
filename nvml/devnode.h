/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DEVNODE_H
#define NVFS_NVML_DEVNODE_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct finding_list;
struct gpu_list;
struct gpu_selection;
struct imex_channels;
struct nvcap_list;

/* Bits of devnode.access: the kernel's BPF_DEVCG_ACC_* of linux/bpf.h. */
#define DEVNODE_MKNOD 1U
#define DEVNODE_READ 2U
#define DEVNODE_WRITE 4U

struct devnode {
	char path[64]; /* below /dev: "nvidia0", "nvidia-uvm", "nvidia-caps/nvidia-cap3" */
	unsigned int major;
	unsigned int minor;
	unsigned int access; /* DEVNODE_READ | DEVNODE_WRITE */
	unsigned int mode;   /* permission bits of the host's, or that the one to be made is to have */
	bool is_made;        /* the host has none: one is to be made for the container alone */
};

struct devnode_request {
	const char *dev_root;  /* NULL for "/dev" */
	const char *proc_root; /* NULL for "/proc" */
	const char *majors; /* the driver's lines of <proc_root>/devices, read just now; NULL: not read yet */
	const struct gpu_list *gpus;
	const struct gpu_selection *selection;
	unsigned int caps; /* enum driver_cap, as driver_caps_expand() gives them */
	const struct nvcap_list *nvcaps;  /* that there are; NULL for none */
	bool mig_config, mig_monitor;     /* divide, watch the GPUs selected */
	const struct imex_channels *imex; /* NULL for none */
	bool nvswitch;  /* all NVSwitches of the host */
	bool imex_mgmt; /* the capability fabric-imex-mgmt, of the daemon nvidia-imex */
	bool may_make; /* who asks may be given nodes of nvcaps and IMEX channels that the host lacks */
};

/**
 * devnode_list() - the device nodes that a container gets
 * @request:  borrowed for the call
 * @ret:      array in this order: control nodes, GPUs as selected, nvcaps, IMEX channels, NVSwitches;
 *            untouched on failure; the caller frees it; NULL for a selection not wanted
 * @ret_n:    number of nodes
 * @findings: what was left out and why; may be NULL; the caller owns it
 * @err:      message chain, may be NULL
 *
 * nvidiactl always; nvidia-uvm and nvidia-uvm-tools with compute or video;
 * nvidia-modeset with graphics or display; nvidia<minor> for each selected
 * GPU. On WSL2, where <proc_root>/misc has it, dxg in place of the control
 * nodes. For each selected MIG device the nvcaps of its GPU instance and compute
 * instance; with mig_config or mig_monitor that one's, and those of all instances
 * on the selected GPUs; with imex_mgmt that one's. nvidia-caps-imex-channels/channel<id> for each
 * IMEX channel. With nvswitch nvidia-nvswitchctl, and each nvidia-nvswitch<n> that the host has.
 * A selection that is not wanted gives none. Majors come from @request's majors or
 * <proc_root>/devices, never from the node: after a reload of the module a
 * stale node's number may be another driver's. A control node that is absent,
 * or is not the device that it should be, is a finding; any other's is an error,
 * but that of an nvcap or IMEX channel which is absent and may be made.
 * Nodes are looked at with lstat(2) semantics: a symbolic link is no device node.
 *
 * Return: 0; -ENODEV (ERROR_DEVICE: node of a selected GPU missing, or not the
 * right device; a capability that the module does not have); -ENOMEM; the errno of reading @request's directories.
 */
int devnode_list(const struct devnode_request *request, struct devnode **ret, size_t *ret_n,
		 struct finding_list *findings, struct error *err);

/**
 * devnode_major() - a character driver's major in the text of /proc/devices
 * @text: the whole file; a block device of the same name does not count
 * @name: driver's name, compared whole
 *
 * Return: the major, or -ENOENT.
 */
int devnode_major(const char *text, const char *name);

/**
 * devnode_major_of() - the major that a node of the driver has to have
 * @lines: the driver's lines of /proc/devices, without headings: "510 nvidia-uvm"
 * @path:  below /dev: "nvidia0", "nvidia-caps/nvidia-cap1"
 *
 * Return: the major; -ENOENT (its module is not loaded); -EINVAL (no node of the driver).
 */
int devnode_major_of(const char *lines, const char *path);

#endif
