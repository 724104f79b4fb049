/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_COMPOSE_H
#define NVFS_FS_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct generation;
struct gpu_selection;
struct ldcache_add;
struct store;

/*
 * What a container sees of a driver: generation + request -> tree. The tree is
 * a layout in the store; nothing is mounted or served here.
 */

struct compose_spec {
	unsigned int caps;                     /* enum driver_cap, expanded */
	const struct gpu_selection *selection; /* GPUs; NULL for all */
	const char *cache;                     /* merged ld.so.cache; NULL for none */
	size_t cache_size;
	bool mig_config, mig_monitor; /* divide, watch the GPUs selected */
	bool imex_mgmt;               /* the capability fabric-imex-mgmt */
};

/**
 * compose_tree() - put the tree's layout into the store
 * @store: the caller holds its write lock
 * @ret:   index of the layout, with one reference that is the caller's
 * @err:   message chain, may be NULL
 *
 * Return: 0, -ENOMEM or -ENOSPC (more nodes than a tree can have).
 */
int compose_tree(struct store *store, const struct generation *generation,
		 const struct compose_spec *spec, uint32_t *ret, struct error *err);

/**
 * compose_cache_entries() - the driver's entries for a container's ld.so.cache
 * @lib_dir: absolute directory in the container: "/usr/local/nvidia/lib64"
 * @ret:     new array; the caller frees it with compose_cache_entries_free()
 * @ret_n:   entries; each library has one for its soname and one for its ".so" name
 *
 * Return: 0 or -ENOMEM.
 */
int compose_cache_entries(const struct generation *generation, unsigned int caps,
			  const char *lib_dir, struct ldcache_add **ret, size_t *ret_n);
void compose_cache_entries_free(struct ldcache_add *entries, size_t n);

/**
 * compose_cache() - the merged ld.so.cache that a layout of the store holds
 *
 * The image's entries and the driver's; merged once more, the driver's are replaced.
 * Return: the store's bytes, or NULL.
 */
const char *compose_cache(const struct store *store, uint32_t layout, size_t *ret_size);

/**
 * compose_print() - a layout as text, with what its references mean
 *
 * Return: a new string that the caller frees, or NULL.
 */
char *compose_print(const struct store *store, uint32_t layout);

/**
 * compose_dev_name() - "libcuda.so" for "libcuda.so.535.261.03"
 *
 * Return: length of the part of @name that ends with ".so", or 0 where there is
 * nothing behind it.
 */
size_t compose_dev_name(const char *name);

#endif
