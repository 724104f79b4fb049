/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE operations: take a request, ask tree.c under the store's read lock,
 * reply exactly once. No operation touches a host's filesystem: READ of a host
 * file, which does, is taken out before (hostread.h).
 *
 * Nothing changes under a nodeid, so the kernel may keep what it is told for a
 * day; what does change (a name below a directory) is invalidated by the
 * control thread. opendir and release are not served: ENOSYS lets the kernel
 * stop asking. fh is 0 always, nothing is kept for an open file.
 */
#include "fs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "fs/counters.h"
#include "fs/kfuse.h"
#include "fs/opens.h"
#include "fs/store.h"
#include "fs/tree.h"

#define TIMEOUT_S 86400.0 /* changes are pushed by invalidation */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	/* Contents never change under a nodeid: no need to look at mtime on every open. */
	conn->want &= ~(unsigned int)FUSE_CAP_AUTO_INVAL_DATA;
	conn->want |= conn->capable & (FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_READDIRPLUS |
				       FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS |
				       FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_ASYNC_READ |
				       FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static void entry_set(struct fuse_entry_param *entry, const struct tree_inode *inode)
{
	memset(entry, 0, sizeof(*entry));
	entry->ino = inode->nodeid;
	entry->attr = inode->st;
	entry->attr_timeout = TIMEOUT_S;
	entry->entry_timeout = TIMEOUT_S;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops_context *ctx = fuse_req_userdata(req);
	struct tree_inode inode = { 0 };
	struct fuse_entry_param entry;
	int r;

	store_read_lock(ctx->store);
	r = tree_lookup(ctx->store, parent, name, &inode);
	store_unlock(ctx->store);
	if (r < 0 && r != -ENOENT) {
		(void)fuse_reply_err(req, -r);
		return;
	}
	entry_set(&entry, &inode); /* nodeid 0: "not there", and that is kept too */
	(void)fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	struct ops_context *ctx = fuse_req_userdata(req);
	struct stat st;
	int r;

	(void)fi;
	store_read_lock(ctx->store);
	r = tree_getattr(ctx->store, nodeid, &st);
	store_unlock(ctx->store);
	if (r < 0)
		(void)fuse_reply_err(req, -r);
	else
		(void)fuse_reply_attr(req, &st, TIMEOUT_S);
}

static void op_readlink(fuse_req_t req, fuse_ino_t nodeid)
{
	struct ops_context *ctx = fuse_req_userdata(req);
	char target[PATH_MAX];
	int r;

	store_read_lock(ctx->store);
	r = tree_readlink(ctx->store, nodeid, target, sizeof(target));
	store_unlock(ctx->store);
	if (r < 0)
		(void)fuse_reply_err(req, -r);
	else
		(void)fuse_reply_readlink(req, target);
}

/* libfuse before 3.17 has no word for this reply. No other flag may stand beside PASSTHROUGH. */
static void reply_passthrough(fuse_req_t req, int32_t backing_id)
{
	struct kfuse_open_out out = { .open_flags = KFUSE_FOPEN_PASSTHROUGH | KFUSE_FOPEN_NOFLUSH,
				      .backing_id = backing_id };

	(void)fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

/*
 * Root of a container with CAP_SYS_ADMIN and no user namespace may remount the superblock read-write,
 * and modes hold nobody with CAP_DAC_OVERRIDE. With passthrough the kernel opens the host's file with
 * the flags of this open and our credentials (backing_file_open()): no other word than this one would
 * keep that root from writing to the driver.
 */
static bool open_is_reading(int flags)
{
	return (flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC);
}

static void op_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	struct ops_context *ctx = fuse_req_userdata(req);
	struct tree_file file = { .object = STORE_NONE };
	pid_t pid = fuse_req_ctx(req)->pid;
	int r = open_is_reading(fi->flags) ? 0 : -EROFS;

	store_read_lock(ctx->store);
	r = r ? r : tree_open(ctx->store, nodeid, &file);
	store_unlock(ctx->store);
	if (r < 0) {
		(void)fuse_reply_err(req, -r);
		return;
	}
	opens_count(ctx->store, pid); /* while it waits: afterwards it may have ended */
	/* An inode's way is chosen once, with its object: a mix of both is EIO. */
	if (ctx->passthrough && file.backing_id > 0) {
		counters_passthrough();
		reply_passthrough(req, file.backing_id);
	} else {
		fi->fh = 0;
		fi->keep_cache = 1; /* contents never change under a nodeid */
		fi->noflush = 1;
		(void)fuse_reply_open(req, fi);
	}
}

/* A text is copied: the store may give its memory away once the lock is gone. */
static void reply_text(fuse_req_t req, struct ops_context *ctx, const struct tree_file *file,
		       size_t size, off_t offset)
{
	size_t start = offset < 0 || (size_t)offset > file->size ? file->size : (size_t)offset;
	size_t len = file->size - start < size ? file->size - start : size;
	auto_free char *copy = malloc(len + 1);

	if (copy)
		memcpy(copy, file->text + start, len);
	store_unlock(ctx->store);
	if (!copy)
		(void)fuse_reply_err(req, ENOMEM);
	else
		(void)fuse_reply_buf(req, copy, len);
}

/* Texts alone: reads of host files do not come here, see hostread.h. */
static void op_read(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct ops_context *ctx = fuse_req_userdata(req);
	struct tree_file file;
	int r;

	(void)fi;
	store_read_lock(ctx->store);
	r = tree_open(ctx->store, nodeid, &file);
	if (r == 0 && file.text) {
		reply_text(req, ctx, &file, size, offset);
		return;
	}
	store_unlock(ctx->store);
	(void)fuse_reply_err(req, r < 0 ? -r : EIO);
}

static size_t add_dirent(fuse_req_t req, char *buf, size_t room, const struct tree_dirent *dirent,
			 bool plus)
{
	struct fuse_entry_param entry;

	if (!plus)
		return fuse_add_direntry(req, buf, room, dirent->name, &dirent->inode.st,
					 (off_t)dirent->next);
	entry_set(&entry, &dirent->inode);
	return fuse_add_direntry_plus(req, buf, room, dirent->name, &entry, (off_t)dirent->next);
}

static void readdir_common(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t offset, bool plus)
{
	struct ops_context *ctx = fuse_req_userdata(req);
	auto_free char *buf = malloc(size);
	struct tree_dirent dirent;
	size_t used = 0;
	int r = buf ? 1 : -ENOMEM;

	dirent.next = (uint64_t)offset;
	store_read_lock(ctx->store);
	while (r > 0) {
		size_t need;

		r = tree_readdir(ctx->store, nodeid, dirent.next, &dirent);
		if (r <= 0)
			break;
		need = add_dirent(req, buf + used, size - used, &dirent, plus);
		if (need > size - used)
			break;
		used += need;
	}
	store_unlock(ctx->store);
	if (r < 0)
		(void)fuse_reply_err(req, -r);
	else
		(void)fuse_reply_buf(req, buf, used);
}

static void op_readdir(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)fi;
	readdir_common(req, nodeid, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)fi;
	readdir_common(req, nodeid, size, offset, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t nodeid)
{
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = LAYOUT_NAME_MAX };

	(void)nodeid;
	(void)fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops *ops_table(void)
{
	/* Inodes are numbers in tables: FORGET has nothing to free. */
	static const struct fuse_lowlevel_ops ops = {
		.init = op_init,
		.lookup = op_lookup,
		.getattr = op_getattr,
		.readlink = op_readlink,
		.open = op_open,
		.read = op_read,
		.readdir = op_readdir,
		.readdirplus = op_readdirplus,
		.statfs = op_statfs,
	};

	return &ops;
}
