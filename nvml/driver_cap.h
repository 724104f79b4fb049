/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_CAP_H
#define NVFS_NVML_DRIVER_CAP_H

#include <stddef.h>

struct error;

/*
 * Driver capabilities: the words of NVIDIA_DRIVER_CAPABILITIES, as a set of
 * bits. A file of the driver names the capabilities that need it, a container
 * names those it wants; it gets the file when the two sets meet.
 * Source: the NVIDIA Container Toolkit's user guide, "Driver Capabilities".
 */
enum driver_cap {
	DRIVER_CAP_COMPUTE = 1 << 0,  /* CUDA and OpenCL */
	DRIVER_CAP_UTILITY = 1 << 1,  /* nvidia-smi and NVML */
	DRIVER_CAP_VIDEO = 1 << 2,    /* video codec SDK; its libraries need those of compute */
	DRIVER_CAP_GRAPHICS = 1 << 3, /* OpenGL, Vulkan, EGL */
	DRIVER_CAP_DISPLAY = 1 << 4,  /* X11; needs what graphics has */
	DRIVER_CAP_NGX = 1 << 5,      /* DLSS and its kin */
	DRIVER_CAP_COMPAT32 = 1 << 6, /* 32-bit libraries of the other words */
};

#define DRIVER_CAP_ALL 0x7fU

/* Room for every word and its comma, with the NUL. */
#define DRIVER_CAPS_TEXT_MAX 64

/**
 * driver_caps_parse() - a comma list of driver capabilities
 * @list: "compute,utility"; "all" anywhere means every one, "none" adds nothing; blanks around a word and
 *        empty words are skipped, words are lower case; "" gives 0; borrowed
 * @ret:  set of enum driver_cap; untouched on failure
 * @err:  message chain, may be NULL
 *
 * Return: 0, or -EINVAL (ERROR_USAGE) for an unknown word; the remedy lists those known.
 */
int driver_caps_parse(const char *list, unsigned int *ret, struct error *err);

/**
 * driver_caps_print() - write a set as a comma list, in the order of the enum
 * @buf:  NUL-terminated result; DRIVER_CAPS_TEXT_MAX bytes always suffice, less cuts it at a word
 */
void driver_caps_print(unsigned int caps, char *buf, size_t size);

/**
 * driver_caps_expand() - add the capabilities that others bring along
 *
 * display brings graphics. That video needs the libraries of compute, but not
 * its programs, is said by the rows of driver_table.c, which name both.
 *
 * Return: the larger set; compare it with driver_file.caps.
 */
unsigned int driver_caps_expand(unsigned int caps);

#endif
