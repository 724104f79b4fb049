/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_ROOT_H
#define NVFS_NVML_DRIVER_ROOT_H

#include <dirent.h>
#include <sys/stat.h>

struct error;

/*
 * A driver root: every path is looked up as after a chroot(2) into it, by
 * openat2(2) RESOLVE_IN_ROOT, so that no link leads out.
 */
struct driver_root {
	int fd;     /* O_PATH */
	char *real; /* where it lies, without a final slash: "" for "/" */
	const struct driver_guard *guard; /* NULL for none; borrowed */
};

/*
 * Told of each path before its filesystem is asked anything, since that may
 * never answer: links first as they are named, then where they lead.
 */
struct driver_guard {
	/* 0, or a negative errno: the path is left out untouched, for that reason */
	int (*enter)(void *data, const char *path);
	void *data;
};

/** driver_guard_enter() - ask it; 0 where @guard is NULL */
int driver_guard_enter(const struct driver_guard *guard, const char *path);

/**
 * driver_root_open() - open a driver root
 * @ret: set on success, without a guard; the caller releases it with driver_root_done()
 *
 * Return: 0; -ENOTDIR (ERROR_USAGE: a file); the errno of open(2); -ENOMEM.
 */
int driver_root_open(const char *path, struct driver_root *ret, struct error *err);

/** driver_root_done() - close it; once, or on a zeroed one with fd -1 */
void driver_root_done(struct driver_root *root);

/**
 * driver_root_resolve() - the path below the root that links lead to
 * @path: below the root
 * @ret:  new string that starts with '/'; the caller frees it
 * @st:   of what lies there
 *
 * Nothing is opened for reading: no device or FIFO is touched.
 *
 * Return: 0, -ENOMEM, what the guard says, or the errno of openat2(2) (-ENOENT, -ELOOP, ...).
 */
int driver_root_resolve(const struct driver_root *root, const char *path, char **ret,
			struct stat *st);

/**
 * driver_root_open_file() - open a regular file for reading
 * @ret_path: resolved, as from driver_root_resolve()
 *
 * Return: a descriptor; -EINVAL (no regular file); otherwise as driver_root_resolve().
 */
int driver_root_open_file(const struct driver_root *root, const char *path, char **ret_path,
			  struct stat *st);

/**
 * driver_root_open_dir() - open a directory for listing
 * @ret: the caller closes it
 *
 * Return: 0, -ENOMEM, or the errno of openat2(2).
 */
int driver_root_open_dir(const struct driver_root *root, const char *path, DIR **ret);

#endif
