/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files of others: found below a root, replaced, put back. */
#include "cli/integrate_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"

#define LINKS_MAX 8
#define FILE_MAX (4 * 1024 * 1024) /* bytes */
#define BACKUP ".nvfs-backup"

static int open_in(int root, const char *path, uint64_t flags)
{
	return sys_openat2(root, path, flags | O_CLOEXEC, 0,
			   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

static int split(const char *path, char dir[PATH_MAX], char name[NAME_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? strlen(slash + 1) : 0;

	if (len == 0 || len > NAME_MAX || strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	(void)snprintf(dir, PATH_MAX, "%.*s", (int)(slash - path) + 1, path);
	memcpy(name, slash + 1, len + 1);
	return 0;
}

static int check_directory(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "look at '%.100s'", path);
	if ((st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & 022))
		return 0;
	(void)error_setc(err, ERROR_PERMISSION, -EPERM, "others than root may write to '%.100s'",
			 path);
	return error_remedy(err, -EPERM, "chown root and chmod go-w that directory");
}

/* One step: the directory, and what a link there says. Return: 1 if @path is the next to look at, 0 when done. */
static int step(int root, char path[PATH_MAX], bool follow, struct integrate_file *place,
		struct error *err)
{
	char dir[PATH_MAX], target[PATH_MAX];
	ssize_t n;
	int r = split(path, dir, place->name);

	if (r < 0)
		return error_set(err, r, "'%.100s'", path);
	place->dir = open_in(root, dir, O_RDONLY | O_DIRECTORY);
	(void)snprintf(place->path, PATH_MAX, "%s", path);
	if (place->dir == -ENOENT) {
		place->dir = -1;
		return 0;
	}
	if (place->dir < 0)
		return error_set(err, place->dir, "open '%.100s'", dir);
	r = check_directory(place->dir, dir, err);
	if (r < 0 || !follow)
		return r;
	n = readlinkat(place->dir, place->name, target, sizeof(target) - 1);
	if (n < 0)
		return 0;
	target[n] = '\0';
	n = snprintf(path, PATH_MAX, "%s%s", *target == '/' ? "" : dir, target);
	return n < PATH_MAX ? 1 : error_set(err, -ENAMETOOLONG, "follow '%.100s'", place->path);
}

int integrate_file_open(int root, const char *path, bool follow, struct integrate_file *ret,
			struct error *err)
{
	char at[PATH_MAX];
	struct integrate_file place = { .dir = -1 };
	int r = 1;

	if (snprintf(at, sizeof(at), "%s", path) >= PATH_MAX)
		return error_set(err, -ENAMETOOLONG, "'%.100s'", path);
	for (int i = 0; r == 1 && i < LINKS_MAX; i++) {
		integrate_file_done(&place);
		r = step(root, at, follow, &place, err);
	}
	if (r == 0) {
		*ret = place;
		return 0;
	}
	integrate_file_done(&place);
	return r < 0 ? r : error_set(err, -ELOOP, "follow '%.100s'", path);
}

void integrate_file_done(struct integrate_file *place)
{
	if (place->dir >= 0)
		(void)close(place->dir);
	place->dir = -1;
}

static int make_directory(int root, const char *path, struct error *err)
{
	struct integrate_file above = { .dir = -1 };
	int r = integrate_file_open(root, path, true, &above, err);

	if (r == 0 && (above.dir < 0 || mkdirat(above.dir, above.name, 0755) < 0))
		r = error_set(err, above.dir < 0 ? -ENOENT : -errno, "make '%.100s'", path);
	integrate_file_done(&above);
	return r;
}

int integrate_file_make_directories(int root, const char *path, char ret_made[PATH_MAX],
				    struct error *err)
{
	char dir[PATH_MAX];
	int r = 0;

	*ret_made = '\0';
	for (const char *slash = strchr(path + 1, '/'); r == 0 && slash;
	     slash = strchr(slash + 1, '/')) {
		auto_close int fd = -1;

		if (snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path) >= PATH_MAX)
			return error_set(err, -ENAMETOOLONG, "'%.100s'", path);
		fd = open_in(root, dir, O_PATH | O_DIRECTORY);
		if (fd >= 0)
			continue;
		r = fd == -ENOENT ? make_directory(root, dir, err)
				  : error_set(err, fd, "open '%.100s'", dir);
		if (r == 0 && !*ret_made)
			memcpy(ret_made, dir, sizeof(dir));
	}
	return r;
}

void integrate_file_remove_directories(int root, const char *path, const char *topmost)
{
	char dir[PATH_MAX];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	while (*topmost && (slash = strrchr(dir, '/')) &&
	       (size_t)(slash - dir) >= strlen(topmost)) {
		struct integrate_file place = { .dir = -1 };
		bool gone;

		*slash = '\0';
		gone = integrate_file_open(root, dir, false, &place, NULL) == 0 && place.dir >= 0 &&
		       unlinkat(place.dir, place.name, AT_REMOVEDIR) == 0;
		integrate_file_done(&place);
		if (!gone)
			break;
	}
}

/* -1 where there is none. O_NONBLOCK: a FIFO would hold us. */
static int open_regular(const struct integrate_file *place, const char *name, int *ret,
			struct error *err)
{
	auto_close int fd = -1;
	struct stat st;

	*ret = -1;
	if (place->dir < 0)
		return 0;
	fd = openat(place->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set(err, -errno, "open '%.100s'", place->path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.100s' is no regular file",
				  place->path);
	*ret = take_fd(&fd);
	return 0;
}

static int read_name(const struct integrate_file *place, const char *name, char **ret,
		     struct error *err)
{
	auto_close int fd = -1;
	auto_free char *text = NULL;
	size_t len;
	int r = open_regular(place, name, &fd, err);

	*ret = NULL;
	if (r < 0 || fd < 0)
		return r;
	r = file_read_fd(fd, FILE_MAX, &text, &len, err);
	if (r < 0)
		return error_wrap(err, r, "'%.100s'", place->path);
	if (strlen(text) != len)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.100s' has a NUL byte",
				  place->path);
	*ret = take_ptr(&text);
	return 0;
}

int integrate_file_read(const struct integrate_file *place, char **ret, struct error *err)
{
	return read_name(place, place->name, ret, err);
}

static void backup_name(const struct integrate_file *place, char ret[NAME_MAX + 1])
{
	(void)snprintf(ret, NAME_MAX + 1, "%.*s%s", NAME_MAX - (int)strlen(BACKUP), place->name,
		       BACKUP);
}

int integrate_file_read_backup(const struct integrate_file *place, char **ret, struct error *err)
{
	char name[NAME_MAX + 1];

	backup_name(place, name);
	return read_name(place, name, ret, err);
}

void integrate_file_drop_backup(const struct integrate_file *place)
{
	char name[NAME_MAX + 1];

	backup_name(place, name);
	if (place->dir >= 0)
		(void)unlinkat(place->dir, name, 0);
}

static int keep_backup(const struct integrate_file *place, struct error *err)
{
	char name[NAME_MAX + 1];

	integrate_file_drop_backup(place);
	backup_name(place, name);
	if (linkat(place->dir, place->name, place->dir, name, 0) < 0)
		return error_set(err, -errno, "keep '%.80s' as '%.60s'", place->path, name);
	return 0;
}

int integrate_file_write(const struct integrate_file *place, const char *text, bool backup,
			 struct error *err)
{
	auto_close int like = -1;
	int r = open_regular(place, place->name, &like, err);

	if (r == 0 && backup && like >= 0)
		r = keep_backup(place, err);
	if (r < 0)
		return r;
	r = file_replace_synced_at(place->dir, place->name, like, text, strlen(text), err);
	return r < 0 ? error_wrap(err, r, "'%.80s'", place->path) : 0;
}

int integrate_file_restore(const struct integrate_file *place, struct error *err)
{
	char name[NAME_MAX + 1];

	backup_name(place, name);
	if (renameat(place->dir, name, place->dir, place->name) < 0)
		return errno == ENOENT ? -ENOENT
				       : error_set(err, -errno, "put '%.100s' back", place->path);
	return fsync(place->dir) < 0
		       ? error_set(err, -errno, "write the directory of '%.100s'", place->path)
		       : 0;
}
