/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: from candidates by name to files that are known to be the
 * driver's. First the version is settled (the loaded module's, else the one
 * that most libraries carry), then every candidate is opened and examined in
 * the order in which a program would find it; the first one of a name or
 * soname counts.
 *
 * The rule: nothing is served that was not opened and examined here, and what is
 * left out is told with its reason. A descriptor that was examined is the one
 * that is kept, so that nobody can swap the file in between.
 */
#include "nvml/driver.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/driver_impl.h"
#include "nvml/driver_places.h"
#include "nvml/driver_table.h"
#include "nvml/elf.h"

#define CUDA_NOTE_MAX 1024

const char *driver_file_kind_name(enum driver_file_kind kind)
{
	switch (kind) {
	case DRIVER_LIBRARY:
		return "library";
	case DRIVER_PROGRAM:
		return "program";
	case DRIVER_FIRMWARE:
		return "firmware";
	case DRIVER_MODULE:
		return "module";
	case DRIVER_DATA:
		return "data";
	case DRIVER_CONFIG:
		return "configuration";
	}
	return "?";
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool driver_file_same_place(const struct driver_file *a, const struct driver_file *b)
{
	return a->kind == b->kind && same_text(a->dir, b->dir) && !strcmp(a->name, b->name) &&
	       (a->kind != DRIVER_LIBRARY || a->elf_class == b->elf_class);
}

const struct driver_file *driver_find_soname(const struct driver *driver, const char *soname)
{
	for (size_t i = 0; i < driver->n_files; i++) {
		const struct driver_file *file = &driver->files[i];

		if (file->kind == DRIVER_LIBRARY && file->elf_class == elf_native_class() &&
		    file->soname && !strcmp(file->soname, soname))
			return file;
	}
	return NULL;
}

void driver_file_done(struct driver_file *file)
{
	free(file->name);
	free(file->path);
	free(file->soname);
	free(file->dir);
	free(file->text);
	if (file->fd >= 0)
		(void)close(file->fd);
}

int discovery_take(struct discovery *d, struct driver_file *file)
{
	struct driver *driver = d->driver;
	struct driver_file *files;

	files = reallocarray(driver->files, driver->n_files + 1, sizeof(*files));
	if (!files)
		return -ENOMEM;
	driver->files = files;
	files[driver->n_files++] = *file;
	*file = (struct driver_file){ .fd = -1 };
	return 0;
}

const struct driver_file *discovery_find(const struct discovery *d, const struct driver_file *file)
{
	for (size_t i = 0; i < d->driver->n_files; i++)
		if (driver_file_same_place(&d->driver->files[i], file))
			return &d->driver->files[i];
	return NULL;
}

bool discovery_excludes(struct discovery *d, const char *path, const char *name, int *r)
{
	const struct rule *rule = rules_exclude(&d->rules, path, name);

	if (rule)
		*r = finding_add_rule(&d->findings, FINDING_EXCLUDED, false, "%s: left out by %s",
				      path, rule->source);
	return rule != NULL;
}

/* Votes for each version; with equal votes the higher version wins. */
static void most_common_version(const struct driver_candidates *candidates,
				char version[DRIVER_VERSION_MAX])
{
	size_t best_votes = 0;
	const char *best = "";

	for (size_t i = 0; i < candidates->n; i++) {
		const struct driver_candidate *one = &candidates->all[i];
		size_t votes = 0;

		if (!one->row || one->row->flags & DRIVER_ROW_UNVERSIONED || !one->version ||
		    !driver_version_is_valid(one->version))
			continue;
		for (size_t k = 0; k < candidates->n; k++)
			if (candidates->all[k].row && candidates->all[k].version &&
			    !strcmp(candidates->all[k].version, one->version))
				votes++;
		if (votes > best_votes ||
		    (votes == best_votes && driver_version_compare(one->version, best) > 0)) {
			best_votes = votes;
			best = one->version;
		}
	}
	(void)snprintf(version, DRIVER_VERSION_MAX, "%s", best);
}

static int settle_version(struct discovery *d, const char *proc_root)
{
	struct driver *driver = d->driver;
	struct error err = { 0 };
	int r;

	r = driver_module_version(proc_root, driver->version, &err);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		driver->version[0] = '\0';
		r = finding_add(&d->findings, true, "%s, using the libraries' version", err.text);
		if (r < 0)
			return r;
	}
	driver->version_from_module = driver->version[0] != '\0';
	if (!driver->version_from_module)
		most_common_version(&d->candidates, driver->version);
	return 0;
}

