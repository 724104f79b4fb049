/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_CHANGEOVER_H
#define NVFS_FS_CHANGEOVER_H

/*
 * From the driver that was to the one that is: files, trees, device nodes, and
 * the end of what nobody shows any more. When that is due is renewal.h's matter.
 *
 * Threads: the control thread's.
 */

#include <stdint.h>

#include "fs/generation.h"

struct daemon;
struct error;

/**
 * changeover_to() - make this generation the present one
 * @generation: from discovery, not recorded; taken over, also on failure
 * @change:     to what was before: with GENERATION_OTHER all trees get it, but pinned ones; with
 *              GENERATION_DEVICES those whose files are the same: what they show of GPUs and MIG
 *              devices then is what there is of those given, while nodes stay as they were given
 *
 * Where majors have moved, containers whose device nodes are of the majors
 * before are injected anew (reinject.h), whatever the change; and those that divide or watch GPUs
 * where there are others now, since they have all that is on them.
 *
 * Return: 0 or -ENOMEM.
 */
int changeover_to(struct daemon *daemon, struct generation *generation,
		  enum generation_change change, struct error *err);

/**
 * changeover_migs() - MIG devices have come or gone: a generation with those that there are
 *
 * Its files are the present one's; nothing is looked for on the disk. As changeover_to() with
 * GENERATION_DEVICES. The present generation is there and not damaged.
 *
 * Return: 0, or what mig_print_read() says, or -EBADMSG or -ENOMEM.
 */
int changeover_migs(struct daemon *daemon, struct error *err);

/**
 * changeover_told() - NVML has told of the present generation's MIG devices, where they stand
 *
 * What is remembered of them is forgotten, their capabilities are read anew, and trees that show MIG devices
 * follow as with GENERATION_DEVICES. Where capabilities have come or gone, what was planned and is not committed must be
 * planned again. The caller saves the generation.
 */
void changeover_told(struct daemon *daemon);

/** changeover_resume() - give the trees of a daemon that died in the middle of a change the rest of it */
void changeover_resume(struct daemon *daemon);

/** changeover_tick() - every two seconds: generations that no tree has had for the grace are closed */
void changeover_tick(struct daemon *daemon);

/**
 * changeover_back_file() - hand a file that the store has open to the kernel, or else to the keeper
 * @path: for messages
 */
void changeover_back_file(struct daemon *daemon, uint32_t object, const char *path);

/** changeover_trees_of() - how many trees show this generation now */
unsigned int changeover_trees_of(const struct daemon *daemon, const struct generation *generation);

#endif
