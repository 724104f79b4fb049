/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_RECORD_H
#define NVFS_FS_RECORD_H

/* The record of what was done to a container, "done" of io.nvfs.Get: single steps of it. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct error;

#define RECORD_MAX (128 * 1024) /* bytes: a plan of 640 steps */

/** record_load() - a new reference, NULL where there is none */
json_t *record_load(const struct daemon *daemon, uint32_t tree);

/** record_step() - the first step of this name; borrowed, NULL where there is none */
json_t *record_step(const json_t *done, const char *name);

/**
 * record_of_user() - what root may act on, of a record that somebody else wrote
 *
 * Mounts of what is ours to give (this tree, the host's node of the same path, a socket at its
 * place), without the mount points that were made for them, and the cgroup's, of which only root
 * can tell. Any other mount may be the runtime's, which hides something from the container by it.
 * The rest are names of files: the container's root may be a directory of the host's, and those the
 * host's own.
 *
 * Return: a new array, NULL when memory is out.
 */
json_t *record_of_user(const struct daemon *daemon, uint32_t tree, const json_t *done);

/**
 * record_distrust() - of a tree's record nothing stays but record_of_user()
 *
 * Return: 0 or -ENOMEM.
 */
int record_distrust(struct daemon *daemon, uint32_t tree, struct error *err);

/**
 * record_put() - a step in the place of that of the same name, or as a last one
 * @step: the reference is taken over; NULL: out of memory
 *
 * Return: 0, -ENOMEM or -EFBIG (ERROR_USAGE).
 */
int record_put(struct daemon *daemon, uint32_t tree, json_t *step, struct error *err);

#endif
