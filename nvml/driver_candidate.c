/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where libraries of the driver may lie, by name alone: what the root's own
 * ld.so.cache says comes first, since that is what its programs load; then the
 * directories that these lie in, for libraries that a cache never lists; then
 * the known places. Links are followed to the file, so that it does not matter
 * whether one arrives by libcuda.so.1 or by the alternatives of Debian.
 *
 * The rule: a broken cache or an unreadable directory loses that source, never
 * the search.
 */
#include "nvml/driver_candidate.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache.h"
#include "nvml/driver_places.h"
#include "nvml/driver_root.h"
#include "nvml/driver_table.h"
#include "nvml/elf.h"
#include "nvml/finding.h"

struct search {
	const struct driver_root *root;
	struct driver_candidates found;
	struct finding_list *findings;
};

static bool already_found(const struct search *search, const struct stat *st)
{
	for (size_t i = 0; i < search->found.n; i++)
		if (search->found.all[i].inode == st->st_ino &&
		    search->found.all[i].device == st->st_dev)
			return true;
	return false;
}

static int append(struct search *search, const struct driver_candidate *candidate)
{
	struct driver_candidates *found = &search->found;
	struct driver_candidate *all;

	all = reallocarray(found->all, found->n + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	all[found->n++] = *candidate;
	found->all = all;
	return 0;
}

/* A library of the table, or one that carries what looks like a driver's version. */
static bool name_is_promising(const char *name, const struct driver_row **ret_row)
{
	const char *version;

	*ret_row = driver_table_find(DRIVER_LIBRARY, name);
	if (*ret_row)
		return !((*ret_row)->flags & DRIVER_ROW_NEVER);
	version = driver_library_version(name);
	if (driver_table_find(DRIVER_MODULE, name))
		return false;
	return version && driver_version_is_valid(version);
}

/* Follow a path to its file; what does not exist or is no file is no candidate. */
static int add_path(struct search *search, const char *path)
{
	struct driver_candidate candidate = { 0 };
	auto_free char *resolved = NULL;
	struct stat st;
	int r;

	if (search->found.n >= DRIVER_CANDIDATES_MAX)
		return 0;
	r = driver_root_resolve(search->root, path, &resolved, &st);
	if (r == -ETIMEDOUT) /* of the guard, or of a network filesystem */
		return finding_add(search->findings, true, "%s: does not answer, left out", path);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (!S_ISREG(st.st_mode) || already_found(search, &st))
		return 0;
	candidate.name = strrchr(resolved, '/') + 1;
	if (!name_is_promising(candidate.name, &candidate.row))
		return 0;
	candidate.path = resolved;
	candidate.version = driver_library_version(candidate.name);
	candidate.device = st.st_dev;
	candidate.inode = st.st_ino;
	r = append(search, &candidate);
	if (r == 0)
		resolved = NULL;
	return r;
}

static int read_cache(struct search *search, struct ldcache **ret, struct error *err)
{
	auto_free char *data = NULL;
	auto_close int fd = -1;
	struct stat st;
	size_t len;
	int r;

	fd = driver_root_open_file(search->root, "/etc/ld.so.cache", NULL, &st);
	if (fd < 0)
		return fd == -ENOENT ? fd : error_set(err, fd, "open");
	r = file_read_fd(fd, LDCACHE_SIZE_MAX, &data, &len, err);
	if (r < 0)
		return r;
	return ldcache_parse(data, len, ret, err);
}

/* Which of the two a file really is, its ELF header will tell. */
static bool is_for_us(int32_t flags)
{
	return flags == ldcache_native_flags() ||
	       (elf_compat32_machine() == EM_386 && flags == LDCACHE_FLAGS_I386);
}

static int search_cache(struct search *search)
{
	auto_ldcache struct ldcache *cache = NULL;
	struct error err = { 0 };
	int r;

	r = read_cache(search, &cache, &err);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return finding_add(search->findings, true,
				   "/etc/ld.so.cache: %s, using known directories", err.text);
	for (size_t i = 0; i < ldcache_count(cache) && r == 0; i++) {
		const struct ldcache_entry *entry = ldcache_at(cache, i);

		if (is_for_us(entry->flags) &&
		    driver_table_find(DRIVER_LIBRARY, entry->key))
			r = add_path(search, entry->value);
	}
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct names {
	char **all;
	size_t n;
};

static void cleanup_names(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->all[i]);
	free(names->all);
}

/* Names that are worth following, sorted: the order of a directory differs from host to host. */
static int list_names(DIR *dir, struct names *names)
{
	const struct driver_row *row;
	const struct dirent *entry;

	while ((entry = readdir(dir)) && names->n < DRIVER_CANDIDATES_MAX) {
		char **all;

		if (!name_is_promising(entry->d_name, &row))
			continue;
		all = reallocarray(names->all, names->n + 1, sizeof(*all));
		if (!all)
			return -ENOMEM;
		names->all = all;
		all[names->n] = strdup(entry->d_name);
		if (!all[names->n])
			return -ENOMEM;
		names->n++;
	}
	if (names->n > 0)
		qsort(names->all, names->n, sizeof(*names->all), compare_names);
	return 0;
}

static int search_directory(struct search *search, const char *directory)
{
	__attribute__((cleanup(cleanup_names))) struct names names = { 0 };
	auto_closedir DIR *dir = NULL;
	int r;

	r = driver_root_open_dir(search->root, directory, &dir);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return finding_add(search->findings, true, "%s: %s, ignoring", directory,
				   strerror(-r));
	r = list_names(dir, &names);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		auto_free char *path = NULL;

		if (asprintf(&path, "%s/%s", directory, names.all[i]) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		r = add_path(search, path);
	}
	return r;
}

static size_t directory_length(const struct driver_candidate *candidate)
{
	return (size_t)(candidate->name - candidate->path);
}

static bool directory_is_new(const struct search *search, size_t at)
{
	const struct driver_candidate *all = search->found.all;
	size_t len = directory_length(&all[at]);

	for (size_t i = 0; i < at; i++)
		if (directory_length(&all[i]) == len && !memcmp(all[i].path, all[at].path, len))
			return false;
	return true;
}

/* Directories that the cache led to; they hold what a cache doesn't list. */
static int search_siblings(struct search *search, size_t n_from_cache)
{
	int r = 0;

	for (size_t i = 0; i < n_from_cache && r == 0; i++) {
		const struct driver_candidate *candidate = &search->found.all[i];
		auto_free char *directory = NULL;

		if (!directory_is_new(search, i))
			continue;
		directory = strndup(candidate->path, directory_length(candidate));
		if (!directory)
			return -ENOMEM;
		r = search_directory(search, directory);
	}
	return r;
}

int driver_candidates_find(const struct driver_root *root, struct driver_candidates *ret,
			   struct finding_list *findings, struct error *err)
{
	struct search search = { .root = root, .findings = findings };
	int r;

	r = search_cache(&search);
	r = r ? r : search_siblings(&search, search.found.n);
	for (const char *const *place = driver_library_places(); *place && r == 0; place++)
		r = search_directory(&search, *place);
	for (const char *const *place = driver_library32_places(); *place && r == 0; place++)
		r = search_directory(&search, *place);
	if (r < 0) {
		driver_candidates_done(&search.found);
		return error_set(err, r, "search driver root");
	}
	*ret = search.found;
	return 0;
}

void driver_candidates_done(struct driver_candidates *candidates)
{
	for (size_t i = 0; i < candidates->n; i++)
		free(candidates->all[i].path);
	free(candidates->all);
	*candidates = (struct driver_candidates){ 0 };
}
