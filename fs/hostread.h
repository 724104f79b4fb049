/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_HOSTREAD_H
#define NVFS_FS_HOSTREAD_H

/*
 * READ of the host's files, where the kernel does not read them by itself.
 *
 * What is in the host's page cache is answered at once. For anything else the
 * host's filesystem must be asked, and that may take long or for ever: such a
 * read waits in a thread of its own, so that the workers go on. A file has two
 * of these threads at most, the other reads of it stand in line behind them: a
 * file that does not answer costs others nothing, and however many files do so,
 * those that answer are served.
 *
 * A read that waits is in the store, as those are that workers are at: another
 * process can go on with it. No deaths are counted against it: it has been read
 * without harm, and while a disk is slow it meets with every kill -9.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct hostread;
struct ops_context;

/**
 * hostread_new() - no thread yet
 * @fuse_fd: where answers go; borrowed for ever
 * @context: its store is read; borrowed for ever
 *
 * There is no way to free it: its threads may never end.
 *
 * Return: 0 or -ENOMEM.
 */
int hostread_new(int fuse_fd, struct ops_context *context, struct hostread **ret,
		 struct error *err);

/**
 * hostread_serve() - answer a request now, or later
 * @request: of the kernel, header and all
 *
 * Threads: any.
 *
 * Return: false: it is no READ of a host's file, and nothing was done.
 */
bool hostread_serve(struct hostread *hostread, const void *request);

/**
 * hostread_resume() - what another process had not yet answered
 * @resent: the kernel gives these requests again: forget them
 */
void hostread_resume(struct hostread *hostread, bool resent);

/** hostread_stalled() - objects whose reads have waited for two seconds; returns how many of @max */
size_t hostread_stalled(struct hostread *hostread, uint32_t *objects, size_t max);

#endif
