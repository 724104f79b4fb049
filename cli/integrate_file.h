/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_INTEGRATE_FILE_H
#define NVFS_CLI_INTEGRATE_FILE_H

#include <limits.h>
#include <stdbool.h>

struct error;

/*
 * Files of a client's configuration below a root directory: found without leaving it, read, replaced whole, and
 * put back. The file as it was stays beside the new one as NAME.nvfs-backup: the same inode, so that putting it back
 * gives the very file, with its times and labels.
 */

/* A file's directory, and its name there. Release with place_done(). */
struct place {
	int dir;	   /* -1: there is no such directory */
	char name[NAME_MAX + 1];
	char path[PATH_MAX]; /* as it is seen from within the root, links followed */
};

/**
 * place_open() - find a file
 * @root:   directory; "/" inside it is itself, also for links
 * @path:   absolute
 * @follow: links are followed where the last name is one
 * @ret:    filled on success
 *
 * A directory that somebody else than root, or the caller, may write to is refused: what is found there may be
 * exchanged at any moment.
 *
 * Return: 0 (also where the directory is not there), -ELOOP, -EPERM (ERROR_PERMISSION), -ENAMETOOLONG, or the errno
 * of openat2(2).
 */
int place_open(int root, const char *path, bool follow, struct place *ret, struct error *err);
void place_done(struct place *place);

/**
 * place_make_directories() - make the directories that are missing, mode 0755
 * @ret_made: the topmost that was made, as seen from within the root; "" for none
 */
int place_make_directories(int root, const char *path, char ret_made[PATH_MAX], struct error *err);

/** place_remove_directories() - those above a path that are empty, up to and with @topmost */
void place_remove_directories(int root, const char *path, const char *topmost);

/**
 * place_read() - its content
 * @ret: new string, NULL where there is no such file
 *
 * Return: 0, -EINVAL (no regular file, or a NUL byte), -EFBIG (4 MiB), or the errno of open(2) or read(2).
 */
int place_read(const struct place *place, char **ret, struct error *err);

/** place_write() - replace it; owner, mode and extended attributes stay; @backup keeps it under NAME.nvfs-backup */
int place_write(const struct place *place, const char *text, bool backup, struct error *err);

/** place_restore() - the backup in its place. Return: 0, -ENOENT (there is none), or the errno of rename(2) */
int place_restore(const struct place *place, struct error *err);

/** place_read_backup() - as place_read() */
int place_read_backup(const struct place *place, char **ret, struct error *err);

/** place_drop_backup() - it is no more needed */
void place_drop_backup(const struct place *place);

#endif
