/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WSL2 has no kernel module of NVIDIA's: the GPU is the Windows host's, reached by
 * /dev/dxg. Its libraries lie in one directory, without versions and without
 * links; the first ones load the rest from the store of the Windows driver, by
 * absolute path. So the store is served as it is, and a container finds it at
 * the same path.
 *
 * The store's directories are taken by what is in them, since who knows the right
 * one is dxcore, which only a program on WSL2 can ask.
 *
 * Sources: libnvidia-container, src/dxcore.c and nvc_info.c; Microsoft's
 * "GPU accelerated ML training inside the Windows Subsystem for Linux".
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/driver_impl.h"
#include "nvml/driver_table.h"

#define WSL_LIB "/usr/lib/wsl/lib"
#define WSL_DRIVERS "/usr/lib/wsl/drivers"
#define NAMES_MAX 1024

struct names {
	char *all[NAMES_MAX];
	size_t n;
};

static void cleanup_names(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->all[i]);
}
#define auto_names __attribute__((cleanup(cleanup_names)))

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_names(struct discovery *d, const char *path, struct names *names)
{
	auto_closedir DIR *dir = NULL;
	const struct dirent *entry;
	int r = driver_root_open_dir(&d->root, path, &dir);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return finding_add(&d->findings, true, "%s: %s, ignoring", path, strerror(-r));
	while (names->n < NAMES_MAX && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		names->all[names->n] = strdup(entry->d_name);
		if (!names->all[names->n])
			return -ENOMEM;
		names->n++;
	}
	qsort(names->all, names->n, sizeof(names->all[0]), compare_names);
	return 0;
}

static int open_file(struct discovery *d, const char *place, const char *name,
		     struct driver_file *file)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/%s", place, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	file->name = strdup(name);
	if (!file->name)
		return -ENOMEM;
	file->fd = driver_root_open_file(&d->root, path, &file->path, &file->st);
	if (file->fd >= 0 || file->fd == -EINVAL) /* a directory is nothing to tell */
		return file->fd >= 0 ? 1 : 0;
	return finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out", path,
				strerror(-file->fd));
}

/* Every program that uses the GPU needs dxcore; Direct3D's own are Mesa's way to it. */
static unsigned int caps_of(const char *name, const struct driver_row *row)
{
	if (row)
		return row->caps;
	if (!strncmp(name, "libdxcore", 9))
		return DRIVER_CAP_ALL;
	if (!strncmp(name, "libd3d12", 8))
		return DRIVER_CAP_GRAPHICS | DRIVER_CAP_VIDEO;
	return driver_library_guess(name);
}

/* Several names of one library are copies here, each a file of its own. */
static int add_library(struct discovery *d, const char *name)
{
	auto_driver_file struct driver_file file = { .kind = DRIVER_LIBRARY, .fd = -1 };
	const struct driver_row *row = driver_table_find(DRIVER_LIBRARY, name);
	struct elf_info info = { 0 };
	int r;

	if (!strstr(name, ".so") || (row && row->flags & DRIVER_ROW_NEVER))
		return 0;
	r = open_file(d, WSL_LIB, name, &file);
	if (r <= 0 || discovery_excludes(d, file.path, name, &r) ||
	    !discovery_read_elf(d, &file, true, &info, &r) || discovery_find(d, &file))
		return r < 0 ? r : 0;
	file.soname = info.soname[0] ? strdup(info.soname) : NULL;
	if (info.soname[0] && !file.soname)
		return -ENOMEM;
	file.caps = caps_of(name, row);
	d->n_versioned += row != NULL;
	return discovery_take(d, &file);
}

/* What its programs and libraries load: as the existing toolkit takes it, by the ends of names. */
static bool is_of_store(const char *name)
{
	static const char *const globs[] = { "*.so", "*.so.*", "*.bin", "*.dll", "nvidia-smi" };

	for (size_t i = 0; i < ARRAY_SIZE(globs); i++)
		if (fnmatch(globs[i], name, 0) == 0)
			return true;
	return false;
}

static int add_stored(struct discovery *d, const char *place, const char *name)
{
	auto_driver_file struct driver_file file = { .kind = DRIVER_DATA,
						     .caps = DRIVER_CAP_ALL,
						     .fd = -1 };
	int r;

	if (!is_of_store(name))
		return 0;
	r = open_file(d, place, name, &file);
	if (r <= 0 || discovery_excludes(d, file.path, name, &r))
		return r < 0 ? r : 0;
	file.dir = strdup(place + strlen("/usr/lib/"));
	return file.dir ? discovery_take(d, &file) : -ENOMEM;
}

/* Other drivers have directories there too: NVIDIA's holds one of its libraries. */
static int add_store(struct discovery *d, const char *name)
{
	auto_names struct names names = { .n = 0 };
	auto_free char *place = NULL;
	bool is_ours = false;
	int r;

	if (asprintf(&place, WSL_DRIVERS "/%s", name) < 0) {
		place = NULL;
		return -ENOMEM;
	}
	r = list_names(d, place, &names);
	for (size_t i = 0; i < names.n; i++)
		is_ours |= !strncmp(names.all[i], "libcuda", 7) ||
			   !strncmp(names.all[i], "libnvidia-", 10);
	for (size_t i = 0; i < names.n && is_ours && r == 0; i++)
		r = add_stored(d, place, names.all[i]);
	return r;
}

bool driver_is_wsl(const struct discovery *d)
{
	auto_free char *path = NULL;
	struct stat st;

	return !d->driver->version_from_module &&
	       driver_root_resolve(&d->root, WSL_LIB "/libdxcore.so", &path, &st) == 0;
}

int driver_find_wsl(struct discovery *d)
{
	auto_names struct names libraries = { .n = 0 }, stores = { .n = 0 };
	int r;

	d->driver->version[0] = '\0';
	r = list_names(d, WSL_LIB, &libraries);
	r = r ? r : list_names(d, WSL_DRIVERS, &stores);
	for (size_t i = 0; i < libraries.n && r == 0; i++)
		r = add_library(d, libraries.all[i]);
	for (size_t i = 0; i < stores.n && r == 0; i++)
		r = add_store(d, stores.all[i]);
	return r;
}
