/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_REVIVE_H
#define NVFS_FS_REVIVE_H

struct daemon;

/**
 * revive_generations() - open the files of the daemon's generations again
 *
 * For those that neither the kernel nor a keeper holds any more. A file that is
 * not the same one by now (device, inode, size, time of change) is not opened:
 * what has been unlinked meanwhile cannot come back, which is logged. Its
 * generation is damaged then: trees leave it as soon as there is another one.
 */
void revive_generations(struct daemon *daemon);

#endif
