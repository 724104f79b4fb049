/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_PLACES_H
#define NVFS_NVML_DRIVER_PLACES_H

/*
 * Directories below a driver root where distributions, NVIDIA's installer,
 * driver containers and bare images put the driver. The first hit counts.
 * Each list ends with NULL; the strings are static.
 */

/** driver_library_places() - directories of native libraries */
const char *const *driver_library_places(void);

/** driver_program_places() - directories of programs */
const char *const *driver_program_places(void);

/** driver_library32_places() - directories of 32-bit libraries; none where there are no such programs */
const char *const *driver_library32_places(void);

/** driver_firmware_places() - directories that hold nvidia/VERSION, updates and the kernel's releases */
const char *const *driver_firmware_places(void);

/** driver_data_bases() - directories that hold vulkan/icd.d, OpenCL/vendors, nvidia and the like */
const char *const *driver_data_bases(void);

/** driver_module_places() - directories of modules of X, and where packages keep other files */
const char *const *driver_module_places(void);

#endif
