/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_SYS_H
#define NVFS_COMMON_SYS_H

/*
 * System calls that glibc 2.34 has no wrapper for, and the constants that its
 * headers and Debian 12's kernel headers lack. One wrapper per call, in the
 * kernel's argument order; each returns >= 0 or a negative errno, never sets
 * errno. All descriptors are opened close-on-exec.
 */

#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#define MOVE_MOUNT_T_EMPTY_PATH 0x00000040
#endif
#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 0x00000001
#define MOUNT_ATTR_NOSUID 0x00000002
#define MOUNT_ATTR_NODEV 0x00000004
#define MOUNT_ATTR_NOEXEC 0x00000008
#endif

/* mount_setattr(2); layout of struct mount_attr, MOUNT_ATTR_SIZE_VER0 = 32 */
struct sys_mount_attr {
	uint64_t attr_set;
	uint64_t attr_clr;
	uint64_t propagation;
	uint64_t userns_fd;
};

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#ifndef STATMOUNT_SB_BASIC
#define STATMOUNT_SB_BASIC 1
#endif

/* statmount(2): the beginning of struct statmount, as far as we read it */
struct sys_statmount {
	uint32_t size, spare;
	uint64_t mask; /* what was filled in */
	uint32_t sb_dev_major, sb_dev_minor;
	uint64_t sb_magic;
	uint32_t sb_flags, fs_type;
	uint8_t rest[472]; /* up to 512 bytes */
};

/** sys_statmount() - statmount(2), Linux 6.8; -ENOSYS before */
int sys_statmount(uint64_t mnt_id, uint64_t mask, struct sys_statmount *buf, size_t size);

/** sys_openat2() - openat2(2), Linux 5.6; retries EAGAIN and EINTR at most 128 times */
int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

/** sys_open_tree() - open_tree(2), Linux 5.2 */
int sys_open_tree(int dirfd, const char *path, unsigned int flags);

/** sys_move_mount() - move_mount(2), Linux 5.2 */
int sys_move_mount(int from_dirfd, const char *from_path, int to_dirfd, const char *to_path,
		   unsigned int flags);

/** sys_mount_setattr() - mount_setattr(2), Linux 5.12; -ENOSYS before */
int sys_mount_setattr(int dirfd, const char *path, unsigned int flags,
		      const struct sys_mount_attr *attr);

/** sys_pidfd_open() - pidfd_open(2), Linux 5.3 */
int sys_pidfd_open(pid_t pid, unsigned int flags);

/** sys_pidfd_send_signal() - pidfd_send_signal(2), Linux 5.1; 0 tests for life */
int sys_pidfd_send_signal(int pidfd, int sig);

/** sys_pidfd_getfd() - pidfd_getfd(2), Linux 5.6: a duplicate of another process's descriptor */
int sys_pidfd_getfd(int pidfd, int fd, unsigned int flags);

/**
 * sys_pidfd_get_mnt_namespace() - ioctl PIDFD_GET_MNT_NAMESPACE, Linux 6.11
 *
 * Return: a namespace fd that the caller closes; -ENOTTY or -EINVAL on older kernels.
 */
int sys_pidfd_get_mnt_namespace(int pidfd);

/** sys_bpf() - bpf(2); @attr and @size as the kernel's union bpf_attr */
int sys_bpf(int cmd, void *attr, unsigned int size);

/**
 * sys_fork_sharing_files() - clone(2) with CLONE_FILES: a child with its own
 * memory and the parent's descriptor table
 * @ret_pidfd: set in the parent; the caller closes it
 *
 * Descriptors that the child opens are the parent's too. The child must leave
 * by _exit(). Single-threaded callers only.
 *
 * Return: 0 in the child, its pid in the parent, or a negative errno.
 */
pid_t sys_fork_sharing_files(int *ret_pidfd);

/** sys_close_range() - close_range(2), Linux 5.9 */
int sys_close_range(unsigned int first, unsigned int last, unsigned int flags);

#endif
