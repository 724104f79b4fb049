/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_TABLE_H
#define NVFS_NVML_DRIVER_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "nvml/driver.h"

/* How a row's files carry the driver's version, and whether they are offered. */
enum driver_row_flag {
	DRIVER_ROW_EXPECTED = 1 << 0,    /* a complete driver has it: say so when it is missing */
	DRIVER_ROW_ESSENTIAL = 1 << 1,   /* nothing works without it: its absence is a problem */
	DRIVER_ROW_UNVERSIONED = 1 << 2, /* a version of its own, or none, ends the file name */
	DRIVER_ROW_NEVER = 1 << 3,       /* known, and of no use in a container */
	DRIVER_ROW_VERSION_INSIDE = 1 << 4, /* the version is a part of the name: data */
};

struct driver_row {
	enum driver_file_kind kind;
	const char *name;   /* library, module: up to and with ".so"; program: whole; others: glob(7) */
	unsigned int caps;  /* enum driver_cap: whoever wants one of these gets the file */
	unsigned int flags; /* enum driver_row_flag */
	unsigned int since; /* first driver branch (535, 550, ...) that is expected to have it */
	const char *dir;    /* in the tree; NULL: the kind's own (see struct driver_file) */
};

/** driver_table() - all rows; static, never NULL */
const struct driver_row *driver_table(size_t *ret_n);

/**
 * driver_table_find() - the row for a file
 * @name: a file name: "libcuda.so.535.261.03", "nvidia-smi", "gsp_ga10x.bin"; borrowed
 *
 * Return: the row, or NULL for a name that the table does not know.
 */
const struct driver_row *driver_table_find(enum driver_file_kind kind, const char *name);

/** driver_row_matches() - is @name that of a file of this row? */
bool driver_row_matches(const struct driver_row *row, const char *name);

/**
 * driver_library_guess() - driver capabilities for a library that the table does not know
 * @name: its file name
 *
 * A new driver brings new libraries; a release of ours must not be needed for
 * each. Words in the name decide ("egl", "encode", ...); compute for the rest,
 * because that is what most containers ask for, and a library too many does no harm.
 *
 * Return: set of enum driver_cap, never 0.
 */
unsigned int driver_library_guess(const char *name);

#endif
