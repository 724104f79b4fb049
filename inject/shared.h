/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_SHARED_H
#define NVFS_INJECT_SHARED_H

#include <stddef.h>

/*
 * Memory that we and the child in the container both see, at one address: what the child did is
 * known however it ended, and what it is to do can be made while it is there already.
 */

/**
 * shared_new() - zeroed memory, shared with every child made later; NULL: out of memory
 *
 * It may be left to the end of the process: unmapping a page takes longer than most of what is done with it.
 */
void *shared_new(size_t size);

/** shared_clear() - all zero again, and what it took given back */
void shared_clear(void *memory, size_t size);

/** shared_free() - NULL is fine */
void shared_free(void *memory, size_t size);

#define SHARED_JSON_MAX (32UL << 20) /* bytes; a plan takes some tens of KiB */

/**
 * shared_json() - from now on all that jansson allocates is shared memory
 *
 * Nothing of it is given back before the process ends. Before the child is made, which
 * allocates none, and after seed_json(): parent and child must agree on a seed. It takes memory as it
 * is used, also of what may be committed, and addresses for SHARED_JSON_MAX bytes, or for fewer where
 * RLIMIT_AS leaves no more.
 *
 * Return: 0 or -ENOMEM.
 */
int shared_json(void);

/** shared_json_warm() - what a plan and a record take of it, had before it is asked for, while we wait for others */
void shared_json_warm(void);

#endif