static bool is_native(const struct driver_file *file)
{
	return !file->elf_class || file->elf_class == elf_native_class();
}

/* What a complete driver of this branch has and this one doesn't. */
static int tell_missing(struct discovery *d)
{
	unsigned long branch = strtoul(d->driver->version, NULL, 10);
	const struct driver_row *rows;
	size_t n;
	int r = 0;

	rows = driver_table(&n);
	for (size_t i = 0; i < n && r == 0 && d->driver->version[0]; i++) {
		bool found = false;

		if (!(rows[i].flags & DRIVER_ROW_EXPECTED) || branch < rows[i].since)
			continue;
		for (size_t k = 0; k < d->driver->n_files && !found; k++)
			found = is_native(&d->driver->files[k]) &&
				driver_table_find(d->driver->files[k].kind,
						  d->driver->files[k].name) == &rows[i];
		if (!found)
			r = finding_add_rule(&d->findings, FINDING_MISSING,
					     rows[i].flags & DRIVER_ROW_ESSENTIAL, "missing: %s",
					     rows[i].name);
	}
	return r;
}

/* Nothing to serve: say what there is instead, or where it was looked for. */
static int no_driver(struct discovery *d, const char *root, struct error *err)
{
	const char *loaded = d->driver->version_from_module ? d->driver->version : NULL;
	char other[DRIVER_VERSION_MAX];

	most_common_version(&d->candidates, other);
	if (loaded && other[0] && strcmp(loaded, other) != 0) {
		(void)error_setc(err, ERROR_DRIVER, -ENOENT,
				 "the loaded module is %s, the libraries below '%.48s' are of %s",
				 loaded, root, other);
		return error_remedy(err, -ENOENT, "reboot, or load the module of that version");
	}
	for (size_t i = 0; i < d->findings.n && other[0]; i++)
		if (d->findings.items[i].problem)
			return error_setc(err, ERROR_DRIVER, -ENOENT,
					  "no usable driver library below '%.32s': %s", root,
					  d->findings.items[i].text);
	(void)error_setc(err, ERROR_DRIVER, -ENOENT,
			 "no driver library below '%.48s', neither in its ld.so.cache nor in %s, "
			 "/usr/local/nvidia/lib64, ...",
			 root, driver_library_places()[0]);
	return error_remedy(err, -ENOENT, "install the driver or give --driver-root");
}

