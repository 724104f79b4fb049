/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_IMAGECOMPAT_H
#define NVFS_INJECT_IMAGECOMPAT_H

struct error;

/**
 * imagecompat_read() - what the image has for CUDA forward compatibility, as a sealed memfd
 * @root: O_PATH descriptor of the container's root
 * @ret:  the memfd, in the form of common/compatlist.h, or -1 where the image has
 *        nothing of the kind; the caller closes it
 * @err:  message chain, may be NULL
 *
 * Names of /usr/local/cuda/compat, and both ends of its libcuda. Nothing is
 * understood here, and nothing is mounted from there. Links in the path are
 * followed inside the root; a file counts if it is regular and of the root's own
 * mount. Called under a time limit, as imagecache_read() is.
 *
 * Return: 0, -EFBIG (too many names), -EMEDIUMTYPE (libcuda is no regular file), -ENOMEM,
 * or the errno of openat2(2), read(2), sendfile(2) or memfd_create(2).
 */
int imagecompat_read(int root, int *ret, struct error *err);

#endif
