/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_VERSION_H
#define NVFS_NVML_DRIVER_VERSION_H

#include <stdbool.h>

struct error;

#define DRIVER_VERSION_MAX 64 /* bytes with the NUL */

/** driver_version_is_valid() - "535.261.03", "580.65": 2 or 3 numbers, the first of 2-4 digits */
bool driver_version_is_valid(const char *version);

/** driver_version_compare() - numerically, part by part: below, equal or above 0 */
int driver_version_compare(const char *a, const char *b);

/**
 * driver_library_version() - what follows ".so." in a library's file name
 *
 * Return: a pointer into @name, or NULL for "libx.so" and for names that are no library's.
 */
const char *driver_library_version(const char *name);

/**
 * driver_module_version() - version of the loaded kernel module
 * @proc_root: NULL for "/proc"
 * @ret:       "" where no module is loaded
 *
 * Source: <proc_root>/driver/nvidia/version.
 *
 * Return: 0, -EBADMSG (the file makes no sense) or the errno of reading it.
 */
int driver_module_version(const char *proc_root, char ret[DRIVER_VERSION_MAX], struct error *err);

/**
 * driver_module_version_parse() - the version in the text of that file
 * @text: "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.261.03  ..." or
 *        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build"
 *
 * Return: 0 or -EBADMSG; @ret is untouched on failure.
 */
int driver_module_version_parse(const char *text, char ret[DRIVER_VERSION_MAX]);

#endif
