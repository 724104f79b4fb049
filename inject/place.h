/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_PLACE_H
#define NVFS_INJECT_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/owners.h"

struct effects;
struct error;

/*
 * Where a path of the plan lies in a container whose owner may be hostile.
 *
 * Below the root everything is resolved by openat2(2) within the root and
 * within its mount: links of the image lead to places in the image, a mount
 * that somebody else made there is never entered. /dev, /proc and /run are
 * mounts of their own; each is opened once, its filesystem is checked, and
 * below it neither links nor further mounts are passed.
 */
struct place_roots {
	int root;                 /* O_PATH; borrowed */
	int dev, proc, run;       /* opened when first needed; -1 */
	int writable;             /* a clone of the root's mount, writable.h; -1 */
	dev_t host_dev, host_run; /* st_dev of the host's /dev and /run */
	bool dev_is_host, run_is_host; /* nothing may be created there */
	struct owners owners; /* in whose directories something may be */
};

#define PLACE_ROOTS(rootfd) { .root = (rootfd), .dev = -1, .proc = -1, .run = -1, .writable = -1 }

void place_roots_done(struct place_roots *roots);

/* One name in a directory. Release with place_done(). */
struct place {
	int dirfd;               /* O_PATH; owned */
	char name[NAME_MAX + 1]; /* never empty, no slash */
	unsigned int made;       /* so many of the directories above it were created now */
	bool is_host;            /* the host's own directory, or procfs: create nothing */
};

#define PLACE_EMPTY { .dirfd = -1 }

void place_done(struct place *place);

/**
 * place_find() - find the directory that holds the last component of a path
 * @path:    absolute, from the plan
 * @effects: where missing directories are to be made, as EFFECT_OWN_DIR; NULL: not
 * @ret:     PLACE_EMPTY before
 *
 * Return: 0, -ENOENT, -EXDEV (behind a mount of somebody else's), -EEXIST (a
 * dangling link where a directory should be), -EROFS, -EMEDIUMTYPE (/dev or
 * /proc is not of its filesystem) or another errno of openat2(2) or mkdirat(2).
 */
int place_find(struct place_roots *roots, const char *path, struct effects *effects,
	       struct place *ret, struct error *err);

/* Who is at a place: enough to know our own mount again. */
struct place_identity {
	uint64_t ino;
	uint32_t dev_major, dev_minor;
	uint32_t rdev_major, rdev_minor;
	mode_t mode;
	bool mount_root; /* it is the root of a mount */
};

/**
 * place_identify() - without asking a filesystem that may not answer
 *
 * Return: 0 or the errno of statx(2).
 */
int place_identify(int fd, struct place_identity *ret);

/** place_is_same() - the same inode of the same filesystem */
bool place_is_same(const struct place_identity *a, const struct place_identity *b);

#endif
