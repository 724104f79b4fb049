/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is neither library, program nor firmware: rows of the table that have a
 * directory of their own in the tree. Of each, the places are listed where
 * distributions keep such files, in order of names, since a directory's own
 * order differs from host to host; the first file of a name counts.
 *
 * The rule: what a loader would read is served only if the libraries that it
 * names are the driver's and found; else a loader would complain in every
 * container.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "nvml/driver_impl.h"
#include "nvml/driver_places.h"
#include "nvml/driver_table.h"
#include "nvml/icd.h"

#define NAMES_MAX 256 /* in one place; there are two or three */

/* Configuration names libraries as the dynamic linker does: by soname, or by a link's or file's name. */
static bool has_library(void *data, const char *soname)
{
	const struct driver *driver = data;

	for (size_t i = 0; i < driver->n_files; i++) {
		const struct driver_file *file = &driver->files[i];

		if (file->kind == DRIVER_LIBRARY && file->elf_class == elf_native_class() &&
		    (!strcmp(file->name, soname) ||
		     (file->soname && !strcmp(file->soname, soname))))
			return true;
	}
	return false;
}

static bool is_json(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcmp(name + len - 5, ".json");
}

static bool config_fits(struct discovery *d, struct driver_file *file, int *r)
{
	const struct icd_libraries libraries = { has_library, d->driver };
	auto_free char *text = NULL;
	struct error err = { 0 };

	*r = file_read_fd(file->fd, ICD_SIZE_MAX, &text, NULL, &err);
	*r = *r ? *r : icd_rewrite(text, is_json(file->name), &libraries, &file->text, &err);
	if (*r == 0)
		return true;
	if (*r != -ENOMEM)
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, *r != -ENOENT, "%s: %s, left out",
				      file->path, err.text);
	return false;
}

/* A module that X finds by path carries the driver's version as its libraries do. */
static bool module_fits(struct discovery *d, const struct driver_row *row, struct driver_file *file,
			int *r)
{
	const char *version = driver_library_version(file->name);
	struct elf_info info = { 0 };

	if (!(row->flags & DRIVER_ROW_UNVERSIONED) &&
	    (!version || strcmp(version, d->driver->version) != 0)) {
		*r = finding_add_rule(&d->findings, FINDING_VERSION, true,
				      "%s: version differs from %s, left out", file->path,
				      d->driver->version);
		return false;
	}
	return discovery_read_elf(d, file, true, &info, r) && info.class == elf_native_class();
}

static bool version_is_inside(struct discovery *d, const struct driver_file *file, int *r)
{
	if (strstr(file->name, d->driver->version))
		return true;
	*r = finding_add_rule(&d->findings, FINDING_VERSION, false,
			      "%s: version differs from %s, left out", file->path,
			      d->driver->version);
	return false;
}

static bool content_fits(struct discovery *d, const struct driver_row *row,
			 struct driver_file *file, int *r)
{
	if (file->st.st_size == 0) {
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: empty, left out",
				      file->path);
		return false;
	}
	if (row->flags & DRIVER_ROW_VERSION_INSIDE && !version_is_inside(d, file, r))
		return false;
	if (row->kind == DRIVER_CONFIG)
		return config_fits(d, file, r);
	return row->kind != DRIVER_MODULE || module_fits(d, row, file, r);
}

static int add_file(struct discovery *d, const struct driver_row *row, const char *place,
		    const char *name)
{
	auto_driver_file struct driver_file file = { .kind = row->kind,
						     .caps = row->caps,
						     .fd = -1 };
	const struct driver_file *first;
	auto_free char *path = NULL;
	int r = 0;

	if (asprintf(&path, "%s/%s", place, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	file.fd = driver_root_open_file(&d->root, path, &file.path, &file.st);
	if (file.fd < 0)
		return finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
					path, strerror(-file.fd));
	/* The X server's modules are links as a rule; the others may be links to alternatives. */
	file.name = strdup(row->kind == DRIVER_MODULE ? strrchr(file.path, '/') + 1 : name);
	file.dir = strdup(row->dir);
	if (!file.name || !file.dir)
		return -ENOMEM;
	first = discovery_find(d, &file);
	if (first && strcmp(first->path, file.path) != 0)
		r = finding_add_rule(&d->findings, FINDING_SHADOWED, false,
				     "%s: %s comes first, left out", file.path, first->path);
	if (first || discovery_excludes(d, file.path, file.name, &r) ||
	    !content_fits(d, row, &file, &r))
		return r;
	return discovery_take(d, &file);
}

struct names {
	char *all[NAMES_MAX];
	size_t n;
};

static void cleanup_names(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->all[i]);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of two rows that fit, the first one has the name: one that keeps files out stands in front. */
static bool is_of_row(const struct driver_row *row, const char *name)
{
	const struct driver_row *rows;
	size_t n;

	if (!driver_row_matches(row, name))
		return false;
	rows = driver_table(&n);
	for (; rows != row; rows++)
		if (rows->kind == row->kind && rows->dir && !strcmp(rows->dir, row->dir) &&
		    driver_row_matches(rows, name))
			return false;
	return !(row->flags & DRIVER_ROW_NEVER);
}

static int add_from(struct discovery *d, const struct driver_row *row, const char *place)
{
	__attribute__((cleanup(cleanup_names))) struct names names = { .n = 0 };
	auto_closedir DIR *dir = NULL;
	const struct dirent *entry;
	int r = driver_root_open_dir(&d->root, place, &dir);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return finding_add(&d->findings, true, "%s: %s, ignoring", place, strerror(-r));
	while (names.n < NAMES_MAX && (entry = readdir(dir))) {
		if (!is_of_row(row, entry->d_name))
			continue;
		names.all[names.n] = strdup(entry->d_name);
		if (!names.all[names.n])
			return -ENOMEM;
		names.n++;
	}
	qsort(names.all, names.n, sizeof(names.all[0]), compare_names);
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = add_file(d, row, place, names.all[i]);
	return r;
}

/* share/vulkan/icd.d is looked for in /etc/vulkan/icd.d, /usr/share/vulkan/icd.d, ... */
static int add_from_bases(struct discovery *d, const struct driver_row *row)
{
	int r = 0;

	for (const char *const *base = driver_data_bases(); *base && r == 0; base++) {
		auto_free char *place = NULL;

		if (asprintf(&place, "%s%s", *base, strchr(row->dir, '/')) < 0) {
			place = NULL;
			return -ENOMEM;
		}
		r = add_from(d, row, place);
	}
	return r;
}

int driver_find_extras(struct discovery *d)
{
	const struct driver_row *rows;
	size_t n;
	int r = 0;

	rows = driver_table(&n);
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct driver_row *row = &rows[i];

		if (row->kind < DRIVER_MODULE || row->flags & DRIVER_ROW_NEVER)
			continue;
		if (row->kind != DRIVER_MODULE)
			r = add_from_bases(d, row);
		for (const char *const *place = driver_module_places(); *place && r == 0; place++)
			if (row->kind != DRIVER_CONFIG)
				r = add_from(d, row, *place);
	}
	return r;
}
