/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back. The record comes from the daemon, which had it from an earlier
 * nvinject; paths in it are treated like those of a plan.
 */
#include "inject/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "inject/effect.h"
#include "inject/name.h"
#include "inject/plan.h"
#include "inject/record.h"
#include "inject/regular.h"

#define HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)

/* New header of glibc's dl-cache.h: 17 + 3 bytes of magic, then the number of entries. */
#define CACHE_MAGIC "glibc-ld.so.cache1.1"

/* Returns 1 (taken back) or 0 (not ours any more), or a negative errno. */
typedef int restore_fn(struct restore *restore, const json_t *record, const struct place *place);

/* The file or directory under a mount, if it was made for it and is still as it was made. */
static int remove_mount_point(struct restore *restore, const struct place *place)
{
	auto_close int fd = sys_openat2(place->dirfd, place->name, O_PATH | O_NOFOLLOW, 0, HERE);
	struct stat st;
	int r;

	/* Not there, or below another mount, which is not to be asked. */
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		r = name_unlink(&restore->roots, place->dirfd, place->name, AT_REMOVEDIR);
	else if (S_ISREG(st.st_mode) && st.st_size == 0)
		r = name_unlink(&restore->roots, place->dirfd, place->name, 0);
	else
		return 0;
	return r == -ENOTEMPTY || r == -EBUSY ? 0 : r;
}

static int unlink_one(struct restore *restore, const struct place *place)
{
	int r = name_unlink(&restore->roots, place->dirfd, place->name, 0);

	return r < 0 ? r : 1;
}

static int restore_mount(struct restore *restore, const json_t *record, const struct place *place)
{
	auto_close int fd = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct place_identity id;
	int r;

	if (fd < 0)
		return 0;
	r = place_identify(fd, &id);
	if (r < 0 || !record_is_mount(record, &id))
		return r;
	r = effect_unmount(place->dirfd, place->name);
	if (r == 0 && json_is_true(json_object_get(record, "made")))
		r = remove_mount_point(restore, place);
	return r < 0 ? r : 1;
}

/* Its place was taken by somebody; or it is free, as it was not before us. */
static int restore_aside(struct restore *restore, const struct place *place)
{
	auto_close int fd = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd >= 0)
		return effect_drop_aside(&restore->roots, place->dirfd, place->name);
	r = effect_put_back(&restore->roots, place->dirfd, place->name);
	return r == -ENOENT ? 0 : r;
}

static int restore_link(struct restore *restore, const json_t *record, const struct place *place)
{
	const char *to = varlink_string(record, "to", "");
	char now[PATH_MAX];
	ssize_t n = readlinkat(place->dirfd, place->name, now, sizeof(now));
	int r;

	if (n <= 0 || (size_t)n != strlen(to) || memcmp(now, to, (size_t)n) != 0)
		return restore_aside(restore, place);
	r = effect_put_back(&restore->roots, place->dirfd, place->name);
	return r == -ENOENT ? unlink_one(restore, place) : r < 0 ? r : 1;
}

static int restore_file(struct restore *restore, const json_t *record, const struct place *place)
{
	const char *content = varlink_string(record, "content", "");
	auto_close int fd = regular_open(place->dirfd, place->name, HERE);
	auto_free char *now = NULL;

	if (fd < 0 || file_read_fd(fd, strlen(content), &now, NULL, NULL) < 0 ||
	    strcmp(now, content) != 0)
		return 0;
	return unlink_one(restore, place);
}

static bool is_empty_cache(const void *cache, size_t len)
{
	const size_t at = strlen(CACHE_MAGIC);
	uint32_t n;

	if (len < at + sizeof(n) || memcmp(cache, CACHE_MAGIC, at) != 0)
		return false;
	memcpy(&n, (const char *)cache + at, sizeof(n));
	return n == 0;
}

static int restore_cache(struct restore *restore, const json_t *record, const struct place *place)
{
	bool was_there = strcmp(varlink_string(record, "result", ""), "replaced") == 0;
	auto_free struct effects *effects = NULL;
	int r;

	if (!restore->cache)
		return 0;
	if (!was_there && is_empty_cache(restore->cache, restore->cache_len))
		return unlink_one(restore, place);
	effects = calloc(1, sizeof(*effects));
	if (!effects)
		return -ENOMEM;
	effects->within = &restore->roots;
	r = effect_replace(effects, place->dirfd, place->name, restore->cache, restore->cache_len);
	effects_done(effects);
	return r < 0 ? r : 1;
}

/* Which way back for which record: by what was done, then by the kind of step. */
static restore_fn *way_back(const json_t *record)
{
	const char *result = varlink_string(record, "result", "");
	int kind = step_kind_by_name(varlink_string(record, "step", ""));

	if (strcmp(result, "mounted") == 0 || strcmp(result, "bound") == 0)
		return restore_mount;
	if (strcmp(result, "created") != 0 && strcmp(result, "replaced") != 0)
		return NULL;
	return kind == STEP_LINK    ? restore_link
	       : kind == STEP_CACHE ? restore_cache
	       : kind == STEP_FILE  ? restore_file
				    : NULL;
}

/* The directories that were made above a target: from the deepest up, while they are empty. */
static void remove_dirs(struct place_roots *roots, const char *target, json_int_t n)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s", target);
	for (; n > 0; n--) {
		struct place place = PLACE_EMPTY;
		char *slash = strrchr(path, '/');
		int r;

		if (!slash || slash == path)
			return;
		*slash = '\0';
		if (!strchr(path, '/') || place_find(roots, path, NULL, &place, NULL) < 0)
			return;
		r = name_unlink(roots, place.dirfd, place.name, AT_REMOVEDIR);
		place_done(&place);
		if (r < 0)
			return;
	}
}

static void remove_dirs_of(struct restore *restore, const json_t *record)
{
	const char *target = varlink_string(record, "target", "");

	if (way_back(record) && plan_path_ok(target))
		remove_dirs(&restore->roots, target,
			    json_integer_value(json_object_get(record, "dirs")));
}

static int restore_one(struct restore *restore, const json_t *record, struct error *err)
{
	const char *target = varlink_string(record, "target", "");
	struct place place = PLACE_EMPTY;
	restore_fn *fn = way_back(record);
	int r;

	if (!fn || !plan_path_ok(target))
		return 0;
	restore->at = target;
	/* A place that cannot be found any more holds nothing of ours. */
	r = place_find(&restore->roots, target, NULL, &place, NULL);
	r = r < 0 ? 0 : fn(restore, record, &place);
	place_done(&place);
	if (r < 0)
		return error_set(err, r, "take back '%s'", target);
	restore->removed += r > 0;
	restore->left += r == 0;
	remove_dirs_of(restore, record);
	return 0;
}

int restore_run(void *arg, struct error *err)
{
	struct restore *restore = arg;
	int first = 0;

	for (size_t i = json_array_size(restore->done); i-- > 0;) {
		int r = restore_one(restore, json_array_get(restore->done, i), first ? NULL : err);

		first = first ? first : r;
	}
	/* What several injections have put into one directory lies in no order there: it is empty now. */
	for (size_t i = json_array_size(restore->done); i-- > 0;)
		remove_dirs_of(restore, json_array_get(restore->done, i));
	return first;
}
