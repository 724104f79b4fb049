/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_NVCAP_H
#define NVFS_NVML_NVCAP_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct gpu_list;

/*
 * nvcaps: who may open /dev/nvidia-caps/nvidia-cap<minor> may use what it stands
 * for. The module names the minors of MIG in one list, for every instance that
 * could be; those that are have each a file of their own below
 * /proc/driver/nvidia/capabilities.
 */
enum nvcap_kind {
	NVCAP_CONFIG,  /* divide GPUs */
	NVCAP_MONITOR, /* watch all of them */
	NVCAP_FABRIC,  /* manage IMEX: of the daemon nvidia-imex */
	NVCAP_GI,      /* use a GPU instance */
	NVCAP_CI,      /* use a compute instance */
	NVCAP_KINDS,
};

#define NVCAP_MINOR_MAX ((1U << 20) - 1) /* kernel minors have 20 bits: linux/kdev_t.h */
#define NVCAP_MODE_DEFAULT 0444
#define NVCAP_NAME_MAX 64

struct nvcap {
	enum nvcap_kind kind;
	unsigned int gpu, gi, ci; /* 0 where the kind has none; the GPU by its minor */
	unsigned int minor;
	unsigned int mode; /* permission bits that the module wants the node to have */
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
 * nvcap_list_read() - the capabilities that there are now
 * @proc_root: NULL for "/proc"; borrowed
 * @gpus:      whose instances are looked for; borrowed
 * @ret:       release with nvcap_list_done(); untouched on failure
 *
 * A capability is there if it has a file below <proc_root>/driver/nvidia/capabilities. Its minor
 * is what that says, or else the list of all; one without either is left out. No
 * module, or one that knows no MIG, is a success with an empty list.
 * Source: mig/config, mig/monitor, fabric-imex-mgmt and gpu<minor>/mig/gi<n>/ci<n>/access there,
 * seen with 580.159.04; <proc_root>/driver/nvidia-caps/mig-minors.
 * Privilege: none.
 *
 * Return: 0 or -ENOMEM.
 */
int nvcap_list_read(const char *proc_root, const struct gpu_list *gpus, struct nvcap_list *ret,
		    struct error *err);

/** nvcap_list_copy() - one that is sound, sorted: what another process has read; 0, -EBADMSG or -ENOMEM */
int nvcap_list_copy(const struct nvcap *caps, size_t n, struct nvcap_list *ret);

/** nvcap_list_equal() - the same capabilities, by the same minors and modes? */
bool nvcap_list_equal(const struct nvcap_list *a, const struct nvcap_list *b);

/** nvcap_find() - likewise; NULL where there is none */
const struct nvcap *nvcap_find(const struct nvcap_list *list, enum nvcap_kind kind,
			       unsigned int gpu, unsigned int gi, unsigned int ci);

/** nvcap_file_name() - its file below /proc/driver/nvidia/capabilities: "gpu0/mig/gi1/ci0/access" */
void nvcap_file_name(const struct nvcap *cap, char name[NVCAP_NAME_MAX]);

/**
 * nvcap_file_parse() - the text of a file below /proc/driver/nvidia/capabilities
 * @text: "DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 1\n"; the mode is decimal
 * @ret:  minor and mode are set
 *
 * Return: 0, or -EBADMSG: no minor. A mode that is none is NVCAP_MODE_DEFAULT.
 */
int nvcap_file_parse(const char *text, struct nvcap *ret);

#endif
