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
 * The eight things that are ever done inside a container, each recorded with
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
	EFFECT_RELINK,  /* rename a symlink into the place of another one of ours */
	EFFECT_ASIDE,   /* rename what is in the way of a link to a name beside */
};

struct effect {
	enum effect_kind kind;
	int dirfd; /* owned */
	int fd;    /* owned: what was created or attached, or a clone of what was taken; -1 */
	int old;   /* owned, EFFECT_REPLACE: the file that was there; -1: none */
	const char *to; /* EFFECT_LINK, EFFECT_RELINK: borrowed */
	const char *was; /* EFFECT_RELINK: where it led before; borrowed */
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
 * effect_aside() - put a link, or an empty file, out of the way of one of ours
 *
 * Under a name of ours beside it, in the place of what an earlier run has put there: so it keeps its owner,
 * mode and attributes, and a later run, of whatever container has this root then, finds it.
 *
 * Return: 0; -EMEDIUMTYPE (anything else, or a mount) or another -errno.
 */
int effect_aside(struct effects *effects, int dirfd, const char *name);

/** effect_has_aside() - has something been put aside for this name? */
bool effect_has_aside(int dirfd, const char *name);

/**
 * effect_put_back() - what effect_aside() put aside, in the place of what stands there; its undo, too, at a
 * later time
 *
 * Return: 0, -ENOENT where nothing was put aside, or another -errno.
 */
int effect_put_back(struct place_roots *within, int dirfd, const char *name);

/** effect_drop_aside() - what was put aside has nowhere to go back to; nothing is no error */
int effect_drop_aside(struct place_roots *within, int dirfd, const char *name);

/**
 * effect_relink() - let a link of ours lead elsewhere
 * @to, @was: where to, and where before; borrowed until effects_done() or effects_undo()
 */
int effect_relink(struct effects *effects, int dirfd, const char *name, const char *to,
		  const char *was);

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
