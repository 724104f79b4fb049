/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that a person asks of a discovery. What it told as findings is
 * found again by path or name; what it passed over in silence, because every
 * directory is full of it, is judged by name as it was then.
 */
#include "nvml/explain.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "nvml/driver.h"
#include "nvml/driver_table.h"

const char *finding_rule_name(enum finding_rule rule)
{
	static const char *const names[] = {
		[FINDING_OTHER] = "other",	 [FINDING_VERSION] = "version",
		[FINDING_MACHINE] = "machine",	 [FINDING_SHADOWED] = "shadowed",
		[FINDING_CONTENT] = "content",	 [FINDING_MISSING] = "missing",
		[FINDING_NEVER] = "never",	 [FINDING_UNKNOWN] = "unknown",
		[FINDING_EXCLUDED] = "excluded", [FINDING_RULES] = "rules",
	};

	return rule < ARRAY_SIZE(names) ? names[rule] : "other";
}

/* Length of "libcuda" in "libcuda", "libcuda.so" and "libcuda.so.1"; of all of any other name. */
static size_t stem_length(const char *name)
{
	const char *so = strstr(name, ".so");

	return so && (so[3] == '\0' || so[3] == '.') ? (size_t)(so - name) : strlen(name);
}

static bool same_stem(const char *a, size_t a_len, const char *b)
{
	size_t b_len = stem_length(b);

	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

bool driver_file_is_called(const struct driver_file *file, const char *name)
{
	size_t stem = stem_length(name);

	if (strcmp(file->name, name) == 0 || (file->soname && strcmp(file->soname, name) == 0))
		return true;
	if (file->kind != DRIVER_LIBRARY || !same_stem(name, stem, file->name))
		return false;
	return name[stem] == '\0' || strcmp(name + stem, ".so") == 0;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const struct driver_file *find_file(const struct driver *driver, const char *what)
{
	for (size_t i = 0; i < driver->n_files; i++) {
		const struct driver_file *file = &driver->files[i];

		if (what[0] == '/' ? strcmp(file->path, what) == 0
				   : driver_file_is_called(file, what))
			return file;
	}
	return NULL;
}

/* A finding's text is "OBJECT: why", or "missing: NAME". */
static bool is_about(const struct driver_finding *finding, const char *what)
{
	const char *end = strstr(finding->text, ": "), *object = finding->text, *name;
	size_t len;

	if (!end)
		return false;
	if (finding->rule == FINDING_MISSING)
		return same_stem(end + 2, stem_length(end + 2), last_part(what));
	len = (size_t)(end - object);
	if (what[0] == '/')
		return strlen(what) == len && memcmp(object, what, len) == 0;
	name = memrchr(object, '/', len);
	name = name ? name + 1 : object;
	/* The name itself, or the same library under another version. */
	len = (size_t)(end - name);
	if (strlen(what) == len && memcmp(name, what, len) == 0)
		return true;
	return strncmp(name, what, stem_length(what)) == 0 &&
	       same_stem(what, stem_length(what), name);
}

static const struct driver_finding *find_finding(const struct driver *driver, const char *what)
{
	for (size_t i = 0; i < driver->n_findings; i++) {
		if (driver->findings[i].rule != FINDING_OTHER &&
		    is_about(&driver->findings[i], what))
			return &driver->findings[i];
	}
	return NULL;
}

static const struct driver_row *find_row(const char *name)
{
	const struct driver_row *row = NULL;

	for (int kind = 0; kind <= DRIVER_KIND_LAST && !row; kind++)
		row = driver_table_find((enum driver_file_kind)kind, name);
	return row;
}

static void explain_by_name(const struct driver *driver, const char *name, struct explanation *ret)
{
	const char *version = driver_library_version(name);
	const struct driver_row *row = find_row(name);

	if (row && row->flags & DRIVER_ROW_NEVER) {
		ret->rule = FINDING_NEVER;
		(void)snprintf(ret->text, sizeof(ret->text), "%s: of no use in a container", name);
	} else if (version && driver_version_is_valid(version) &&
		   strcmp(version, driver->version) != 0) {
		ret->rule = FINDING_VERSION;
		(void)snprintf(ret->text, sizeof(ret->text), "%s: version differs from %s", name,
			       driver->version);
	} else if (row) {
		ret->rule = FINDING_MISSING;
		(void)snprintf(ret->text, sizeof(ret->text),
			       "%s: this driver has none, or not where it was looked for", name);
	} else {
		ret->rule = FINDING_UNKNOWN;
		(void)snprintf(ret->text, sizeof(ret->text),
			       "%s: nothing of this driver is called so", name);
	}
}

void driver_explain(const struct driver *driver, const char *what, struct explanation *ret)
{
	const struct driver_finding *finding;

	*ret = (struct explanation){ .file = find_file(driver, what) };
	if (ret->file)
		return;
	finding = find_finding(driver, what);
	if (!finding) {
		explain_by_name(driver, last_part(what), ret);
		return;
	}
	ret->rule = finding->rule;
	(void)snprintf(ret->text, sizeof(ret->text), "%s", finding->text);
}
