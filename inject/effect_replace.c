/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effects that take the place of what is there: a file, or a link, is made whole under a name of its own
 * beside it and renamed, so that the name leads to the one or the other at any moment. And what is put aside.
 */
#include "inject/effect_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "inject/name.h"
#include "inject/place.h"
#include "inject/regular.h"

#define OLD_FILE_MAX (64 * 1024 * 1024)

/*
 * The name under which a file is written before it takes its place. One for each, so that what a
 * killed run has left is found. Whoever else makes it is the container's root, and gains nothing.
 */
static void name_beside(const char *name, char ret[NAME_MAX + 1])
{
	(void)snprintf(ret, NAME_MAX + 1, ".nvfs-%.240s", name);
}

static int create_beside(struct place_roots *within, int dirfd, const char *temp, mode_t mode)
{
	int fd = name_make(within, dirfd, temp, S_IFREG | mode, NULL, NULL);

	if (fd != -EEXIST || name_unlink(within, dirfd, temp, 0) < 0)
		return fd;
	return name_make(within, dirfd, temp, S_IFREG | mode, NULL, NULL);
}

static int write_beside(struct place_roots *within, int dirfd, const char *temp, const void *data,
			size_t len, mode_t mode)
{
	int r, fd = create_beside(within, dirfd, temp, mode);

	if (fd < 0)
		return fd;
	r = file_write_all(fd, data, len);
	if (r == 0)
		return fd;
	(void)name_unlink(within, dirfd, temp, 0);
	(void)close(fd);
	return r;
}

static int rename_over(struct place_roots *within, int dirfd, const char *from, const char *to)
{
	int r = name_rename(within, dirfd, from, to);

	if (r < 0)
		(void)name_unlink(within, dirfd, from, 0);
	return r;
}

/* The file that stands there, to be kept for the undo: -1 for none. */
static int open_old(int dirfd, const char *name, int *ret)
{
	int fd = regular_open(dirfd, name, EFFECT_HERE);

	*ret = fd < 0 ? -1 : fd;
	return fd < 0 && fd != -ENOENT ? fd : 0;
}

int effect_replace(struct effects *effects, int dirfd, const char *name, const void *data,
		   size_t len)
{
	int r;
	struct effect *effect = effect_begin(effects, EFFECT_REPLACE, dirfd, name, &r);
	char temp[NAME_MAX + 1];

	if (!effect)
		return r;
	r = open_old(dirfd, name, &effect->old);
	if (r < 0)
		return effect_end(effects, r);
	name_beside(name, temp);
	r = effect->fd = write_beside(effects->within, dirfd, temp, data, len, 0644);
	return effect_end(effects, r < 0 ? r : rename_over(effects->within, dirfd, temp, name));
}

int effect_undo_replace(const struct effects *effects, const struct effect *effect)
{
	struct place_roots *within = effects->within;
	auto_free char *data = NULL;
	auto_close int fd = -1;
	struct stat st;
	size_t len = 0;
	char temp[NAME_MAX + 1];
	int r;

	name_beside(effect->name, temp);
	if (effect->fd < 0) { /* killed before it was whole */
		(void)name_unlink(within, effect->dirfd, temp, 0);
		return 0;
	}
	if (!effect_is_there(effect)) {
		if (effect_is_at(effect, temp)) /* killed before it took its place */
			(void)name_unlink(within, effect->dirfd, temp, 0);
		return 0;
	}
	if (effect->old < 0)
		return name_unlink(within, effect->dirfd, effect->name, 0);
	if (fstat(effect->old, &st) < 0 || lseek(effect->old, 0, SEEK_SET) < 0)
		return -errno;
	r = file_read_fd(effect->old, OLD_FILE_MAX, &data, &len, NULL);
	if (r < 0)
		return r;
	fd = write_beside(within, effect->dirfd, temp, data, len, st.st_mode & 0777);
	if (fd < 0)
		return fd;
	(void)futimens(fd, (const struct timespec[]){ st.st_atim, st.st_mtim });
	return rename_over(within, effect->dirfd, temp, effect->name);
}

/* Where what stood in the way of a link is kept. */
static void name_aside(const char *name, char ret[NAME_MAX + 1])
{
	(void)snprintf(ret, NAME_MAX + 1, ".nvfs-was-%.240s", name);
}

