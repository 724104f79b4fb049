/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_FILESYSTEM_H
#define NVFS_FS_FILESYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/connection.h"

struct error;
struct store;

/*
 * A mounted superblock and the threads that serve it from a store.
 */

struct filesystem;

struct filesystem_options {
	const char *mountpoint;
	const char *selinux_context; /* for context=; NULL for none */
	unsigned int n_workers;
	struct features allowed; /* the kernel's features that may be used */
	bool overlay;            /* the host's files are on overlayfs */
};

/**
 * filesystem_mount() - mount a superblock and start its workers
 * @options: borrowed for the call
 * @fuse_fd: /dev/fuse, fresh; borrowed for the filesystem's life
 * @store:   what is served; borrowed likewise
 * @ret:     release with filesystem_free()
 * @err:     message chain; ERROR_MOUNT
 *
 * The mount point is made if its parent is there. Flags are ro, nosuid and
 * nodev; the superblock itself is read-only, so that no remount in a container
 * can write. Privilege: CAP_SYS_ADMIN. Source: mount(2), fuse(4), the kernel's
 * Documentation/filesystems/fuse.rst.
 *
 * Return: 0, -EBUSY (something is mounted there, or a dead daemon's mount),
 * -ENOTEMPTY, -ENOTDIR, or the errno of open(2) and mount(2).
 */
int filesystem_mount(const struct filesystem_options *options, int fuse_fd, struct store *store,
		     struct filesystem **ret, struct error *err);

/**
 * filesystem_resume() - go on with the superblock of a process that died
 *
 * @fuse_fd and @store are what it had; nothing is mounted. As above otherwise;
 * see connection_resume() for what happens to requests in flight.
 */
int filesystem_resume(const struct filesystem_options *options, int fuse_fd, struct store *store,
		      struct filesystem **ret, struct error *err);

/**
 * filesystem_features() - what is in use; after filesystem_mount(), which waits for the kernel's word
 */
const struct features *filesystem_features(const struct filesystem *fs);

/**
 * filesystem_backing_open() - let the kernel read a file by itself
 * @fd: a host's file, open for reading; the kernel keeps a reference of its own
 *
 * Return: the backing id, above 0; -EOPNOTSUPP where passthrough is not in use;
 * -ELOOP (a file on more layers of overlayfs than agreed), or another errno of
 * ioctl(2). The file is then served by reads.
 */
int filesystem_backing_open(const struct filesystem *fs, int fd);


/**
 * filesystem_free() - end the workers and release everything; NULL is fine
 *
 * Waits for the workers, which end when the connection does: after
 * filesystem_unmount(), or when nobody else holds a mount of the superblock.
 */
void filesystem_free(struct filesystem *fs);

/**
 * filesystem_unmount() - take the mount away
 * @force: also where mounts of it in containers are left: the connection is
 *         aborted and whoever still uses it gets ENOTCONN
 *
 * Where the mount is gone already, nothing is done.
 *
 * Return: 0 or the errno of umount2(2).
 */
int filesystem_unmount(struct filesystem *fs, int force, struct error *err);

/** filesystem_root() - O_PATH descriptor of the mount's root; the filesystem's own */
int filesystem_root(const struct filesystem *fs);

/**
 * filesystem_is_mounted() - is it the topmost mount of its mount point?
 *
 * No request goes to the filesystem.
 */
bool filesystem_is_mounted(const struct filesystem *fs);

/** filesystem_ended_fd() - becomes readable (poll(2)) when the connection has ended */
int filesystem_ended_fd(const struct filesystem *fs);

/**
 * filesystem_forget_name() - the kernel is to ask again for a name
 * @parent: nodeid of a directory
 *
 * The caller holds no lock of the store: the kernel may wait for a request
 * that is being served.
 */
void filesystem_forget_name(struct filesystem *fs, uint64_t parent, const char *name);

/** filesystem_forget_attr() - the kernel is to ask again for an inode's attributes; as above */
void filesystem_forget_attr(struct filesystem *fs, uint64_t nodeid);

/**
 * filesystem_is_known() - has the kernel an inode for it?
 *
 * One that is open or mapped it has; one that is neither while it keeps a name for it. Source:
 * FUSE_NOTIFY_INVAL_INODE, fuse_reverse_inval_inode() in fs/fuse/inode.c.
 */
bool filesystem_is_known(struct filesystem *fs, uint64_t nodeid);

/**
 * filesystem_forget_all() - the kernel is to ask again for every name, from this moment on
 *
 * The caller may hold the store's lock: the kernel only raises a number, which
 * it compares at the next use of a name. Attributes and listings of directories
 * that stay are not part of it.
 *
 * Return: 0, -EOPNOTSUPP (before Linux 6.16: name by name then) or the errno of write(2).
 */
int filesystem_forget_all(struct filesystem *fs);

/** filesystem_stalled() - host files whose reads do not come back: see hostread_stalled() */
size_t filesystem_stalled(const struct filesystem *fs, uint32_t *objects, size_t max);

#endif
