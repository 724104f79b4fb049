/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_COMPAT_VERDICT_H
#define NVFS_FS_COMPAT_VERDICT_H

/*
 * What the confined parser says of an image's libraries for CUDA forward
 * compatibility. It has read hostile bytes: its words are for that container
 * alone, and each is checked.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/compatlist.h"

struct driver;
struct error;

/* lib64/NAME in the tree is a link to /usr/local/cuda/compat/FILE in the container. */
struct compat_link {
	char name[COMPATLIST_NAME_MAX];
	char file[COMPATLIST_NAME_MAX];
};

/* Zero-initialise; release with compat_verdict_done(). */
struct compat_verdict {
	struct compat_link *links;
	size_t n;
	char why[120]; /* "" where the image has nothing of the kind, or it was not asked for */
	char *image;   /* what it has, for another verdict once the driver has changed; NULL for nothing */
};

/**
 * compat_verdict_parse() - the text of cachebox_choose()
 * @driver: for the sonames that the image has no link for: its libraries have the same
 * @ret:    untouched on failure
 * @err:    message chain, may be NULL
 *
 * Return: 0, -EBADMSG (not such a text) or -ENOMEM.
 */
int compat_verdict_parse(const char *text, const struct driver *driver, struct compat_verdict *ret,
			 struct error *err);
void compat_verdict_done(struct compat_verdict *verdict);

/** compat_verdict_has() - is this name one of the links? */
bool compat_verdict_has(const struct compat_verdict *verdict, const char *name);

#endif
