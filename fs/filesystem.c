/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The superblock: mounting it, the FUSE session over a descriptor that we
 * opened ourselves, and the worker threads.
 *
 * /dev/fuse is opened and mounted here, and libfuse gets it by
 * fuse_session_custom_io(): the same way serves a first start and, with a
 * descriptor from elsewhere, a later process that goes on with the mount.
 */
#include "fs/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/kfuse.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/store.h"

#define FS_TYPE "fuse.nvfs"
#define WORKERS_MAX 16
#define INIT_TIMEOUT_MS 10000

struct filesystem {
	char *mountpoint;
	int fuse_fd;
	int root_fd;
	int ended_fd;
	struct fuse_session *session;
	struct ops_context context;
	pthread_t workers[WORKERS_MAX];
	unsigned int n_workers;
	bool mounted;
	/* INIT, the first exchange: written by the one worker that serves it, then read by all */
	struct features allowed, features;
	bool overlay;
	char init_request[256];
	size_t init_size;
	int ready_fd; /* eventfd: INIT has been answered */
	atomic_bool is_ready;
};

static struct filesystem *userdata_filesystem(void *userdata)
{
	return (struct filesystem *)((char *)userdata - offsetof(struct filesystem, context));
}

/*
 * The three hooks of fuse_session_custom_io(): what libfuse would do by itself,
 * but for INIT. The request is kept, for a later process that goes on with the
 * connection; the reply is completed with what libfuse does not know.
 */

static ssize_t io_read(int fd, void *buf, size_t size, void *userdata)
{
	struct filesystem *fs = userdata_filesystem(userdata);
	const struct kfuse_in_header *header = buf;
	ssize_t n = read(fd, buf, size);

	if (n >= (ssize_t)sizeof(*header) && header->opcode == KFUSE_INIT &&
	    (size_t)n <= sizeof(fs->init_request)) {
		memcpy(fs->init_request, buf, (size_t)n);
		fs->init_size = (size_t)n;
	}
	return n;
}

static bool is_init_reply(const struct filesystem *fs, const struct iovec *iov, int count)
{
	const struct kfuse_in_header *request = (const void *)fs->init_request;
	const struct kfuse_out_header *reply = iov[0].iov_base;

	return fs->init_size && count == 2 && iov[0].iov_len == sizeof(*reply) &&
	       reply->unique == request->unique && reply->error == 0;
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct filesystem *fs = userdata_filesystem(userdata);
	bool init = !atomic_load(&fs->is_ready) && is_init_reply(fs, iov, count);
	ssize_t n;

	if (init)
		features_negotiate(fs->init_request, fs->init_size, iov[1].iov_base, iov[1].iov_len,
				   &fs->allowed, fs->overlay, &fs->features);
	n = writev(fd, iov, count);
	if (init) {
		fs->context.passthrough = fs->features.passthrough;
		atomic_store(&fs->is_ready, true);
		(void)eventfd_write(fs->ready_fd, 1);
	}
	return n;
}

static ssize_t io_splice_send(int fd_in, off_t *off_in, int fd_out, off_t *off_out, size_t len,
			      unsigned int flags, void *userdata)
{
	(void)userdata;
	return splice(fd_in, off_in, fd_out, off_out, len, flags);
}

