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

/* A file's directory, and its name there. Release with integrate_file_done(). */
struct integrate_file {
	int dir;	   /* -1: there is no such directory */
	char name[NAME_MAX + 1];
	char path[PATH_MAX]; /* as it is seen from within the root, links followed */
};

/**
 * integrate_file_open() - find a file
 * @root:   directory; "/" inside it is itself, also for links
 * @path:   absolute
 * @follow: links are followed where the last name is one
 * @ret:    filled on success
 *
 * The directory of the file is refused where somebody else than root, or the caller, may write to it: what is found
 * there may be exchanged at any moment. Those above it are not looked at.
 *
 * Return: 0 (also where the directory is not there), -ELOOP, -EPERM (ERROR_PERMISSION), -ENAMETOOLONG, or the errno
 * of openat2(2).
 */
int integrate_file_open(int root, const char *path, bool follow, struct integrate_file *ret,
			struct error *err);
void integrate_file_done(struct integrate_file *place);

/**
 * integrate_file_make_directories() - make the directories that are missing, mode 0755
 * @ret_made: the topmost that was made, as seen from within the root; "" for none
 */
int integrate_file_make_directories(int root, const char *path, char ret_made[PATH_MAX],
				    struct error *err);

/** integrate_file_remove_directories() - those above a path that are empty, up to and with @topmost */
void integrate_file_remove_directories(int root, const char *path, const char *topmost);

/**
 * integrate_file_read() - its content
 * @ret: new string, NULL where there is no such file
 *
 * Return: 0, -EINVAL (no regular file, or a NUL byte), -EFBIG (4 MiB), or the errno of open(2) or read(2).
 */
int integrate_file_read(const struct integrate_file *place, char **ret, struct error *err);

/** integrate_file_write() - replace it; owner, mode and extended attributes stay; @backup keeps it under NAME.nvfs-backup */
int integrate_file_write(const struct integrate_file *place, const char *text, bool backup,
			 struct error *err);

/** integrate_file_restore() - the backup in its place. Return: 0, -ENOENT (there is none), or the errno of rename(2) */
int integrate_file_restore(const struct integrate_file *place, struct error *err);

/** integrate_file_read_backup() - as integrate_file_read() */
int integrate_file_read_backup(const struct integrate_file *place, char **ret, struct error *err);

/** integrate_file_drop_backup() - it is no more needed */
void integrate_file_drop_backup(const struct integrate_file *place);

#endif
