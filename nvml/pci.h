/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_PCI_H
#define NVFS_NVML_PCI_H

/**
 * pci_nvidia_device() - PCI device id of an NVIDIA device
 * @text:   of /proc/bus/pci/devices: the kernel's own copy, so that reading it wakes
 *          no device, as reading /proc/bus/pci/BB/DD.F would
 * @bus_id: as gpu_bus_id_parse() gives it
 *
 * The file does not tell domains. Where two devices of NVIDIA's have the same bus,
 * device and function, and are not of one kind, the answer is unknown.
 * Source: drivers/pci/proc.c, show_device().
 *
 * Return: the id, or 0 for unknown.
 */
unsigned int pci_nvidia_device(const char *text, unsigned long long bus_id);

#endif
