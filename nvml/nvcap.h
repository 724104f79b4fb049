/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_NVCAP_H
#define NVFS_NVML_NVCAP_H

#include <stddef.h>

struct error;

/*
 * nvcaps: who may open /dev/nvidia-caps/nvidia-cap<minor> may use what it stands
 * for. The module names the minors of MIG in one list, and each also in a file
 * of its own below /proc/driver/nvidia/capabilities.
 */
enum nvcap_kind {
	NVCAP_CONFIG,  /* divide GPUs */
	NVCAP_MONITOR, /* watch all of them */
	NVCAP_GI,      /* use a GPU instance */
	NVCAP_CI,      /* use a compute instance */
};

struct nvcap {
	enum nvcap_kind kind;
	unsigned int gpu, gi, ci; /* 0 where the kind has none; the GPU by its minor */
	unsigned int minor;
};

struct nvcap_list {
	struct nvcap *caps; /* sorted by kind, GPU, GI and CI */
	size_t n;
};

/**
 * nvcap_list_parse() - the text of /proc/driver/nvidia-caps/mig-minors
 * @text: lines "config 1", "monitor 2", "gpu0/gi0/access 3", "gpu0/gi0/ci0/access 4"; any other
 *        line is skipped, since a newer module may have more kinds
 * @ret:  release with nvcap_list_done(); untouched on failure
 *
 * The numbers may have holes. Of a name that comes twice the lower minor counts.
 * Source: seen with 580.159.04; libnvidia-container, src/nvc_ldcache.c and nvc_info.c.
 *
 * Return: 0 or -ENOMEM.
 */
int nvcap_list_parse(const char *text, struct nvcap_list *ret, struct error *err);
void nvcap_list_done(struct nvcap_list *list);

/**
 * nvcap_minor() - minor of the device node
 * @gpu, @gi, @ci: 0 where the kind has none
 *
 * Return: the minor, or -ENOENT.
 */
int nvcap_minor(const struct nvcap_list *list, enum nvcap_kind kind, unsigned int gpu,
		unsigned int gi, unsigned int ci);

/**
 * nvcap_file_minor() - minor in the text of a file below /proc/driver/nvidia/capabilities
 * @text: "DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 1\n"
 *
 * Return: the minor, or -EBADMSG.
 */
int nvcap_file_minor(const char *text);

#endif
