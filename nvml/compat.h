/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_COMPAT_H
#define NVFS_NVML_COMPAT_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/*
 * CUDA forward compatibility: an image may bring a newer libcuda than the host's
 * driver has, in /usr/local/cuda/compat. Whether it goes before the host's is
 * decided here, from names and from the note that newer ones carry; nothing is
 * opened.
 *
 * With "mount" the existing tool also mounts files of a lower branch beside the
 * driver's. It is the highest version that ldconfig gives the soname to, so that
 * they are found by nobody who does not ask for that very version: here they are
 * left where they are.
 */
enum compat_mode {
	COMPAT_AUTO,	 /* by the note, or else by the branch */
	COMPAT_LDCONFIG, /* files of a higher branch than the driver's */
	COMPAT_MOUNT,	 /* the same */
	COMPAT_DISABLED,
};

#define COMPAT_MODE_DEFAULT "auto"
#define COMPAT_NOTE_OWNER "NVIDIA Corporation"
#define COMPAT_NOTE_TYPE 0

/* What is known of the host; "" for unknown. Strings are borrowed. */
struct compat_host {
	const char *driver; /* "535.261.03" */
	const char *cuda;   /* "12.2" */
	unsigned int brands; /* of the container's GPUs, as far as known: compat_brand_bit() */
};

/* A name of the image's compat directory. Strings are borrowed. */
struct compat_file {
	const char *name; /* "libcuda.so.550.54.15" */
	const char *link; /* the name in the same directory that it leads to; NULL for a file */
	const char *note; /* text of its note, see elf_note(); NULL without. Of libcuda's alone it
			     counts */
	bool chosen;	  /* set by compat_choose() */
};

/**
 * compat_mode_parse() - "auto", "ldconfig", "mount", "disabled"
 *
 * Return: 0, or -EINVAL (ERROR_USAGE, in the existing tool's words).
 */
int compat_mode_parse(const char *word, enum compat_mode *ret, struct error *err);

/** compat_mode_name() - the word for a mode */
const char *compat_mode_name(enum compat_mode mode);

/**
 * compat_brand_bit() - 1 << number of a brand, as NVML counts them
 * @brand: as struct gpu has it: "Tesla"; "" for unknown
 *
 * Source: nvmlBrandType_t of nvml.h; libcuda's note has these numbers in "device".
 * Return: 0 for an unknown one.
 */
unsigned int compat_brand_bit(const char *brand);

/**
 * compat_choose() - which files go before the host's
 * @files: chosen is set in each
 * @why:   one line for a person; a static string
 *
 * Files called lib*.so.BRANCH... count; once one of them is chosen, those without a
 * version (libnvidia-nvvm70.so.4) are too, and every link to a chosen one. With
 * COMPAT_AUTO there must be one libcuda with a version, which decides for all: with a
 * note, the host's branch must be listed in it and the file must be newer than the
 * host's driver, or, where that is unknown, its CUDA newer than the host's; without a
 * note its branch must be higher. No GPU may be of a brand that is known and not among
 * the note's, or, without a note, not among those that a 580 lists: there libcuda says
 * "forward compatibility was attempted on non supported HW", where the driver's works.
 * Source: libnvidia-container, src/nvc_container.c; the toolkit's hook enable-cuda-compat;
 * libcuda.so.580.159.04; CUDA Compatibility, "Forward Compatibility".
 *
 * Return: number of names chosen, links included.
 */
size_t compat_choose(enum compat_mode mode, const struct compat_host *host,
		     struct compat_file *files, size_t n, const char **why);

#endif
