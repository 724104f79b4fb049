/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_EFFECT_H
#define NVFS_INJECT_EFFECT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;
struct place_roots;

/*
 * The seven things that are ever done inside a container, each recorded with
 * what its undo needs. All act on one name in a directory that is held by
 * descriptor; none follows a link or resolves a path. They are called inside
 * the container's mount namespace.
 */

enum effect_kind {
	EFFECT_DIR,     /* mkdir */
	EFFECT_FILE,    /* an empty file of mode 0444, to mount over */
	EFFECT_LINK,    /* symlink */
	EFFECT_MOUNT,   /* attach a detached mount */
	EFFECT_TAKE,    /* take a mount away */
	EFFECT_REPLACE, /* rename a new file of mode 0644 into place */
	EFFECT_RELINK,  /* rename a symlink into the place of another, or of an empty file */
};

#define EFFECT_STALE_MAX 255

/* What a link of ours has replaced: so little that it can be told, and made again. */
struct effect_stale {
	mode_t mode;                   /* S_IFLNK; S_IFREG and permissions: an empty file; 0: nothing */
	char to[EFFECT_STALE_MAX + 1]; /* of a link: printable ASCII */
};

struct effect {
	enum effect_kind kind;
	int dirfd; /* owned */
	int fd;    /* owned: what was created or attached, or a clone of what was taken; -1 */
	int old;   /* owned, EFFECT_REPLACE: the file that was there; -1: none */
	const char *to; /* EFFECT_LINK, EFFECT_RELINK: borrowed */
	const struct effect_stale *stale; /* EFFECT_RELINK: borrowed */
	char name[NAME_MAX + 1];
};

#define EFFECTS_MAX 1280 /* two a step of a plan */

/* Zero-initialise. A fixed table, so that no change can fail to be recorded. */
struct effects {
	struct place_roots *within; /* borrowed; see name.h. NULL: what is mounted read-only stays so */
	struct effect list[EFFECTS_MAX];
	size_t n;
	size_t fail_at; /* for the tests: the so many'th effect fails with -EIO; 0: none */
	size_t begun;
};

/* Of what is made only to be mounted over. Nothing can be put there by mistake, and a later run knows it. */
#define EFFECT_MOUNT_POINT_DIR 0555
#define EFFECT_MOUNT_POINT_FILE 0444
/*
 * Of a directory that is made for what is put into it. The sticky bit does nothing in one that only
 * its owner writes to; no image has such a one, and so a later run knows it.
 */
#define EFFECT_OWN_DIR 01755

/** effect_dir() - make a directory; returns it as an O_PATH fd of the caller's, or -errno */
int effect_dir(struct effects *effects, int dirfd, const char *name, mode_t mode);

/** effect_file() - make an empty file to mount over; returns an fd of the caller's, or -errno */
int effect_file(struct effects *effects, int dirfd, const char *name);

/**
 * effect_link() - make a symbolic link
 * @to: borrowed until effects_done() or effects_undo()
 *
 * Return: 0, -EEXIST where anything stands, or another -errno.
 */
int effect_link(struct effects *effects, int dirfd, const char *name, const char *to);

/**
 * effect_stale() - is what stands at a name a link, or an empty file, that can be replaced?
 * @ret: what stands there, for effect_relink()
 *
 * Return: 0; -EMEDIUMTYPE (anything else, a mount, or a link that cannot be told) or another -errno.
 */
int effect_stale(int dirfd, const char *name, struct effect_stale *ret);

/**
 * effect_relink() - put a symbolic link in the place of what effect_stale() found there
 * @to, @stale: borrowed until effects_done() or effects_undo()
 */
int effect_relink(struct effects *effects, int dirfd, const char *name, const char *to,
		  const struct effect_stale *stale);

/** effect_unstale() - put back what effect_relink() has replaced; its undo, too, at a later time */
int effect_unstale(struct place_roots *within, int dirfd, const char *name, const struct effect_stale *stale);

/**
 * effect_mount() - attach a detached mount
 * @mount:  from open_tree(2); borrowed
 * @target: O_PATH fd of what is covered, which is @name in @dirfd
 */
int effect_mount(struct effects *effects, int dirfd, const char *name, int mount, int target);

/**
 * effect_take() - take away the mount on @name; its undo puts it back
 *
 * Not where what is mounted has been unlinked by then: nobody can mount that any more, and the
 * file below stays bare.
 *
 * Return: 0, -EINVAL where nothing is mounted there, or another -errno.
 */
int effect_take(struct effects *effects, int dirfd, const char *name);

/**
 * effect_replace() - put a file in place of @name, or where nothing is, atomically
 *
 * It is written under a name of ours first, which a run that was killed may have left; that is
 * removed. What stands there must be a regular file on the same mount: -ELOOP, -EXDEV
 * or -EMEDIUMTYPE tell otherwise, and nothing was done.
 */
int effect_replace(struct effects *effects, int dirfd, const char *name, const void *data,
		   size_t len);

/**
 * effects_undo() - take the effects from number @keep on back, in reverse
 *
 * Goes on after a failure; returns the first one. What somebody else has put
 * in our place since is left alone. Afterwards the table holds @keep effects.
 */
int effects_undo(struct effects *effects, size_t keep, struct error *err);

/** effects_done() - keep what was done: close the descriptors, empty the table */
void effects_done(struct effects *effects);

/** effect_unmount() - umount2(2) of what is on @name in @dirfd; changes the working directory */
int effect_unmount(int dirfd, const char *name);

/** effect_same_file() - do two descriptors mean the same inode of the same mount? */
bool effect_same_file(int a, int b);

#endif
