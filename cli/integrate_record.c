/* SPDX-License-Identifier: Apache-2.0 */
/* What `nvfs integrate` has done, kept on the disk. */
#include "cli/integrate_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/integrate_change.h"
#include "cli/integrate_file.h"
#include "common/cleanup.h"
#include "common/error.h"

#define TOPMOST "/var/lib/nvfs"

static void record_path(const char *client, char ret[PATH_MAX])
{
	(void)snprintf(ret, PATH_MAX, INTEGRATE_RECORDS "/%s.json", client);
}

static int check_record(json_t *record, json_t **ret)
{
	json_t *files = json_object_get(record, "files"), *file;
	const char *s;
	size_t i;
	int existed;

	if (!json_is_array(files))
		return -EINVAL;
	json_array_foreach(files, i, file) {
		if (json_unpack(file, "{s:s, s:s, s:s, s:s, s:b, s:s}", "kind", &s, "path", &s,
				"written", &s, "ours", &s, "existed", &existed, "made", &s) < 0)
			return -EINVAL;
	}
	*ret = json_incref(files);
	return 0;
}

int integrate_record_read(int root, const char *client, json_t **ret, struct error *err)
{
	char path[PATH_MAX];
	auto_free char *text = NULL;
	struct integrate_file place = { .dir = -1 };
	json_t *record;
	int r;

	*ret = NULL;
	record_path(client, path);
	r = integrate_file_open(root, path, false, &place, err);
	r = r ? r : integrate_file_read(&place, &text, err);
	integrate_file_done(&place);
	if (r < 0 || !text)
		return r;
	record = json_loads(text, 0, NULL);
	r = check_record(record, ret);
	json_decref(record);
	return r ? error_setc(err, ERROR_USAGE, r, "'%.100s' is no record of nvfs", path) : 0;
}

static int remove_record(int root, const char *path, struct error *err)
{
	struct integrate_file place = { .dir = -1 };
	int r = integrate_file_open(root, path, false, &place, err);

	if (r == 0 && place.dir >= 0 && unlinkat(place.dir, place.name, 0) < 0 && errno != ENOENT)
		r = error_set(err, -errno, "remove '%.100s'", path);
	integrate_file_done(&place);
	if (r == 0)
		integrate_file_remove_directories(root, path, TOPMOST);
	return r;
}

static int write_text(int root, const char *path, const char *text, struct error *err)
{
	char made[PATH_MAX];
	struct integrate_file place = { .dir = -1 };
	int r = integrate_file_make_directories(root, path, made, err);

	r = r ? r : integrate_file_open(root, path, false, &place, err);
	r = r ? r : integrate_file_write(&place, text, false, err);
	integrate_file_done(&place);
	return r;
}

int integrate_record_write(int root, const char *client, json_t *files, struct error *err)
{
	auto_free char *text = NULL;
	char path[PATH_MAX];
	json_t *record;

	record_path(client, path);
	if (json_array_size(files) == 0)
		return remove_record(root, path, err);
	record = json_pack("{s:O}", "files", files);
	text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;
	json_decref(record);
	return text ? write_text(root, path, text, err)
		    : error_set(err, -ENOMEM, "write '%.100s'", path);
}

int integrate_record_has(const json_t *files, const char *path)
{
	const json_t *file;
	size_t i;

	json_array_foreach(files, i, file) {
		if (strcmp(json_string_value(json_object_get(file, "path")), path) == 0)
			return 1;
	}
	return 0;
}

int integrate_record_elsewhere(int root, const char *client, const char *path)
{
	const struct integrate_client *other;
	int found = 0;

	for (size_t i = 0; !found && (other = integrate_client(i)); i++) {
		json_t *files = NULL;

		if (strcmp(other->name, client) != 0 &&
		    integrate_record_read(root, other->name, &files, NULL) == 0)
			found = integrate_record_has(files, path);
		json_decref(files);
	}
	return found;
}
