/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The superblock in the mount namespace of the host: mounting it over a
 * descriptor that somebody else keeps, and taking it away.
 */
#include "fs/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/kfuse.h"
#include "fs/mountpoint.h"

#define FS_TYPE "fuse.nvfs"

struct filesystem {
	char *mountpoint;
	int fuse_fd; /* the caller's */
	int root_fd;
	struct connection *connection;
	bool mounted;
};

static int mount_superblock(struct filesystem *fs, const char *selinux_context, struct error *err)
{
	char data[512];
	int n = snprintf(
		data, sizeof(data),
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
	return 0;
}

static int open_root(struct filesystem *fs, struct error *err)
{
	fs->root_fd = open(fs->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fs->root_fd < 0 ? error_set(err, -errno, "open '%s'", fs->mountpoint) : 0;
}

/* Without passthrough the kernel reads through us: let it do so in large pieces. */
static void set_read_ahead(const struct filesystem *fs)
{
	char path[64];
	struct stat st;
	auto_close int fd = -1;

	if (filesystem_features(fs)->passthrough || fstat(fs->root_fd, &st) < 0)
		return;
	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev),
		       minor(st.st_dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "2048", 4) != 4)
		log_warning("%s: %s, ignoring", path, strerror(errno));
}

static int filesystem_new(const struct filesystem_options *options, int fuse_fd,
			  struct store *store, struct filesystem **ret, struct error *err)
{
	struct filesystem *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return error_set(err, -ENOMEM, "prepare the mount");
	fs->root_fd = -1;
	fs->fuse_fd = fuse_fd;
	fs->mountpoint = strdup(options->mountpoint);
	r = fs->mountpoint ? connection_new(fuse_fd, store, &fs->connection, err) :
			     error_set(err, -ENOMEM, "prepare the mount");
	if (r < 0) {
		filesystem_free(fs);
		return r;
	}
	*ret = fs;
	return 0;
}

int filesystem_mount(const struct filesystem_options *options, int fuse_fd, struct store *store,
		     struct filesystem **ret, struct error *err)
{
	struct filesystem *fs = NULL;
	int r = filesystem_new(options, fuse_fd, store, &fs, err);

	if (r < 0)
		return r;
	r = mountpoint_prepare(fs->mountpoint, err);
	if (r == 0)
		r = mount_superblock(fs, options->selinux_context, err);
	if (r == 0)
		r = open_root(fs, err);
	if (r == 0)
		r = connection_start(fs->connection, options->n_workers, &options->allowed,
				     options->overlay, err);
	if (r < 0) {
		if (fs->mounted)
			(void)filesystem_unmount(fs, 1, NULL);
		filesystem_free(fs);
		return r;
	}
	set_read_ahead(fs);
	*ret = fs;
	return 0;
}

int filesystem_resume(const struct filesystem_options *options, int fuse_fd, struct store *store,
		      struct filesystem **ret, struct error *err)
{
	struct filesystem *fs = NULL;
	int r = filesystem_new(options, fuse_fd, store, &fs, err);

	if (r < 0)
		return r;
	fs->mounted = true;
	/* Workers first: opening the root may need an answer of theirs. */
	r = connection_resume(fs->connection, options->n_workers, &options->allowed, err);
	if (r == 0)
		r = open_root(fs, err);
	if (r < 0) {
		/* The workers wait for requests: only the end of the process ends them. */
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
	connection_free(fs->connection);
	free(fs->mountpoint);
	free(fs);
}

/* statx(2), Linux 5.8. No request goes to the filesystem, which may be dead. */
static uint64_t mount_id(int dirfd, const char *path)
{
	struct statx st = { 0 };

	(void)statx(dirfd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID,
		    &st);
	return st.stx_mnt_id;
}

bool filesystem_is_mounted(const struct filesystem *fs)
{
	return fs->mounted && mount_id(fs->root_fd, "") == mount_id(AT_FDCWD, fs->mountpoint);
}

int filesystem_unmount(struct filesystem *fs, int force, struct error *err)
{
	int r = 0;
	bool ours = filesystem_is_mounted(fs);

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

int filesystem_root(const struct filesystem *fs)
{
	return fs->root_fd;
}

const struct features *filesystem_features(const struct filesystem *fs)
{
	return connection_features(fs->connection);
}

int filesystem_backing_open(const struct filesystem *fs, int fd)
{
	struct kfuse_backing_map map = { .fd = fd };
	int id;

	if (!filesystem_features(fs)->passthrough)
		return -EOPNOTSUPP;
	id = ioctl(fs->fuse_fd, KFUSE_DEV_IOC_BACKING_OPEN, &map);
	return id < 0 ? -errno : id;
}

int filesystem_ended_fd(const struct filesystem *fs)
{
	return connection_ended_fd(fs->connection);
}

void filesystem_forget_name(struct filesystem *fs, uint64_t parent, const char *name)
{
	connection_forget_name(fs->connection, parent, name);
}

void filesystem_forget_attr(struct filesystem *fs, uint64_t nodeid)
{
	connection_forget_attr(fs->connection, nodeid);
}

bool filesystem_is_known(struct filesystem *fs, uint64_t nodeid)
{
	return connection_is_known(fs->connection, nodeid);
}

int filesystem_forget_all(struct filesystem *fs)
{
	return connection_forget_all(fs->connection);
}

size_t filesystem_stalled(const struct filesystem *fs, uint32_t *objects, size_t max)
{
	return connection_stalled(fs->connection, objects, max);
}
