/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_COMPAT_IMAGE_H
#define NVFS_NVML_COMPAT_IMAGE_H

/*
 * What an image has for forward compatibility, read from the block of
 * common/compatlist.h, and what becomes of it. Foreign bytes: called by a
 * confined process, in which nothing makes a system call beyond what malloc()
 * and free() need.
 */

#include <stddef.h>

#include "common/compatlist.h"
#include "nvml/compat.h"

struct error;

/* Zero-initialise; release with compat_image_done(). */
struct compat_image {
	struct compat_file files[COMPATLIST_NAMES_MAX];
	size_t n;
	char note[COMPATLIST_NOTE_MAX]; /* of libcuda; "" without */
	char *text; /* the strings of the files */
};

/**
 * compat_image_parse() - read a block
 * @ret: empty; stays so on failure
 * @err: message chain, may be NULL
 *
 * A libcuda that is no ELF file, or whose note cannot be read, has none.
 *
 * Return: 0, -EBADMSG (not of that form) or -ENOMEM.
 */
int compat_image_parse(const void *data, size_t len, struct compat_image *ret, struct error *err);
void compat_image_done(struct compat_image *image);

/**
 * compat_image_print() - the block again, with the note in place of libcuda's bytes
 *
 * Return: a new string that the caller frees, or NULL (out of memory).
 */
char *compat_image_print(const struct compat_image *image);

#endif