static int session_open(struct filesystem *fs, struct error *err)
{
	static const struct fuse_custom_io io = {
		.writev = io_writev,
		.read = io_read,
		.splice_send = io_splice_send,
	};
	char *argv[] = { (char[]){ "nvfs" }, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int r;

	fs->session = fuse_session_new(&args, ops_table(), sizeof(*ops_table()), &fs->context);
	fuse_opt_free_args(&args);
	if (!fs->session)
		return error_setc(err, ERROR_OTHER, -EINVAL, "libfuse refuses the session");
	r = fuse_session_custom_io(fs->session, &io, fs->fuse_fd);
	return r < 0 ? error_set(err, r, "hand /dev/fuse to libfuse") : 0;
}

static void *worker_main(void *data)
{
	struct filesystem *fs = data;
	struct fuse_buf buf = { 0 };

	(void)pthread_setname_np(pthread_self(), "nvfs-worker");
	while (!fuse_session_exited(fs->session)) {
		int r = fuse_session_receive_buf(fs->session, &buf);

		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		fuse_session_process_buf(fs->session, &buf);
	}
	free(buf.mem);
	(void)eventfd_write(fs->ended_fd, 1);
	return NULL;
}

static int workers_start(struct filesystem *fs, unsigned int n, struct error *err)
{
	sigset_t all, before;
	int r = 0;

	/* Signals are the control thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	while (fs->n_workers < n && fs->n_workers < WORKERS_MAX && r == 0) {
		r = -pthread_create(&fs->workers[fs->n_workers], NULL, worker_main, fs);
		if (r == 0)
			fs->n_workers++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r < 0 ? error_set(err, r, "start a worker thread") : 0;
}

static int mount_superblock(struct filesystem *fs, const char *selinux_context, struct error *err)
{
	char data[512];
	int n = snprintf(data, sizeof(data),
			 "fd=%d,rootmode=40711,user_id=0,group_id=0,allow_other,default_permissions%s%s%s",
			 fs->fuse_fd, selinux_context ? ",context=\"" : "",
			 selinux_context ? selinux_context : "", selinux_context ? "\"" : "");

	if (n < 0 || (size_t)n >= sizeof(data))
		return error_setc(err, ERROR_USAGE, -EINVAL, "selinux_context is too long");
	if (mount("nvfs", fs->mountpoint, FS_TYPE, MS_RDONLY | MS_NOSUID | MS_NODEV, data) < 0) {
		int r = error_set(err, -errno, "mount '%s'", fs->mountpoint);

		return error_classify(err, r, ERROR_MOUNT);
	}
	fs->mounted = true;
	fs->root_fd = open(fs->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fs->root_fd < 0 ? error_set(err, -errno, "open '%s'", fs->mountpoint) : 0;
}

/* Without passthrough the kernel reads through us: let it do so in large pieces. */
static void set_read_ahead(const struct filesystem *fs)
{
	char path[64];
	struct stat st;
	auto_close int fd = -1;

	if (fstat(fs->root_fd, &st) < 0)
		return;
	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev),
		       minor(st.st_dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "2048", 4) != 4)
		log_warning("%s: %s, ignoring", path, strerror(errno));
}

static int wait_until_ready(struct filesystem *fs, struct error *err)
{
	struct pollfd ready = { .fd = fs->ready_fd, .events = POLLIN };

	if (poll(&ready, 1, INIT_TIMEOUT_MS) != 1)
		return error_setc(err, ERROR_MOUNT, -ETIME, "the kernel did not answer on '/dev/fuse'");
	if (!fs->features.passthrough)
		set_read_ahead(fs);
	return 0;
}

static int filesystem_open(struct filesystem *fs, const struct filesystem_options *options,
			   struct error *err)
{
	int r;

	fs->mountpoint = strdup(options->mountpoint);
	fs->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fs->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fs->allowed = options->allowed;
	fs->overlay = options->overlay;
	if (!fs->mountpoint || fs->ended_fd < 0 || fs->ready_fd < 0)
		return error_set(err, -ENOMEM, "prepare the mount");
	r = mountpoint_prepare(fs->mountpoint, err);
	if (r < 0)
		return r;
	fs->fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fs->fuse_fd < 0) {
		r = error_set(err, -errno, "open '/dev/fuse'");
		return error_remedy(err, error_classify(err, r, ERROR_MOUNT), "modprobe fuse");
	}
	r = session_open(fs, err);
	if (r == 0)
		r = mount_superblock(fs, options->selinux_context, err);
	if (r == 0)
		r = workers_start(fs, options->n_workers, err);
	return r < 0 ? r : wait_until_ready(fs, err);
}

