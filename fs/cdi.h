/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CDI_H
#define NVFS_FS_CDI_H

#include <jansson.h>
#include <stdbool.h>

struct error;
struct gpu_list;
struct nvcap_list;

/*
 * A specification of the Container Device Interface: what an engine adds to a container that is given
 * "nvfs.dev/gpu=0". Device nodes stand in it, so that the engine, the runtime and systemd know and permit
 * them; the driver comes by nvinject's hook, or as a mount of a standing tree. No version of the driver is in it.
 *
 * Source: github.com/cncf-tags/container-device-interface, SPEC.md.
 */

#define CDI_VENDOR "nvfs.dev"
#define CDI_CLASS "gpu"
#define CDI_DIR "/var/run/cdi" /* of files that programs make, before those of /etc/cdi */
#define CDI_TARGET "/usr/local/nvidia"

/* All borrowed. */
struct cdi_request {
	const struct gpu_list *gpus;
	const struct nvcap_list *nvcaps; /* of the MIG devices */
	const char *dev_root, *proc_root;
	const char *vendor, *class;
	const char *nvinject; /* the hook's program, absolute */
	const char *socket;   /* of the daemon, for the hook */
	const char *tree;     /* without hooks: the host's directory to be mounted; NULL: with hooks */
};

/** cdi_check_kind() - may these be vendor and class? 0 or -EINVAL (ERROR_USAGE) */
int cdi_check_kind(const char *vendor, const char *class, struct error *err);

/**
 * cdi_spec() - the specification of all GPUs and MIG devices that can be given now
 * @ret: new object
 *
 * Devices: each GPU by index and UUID, but for those that MIG divides, whose parts are named "0:0" and by
 * UUID; "all"; "none", which is the driver alone. What has no node in @dev_root is left out, but nodes of
 * nvcaps that the host lacks: an injection makes these for the container alone.
 * The version is the lowest that has all of it, 0.5.0.
 * Privilege: none.
 *
 * Return: 0, -EINVAL (ERROR_USAGE: vendor or class), -ENOMEM, or the errno of reading @dev_root and @proc_root.
 */
int cdi_spec(const struct cdi_request *request, json_t **ret, struct error *err);

/** cdi_text() - as a file holds it, JSON or YAML; the caller frees it; NULL: out of memory */
char *cdi_text(const json_t *spec, bool yaml);

#endif
