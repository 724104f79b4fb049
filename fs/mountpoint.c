/* SPDX-License-Identifier: Apache-2.0 */
/* Checks before a mount: the path, what is mounted on it, and whose it is. */
#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

#define MOUNTINFO_MAX (64UL * 1024 * 1024)

/* mountinfo writes space, tab, newline and backslash as octal escapes */
static bool escaped_equals(const char *escaped, size_t len, const char *path)
{
	size_t i = 0;

	for (; i < len && *path; path++) {
		unsigned char c = (unsigned char)escaped[i];

		if (c == '\\' && len - i >= 4) {
			c = (unsigned char)((escaped[i + 1] - '0') * 64 + (escaped[i + 2] - '0') * 8 +
					    (escaped[i + 3] - '0'));
			i += 3;
		}
		if (c != (unsigned char)*path)
			return false;
		i++;
	}
	return i == len && !*path;
}

/* "36 35 98:0 /root /mount/point opts - type source superopts": field 5, and the one after " - " */
static void line_find_type(const char *line, const char *end, const char *path, char *ret,
			   size_t size)
{
	const char *field = line, *type;

	for (int i = 0; i < 4 && field; i++) {
		field = memchr(field, ' ', (size_t)(end - field));
		field = field ? field + 1 : NULL;
	}
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

static int check_not_mounted(const char *path, struct error *err)
{
	auto_free char *mountinfo = NULL;
	char type[64];
	int r = file_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mountinfo, NULL, err);

	if (r < 0)
		return r;
	mountpoint_find_type(mountinfo, path, type, sizeof(type));
	if (!*type)
		return 0;
	if (strcmp(type, "fuse.nvfs") == 0) {
		r = error_setc(err, ERROR_MOUNT, -EBUSY,
			       "'%s' is the mount of another nvfs daemon, or of a dead one", path);
		return error_remedy(err, r, "if 'nvfs status' finds none: umount -l %s", path);
	}
	return error_setc(err, ERROR_MOUNT, -EBUSY, "a filesystem (%s) is mounted on '%s'", type, path);
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
			return error_setc(err, ERROR_USAGE, -ENOTEMPTY, "mount point '%s' is not empty",
					  path);
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
