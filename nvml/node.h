/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_NODE_H
#define NVFS_NVML_NODE_H

/*
 * What is known of a node, its driver and its GPUs, each fact with its source: one
 * JSON form, for whoever shows it. A fact is {"value": ..., "source": "proc"}; one that
 * nobody tells has the value null and the source unknown.
 */

#include <jansson.h>

struct driver;
struct driver_file;
struct gpu_list;

/**
 * node_json() - driver and GPUs
 * @driver: version, cuda and root are looked at
 *
 * driver_version, cuda_version; gpus: [index, usable, excluded, note, model, uuid, bus_id,
 * minor, device_node, firmware, pci_device, architecture, brand, mig_mode, fabric, migs:
 * [index, gi, ci, uuid]]. A GPU or MIG device without index has no such member.
 *
 * Return: a new reference, or NULL (out of memory).
 */
json_t *node_json(const struct driver *driver, const struct gpu_list *gpus);

/**
 * node_file_json() - one file of the driver
 *
 * kind, name (in a tree), path (below the driver root), size, driver_capabilities (words); of a
 * library soname, of an ELF file class and machine.
 *
 * Return: a new reference, or NULL (out of memory).
 */
json_t *node_file_json(const struct driver_file *file);

/** node_caps_json() - the words of a set of driver capabilities, as an array; or NULL (out of memory) */
json_t *node_caps_json(unsigned int caps);

/** node_text_json() - a JSON string; of what is not UTF-8, as file names need not be, '?' for each byte */
json_t *node_text_json(const char *text);

#endif
