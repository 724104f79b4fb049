/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_SELECT_H
#define NVFS_NVML_SELECT_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct gpu_list;

struct gpu_selection {
	bool wanted; /* false: "void" or "": this container is to get nothing at all */
	size_t *at;  /* positions in gpu_list.gpus, in the order asked for, no one twice */
	size_t n;    /* 0 with wanted: the driver without GPUs ("none", or "all" of no GPUs) */
	size_t *migs; /* likewise in gpu_list.migs; their GPUs are in @at */
	size_t n_migs;
	bool *is_parent; /* of each of @at: it is there for its MIG devices alone */
	bool all; /* "all" was among them */
};

/**
 * gpu_select() - the GPUs that a list of devices means
 * @list:    borrowed for the call
 * @devices: as in NVIDIA_VISIBLE_DEVICES: "all", "none", "void", or a comma list; NULL is "";
 *           borrowed. An item of the list is one of
 *             0                          index of a GPU
 *             GPU-<uuid>                 whole, or a prefix that only one GPU has
 *             0000:00:06.0, 06:00.0      bus id, with a domain of 1 to 8 digits or none
 *             0:1                        index of a GPU and of a MIG device on it
 *             MIG-<uuid>                 a MIG device, whole
 *             MIG-GPU-<uuid>/<gi>/<ci>   the same by the ids of its instances
 *             nvidia.com/gpu=<item>      as CDI names a device: the item
 * @ret:     untouched on failure; the caller releases it with gpu_selection_done()
 * @err:     message chain, may be NULL
 *
 * Case does not matter. Duplicates collapse, empty items are skipped. "all"
 * stands for every usable GPU and the MIG devices on them, and ends the list;
 * "none" and "void" stand alone. A MIG device brings its GPU along; a GPU does
 * not bring its MIG devices.
 *
 * While a list is provisional, a name that NVML may yet tell is not unknown, and G:M, whose
 * second number NVML gives, is not known: -EAGAIN. Where NVML never tells, that number is the
 * order of the instances' ids.
 *
 * Return: 0; -EAGAIN (ERROR_AGAIN); -ENODEV (ERROR_DEVICE: unknown, ambiguous or unusable GPU; the
 * remedy says which there are); -EINVAL (ERROR_DEVICE: "none" or "void"
 * beside others); -ENOMEM.
 */
int gpu_select(const struct gpu_list *list, const char *devices, struct gpu_selection *ret,
	       struct error *err);

/**
 * gpu_select_mig_control() - may dividing or watching GPUs be given beside this selection?
 * @what: "mig-config" or "mig-monitor", for the message
 * @word: which GPUs: only "all", of those selected; "" asks for nothing
 *
 * Source: libnvidia-container, src/cli/common.c.
 *
 * Return: 1 for yes, 0 for not asked; -EINVAL (ERROR_DEVICE), in the existing tool's words.
 */
int gpu_select_mig_control(const struct gpu_selection *selection, const char *what,
			   const char *word, struct error *err);

/** gpu_selection_done() - free what gpu_select() made; NULL and an empty one are fine */
void gpu_selection_done(struct gpu_selection *selection);

#endif
