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

/** driver_firmware_places() - directories that hold one directory for each driver version */
const char *const *driver_firmware_places(void);

#endif
