/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_STATEFILE_H
#define NVFS_FS_STATEFILE_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/*
 * The file that the state lies in: "state", beside the control socket, on a
 * tmpfs. Who has it open for serving holds a lock on it (flock(2)), which goes
 * with the last process that inherited it. A file without such a process is
 * what a daemon has left that was killed, with its keeper.
 *
 * Its directory is root's alone, and so is the file: no link is followed, and
 * one that others could have written is refused.
 */

#define STATEFILE_NAME "state"

/** statefile_path() - where the state of this socket lies; 0 or -ENAMETOOLONG */
int statefile_path(const char *socket, char *buf, size_t size);

/**
 * statefile_open() - open and lock the state, or make it
 * @socket:   path of the control socket; its directory is made (0755)
 * @ret_left: it holds what a killed daemon served, and can be read; else it is empty
 * @err:      names the file, what is wrong and the remedy
 *
 * A state from before the machine's last start is of no use: it is emptied.
 *
 * Return: the descriptor, locked; -EBUSY (somebody serves from it), -EPERM
 * (directory or file could be changed by others), -EPROTO (another layout),
 * -EBADMSG (no state), or the errno of open(2).
 */
int statefile_open(const char *socket, bool *ret_left, struct error *err);

/**
 * statefile_look() - open a state for reading, if it is one that can be trusted
 *
 * Neither made nor locked nor changed. Return: a descriptor, or a negative errno.
 */
int statefile_look(const char *socket);

/** statefile_remove() - nothing is left to go on with; the caller holds the lock */
void statefile_remove(const char *socket);

#endif
