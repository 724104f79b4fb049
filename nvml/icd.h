/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_ICD_H
#define NVFS_NVML_ICD_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/*
 * What loaders of Vulkan, EGL and OpenCL read to find the driver's libraries. A
 * container has these elsewhere than the host, so that a path has to become a
 * soname, which the linker's cache finds wherever the tree is.
 */

/* Whether a container has a library of this soname, or file name. */
struct icd_libraries {
	bool (*has)(void *data, const char *soname);
	void *data;
};

#define ICD_SIZE_MAX (64UL * 1024)

/**
 * icd_rewrite() - what a container is to read in place of a host's file
 * @text: of the file, from the host; NUL-terminated
 * @json: a JSON file of Vulkan (an ICD or layers) or EGL (a vendor or external
 *        platform); false: an ICD of OpenCL, one name in a line
 * @ret:  new text that the caller frees; NULL where the host's file is right as it is
 * @err:  the reason alone; the caller puts the file's name in front
 *
 * Sources: the Vulkan loader's LoaderInterfaceArchitecture, "ICD Manifest File
 * Format" and "Layer Manifest File Format"; libglvnd's src/EGL/icd_enumeration.md;
 * cl_khr_icd, "Linux".
 *
 * Return: 0; -EBADMSG (not what a loader reads); -ENOENT (it names a library
 * that the driver does not have); -ENOMEM.
 */
int icd_rewrite(const char *text, bool json, const struct icd_libraries *libraries, char **ret,
		struct error *err);

#endif
