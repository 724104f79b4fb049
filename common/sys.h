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
#include <sys/ioctl.h>
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

/* linux/pidfd.h, 6.11 */
#ifndef PIDFD_GET_MNT_NAMESPACE
#define PIDFD_GET_MNT_NAMESPACE _IO(0xFF, 3)
#define PIDFD_GET_PID_NAMESPACE _IO(0xFF, 5)
#define PIDFD_GET_USER_NAMESPACE _IO(0xFF, 9)
#endif

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#ifndef STATMOUNT_SB_BASIC
#define STATMOUNT_SB_BASIC 1
#define STATMOUNT_MNT_ROOT 8
#endif
#ifndef LSMT_ROOT
#define LSMT_ROOT UINT64_MAX /* root of the mount namespace */
#endif

/* statmount(2): the beginning of struct statmount, as far as we read it */
struct sys_statmount {
	uint32_t size, spare;
	uint64_t mask; /* what was filled in */
	uint32_t sb_dev_major, sb_dev_minor;
	uint64_t sb_magic;
	uint32_t sb_flags, fs_type;
	uint64_t mnt_id, mnt_parent_id;
	uint32_t mnt_id_old, mnt_parent_id_old;
	uint64_t mnt_attr, mnt_propagation, mnt_peer_group, mnt_master, propagate_from;
	uint32_t mnt_root, mnt_point; /* offsets in text */
	uint8_t rest[400]; /* up to 512 bytes */
	char text[];
};

/** sys_statmount() - statmount(2), Linux 6.8; -ENOSYS before */
int sys_statmount(uint64_t mnt_id, uint64_t mask, struct sys_statmount *buf, size_t size);

/**
 * sys_statmount_in() - statmount(2) of a mount in another mount namespace, Linux 6.11
 * @ns_id: from sys_mnt_ns_id(); needs CAP_SYS_ADMIN there
 */
int sys_statmount_in(uint64_t ns_id, uint64_t mnt_id, uint64_t mask, struct sys_statmount *buf,
		     size_t size);

/**
 * sys_listmount_in() - listmount(2) in another mount namespace, Linux 6.11
 * @mnt_id: LSMT_ROOT for all
 * @last:   begin behind this one; 0: at the first
 *
 * Return: how many of @ids were filled in, or a negative errno.
 */
int sys_listmount_in(uint64_t ns_id, uint64_t mnt_id, uint64_t last, uint64_t *ids, size_t n);

/** sys_mnt_ns_id() - ioctl NS_GET_MNTNS_ID, Linux 6.11; -ENOTTY before */
int sys_mnt_ns_id(int ns_fd, uint64_t *ret);

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

/**
 * sys_peer_pidfd() - SO_PEERPIDFD of unix(7), Linux 6.5: a pidfd of who connected
 *
 * Unlike the number that SO_PEERCRED tells, it never stands for another process.
 *
 * Return: a descriptor that the caller closes; -ENOPROTOOPT before 6.5; -ESRCH or
 * another errno where that process has been reaped.
 */
int sys_peer_pidfd(int sock);

/** sys_pidfd_send_signal() - pidfd_send_signal(2), Linux 5.1; 0 tests for life */
int sys_pidfd_send_signal(int pidfd, int sig);

/** sys_pidfd_getfd() - pidfd_getfd(2), Linux 5.6: a duplicate of another process's descriptor */
int sys_pidfd_getfd(int pidfd, int fd, unsigned int flags);

/**
 * sys_pidfd_get_namespace() - ioctl PIDFD_GET_..._NAMESPACE, Linux 6.11
 *
 * Return: a namespace fd that the caller closes; -ENOTTY or -EINVAL on older kernels; -ESRCH where
 * the process has ended.
 */
int sys_pidfd_get_namespace(int pidfd, unsigned int which);

/** sys_pidfd_get_mnt_namespace() - the same for PIDFD_GET_MNT_NAMESPACE */
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