int filesystem_mount(const struct filesystem_options *options, struct store *store,
		     struct filesystem **ret, struct error *err)
{
	struct filesystem *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return error_set(err, -ENOMEM, "mount");
	fs->fuse_fd = fs->root_fd = fs->ended_fd = fs->ready_fd = -1;
	fs->context.store = store;
	r = filesystem_open(fs, options, err);
	if (r < 0) {
		if (fs->mounted)
			(void)filesystem_unmount(fs, 1, NULL);
		filesystem_free(fs);
		return r;
	}
	*ret = fs;
	return 0;
}

void filesystem_free(struct filesystem *fs)
{
	if (!fs)
		return;
	cleanup_close(&fs->root_fd); /* an open root would keep the connection */
	for (unsigned int i = 0; i < fs->n_workers; i++)
		(void)pthread_join(fs->workers[i], NULL);
	if (fs->session)
		fuse_session_destroy(fs->session); /* closes fuse_fd, where it was handed over */
	else
		cleanup_close(&fs->fuse_fd);
	cleanup_close(&fs->ended_fd);
	cleanup_close(&fs->ready_fd);
	free(fs->mountpoint);
	free(fs);
}

/* statx(2), Linux 5.8. No request goes to the filesystem, which may be dead. */
static uint64_t mount_id(int dirfd, const char *path)
{
	struct statx st = { 0 };

	(void)statx(dirfd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st);
	return st.stx_mnt_id;
}

int filesystem_unmount(struct filesystem *fs, int force, struct error *err)
{
	int r = 0;
	bool ours = fs->mounted && mount_id(fs->root_fd, "") == mount_id(AT_FDCWD, fs->mountpoint);

	cleanup_close(&fs->root_fd);
	fs->root_fd = -1;
	if (!ours)
		return 0; /* done before, or by somebody else: leave what is there */
	/* MNT_FORCE aborts a FUSE connection: fuse.rst, "Aborting a filesystem connection". */
	if (umount2(fs->mountpoint, force ? MNT_FORCE | MNT_DETACH : MNT_DETACH) < 0)
		r = error_set(err, -errno, "unmount '%s'", fs->mountpoint);
	if (r == 0)
		fs->mounted = false;
	return error_classify(err, r, ERROR_MOUNT);
}

const struct features *filesystem_features(const struct filesystem *fs)
{
	return &fs->features;
}

int filesystem_backing_open(const struct filesystem *fs, int fd)
{
	struct kfuse_backing_map map = { .fd = fd };
	int id;

	if (!fs->features.passthrough)
		return -EOPNOTSUPP;
	id = ioctl(fs->fuse_fd, KFUSE_DEV_IOC_BACKING_OPEN, &map);
	return id < 0 ? -errno : id;
}

void filesystem_backing_close(const struct filesystem *fs, int id)
{
	uint32_t number = (uint32_t)id;

	(void)ioctl(fs->fuse_fd, KFUSE_DEV_IOC_BACKING_CLOSE, &number);
}

int filesystem_root(const struct filesystem *fs)
{
	return fs->root_fd;
}

int filesystem_ended_fd(const struct filesystem *fs)
{
	return fs->ended_fd;
}

void filesystem_forget_name(struct filesystem *fs, uint64_t parent, const char *name)
{
	/* -ENOENT: the kernel does not have it, which is what we want */
	(void)fuse_lowlevel_notify_inval_entry(fs->session, parent, name, strlen(name));
}

void filesystem_forget_attr(struct filesystem *fs, uint64_t nodeid)
{
	(void)fuse_lowlevel_notify_inval_inode(fs->session, nodeid, 0, 0);
}

void filesystem_count(const struct filesystem *fs, struct filesystem_counts *ret)
{
	const struct ops_context *from = &fs->context;

	*ret = (struct filesystem_counts){
		.lookup = atomic_load(&from->lookup),
		.getattr = atomic_load(&from->getattr),
		.readlink = atomic_load(&from->readlink),
		.open = atomic_load(&from->open),
		.read = atomic_load(&from->read),
		.readdir = atomic_load(&from->readdir),
		.errors = atomic_load(&from->errors),
	};
}
