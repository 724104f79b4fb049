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
#include "nvml/driver_candidate.h"
#include "nvml/driver_places.h"
#include "nvml/driver_root.h"
#include "nvml/driver_table.h"
#include "nvml/elf.h"

#define CUDA_NOTE_MAX 1024

struct discovery {
	struct driver_root root;
	struct driver *driver; /* being built */
	struct finding_list findings;
	struct driver_candidates candidates;
	size_t n_versioned; /* libraries accepted that carry the driver's version */
};

const char *driver_file_kind_name(enum driver_file_kind kind)
{
	switch (kind) {
	case DRIVER_LIBRARY:
		return "library";
	case DRIVER_PROGRAM:
		return "program";
	case DRIVER_FIRMWARE:
		return "firmware";
	}
	return "?";
}

static void driver_file_done(struct driver_file *file)
{
	free(file->name);
	free(file->path);
	free(file->soname);
	if (file->fd >= 0)
		(void)close(file->fd);
}
#define auto_driver_file __attribute__((cleanup(driver_file_done)))

/* Hand the file over to the driver; the caller's forgets it. */
static int take_file(struct driver *driver, struct driver_file *file)
{
	struct driver_file *files;

	files = reallocarray(driver->files, driver->n_files + 1, sizeof(*files));
	if (!files)
		return -ENOMEM;
	driver->files = files;
	files[driver->n_files++] = *file;
	*file = (struct driver_file){ .fd = -1 };
	return 0;
}

static const struct driver_file *find_name(const struct driver *driver, enum driver_file_kind kind,
					   const char *name)
{
	for (size_t i = 0; i < driver->n_files; i++)
		if (driver->files[i].kind == kind && !strcmp(driver->files[i].name, name))
			return &driver->files[i];
	return NULL;
}

static const struct driver_file *find_soname(const struct driver *driver, const char *soname)
{
	for (size_t i = 0; i < driver->n_files; i++)
		if (driver->files[i].soname && !strcmp(driver->files[i].soname, soname))
			return &driver->files[i];
	return NULL;
}

/* The machine and class that this host's programs have; false with the reason told. */
static bool is_native(struct discovery *d, const char *path, const struct elf_info *info, int *r)
{
	if (info->class == elf_native_class() && info->machine == elf_native_machine())
		return true;
	/* A 32-bit library of the same family is no mistake: it belongs to compat32. */
	*r = finding_add_rule(&d->findings, FINDING_MACHINE, info->class == elf_native_class(),
			      "%s: it is %d-bit %s, left out", path, info->class,
			      elf_machine_name(info->machine));
	return false;
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

/* By its name, may it be served with this driver? A stranger of another version isn't even told. */
static bool version_fits(struct discovery *d, const struct driver_candidate *candidate, int *r)
{
	const char *version = d->driver->version;

	if (candidate->row && candidate->row->flags & DRIVER_ROW_UNVERSIONED)
		return true;
	if (candidate->version && !strcmp(candidate->version, version))
		return true;
	if (!candidate->row)
		return false;
	if (!candidate->version)
		*r = finding_add_rule(&d->findings, FINDING_VERSION, false,
				      "%s: no version in its name, left out", candidate->path);
	else
		*r = finding_add_rule(&d->findings, FINDING_VERSION, true,
				      "%s: version differs from %s, left out", candidate->path,
				      version);
	return false;
}

/* Somebody with this name or soname was found in a better place. */
static bool is_shadowed(struct discovery *d, const char *name, const char *soname, const char *path,
			int *r)
{
	const struct driver_file *first = find_name(d->driver, DRIVER_LIBRARY, name);

	if (!first && soname[0])
		first = find_soname(d->driver, soname);
	if (!first)
		return false;
	*r = finding_add_rule(&d->findings, FINDING_SHADOWED, false, "%s: %s comes first, left out",
			      path, first->path);
	return true;
}

static bool library_fits(struct discovery *d, const struct driver_candidate *candidate,
			 const struct driver_file *file, struct elf_info *info, int *r)
{
	struct error err = { 0 };

	*r = elf_read(file->fd, info, &err);
	if (*r == -ENOMEM)
		return false;
	if (*r < 0) {
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
				      candidate->path, err.text);
		return false;
	}
	if (!is_native(d, candidate->path, info, r))
		return false;
	if (!info->is_shared) {
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, true,
				      "%s: no shared library, left out", candidate->path);
		return false;
	}
	return !is_shadowed(d, candidate->name, info->soname, candidate->path, r);
}

static int add_library(struct discovery *d, const struct driver_candidate *candidate)
{
	auto_driver_file struct driver_file file = { .kind = DRIVER_LIBRARY, .fd = -1 };
	struct elf_info info = { 0 };
	int r = 0;

	if (!version_fits(d, candidate, &r))
		return r;
	file.fd = driver_root_open_file(&d->root, candidate->path, &file.path, &file.st);
	if (file.fd < 0)
		return finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
					candidate->path, strerror(-file.fd));
	if (!library_fits(d, candidate, &file, &info, &r))
		return r;
	file.name = strdup(candidate->name);
	file.soname = info.soname[0] ? strdup(info.soname) : NULL;
	if (!file.name || (info.soname[0] && !file.soname))
		return -ENOMEM;
	file.caps = candidate->row ? candidate->row->caps : driver_library_guess(candidate->name);
	file.elf_class = info.class;
	file.elf_machine = info.machine;
	if (!candidate->row || !(candidate->row->flags & DRIVER_ROW_UNVERSIONED))
		d->n_versioned++;
	return take_file(d->driver, &file);
}

static bool is_script(int fd)
{
	char magic[2];

	return pread(fd, magic, 2, 0) == 2 && magic[0] == '#' && magic[1] == '!';
}

