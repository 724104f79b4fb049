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
 */
enum compat_mode {
	COMPAT_AUTO,	 /* by the note, or else by the branch */
	COMPAT_LDCONFIG, /* files of a higher branch than the driver's */
	COMPAT_MOUNT,	 /* files of another branch, also of a lower one */
	COMPAT_DISABLED,
};

/* What is known of the host; "" for unknown. Strings are borrowed. */
struct compat_host {
	const char *driver; /* "535.261.03" */
	const char *cuda;   /* "12.2" */
};

/* A file of the image's compat directory. Strings are borrowed. */
struct compat_file {
	const char *name; /* "libcuda.so.550.54.15" */
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

/**
 * compat_choose() - which files go before the host's
 * @files: chosen is set in each
 * @why:   one line for a person; a static string
 *
 * Only files called lib*.so.BRANCH... count. With COMPAT_AUTO there must be one
 * libcuda with a version, which decides for all: with a note, the host's branch must
 * be listed in it and the file must be newer than the host's driver, or, where that is
 * unknown, its CUDA newer than the host's; without a note its branch must be higher.
 * Source: libnvidia-container, src/nvc_container.c; the toolkit's hook enable-cuda-compat.
 *
 * Return: number of files chosen.
 */
size_t compat_choose(enum compat_mode mode, const struct compat_host *host,
		     struct compat_file *files, size_t n, const char **why);

#endif