/* A link or an empty file, and no mount: an O_PATH fd, -EMEDIUMTYPE for anything else, or another errno. */
static int open_stale(int dirfd, const char *name)
{
	auto_close int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct place_identity id;
	struct stat st;
	int r;

	if (fd < 0)
		return -errno;
	r = place_identify(fd, &id);
	if (r < 0)
		return r;
	if (id.mount_root || (!S_ISLNK(id.mode) && !S_ISREG(id.mode)))
		return -EMEDIUMTYPE;
	if (S_ISREG(id.mode) && (fstat(fd, &st) < 0 || st.st_size != 0))
		return -EMEDIUMTYPE;
	return take_fd(&fd);
}

/* By something that was never put aside: the image's own, which stays. */
static bool is_occupied(int dirfd, const char *aside)
{
	auto_close int fd = open_stale(dirfd, aside);

	return fd < 0 && fd != -ENOENT;
}

int effect_aside(struct effects *effects, int dirfd, const char *name)
{
	int r;
	struct effect *effect = effect_begin(effects, EFFECT_ASIDE, dirfd, name, &r);
	char aside[NAME_MAX + 1];

	if (!effect)
		return r;
	name_aside(name, aside);
	r = effect->fd = open_stale(dirfd, name);
	if (r >= 0 && is_occupied(dirfd, aside))
		r = -EMEDIUMTYPE;
	return effect_end(effects, r < 0 ? r : name_rename(effects->within, dirfd, name, aside));
}

bool effect_has_aside(int dirfd, const char *name)
{
	auto_close int fd = -1;
	char aside[NAME_MAX + 1];

	name_aside(name, aside);
	fd = open_stale(dirfd, aside);
	return fd >= 0;
}

int effect_put_back(struct place_roots *within, int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];

	if (!effect_has_aside(dirfd, name))
		return -ENOENT;
	name_aside(name, aside);
	return name_rename(within, dirfd, aside, name);
}

int effect_drop_aside(struct place_roots *within, int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];

	name_aside(name, aside);
	return effect_has_aside(dirfd, name) ? name_unlink(within, dirfd, aside, 0) : 0;
}

/* Its place is free: our link went before. What somebody has put there since stays. */
int effect_undo_aside(const struct effects *effects, const struct effect *effect)
{
	auto_close int now = -1;
	char aside[NAME_MAX + 1];

	name_aside(effect->name, aside);
	if (effect->fd < 0 || !effect_is_at(effect, aside)) /* killed before it was moved */
		return 0;
	now = openat(effect->dirfd, effect->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return now < 0 ? name_rename(effects->within, effect->dirfd, aside, effect->name) : 0;
}

/* Under the name for what is to take another's place. */
static int link_beside(struct place_roots *within, int dirfd, const char *temp, const char *to)
{
	int r = name_make(within, dirfd, temp, S_IFLNK, to, NULL);

	if (r == -EEXIST && name_unlink(within, dirfd, temp, 0) == 0)
		r = name_make(within, dirfd, temp, S_IFLNK, to, NULL);
	return r;
}

int effect_relink(struct effects *effects, int dirfd, const char *name, const char *to,
		  const char *was)
{
	int r;
	struct effect *effect = effect_begin(effects, EFFECT_RELINK, dirfd, name, &r);
	char temp[NAME_MAX + 1];

	if (!effect)
		return r;
	effect->to = to;
	effect->was = was;
	name_beside(name, temp);
	r = link_beside(effects->within, dirfd, temp, to);
	if (r < 0)
		return effect_end(effects, r);
	effect->fd = openat(dirfd, temp, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return effect_end(effects, rename_over(effects->within, dirfd, temp, name));
}

int effect_undo_relink(const struct effects *effects, const struct effect *effect)
{
	struct place_roots *within = effects->within;
	char temp[NAME_MAX + 1];
	int r;

	if (!effect->to || !effect->was) /* killed before anything was done */
		return 0;
	name_beside(effect->name, temp);
	if (effect->fd >= 0 ? effect_is_there(effect) : effect_looks_like_ours(effect)) {
		r = link_beside(within, effect->dirfd, temp, effect->was);
		return r < 0 ? r : rename_over(within, effect->dirfd, temp, effect->name);
	}
	if (effect->fd < 0 || effect_is_at(effect, temp)) /* killed before it took its place */
		(void)name_unlink(within, effect->dirfd, temp, 0);
	return 0;
}