static int compare_files(const void *a, const void *b)
{
	const struct driver_file *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (strcmp(x->name, y->name) != 0)
		return strcmp(x->name, y->name);
	if (x->elf_class != y->elf_class)
		return y->elf_class - x->elf_class;
	return strcmp(x->dir ? x->dir : "", y->dir ? y->dir : "");
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_dir(const struct driver *driver, const char *dir)
{
	for (size_t i = 0; i < driver->n_dirs; i++)
		if (!strcmp(driver->dirs[i], dir))
			return true;
	return false;
}

static int gather_dirs(struct driver *driver)
{
	driver->dirs = calloc(driver->n_files, sizeof(*driver->dirs));
	if (!driver->dirs)
		return -ENOMEM;
	for (size_t i = 0; i < driver->n_files; i++) {
		const char *path = driver->files[i].path;
		size_t len = (size_t)(strrchr(path, '/') - path);
		auto_free char *dir = strndup(path, len ? len : 1);

		if (!dir)
			return -ENOMEM;
		if (!has_dir(driver, dir))
			driver->dirs[driver->n_dirs++] = take_ptr(&dir);
	}
	qsort(driver->dirs, driver->n_dirs, sizeof(*driver->dirs), compare_strings);
	return 0;
}

/* Newer libcuda say so themselves. One that does not answer any more costs this fact alone. */
static void read_cuda_note(struct discovery *d)
{
	const struct driver_file *file = driver_find_soname(d->driver, "libcuda.so.1");
	char note[CUDA_NOTE_MAX], cuda[FACT_CUDA_MAX];

	if (file && driver_guard_enter(d->root.guard, file->path) == 0 &&
	    elf_note(file->fd, "NVIDIA Corporation", 0, note, sizeof(note)) == 0 &&
	    fact_cuda_from_note(note, cuda) == 0)
		d->driver->cuda_note = strdup(note);
}

static int find_files(struct discovery *d, struct error *err)
{
	int r;

	r = driver_candidates_find(&d->root, &d->candidates, &d->findings, err);
	r = r ? r : settle_version(d, d->config->proc_root);
	r = r ? r : driver_find_added(d);
	if (r == 0)
		r = driver_is_wsl(d) ? driver_find_wsl(d) : driver_find_libraries(d);
	if (r == 0 && d->n_versioned == 0)
		return no_driver(d, d->driver->root, err);
	r = r ? r : driver_find_programs(d);
	r = r ? r : driver_find_firmware(d);
	r = r ? r : driver_find_extras(d);
	r = r ? r : tell_missing(d);
	if (r < 0)
		return r;
	read_cuda_note(d);
	qsort(d->driver->files, d->driver->n_files, sizeof(*d->driver->files), compare_files);
	return gather_dirs(d->driver);
}

static void discovery_done(struct discovery *d)
{
	driver_root_done(&d->root);
	driver_candidates_done(&d->candidates);
	finding_list_done(&d->findings);
	rules_done(&d->rules);
	driver_free(d->driver);
}

int driver_discover(const struct driver_config *config, struct driver **ret, struct error *err)
{
	const char *root = config->driver_root ? config->driver_root : "/";
	__attribute__((cleanup(discovery_done))) struct discovery d = { .root.fd = -1 };
	int r;

	r = driver_guard_enter(config->guard, "/");
	if (r < 0)
		return error_set(err, r, "driver root '%s'", root);
	r = driver_root_open(root, &d.root, err);
	if (r < 0)
		return r;
	d.root.guard = config->guard;
	d.config = config;
	d.driver = calloc(1, sizeof(*d.driver));
	if (d.driver)
		d.driver->root = strdup(root);
	if (!d.driver || !d.driver->root)
		return error_set(err, -ENOMEM, "search driver root '%s'", root);
	r = config->rules_dir ? rules_read(config->rules_dir, config->guard, &d.rules, &d.findings)
			      : 0;
	r = r ? r : find_files(&d, err);
	if (r == -ENOMEM)
		return error_set(err, r, "search driver root '%s'", root);
	if (r < 0)
		return r;
	d.driver->findings = take_ptr(&d.findings.items);
	d.driver->n_findings = d.findings.n;
	d.findings.n = 0;
	*ret = take_ptr(&d.driver);
	return 0;
}

void driver_free(struct driver *driver)
{
	struct finding_list findings;

	if (!driver)
		return;
	for (size_t i = 0; i < driver->n_files; i++)
		driver_file_done(&driver->files[i]);
	free(driver->files);
	findings = (struct finding_list){ driver->findings, driver->n_findings };
	finding_list_done(&findings);
	for (size_t i = 0; i < driver->n_dirs; i++)
		free(driver->dirs[i]);
	free(driver->dirs);
	free(driver->cuda_note);
	free(driver->root);
	free(driver);
}
