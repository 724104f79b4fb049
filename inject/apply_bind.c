/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that bind one thing of the host over nothing but an empty one: device nodes and sockets. */
#include "inject/apply_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/record.h"

#define HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

/* What a step is about to be bound over. */
struct point {
	struct place place;
	struct place_identity there; /* what stands there; mode 0: nothing */
	int fd; /* O_PATH: it; -1 */
};

#define POINT_EMPTY { .place = PLACE_EMPTY, .fd = -1 }

static void point_done(struct point *point)
{
	place_done(&point->place);
	cleanup_close(&point->fd);
	point->fd = -1;
}
#define auto_point __attribute__((cleanup(point_done)))

static int look(struct point *point)
{
	cleanup_close(&point->fd);
	point->there = (struct place_identity){ 0 };
	point->fd = openat(point->place.dirfd, point->place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (point->fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return place_identify(point->fd, &point->there);
}

static int find_point(struct apply *apply, const struct step *step, struct point *ret,
		      struct outcome *outcome, struct error *err)
{
	int r = apply_find(apply, step->target, true, &ret->place, outcome, err);

	if (r < 0)
		return r;
	r = place_identify(step->fd, &outcome->identity);
	if (r < 0)
		return error_set(err, r, "stat the source of '%s'", step->target);
	r = look(ret);
	return r < 0 ? error_set(err, r, "open '%s'", step->target) : 0;
}

/* Bind over what stands there, or over a new empty file or directory. */
static int bind_over(struct apply *apply, const struct step *step, struct point *point,
		     struct outcome *outcome, struct error *err)
{
	bool is_dir = S_ISDIR(outcome->identity.mode);
	mode_t ours = is_dir ? S_IFDIR | EFFECT_MOUNT_POINT_DIR : S_IFREG | EFFECT_MOUNT_POINT_FILE;
	const struct place *place = &point->place;
	int r;

	if (point->fd >= 0) {
		outcome->made = apply->adopt && !place->is_host && point->there.mode == ours;
	} else {
		point->fd = is_dir ? effect_dir(&apply->effects, place->dirfd, place->name,
						EFFECT_MOUNT_POINT_DIR)
				   : effect_file(&apply->effects, place->dirfd, place->name);
		outcome->made = point->fd >= 0;
	}
	if (point->fd < 0)
		return error_set(err, point->fd, "make '%s'", step->target);
	r = effect_mount(&apply->effects, place->dirfd, place->name, step->fd, point->fd);
	return r < 0 ? error_set(err, r, "bind '%s'", step->target)
		     : apply_note(outcome, "mounted", "");
}

/* device nodes */

static bool is_same_device(const struct place_identity *a, const struct place_identity *b)
{
	return S_ISCHR(a->mode) && a->rdev_major == b->rdev_major && a->rdev_minor == b->rdev_minor;
}

/* What is mounted and what the cgroup allows must be one and the same device. */
static int check_device(const struct step *step, struct error *err)
{
	struct place_identity node;
	int r = place_identify(step->fd, &node);

	if (r == 0 && S_ISCHR(node.mode) && node.rdev_major == step->major &&
	    node.rdev_minor == step->minor)
		return 0;
	return error_setc(err, ERROR_DEVICE, -ENODEV, "'%s' from the daemon is not device %u:%u",
			  step->target, step->major, step->minor);
}

/*
 * The node of a number of before, where the record has one: ours gives way, and what was below it
 * is looked at in its place; the container's own stays. Returns 1 where it does.
 */
static int take_before(struct apply *apply, const struct step *step, struct point *point,
		       struct outcome *outcome)
{
	const struct place_identity *there = &point->there;
	char why[96];
	int r;

	if (!step->before || point->fd < 0 || !S_ISCHR(there->mode))
		return 0;
	if (!record_is_mount(step->before, there)) {
		(void)snprintf(why, sizeof(why),
			       "the container's own node of %u:%u, the driver's is %u:%u now",
			       there->rdev_major, there->rdev_minor, step->major, step->minor);
		(void)apply_note(outcome, RECORD_LEFT, why);
		return 1;
	}
	cleanup_close(&point->fd); /* it would keep the mount busy */
	point->fd = -1;
	r = effect_take(&apply->effects, point->place.dirfd, point->place.name);
	return r < 0 ? r : look(point);
}

int apply_device(struct apply *apply, const struct step *step, struct outcome *outcome,
		 struct error *err)
{
	auto_point struct point point = POINT_EMPTY;
	const struct place_identity *there = &point.there;
	int r;

	if (step->permit_only)
		return apply_note(outcome, "omitted", "it was not asked for");
	r = check_device(step, err);
	r = r ? r : find_point(apply, step, &point, outcome, err);
	if (r < 0)
		return r;
	if (is_same_device(there, &outcome->identity)) {
		/* The very inode that the daemon binds; a runtime's own node is another. */
		outcome->made = (apply->adopt || step->before) && there->mount_root &&
				place_is_same(there, &outcome->identity);
		return apply_note(outcome, outcome->made ? "mounted" : "already", "");
	}
	r = take_before(apply, step, &point, outcome);
	if (r != 0)
		return r < 0 ? error_set(err, r, "take the node of before away from '%s'",
					 step->target)
			     : 0;
	if (point.fd >= 0 && (!S_ISREG(there->mode) || there->mount_root))
		return error_setc(err, ERROR_MOUNT, -EEXIST, "'%s' is there and is something else",
				  step->target);
	if (point.fd < 0 && point.place.is_host) {
		(void)error_setc(err, ERROR_DEVICE, -ENOENT,
				 "no '%s' in the host's /dev, which the container shows",
				 step->target);
		return error_remedy(err, -ENOENT, "make it on the host: nvidia-modprobe");
	}
	return bind_over(apply, step, &point, outcome, err);
}

/* sockets, and directories of them */

/* A bind that somebody else has made of the same thing is his; ours has all of these flags. */
static bool has_our_flags(int fd)
{
	const long flags = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
	struct statfs st;

	return fstatfs(fd, &st) == 0 && ((long)st.f_flags & flags) == flags;
}

/*
 * Our bind of a socket that is no more: its daemon was started anew, and has another one at the same
 * place. Only a filesystem that is the host's own is asked.
 */
static bool is_left_of_old_socket(const struct point *point, const struct place_identity *ours)
{
	struct stat st;

	return S_ISSOCK(point->there.mode) && point->there.mount_root && !point->place.is_host &&
	       point->there.dev_major == ours->dev_major &&
	       point->there.dev_minor == ours->dev_minor && has_our_flags(point->fd) &&
	       fstat(point->fd, &st) == 0 && st.st_nlink == 0;
}

static bool is_empty_dir(const struct place *place)
{
	int fd = sys_openat2(place->dirfd, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
			     HERE | RESOLVE_NO_XDEV);
	auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir && fd >= 0)
		(void)close(fd);
	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return false;
	}
	return dir != NULL;
}

