/* SPDX-License-Identifier: Apache-2.0 */
/* Checks before a mount: the path, what is mounted on it, whose it is, and whether that one lives. */
#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

#define TYPE "fuse.nvfs"
#define ANSWER_MS 2000 /* who has not answered by then is not dead, but hangs */
#define MOUNTINFO_MAX (64UL * 1024 * 1024)

/* mountinfo writes space, tab, newline and backslash as octal escapes */
static bool escaped_equals(const char *escaped, size_t len, const char *path)
{
	size_t i = 0;

	for (; i < len && *path; path++) {
		unsigned char c = (unsigned char)escaped[i];

		if (c == '\\' && len - i >= 4) {
			c = (unsigned char)((escaped[i + 1] - '0') * 64 +
					    (escaped[i + 2] - '0') * 8 + (escaped[i + 3] - '0'));
			i += 3;
		}
		if (c != (unsigned char)*path)
			return false;
		i++;
	}
	return i == len && !*path;
}

/* "36 35 98:0 /root /mount/point opts - type source superopts": NULL where it is not there */
static const char *line_field(const char *line, const char *end, int skip)
{
	for (; skip > 0 && line; skip--) {
		line = memchr(line, ' ', (size_t)(end - line));
		line = line ? line + 1 : NULL;
	}
	return line;
}

/* field 5, and the one after " - " */
static void line_find_type(const char *line, const char *end, const char *path, char *ret,
			   size_t size)
{
	const char *field = line_field(line, end, 4), *type;

	if (!field || !escaped_equals(field, strcspn(field, " \n"), path))
		return;
	type = memmem(field, (size_t)(end - field), " - ", 3);
	if (type)
		(void)snprintf(ret, size, "%.*s", (int)strcspn(type + 3, " \n"), type + 3);
}

void mountpoint_find_type(const char *mountinfo, const char *path, char *ret, size_t size)
{
	ret[0] = '\0';
	for (const char *line = mountinfo; *line;) {
		const char *end = strchrnul(line, '\n');

		line_find_type(line, end, path, ret, size); /* later lines are mounted on top */
		line = *end ? end + 1 : end;
	}
}

/* field 4: what is mounted, as a path in its filesystem */
static bool line_shows(const char *line, const char *end, const char *name)
{
	const char *field = line_field(line, end, 3);

	return field && *field == '/' &&
	       escaped_equals(field + 1, strcspn(field + 1, " \n"), name) &&
	       memmem(field, (size_t)(end - field), " - " TYPE " ", strlen(" - " TYPE " "));
}

bool mountpoint_shows(const char *mountinfo, const char *name)
{
	for (const char *line = mountinfo; *line;) {
		const char *end = strchrnul(line, '\n');

		if (line_shows(line, end, name))
			return true;
		line = *end ? end + 1 : end;
	}
	return false;
}

/* field 3 to 5 of a line */
static bool line_read(const char *line, const char *end, struct mountpoint_mount *ret)
{
	const char *field = line_field(line, end, 2);

	return field &&
	       memmem(field, (size_t)(end - field), " - " TYPE " ", strlen(" - " TYPE " ")) &&
	       sscanf(field, "%23s %299s %299s", ret->dev, ret->root, ret->point) == 3;
}

bool mountpoint_next(const char **cursor, struct mountpoint_mount *ret)
{
	while (*cursor && **cursor) {
		const char *line = *cursor, *end = strchrnul(line, '\n');

		*cursor = *end ? end + 1 : NULL;
		if (line_read(line, end, ret))
			return true;
	}
	*cursor = NULL;
	return false;
}

static int find_type(const char *path, char *ret, size_t size, struct error *err)
{
	auto_free char *mountinfo = NULL;
	int r = file_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mountinfo, NULL,
			     err);

	if (r == 0)
		mountpoint_find_type(mountinfo, path, ret, size);
	return r;
}

/* In a child: exit status 0 says that the daemon is dead. */
static void ask_whether_dead(const char *path)
{
	struct statfs st;

	_exit(statfs(path, &st) < 0 && errno == ENOTCONN ? 0 : 1);
}

static bool is_dead(const char *path)
{
	int status = 0;
	pid_t pid = fork(), ended = 0;

	if (pid == 0)
		ask_whether_dead(path);
	for (int waited = 0; pid > 0 && ended == 0 && waited < ANSWER_MS; waited += 10) {
		ended = waitpid(pid, &status, WNOHANG);
		if (ended == 0)
			(void)usleep(10 * 1000);
	}
	if (pid > 0 && ended == 0) { /* it hangs, and may do so in spite of SIGKILL: nobody waits */
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, WNOHANG);
	}
	return ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int mountpoint_clear(const char *path, struct error *err)
{
	char type[64];

	for (int n = 0;; n++) {
		int r = find_type(path, type, sizeof(type), err);

		if (r < 0 || strcmp(type, TYPE) != 0 || !is_dead(path))
			return r < 0 ? r : n;
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
			r = error_set(err, -errno, "unmount '%s' of a dead daemon", path);
			return error_classify(err, r, ERROR_MOUNT);
		}
	}
}

static int check_not_mounted(const char *path, struct error *err)
{
	char type[64];
	int r = find_type(path, type, sizeof(type), err);

	if (r < 0)
		return r;
	if (!*type)
		return 0;
	if (strcmp(type, TYPE) == 0) {
		r = error_setc(err, ERROR_MOUNT, -EBUSY,
			       "'%s' is the mount of another nvfs daemon, which lives or hangs",
			       path);
		return error_remedy(err, r, "if 'nvfs status' finds none: umount -l %s", path);
	}
	return error_setc(err, ERROR_MOUNT, -EBUSY, "a filesystem (%s) is mounted on '%s'", type,
			  path);
}

static int check_empty(const char *path, struct error *err)
{
	auto_closedir DIR *dir = opendir(path);
	const struct dirent *entry;

	if (!dir) {
		int r = error_set(err, -errno, "mount point '%s'", path);

		return error_classify(err, r, ERROR_USAGE);
	}
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return error_setc(err, ERROR_USAGE, -ENOTEMPTY,
					  "mount point '%s' is not empty", path);
	}
	return 0;
}

int mountpoint_prepare(const char *path, struct error *err)
{
	int r;

	if (path[0] != '/' || strstr(path, "//") || strstr(path, "/../") || strstr(path, "/./") ||
	    path[strlen(path) - 1] == '/')
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "mount point '%s' is not an absolute path without detours", path);
	r = check_not_mounted(path, err);
	if (r < 0)
		return r;
	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		r = error_set(err, -errno, "make mount point '%s'", path);
		return error_classify(err, r, ERROR_USAGE);
	}
	return check_empty(path, err);
}
