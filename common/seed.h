/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_SEED_H
#define NVFS_COMMON_SEED_H

#include <stddef.h>

/**
 * seed_json() - choose the seed of jansson's hashes; once, before the first object and the first fork(2)
 *
 * Left alone, jansson chooses with the first object of each process. Two that share objects would
 * look each other's up by another hash, and find nothing.
 * Single-threaded.
 */
void seed_json(void);

/**
 * seed_random() - a number that others cannot foresee; never 0
 *
 * Early in the boot, when the kernel has none to give yet (getrandom(2), EAGAIN), it is from what the
 * kernel gave this program when it started it (getauxval(3), AT_RANDOM), and from the time.
 */
size_t seed_random(void);

#endif
