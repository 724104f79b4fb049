/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_MOUNTPOINT_H
#define NVFS_FS_MOUNTPOINT_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/**
 * mountpoint_prepare() - make sure that a mount can go there
 * @path: absolute; the last component is made (0755) where it is missing
 * @err:  ERROR_USAGE for a path that cannot serve, ERROR_MOUNT where something
 *        is mounted; a mount that a dead daemon has left is named as such
 *
 * Nothing is looked up in a mounted filesystem: a dead one would answer with
 * an error and a hung one not at all. What is mounted is read from
 * /proc/self/mountinfo (proc_pid_mountinfo(5)).
 *
 * Return: 0, -EINVAL, -ENOTDIR, -ENOTEMPTY, -EBUSY or the errno of mkdir(2).
 */
int mountpoint_prepare(const char *path, struct error *err);

/**
 * mountpoint_clear() - take away mounts of nvfs daemons that are dead
 *
 * Nothing else is touched: a mount whose daemon answers, or hangs, stays. A
 * child asks, so that the caller cannot hang; it has one thread.
 *
 * Return: how many were taken away, or a negative errno.
 */
int mountpoint_clear(const char *path, struct error *err);

/**
 * mountpoint_shows() - does a process with this mountinfo have the tree of this name?
 * @mountinfo: NUL-terminated; its filesystem may be dead
 */
bool mountpoint_shows(const char *mountinfo, const char *name);

/* One of nvfs's mounts, as the kernel tells of it. */
struct mountpoint_mount {
	char dev[24];    /* of the filesystem: "0:40"; one and the same for all that one daemon serves */
	char root[300];  /* what of it is mounted: "/ID" */
	char point[300]; /* where, in the process's view, with octal escapes; cut where it is longer */
};

/**
 * mountpoint_next() - the next mount of nvfs in the text of a mountinfo
 * @cursor: walks the text; NULL at its end
 *
 * Nothing is asked of the filesystem, which may be dead. Return: false where there is no other one.
 */
bool mountpoint_next(const char **cursor, struct mountpoint_mount *ret);

/**
 * mountpoint_find_type() - what is mounted on a path, from the text of mountinfo
 * @mountinfo: NUL-terminated
 * @ret:       filesystem type of the topmost mount, "" for none
 */
void mountpoint_find_type(const char *mountinfo, const char *path, char *ret, size_t size);

#endif
