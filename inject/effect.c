/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each effect stands beside its undo. An effect is recorded before it is done,
 * and struck off when it fails: a process killed between the two leaves a
 * record too many, whose undo finds nothing, and never one too few.
 *
 * umount2(2) knows no descriptors. It gets one name without a slash, with the
 * directory as the working directory, after a check that it is our mount which
 * stands there; whoever wins a race against that check is root in the
 * container, and unmounts a mount of the container's own.
 */
#include "inject/effect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/effect_impl.h"
#include "inject/name.h"

struct effect *effect_begin(struct effects *effects, enum effect_kind kind, int dirfd,
			    const char *name, int *ret_err)
{
	struct effect *effect = &effects->list[effects->n];
	size_t len = strlen(name);

	if (effects->fail_at && ++effects->begun == effects->fail_at)
		*ret_err = -EIO;
	else if (effects->n == EFFECTS_MAX)
		*ret_err = -ENOBUFS;
	else if (len == 0 || len > NAME_MAX || strchr(name, '/'))
		*ret_err = -EINVAL;
	else
		*ret_err = 0;
	if (*ret_err < 0)
		return NULL;
	effect->kind = kind;
	effect->fd = effect->old = -1;
	effect->to = NULL;
	effect->was = NULL;
	memcpy(effect->name, name, len + 1);
	effect->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (effect->dirfd < 0) {
		*ret_err = -errno;
		return NULL;
	}
	effects->n++;
	return effect;
}

static void effect_close(struct effect *effect)
{
	cleanup_close(&effect->dirfd);
	cleanup_close(&effect->fd);
	cleanup_close(&effect->old);
}

/* Returns @r, and strikes the last effect off where that is an error. */
int effect_end(struct effects *effects, int r)
{
	if (r < 0)
		effect_close(&effects->list[--effects->n]);
	return r;
}

static bool compare(int a, int b, bool *ret_same_mount)
{
	unsigned int mask = STATX_INO | STATX_MNT_ID;
	int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
	struct statx x, y;

	if (statx(a, "", flags, mask, &x) < 0 || statx(b, "", flags, mask, &y) < 0)
		return false;
	*ret_same_mount = x.stx_mnt_id == y.stx_mnt_id;
	return x.stx_ino == y.stx_ino && x.stx_dev_major == y.stx_dev_major &&
	       x.stx_dev_minor == y.stx_dev_minor;
}

static bool same_inode(int a, int b)
{
	bool same_mount;

	return compare(a, b, &same_mount);
}

bool effect_same_file(int a, int b)
{
	bool same_mount;

	return compare(a, b, &same_mount) && same_mount;
}

