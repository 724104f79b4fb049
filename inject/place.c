/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of the plan become one directory descriptor and one name. Every later
 * check and change uses these two, so there is nothing to win by exchanging
 * directories and links meanwhile.
 */
#include "inject/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/effect.h"
#include "inject/mounted.h"

#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define TOP (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) /* a mount is passed, if it is the last step */
#define BELOW (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)
#define DIRECTORY (O_PATH | O_DIRECTORY)

/* Where the walk starts, and how far it may go. */
struct base {
	int fd;		  /* borrowed */
	uint64_t resolve; /* openat2(2) */
	const char *rest; /* of the path, without a leading slash */
	bool is_host;
};

void place_roots_done(struct place_roots *roots)
{
	cleanup_close(&roots->dev);
	cleanup_close(&roots->proc);
	cleanup_close(&roots->run);
	cleanup_close(&roots->writable);
	roots->dev = roots->proc = roots->run = roots->writable = -1;
}

void place_done(struct place *place)
{
	cleanup_close(&place->dirfd);
	place->dirfd = -1;
}

/* Does @fd lie on the host's filesystem @dev? */
static int is_of(int fd, dev_t dev, bool *ret)
{
	struct place_identity id = { 0 };
	int r = place_identify(fd, &id);

	if (r == 0)
		*ret = makedev(id.dev_major, id.dev_minor) == dev;
	return r;
}

static int open_dev(struct place_roots *roots, struct error *err)
{
	auto_close int fd = -1;
	uint32_t magic;
	int r;

	if (roots->dev >= 0)
		return roots->dev;
	r = fd = sys_openat2(roots->root, "dev", DIRECTORY, 0, TOP);
	r = r < 0 ? r : is_of(fd, roots->host_dev, &roots->dev_is_host);
	r = r < 0 ? r : mounted_magic(fd, &magic);
	if (r < 0)
		return error_set(err, r, "open '/dev' of the container");
	if (magic != TMPFS_MAGIC && magic != RAMFS_MAGIC && !roots->dev_is_host)
		return error_setc(err, ERROR_MOUNT, -EMEDIUMTYPE,
				  "'/dev' of the container is not a tmpfs");
	roots->dev = take_fd(&fd);
	return roots->dev;
}

static int open_proc(struct place_roots *roots, struct error *err)
{
	auto_close int fd = -1;
	uint32_t magic;
	int r;

	if (roots->proc >= 0)
		return roots->proc;
	r = fd = sys_openat2(roots->root, "proc", DIRECTORY, 0, TOP);
	r = r < 0 ? r : mounted_magic(fd, &magic);
	if (r < 0)
		return error_set(err, r, "open '/proc' of the container");
	if (magic != PROC_SUPER_MAGIC)
		return error_setc(err, ERROR_MOUNT, -EMEDIUMTYPE,
				  "'/proc' of the container is not procfs");
	roots->proc = take_fd(&fd);
	return roots->proc;
}

/* A directory of the root, or a mount: a tmpfs as a rule, the host's own by -v /run:/run. */
static int open_run(struct place_roots *roots, struct error *err)
{
	auto_close int fd = -1;
	struct place_identity id;
	uint32_t magic = TMPFS_MAGIC;
	bool is_host = false;
	int r;

	if (roots->run >= 0)
		return roots->run;
	r = fd = sys_openat2(roots->root, "run", DIRECTORY, 0, TOP);
	r = r < 0 ? r : place_identify(fd, &id);
	if (r == 0 && id.mount_root)
		r = is_of(fd, roots->host_run, &is_host);
	if (r == 0 && id.mount_root && !is_host)
		r = mounted_magic(fd, &magic);
	if (r < 0)
		return error_set(err, r, "open '/run' of the container");
	if (magic != TMPFS_MAGIC)
		return error_setc(err, ERROR_MOUNT, -EMEDIUMTYPE,
				  "'/run' of the container is not a tmpfs");
	roots->run_is_host = is_host;
	roots->run = take_fd(&fd);
	return roots->run;
}

