/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_DERIVE_H
#define NVFS_FS_DERIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nvml/compat.h"

struct cachebox;
struct error;
struct generation;
struct gpu_selection;
struct store;

/*
 * From a request to a tree's layout and a merged ld.so.cache. An image's libraries for
 * CUDA forward compatibility are chosen on the way, if it wants libcuda at all. Containers of
 * one image ask the same again and again: the last answers are remembered, so
 * that only the first one pays for parsing, merging and composing.
 */

struct deriver;

struct derive_request {
	unsigned int caps;                     /* enum driver_cap, expanded */
	const struct gpu_selection *selection; /* NULL for all */
	const char *target;                    /* where the tree will be mounted */
	const void *image;                     /* the container's ld.so.cache, NULL without */
	size_t image_size;
	enum compat_mode compat_mode;
	const void *compat; /* common/compatlist.h, or what derived.compat said before; NULL without */
	size_t compat_size;
	bool mig_config, mig_monitor, imex_mgmt; /* see compose_spec */
};

/*
 * Larger caches of images are not looked at, and their containers get the
 * driver's entries alone. One with 700 libraries has 40 kB.
 */
#define DERIVE_IMAGE_MAX (2UL * 1024 * 1024)

struct derived {
	uint32_t layout; /* with one reference that is the caller's */
	int cache_fd;    /* sealed memfd of the merged cache; the deriver's, until the next call */
	char warning[160]; /* "" or why the merged cache has the driver's entries alone */
	const char *compat; /* for the request of another day; NULL without; the deriver's, as above */
	char compat_warning[160]; /* "" or why the image's libraries for compatibility did not count */
};

/** deriver_new() - @box is borrowed for the deriver's life; NULL merges nothing but the driver's entries */
struct deriver *deriver_new(struct store *store, struct cachebox *box);
void deriver_free(struct deriver *deriver);

/**
 * deriver_get() - layout and cache for a request
 * @ret: untouched on failure
 * @err: message chain, may be NULL
 *
 * An image's cache or list of libraries that cannot be parsed is a warning, not an error. The
 * caller does not hold the store's lock.
 *
 * Return: 0, -ENOMEM, -ENOSPC or the errno of memfd_create(2).
 */
int deriver_get(struct deriver *deriver, const struct generation *generation,
		const struct derive_request *request, struct derived *ret, struct error *err);

/** deriver_forget() - drop all that is remembered: the generation has changed */
void deriver_forget(struct deriver *deriver);

#endif
