/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that has syscall(). The programs are built against glibc 2.36
 * or later and must run on 2.34, so a wrapper newer than that would make the
 * loader refuse them: such calls go through here.
 */
#include "common/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

#ifndef SYS_statmount
#define SYS_statmount 457
#endif

#ifndef SYS_listmount
#define SYS_listmount 458
#endif

#define NS_GET_MNTNS_ID _IOR(0xb7, 0x5, uint64_t) /* linux/nsfs.h, 6.11 */
#define PEERPIDFD 77 /* SO_PEERPIDFD of asm-generic/socket.h, 6.5 */
#define OPENAT2_RETRIES 128

static int ret(long r)
{
	return r < 0 ? -errno : (int)r;
}

/* openat2(2): EAGAIN when a rename or mount raced with RESOLVE_IN_ROOT */
int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	int r = -EAGAIN;

	for (int i = 0; i < OPENAT2_RETRIES && (r == -EAGAIN || r == -EINTR); i++)
		r = ret(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
	return r;
}

/* open_tree(2) */
int sys_open_tree(int dirfd, const char *path, unsigned int flags)
{
	return ret(syscall(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC));
}

/* move_mount(2) */
int sys_move_mount(int from_dirfd, const char *from_path, int to_dirfd, const char *to_path,
		   unsigned int flags)
{
	return ret(syscall(SYS_move_mount, from_dirfd, from_path, to_dirfd, to_path, flags));
}

/* statmount(2); layout of struct mnt_id_req, MNT_ID_REQ_SIZE_VER0 = 24 */
int sys_statmount(uint64_t mnt_id, uint64_t mask, struct sys_statmount *buf, size_t size)
{
	const struct {
		uint32_t size, spare;
		uint64_t mnt_id, param;
	} req = { .size = sizeof(req), .mnt_id = mnt_id, .param = mask };

	return ret(syscall(SYS_statmount, &req, buf, size, 0));
}

/* The same, MNT_ID_REQ_SIZE_VER1 = 32 */
struct request_in {
	uint32_t size, spare;
	uint64_t mnt_id, param, mnt_ns_id;
};

int sys_statmount_in(uint64_t ns_id, uint64_t mnt_id, uint64_t mask, struct sys_statmount *buf,
		     size_t size)
{
	const struct request_in req = {
		.size = sizeof(req), .mnt_id = mnt_id, .param = mask, .mnt_ns_id = ns_id
	};

	return ret(syscall(SYS_statmount, &req, buf, size, 0));
}

int sys_listmount_in(uint64_t ns_id, uint64_t mnt_id, uint64_t last, uint64_t *ids, size_t n)
{
	const struct request_in req = {
		.size = sizeof(req), .mnt_id = mnt_id, .param = last, .mnt_ns_id = ns_id
	};

	return ret(syscall(SYS_listmount, &req, ids, n, 0));
}

int sys_mnt_ns_id(int ns_fd, uint64_t *id)
{
	return ret(ioctl(ns_fd, NS_GET_MNTNS_ID, id));
}

/* mount_setattr(2) */
int sys_mount_setattr(int dirfd, const char *path, unsigned int flags,
		      const struct sys_mount_attr *attr)
{
	return ret(syscall(SYS_mount_setattr, dirfd, path, flags, attr, sizeof(*attr)));
}

/* pidfd_open(2) */
int sys_pidfd_open(pid_t pid, unsigned int flags)
{
	return ret(syscall(SYS_pidfd_open, pid, flags));
}

/* unix(7) */
int sys_peer_pidfd(int sock)
{
	int fd = -1;
	socklen_t size = sizeof(fd);

	return getsockopt(sock, SOL_SOCKET, PEERPIDFD, &fd, &size) < 0 ? -errno : fd;
}

/* pidfd_send_signal(2) */
int sys_pidfd_send_signal(int pidfd, int sig)
{
	return ret(syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0));
}

/* pidfd_getfd(2); the duplicate is close-on-exec always */
int sys_pidfd_getfd(int pidfd, int fd, unsigned int flags)
{
	return ret(syscall(SYS_pidfd_getfd, pidfd, fd, flags));
}

/* ioctl_pidfd(2) */
int sys_pidfd_get_namespace(int pidfd, unsigned int which)
{
	return ret(ioctl(pidfd, which, 0));
}

int sys_pidfd_get_mnt_namespace(int pidfd)
{
	return sys_pidfd_get_namespace(pidfd, PIDFD_GET_MNT_NAMESPACE);
}

/* bpf(2) */
int sys_bpf(int cmd, void *attr, unsigned int size)
{
	return ret(syscall(SYS_bpf, cmd, attr, size));
}

/* clone(2): with a NULL stack the child goes on here on a copy of the stack, as after fork(2) */
pid_t sys_fork_sharing_files(int *ret_pidfd)
{
	return ret(
		syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, 0));
}

/* close_range(2) */
int sys_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	return ret(syscall(SYS_close_range, first, last, flags));
}