/* Nothing, or an empty file or directory: what a mount would hide must not be anybody's. */
static bool is_free(const struct point *point, const struct place_identity *ours)
{
	struct stat st;

	if (point->fd < 0)
		return !point->place.is_host;
	if (point->there.mount_root)
		return false;
	if (S_ISDIR(ours->mode))
		return S_ISDIR(point->there.mode) && is_empty_dir(&point->place);
	return S_ISREG(point->there.mode) && fstat(point->fd, &st) == 0 && st.st_size == 0;
}

int apply_socket(struct apply *apply, const struct step *step, struct outcome *outcome,
		 struct error *err)
{
	auto_point struct point point = POINT_EMPTY;
	const struct place_identity *ours = &outcome->identity;
	int r = find_point(apply, step, &point, outcome, err);

	if (r < 0)
		return r;
	if (!S_ISSOCK(ours->mode) && !S_ISDIR(ours->mode))
		return error_setc(err, ERROR_DAEMON, -EBADMSG, "'%s' from the daemon is no socket",
				  step->target);
	if (is_left_of_old_socket(&point, ours) &&
	    effect_unmount(point.place.dirfd, point.place.name) == 0)
		r = look(&point);
	if (r < 0)
		return error_set(err, r, "open '%s'", step->target);
	if (point.fd >= 0 && place_is_same(&point.there, ours)) {
		outcome->made = apply->adopt && point.there.mount_root && has_our_flags(point.fd);
		return apply_note(outcome, outcome->made ? "mounted" : "already", "");
	}
	if (!is_free(&point, ours))
		return apply_note(outcome, "kept",
				  point.fd < 0 ? "the container shows the host's directory"
					       : "something else is there");
	return bind_over(apply, step, &point, outcome, err);
}
