/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_REVIVE_H
#define NVFS_FS_REVIVE_H

struct daemon;

/**
 * revive_generations() - open the files of the daemon's generations again
 *
 * For those that neither the kernel nor a keeper holds any more. A looker opens
 * them (look.h); one that does not answer for two seconds is left out, so that
 * this ends in time. A file that is not the same one by now (device, inode,
 * size, time of change) is not opened: what has been unlinked meanwhile cannot
 * come back, which is logged. A generation with files that are not open is
 * damaged: trees leave it as soon as there is another one, which has those
 * that only did not answer when they do.
 */
void revive_generations(struct daemon *daemon);

#endif
