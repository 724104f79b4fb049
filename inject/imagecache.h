/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_IMAGECACHE_H
#define NVFS_INJECT_IMAGECACHE_H

struct error;

#define IMAGECACHE_PATH "etc/ld.so.cache"
#define IMAGECACHE_MAX (16 * 1024 * 1024) /* bytes */

/**
 * imagecache_read() - copy the container's ld.so.cache into a sealed memfd
 * @root: O_PATH descriptor of the container's root
 * @ret:  the memfd, or -1 where the container has no such file; the caller closes it
 * @err:  message chain, may be NULL
 *
 * The bytes are not looked at. The file is a stranger's: it is opened without
 * following a link at its end or leaving the root's mount, must be regular and
 * at most 16 MiB, and may still hang if the root itself is a FUSE mount, so
 * this is called under a time limit.
 *
 * Return: 0, -EINVAL (not a regular file), -EFBIG, or the errno of openat2(2) or sendfile(2).
 */
int imagecache_read(int root, int *ret, struct error *err);

#endif