/* Is @name in the effect's directory what was made? The file, by whichever mount; or the very mount. */
bool effect_is_at(const struct effect *effect, const char *name)
{
	auto_close int now = openat(effect->dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (now < 0)
		return false;
	return effect->kind == EFFECT_MOUNT ? effect_same_file(now, effect->fd) :
					      same_inode(now, effect->fd);
}

bool effect_is_there(const struct effect *effect)
{
	return effect_is_at(effect, effect->name);
}

int effect_dir(struct effects *effects, int dirfd, const char *name, mode_t mode)
{
	int r, fd;
	struct effect *effect = effect_begin(effects, EFFECT_DIR, dirfd, name, &r);

	if (!effect)
		return r;
	r = name_make(effects->within, dirfd, name, S_IFDIR | mode, NULL, NULL);
	if (r < 0)
		return effect_end(effects, r);
	fd = sys_openat2(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, EFFECT_HERE);
	return fd; /* a failure leaves the directory recorded */
}

static int undo_dir(const struct effects *effects, const struct effect *effect)
{
	int r = name_unlink(effects->within, effect->dirfd, effect->name, AT_REMOVEDIR);

	/* Somebody may have begun to use it: then it is theirs. */
	return r == -ENOENT || r == -ENOTEMPTY || r == -ENOTDIR ? 0 : r;
}

/* What was made through the clone of a mount, as it lies on the mount itself. */
static int open_made(int dirfd, const char *name, int made)
{
	auto_close int fd = sys_openat2(dirfd, name, O_PATH | O_NOFOLLOW, 0, EFFECT_HERE);

	if (fd < 0)
		return fd;
	return same_inode(fd, made) ? take_fd(&fd) : -EEXIST;
}

int effect_file(struct effects *effects, int dirfd, const char *name)
{
	int r, fd;
	struct effect *effect = effect_begin(effects, EFFECT_FILE, dirfd, name, &r);
	bool through;

	if (!effect)
		return r;
	effect->fd = name_make(effects->within, dirfd, name, S_IFREG | EFFECT_MOUNT_POINT_FILE,
			       NULL, &through);
	if (effect->fd < 0)
		return effect_end(effects, effect->fd);
	if (through)
		return open_made(dirfd, name, effect->fd);
	fd = fcntl(effect->fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

/* We were killed between making it and looking at it: it is known by its looks. */
bool effect_looks_like_ours(const struct effect *effect)
{
	auto_close int fd = -1;
	char to[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (effect->to) {
		n = readlinkat(effect->dirfd, effect->name, to, sizeof(to));
		return n >= 0 && (size_t)n == strlen(effect->to) &&
		       memcmp(to, effect->to, (size_t)n) == 0;
	}
	fd = sys_openat2(effect->dirfd, effect->name, O_PATH | O_NOFOLLOW, 0, EFFECT_HERE);
	return fd >= 0 && fstat(fd, &st) == 0 &&
	       st.st_mode == (S_IFREG | EFFECT_MOUNT_POINT_FILE) && st.st_size == 0;
}

static int undo_file(const struct effects *effects, const struct effect *effect)
{
	if (effect->kind == EFFECT_LINK && !effect->to) /* killed before anything was done */
		return 0;
	if (effect->fd < 0 ? !effect_looks_like_ours(effect) : !effect_is_there(effect))
		return 0;
	return name_unlink(effects->within, effect->dirfd, effect->name, 0);
}

int effect_link(struct effects *effects, int dirfd, const char *name, const char *to)
{
	int r;
	struct effect *effect = effect_begin(effects, EFFECT_LINK, dirfd, name, &r);

	if (!effect)
		return r;
	effect->to = to;
	r = name_make(effects->within, dirfd, name, S_IFLNK, to, NULL);
	if (r == 0)
		effect->fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return effect_end(effects, r);
}

int effect_unmount(int dirfd, const char *name)
{
	int r;

	if (fchdir(dirfd) < 0)
		return -errno;
	r = umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	return chdir("/") < 0 && r == 0 ? -errno : r;
}

int effect_mount(struct effects *effects, int dirfd, const char *name, int mount, int target)
{
	const struct sys_mount_attr private = { .propagation = MS_PRIVATE };
	int r;
	struct effect *effect = effect_begin(effects, EFFECT_MOUNT, dirfd, name, &r);

	if (!effect)
		return r;
	effect->fd = fcntl(mount, F_DUPFD_CLOEXEC, 3);
	if (effect->fd < 0)
		return effect_end(effects, -errno);
	r = sys_move_mount(mount, "", target, "",
			   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	if (r < 0)
		return effect_end(effects, r);
	/*
	 * On a mount that is shared it has become so too: what is mounted on it would appear
	 * elsewhere.
	 */
	r = sys_mount_setattr(mount, "", AT_EMPTY_PATH, &private);
	if (r < 0)
		(void)effect_unmount(dirfd, name);
	return effect_end(effects, r);
}

static int undo_mount(const struct effect *effect)
{
	return effect_is_there(effect) ? effect_unmount(effect->dirfd, effect->name) : 0;
}

int effect_take(struct effects *effects, int dirfd, const char *name)
{
	int r;
	struct effect *effect = effect_begin(effects, EFFECT_TAKE, dirfd, name, &r);

	if (!effect)
		return r;
	effect->fd = sys_open_tree(dirfd, name, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
	return effect_end(effects, effect->fd < 0 ? effect->fd : effect_unmount(dirfd, name));
}

/*
 * On whatever is there now: the file below it, unless we were killed before it was taken away. A
 * mount of what has been unlinked meanwhile is beyond recall: move_mount(2) says ENOENT [6.18].
 */
static int undo_take(const struct effect *effect)
{
	auto_close int now = -1;
	int r;

	if (effect->fd < 0) /* ended before it was taken */
		return 0;
	now = openat(effect->dirfd, effect->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (now < 0)
		return -errno;
	if (same_inode(now, effect->fd))
		return 0;
	r = sys_move_mount(effect->fd, "", now, "",
			   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	return r == -ENOENT ? 0 : r;
}

static int effect_undo(const struct effects *effects, const struct effect *effect)
{
	switch (effect->kind) {
	case EFFECT_DIR:
		return undo_dir(effects, effect);
	case EFFECT_FILE:
	case EFFECT_LINK:
		return undo_file(effects, effect);
	case EFFECT_MOUNT:
		return undo_mount(effect);
	case EFFECT_TAKE:
		return undo_take(effect);
	case EFFECT_REPLACE:
		return effect_undo_replace(effects, effect);
	case EFFECT_RELINK:
		return effect_undo_relink(effects, effect);
	case EFFECT_ASIDE:
		return effect_undo_aside(effects, effect);
	}
	return -EINVAL;
}

int effects_undo(struct effects *effects, size_t keep, struct error *err)
{
	int first = 0;

	while (effects->n > keep) {
		struct effect *effect = &effects->list[effects->n - 1];
		int r = effect_undo(effects, effect);

		if (r < 0 && first == 0)
			first = error_set(err, r, "undo '%s'", effect->name);
		effects->n--; /* not before: who is ended meanwhile leaves it to be undone */
		effect_close(effect);
	}
	return first;
}

void effects_done(struct effects *effects)
{
	while (effects->n)
		effect_close(&effects->list[--effects->n]);
}
