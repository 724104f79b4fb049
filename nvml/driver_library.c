/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From candidates to libraries, and the programs: each is opened and read as
 * ELF, in the order in which a program would find it. Native ones and those of
 * 32 bits are two worlds: a name or soname may be there once in each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/driver_impl.h"
#include "nvml/driver_places.h"
#include "nvml/driver_table.h"

static bool machine_fits(const struct elf_info *info, bool library)
{
	if (info->class == elf_native_class() && info->machine == elf_native_machine())
		return true;
	return library && info->class == 32 && elf_compat32_machine() &&
	       info->machine == elf_compat32_machine();
}

bool discovery_read_elf(struct discovery *d, struct driver_file *file, bool library,
			struct elf_info *info, int *r)
{
	struct error err = { 0 };

	*r = elf_read(file->fd, info, &err);
	if (*r == -ENOMEM)
		return false;
	if (*r < 0) {
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
				      file->path, err.text);
		return false;
	}
	if (!machine_fits(info, library)) {
		*r = finding_add_rule(&d->findings, FINDING_MACHINE,
				      info->class == elf_native_class(),
				      "%s: it is %d-bit %s, left out", file->path, info->class,
				      elf_machine_name(info->machine));
		return false;
	}
	if (library && !info->is_shared) {
		*r = finding_add_rule(&d->findings, FINDING_CONTENT, true,
				      "%s: no shared library, left out", file->path);
		return false;
	}
	file->elf_class = info->class;
	file->elf_machine = info->machine;
	return true;
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

/* Somebody of the same class with this name or soname was found in a better place. */
static bool is_shadowed(struct discovery *d, const struct driver_file *file, int *r)
{
	const struct driver_file *first = discovery_find(d, file);

	for (size_t i = 0; i < d->driver->n_files && !first && file->soname; i++) {
		const struct driver_file *other = &d->driver->files[i];

		if (other->kind == DRIVER_LIBRARY && other->elf_class == file->elf_class &&
		    other->soname && !strcmp(other->soname, file->soname))
			first = other;
	}
	if (!first)
		return false;
	if (strcmp(first->path, file->path) != 0) /* else a rule has added it */
		*r = finding_add_rule(&d->findings, FINDING_SHADOWED, false,
				      "%s: %s comes first, left out", file->path, first->path);
	return true;
}

static int add_library(struct discovery *d, const struct driver_candidate *candidate)
{
	auto_driver_file struct driver_file file = { .kind = DRIVER_LIBRARY, .fd = -1 };
	struct elf_info info = { 0 };
	int r = 0;

	if (!version_fits(d, candidate, &r) ||
	    discovery_excludes(d, candidate->path, candidate->name, &r))
		return r;
	file.fd = driver_root_open_file(&d->root, candidate->path, &file.path, &file.st);
	if (file.fd < 0)
		return finding_add_rule(&d->findings, FINDING_CONTENT, true, "%s: %s, left out",
					candidate->path, strerror(-file.fd));
	if (!discovery_read_elf(d, &file, true, &info, &r))
		return r;
	file.name = strdup(candidate->name);
	file.soname = info.soname[0] ? strdup(info.soname) : NULL;
	if (!file.name || (info.soname[0] && !file.soname))
		return -ENOMEM;
	file.caps = candidate->row ? candidate->row->caps : driver_library_guess(candidate->name);
	if (file.elf_class == elf_native_class() &&
	    (!candidate->row || !(candidate->row->flags & DRIVER_ROW_UNVERSIONED)))
		d->n_versioned++;
	return is_shadowed(d, &file, &r) ? r : discovery_take(d, &file);
}

int driver_find_libraries(struct discovery *d)
{
	int r = 0;

	for (size_t i = 0; i < d->candidates.n && r == 0; i++)
		r = add_library(d, &d->candidates.all[i]);
	return r;
}

static bool is_script(int fd)
{
	char magic[2];

	return pread(fd, magic, 2, 0) == 2 && magic[0] == '#' && magic[1] == '!';
}

static bool program_fits(struct discovery *d, struct driver_file *file, int *r)
{
	struct elf_info info = { 0 };

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
	return discovery_read_elf(d, file, false, &info, r);
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
	if (discovery_excludes(d, file.path, row->name, &r) || !program_fits(d, &file, &r))
		return r;
	file.name = strdup(row->name);
	if (!file.name)
		return -ENOMEM;
	if (discovery_find(d, &file))
		return 1;
	file.caps = row->caps;
	r = discovery_take(d, &file);
	return r < 0 ? r : 1;
}

int driver_find_programs(struct discovery *d)
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
