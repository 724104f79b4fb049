/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_COMPOSE_H
#define NVFS_FS_COMPOSE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compat_verdict;
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
	const struct compat_verdict *compat; /* of the image's libraries; NULL for none */
	const char *compat_mode;	     /* its word, for the manifest */
	bool mig_config, mig_monitor; /* divide, watch the GPUs selected */
	bool imex_mgmt;               /* the capability fabric-imex-mgmt */
};

/**
 * compose_tree() - put the tree's layout into the store
 *
 * A name that compat links to the image is the image's: lib64 has that link, and no
 * library of the driver of that soname. Both ways to find a library lead there, by the
 * cache and by an LD_LIBRARY_PATH that names the tree, and so does a later ldconfig(8);
 * and another driver takes nothing but other links.
 *
 * @store: the caller holds its write lock
 * @ret:   index of the layout, with one reference that is the caller's
 * @err:   message chain, may be NULL
 *
 * Return: 0, -ENOMEM, -ENOSPC (more nodes than a tree can have) or -ERANGE
 * (ERROR_DEVICE: graphics on a GPU that EGL cannot be told of).
 */
int compose_tree(struct store *store, const struct generation *generation,
		 const struct compose_spec *spec, uint32_t *ret, struct error *err);

/**
 * compose_cache_entries() - the driver's entries for a container's ld.so.cache
 * @target:  where the tree is in the container: "/usr/local/nvidia"
 * @compat:  its names are in the tree too, and so in the cache; NULL for none
 * @ret:     new array; the caller frees it with compose_cache_entries_free()
 * @ret_n:   entries; each library has one for its soname, one for its ".so" name, some an alias
 *
 * Return: 0 or -ENOMEM.
 */
int compose_cache_entries(const struct generation *generation, unsigned int caps,
			  const char *target, const struct compat_verdict *compat,
			  struct ldcache_add **ret, size_t *ret_n);
void compose_cache_entries_free(struct ldcache_add *entries, size_t n);

/**
 * compose_cache() - the merged ld.so.cache that a layout of the store holds
 *
 * The image's entries and the driver's; merged once more, the driver's are replaced.
 * Return: the store's bytes, or NULL.
 */
const char *compose_cache(const struct store *store, uint32_t layout, size_t *ret_size);

/**
 * compose_compat() - what became of the image's libraries for CUDA forward compatibility
 *
 * {"mode", "why", "libraries"}, as the manifest of a layout of the store has it.
 * Return: new JSON, or NULL where it has none.
 */
json_t *compose_compat(const struct store *store, uint32_t layout);

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