static int find_base(struct place_roots *roots, const char *path, struct base *ret,
		     struct error *err)
{
	*ret = (struct base){ .resolve = BELOW };
	if (strncmp(path, "/dev/", 5) == 0) {
		ret->fd = open_dev(roots, err);
		ret->rest = path + 5;
		ret->is_host = roots->dev_is_host;
	} else if (strncmp(path, "/proc/", 6) == 0) {
		ret->fd = open_proc(roots, err);
		ret->rest = path + 6;
		ret->is_host = true; /* the kernel's, that is */
	} else if (strncmp(path, "/run/", 5) == 0) {
		ret->fd = open_run(roots, err);
		ret->rest = path + 5;
		ret->is_host = roots->run_is_host;
	} else {
		ret->fd = roots->root;
		ret->rest = path + 1;
		ret->resolve = IN_ROOT | RESOLVE_NO_XDEV;
	}
	return ret->fd < 0 ? ret->fd : 0;
}

static int open_below(const struct base *base, const char *rel)
{
	int fd;

	if (*rel)
		return sys_openat2(base->fd, rel, DIRECTORY, 0, base->resolve);
	fd = fcntl(base->fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

/* Cut the last component off @rel, return it: "a/b" becomes "a" and "b", "a" becomes "" and "a". */
static char *cut_last(char *rel)
{
	char *slash = strrchr(rel, '/');

	if (slash)
		*slash = '\0';
	return slash ? slash + 1 : rel;
}

/*
 * The deepest directory of @rel that is there, and below it those that are
 * missing, one by one. A dangling link is no missing directory: mkdirat() says EEXIST.
 */
static int make_dirs(const struct base *base, const char *rel, struct effects *effects,
		     unsigned int *ret_made)
{
	char prefix[PATH_MAX], missing[PATH_MAX] = "", *rest = missing + sizeof(missing) - 1;
	int fd = -ENOENT;

	*rest = '\0';
	memcpy(prefix, rel, strlen(rel) + 1);
	while (fd == -ENOENT && *prefix) {
		char *last = cut_last(prefix);
		size_t len = strlen(last);

		rest -= len + 1;
		memmove(rest, last, len + 1); /* NUL-separated, deepest last */
		if (last == prefix)
			*prefix = '\0';
		fd = open_below(base, prefix);
	}
	for (; fd >= 0 && *rest; rest += strlen(rest) + 1) {
		int next = effect_dir(effects, fd, rest, EFFECT_OWN_DIR);

		(void)close(fd);
		fd = next;
		*ret_made += next >= 0;
	}
	return fd;
}

int place_find(struct place_roots *roots, const char *path, struct effects *effects,
	       struct place *ret, struct error *err)
{
	char rel[PATH_MAX];
	struct base base;
	char *last;
	int r;

	if (*path != '/' || strlen(path) >= sizeof(rel))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.80s' is not an absolute path",
				  path);
	r = find_base(roots, path, &base, err);
	if (r < 0)
		return r;
	memcpy(rel, base.rest, strlen(base.rest) + 1);
	last = cut_last(rel);
	if (!*last || strlen(last) > NAME_MAX)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.80s' has no usable last name",
				  path);
	memcpy(ret->name, last, strlen(last) + 1);
	if (last == rel)
		*rel = '\0';
	ret->is_host = base.is_host;
	ret->dirfd = open_below(&base, rel);
	if (ret->dirfd == -ENOENT && effects && !base.is_host)
		ret->dirfd = make_dirs(&base, rel, effects, &ret->made);
	if (ret->dirfd >= 0)
		return 0;
	r = ret->dirfd;
	ret->dirfd = -1;
	return error_set(err, r, "open the directory of '%.100s'", path);
}

int place_identify(int fd, struct place_identity *ret)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW,
		  STATX_INO | STATX_TYPE | STATX_MODE, &x) < 0)
		return -errno;
	ret->ino = x.stx_ino;
	ret->dev_major = x.stx_dev_major;
	ret->dev_minor = x.stx_dev_minor;
	ret->rdev_major = x.stx_rdev_major;
	ret->rdev_minor = x.stx_rdev_minor;
	ret->mode = x.stx_mode;
	ret->mount_root = (x.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
	return 0;
}

bool place_is_same(const struct place_identity *a, const struct place_identity *b)
{
	return a->ino == b->ino && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}