static bool program_fits(struct discovery *d, struct driver_file *file, int *r)
{
	struct elf_info info = { 0 };
	struct error err = { 0 };

	if (!(file->st.st_mode & 0111)) {
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, true,
				      "%s: not executable, left out", file->path);
		return false;
	}
	if (is_script(file->fd)) {
		/* A wrapper names paths of its host: in a container it finds nothing, or itself. */
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, false,
				      "%s: a script, left out", file->path);
		return false;
	}
	*r = elf_read(file->fd, &info, &err);
	if (*r == -ENOMEM)
		return false;
	if (*r < 0) {
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
				      file->path, err.text);
		return false;
	}
	file->elf_class = info.class;
	file->elf_machine = info.machine;
	return is_native(d, file->path, &info, r);
}

/* Returns 1 if the program was found here, 0 if not. */
static int add_program_from(struct discovery *d, const struct driver_row *row, const char *place)
{
	auto_driver_file struct driver_file file = { .kind = DRIVER_PROGRAM, .fd = -1 };
	auto_free char *path = NULL;
	int r = 0;

	if (asprintf(&path, "%s/%s", place, row->name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	file.fd = driver_root_open_file(&d->root, path, &file.path, &file.st);
	if (file.fd == -ENOENT || file.fd == -ENOTDIR)
		return 0;
	if (file.fd < 0)
		return finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
					path, strerror(-file.fd));
	if (!program_fits(d, &file, &r))
		return r;
	file.name = strdup(row->name);
	if (!file.name)
		return -ENOMEM;
	file.caps = row->caps;
	r = take_file(d->driver, &file);
	return r < 0 ? r : 1;
}

static int add_programs(struct discovery *d)
{
	const struct driver_row *rows;
	size_t n;
	int r = 0;

	rows = driver_table(&n);
	for (size_t i = 0; i < n && r >= 0; i++) {
		if (rows[i].kind != DRIVER_PROGRAM || rows[i].flags & DRIVER_ROW_NEVER)
			continue;
		r = 0;
		for (const char *const *place = driver_program_places(); *place && r == 0; place++)
			r = add_program_from(d, &rows[i], *place);
	}
	return r < 0 ? r : 0;
}

static int add_firmware(struct discovery *d, const char *directory, const char *name)
{
	auto_driver_file struct driver_file file = { .kind = DRIVER_FIRMWARE, .fd = -1 };
	const struct driver_row *row = driver_table_find(DRIVER_FIRMWARE, name);
	auto_free char *path = NULL;

	if (!row || find_name(d->driver, DRIVER_FIRMWARE, name))
		return 0;
	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	file.fd = driver_root_open_file(&d->root, path, &file.path, &file.st);
	if (file.fd < 0 || file.st.st_size == 0)
		return finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
					path, file.fd < 0 ? strerror(-file.fd) : "empty");
	file.name = strdup(name);
	if (!file.name)
		return -ENOMEM;
	file.caps = row->caps;
	return take_file(d->driver, &file);
}

static int add_firmware_from(struct discovery *d, const char *place)
{
	auto_free char *directory = NULL;
	auto_closedir DIR *dir = NULL;
	const struct dirent *entry;
	int r;

	if (asprintf(&directory, "%s/%s", place, d->driver->version) < 0) {
		directory = NULL;
		return -ENOMEM;
	}
	r = driver_root_open_dir(&d->root, directory, &dir);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return finding_add(&d->findings, true, "%s: %s, ignoring", directory, strerror(-r));
	while (r == 0 && (entry = readdir(dir)))
		r = add_firmware(d, directory, entry->d_name);
	return r;
}

/* What a complete driver of this branch has and this one doesn't. */
static int tell_missing(struct discovery *d)
{
	unsigned long branch = strtoul(d->driver->version, NULL, 10);
	const struct driver_row *rows;
	size_t n;
	int r = 0;

	rows = driver_table(&n);
	for (size_t i = 0; i < n && r == 0; i++) {
		bool found = false;

		if (!(rows[i].flags & DRIVER_ROW_EXPECTED) || branch < rows[i].since)
			continue;
		for (size_t k = 0; k < d->driver->n_files && !found; k++)
			found = driver_table_find(d->driver->files[k].kind,
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
	return strcmp(x->name, y->name);
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
	const struct driver_file *file = find_soname(d->driver, "libcuda.so.1");
	char note[CUDA_NOTE_MAX], cuda[FACT_CUDA_MAX];

	if (file && driver_guard_enter(d->root.guard, file->path) == 0 &&
	    elf_note(file->fd, "NVIDIA Corporation", 0, note, sizeof(note)) == 0 &&
	    fact_cuda_from_note(note, cuda) == 0)
		d->driver->cuda_note = strdup(note);
}

static int find_files(struct discovery *d, const struct driver_config *config, struct error *err)
{
	int r;

	r = driver_candidates_find(&d->root, &d->candidates, &d->findings, err);
	r = r ? r : settle_version(d, config->proc_root);
	for (size_t i = 0; i < d->candidates.n && r == 0; i++)
		r = add_library(d, &d->candidates.all[i]);
	if (r == 0 && d->n_versioned == 0)
		return no_driver(d, d->driver->root, err);
	r = r ? r : add_programs(d);
	for (const char *const *place = driver_firmware_places(); *place && r == 0; place++)
		r = add_firmware_from(d, *place);
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
	d.driver = calloc(1, sizeof(*d.driver));
	if (d.driver)
		d.driver->root = strdup(root);
	if (!d.driver || !d.driver->root)
		return error_set(err, -ENOMEM, "search driver root '%s'", root);
	r = find_files(&d, config, err);
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
