/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_FILE_H
#define NVFS_COMMON_FILE_H

#include <stddef.h>
#include <sys/types.h>

struct error;

/**
 * file_read_fd() - read a file to its end into memory
 * @fd:      read from its present offset; stays the caller's
 * @max:     largest size accepted, in bytes
 * @ret:     new NUL-terminated buffer; the caller frees it
 * @ret_len: bytes without the NUL; may be NULL
 * @err:     message chain, may be NULL
 *
 * Return: 0, -EFBIG (more than @max), -ENOMEM or the errno of read(2).
 */
int file_read_fd(int fd, size_t max, char **ret, size_t *ret_len, struct error *err);

/**
 * file_read_at() - open a file and read it; for trusted trees such as /proc
 * @dirfd: directory or AT_FDCWD
 * @name:  path below it; symbolic links are followed
 *
 * Otherwise as file_read_fd(), and the errno of openat(2).
 */
int file_read_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len,
		 struct error *err);

/**
 * file_write_all() - write the whole buffer
 *
 * Return: 0 or the errno of write(2).
 */
int file_write_all(int fd, const void *buf, size_t len);

struct stat;

/**
 * file_replace_at() - give a file new content, at once and whole: who reads it sees the old one or the new one
 * @dirfd: open for reading
 * @name:  in that directory; need not be there
 * @like:  whose mode and owner it gets; NULL: 0644, and the caller's own
 *
 * What a run before has left under the name ".NAME.new" goes. The caller is the only one who writes there.
 *
 * Return: 0, -ENAMETOOLONG, or the errno of open(2), write(2), fchown(2) or rename(2): then nothing has changed.
 */
int file_replace_at(int dirfd, const char *name, const struct stat *like, const void *buf,
		    size_t len, struct error *err);

/**
 * file_replace_synced_at() - file_replace_at() for files that must outlive a power cut, and keep what they have
 * @like: descriptor of the file that is replaced: owner, mode and extended attributes (ACLs, SELinux's label) are
 *        taken over; -1: there is none, 0644
 *
 * Return: as file_replace_at(), and the errno of fsync(2) or fsetxattr(2).
 */
int file_replace_synced_at(int dirfd, const char *name, int like, const void *buf, size_t len,
			   struct error *err);

/**
 * file_memfd() - a memfd with this content, sealed against every change
 * @name: shown in /proc/PID/fd
 *
 * Return: the descriptor (the caller closes it), or a negative errno.
 */
int file_memfd(const char *name, const void *buf, size_t len);

/**
 * file_memfd_seal() - seal a memfd against every change
 *
 * Return: 0 or the errno of fcntl(2).
 */
int file_memfd_seal(int fd);

/**
 * file_memfd_sealed_size() - check that a foreign descriptor is a fully sealed memfd
 * @fd:  any descriptor, from anybody
 * @max: largest size accepted, in bytes
 *
 * Such a file cannot change, shrink or block under a reader.
 *
 * Return: its size, -EINVAL (not a memfd, or not sealed) or -EFBIG.
 */
ssize_t file_memfd_sealed_size(int fd, size_t max);

#endif
