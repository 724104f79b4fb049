/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers compare as numbers here: by text, as the existing tool does it, 1000 is below 580. */
#include "nvml/compat.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/driver_version.h"
#include "nvml/fact.h"
#include "nvml/nvml_api.h"

#define LINKS_MAX 4 /* from libcuda.so to the file there are two */

static const char *const words[] = { "auto", "ldconfig", "mount", "disabled" };

#define BRANDS_MAX 32 /* bits */

/* 1, 2 and 7 to 14: "device" of libcuda.so.580.159.04 */
#define BRANDS_WITHOUT_NOTE 0x7f86U

unsigned int compat_brand_bit(const char *brand)
{
	const char *name;

	for (int i = 1; (name = nvml_brand_name(i)); i++)
		if (strcmp(name, brand) == 0)
			return 1U << i;
	return 0;
}

const char *compat_mode_name(enum compat_mode mode)
{
	return words[mode];
}

int compat_mode_parse(const char *word, enum compat_mode *ret, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum compat_mode)i;
			return 0;
		}
	}
	(void)error_setc(err, ERROR_USAGE, -EINVAL, "invalid option: cuda-compat-mode=%.40s", word);
	return error_remedy(err, -EINVAL, "auto, ldconfig, mount or disabled");
}

/* 0 for none. */
static unsigned long branch_of(const char *version)
{
	return version && driver_version_is_valid(version) ? strtoul(version, NULL, 10) : 0;
}

/* "550.54.15" of "libcuda.so.550.54.15"; NULL for "libcuda.so.1", which is a link to it. */
static const char *version_of(const struct compat_file *file)
{
	const char *version = driver_library_version(file->name);

	return version && driver_version_is_valid(version) ? version : NULL;
}

static bool is_libcuda(const struct compat_file *file)
{
	static const char stem[] = "libcuda.so.";

	return !file->link && strncmp(file->name, stem, strlen(stem)) == 0 && version_of(file);
}

static const struct compat_file *only_libcuda(const struct compat_file *files, size_t n,
					      const char **why)
{
	const struct compat_file *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!is_libcuda(&files[i]))
			continue;
		if (found) {
			*why = "the image has more than one libcuda for compatibility";
			return NULL;
		}
		found = &files[i];
	}
	if (!found)
		*why = "the image has no libcuda for compatibility";
	return found;
}

static bool lists_branch(const json_t *note, unsigned long branch)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(note, "driver"), i, item)
		if (json_integer_value(item) == (json_int_t)branch)
			return true;
	return false;
}

/* Without a list, all. */
static unsigned int listed_brands(const json_t *note)
{
	const json_t *list = json_object_get(note, "device"), *item;
	unsigned int bits = 0;
	size_t i;

	if (!json_is_array(list))
		return ~0U;
	json_array_foreach(list, i, item) {
		json_int_t number = json_integer_value(item);

		if (number > 0 && number < BRANDS_MAX && nvml_brand_name((int)number))
			bits |= 1U << number;
	}
	return bits;
}

static bool brands_allow(unsigned int allowed, const struct compat_host *host, const char **why)
{
	if (!(host->brands & ~allowed))
		return true;
	*why = "the image's libcuda does not work on GPUs of this brand";
	return false;
}

/* A note that makes no sense speaks for nothing. */
static bool note_allows(const struct compat_file *file, const struct compat_host *host,
			const char **why)
{
	json_t *note = json_loads(file->note, 0, NULL);
	char cuda[FACT_CUDA_MAX] = "";
	bool newer = false;

	if (!json_is_object(note) || fact_cuda_from_note(file->note, cuda) < 0) {
		*why = "the note in the image's libcuda makes no sense";
	} else if (!brands_allow(listed_brands(note), host, why)) {
		newer = false;
	} else if (!*host->driver) {
		newer = *host->cuda && driver_version_compare(cuda, host->cuda) > 0;
		*why = newer ? "the image's CUDA is newer than the host's"
			     : "the image's CUDA is not newer than the host's";
	} else if (!lists_branch(note, branch_of(host->driver))) {
		*why = "the image's libcuda does not work on the host's branch";
	} else {
		newer = driver_version_compare(version_of(file), host->driver) > 0;
		*why = newer ? "the image's libcuda is newer, and works on the host's branch"
			     : "the image's libcuda is not newer than the host's";
	}
	json_decref(note);
	return newer;
}

static bool allowed(const struct compat_file *files, size_t n, const struct compat_host *host,
		    const char **why)
{
	const struct compat_file *libcuda = only_libcuda(files, n, why);

	if (!libcuda)
		return false;
	if (libcuda->note)
		return note_allows(libcuda, host, why);
	*why = "the image's libcuda is of no higher branch than the host's";
	if (!*host->driver || branch_of(version_of(libcuda)) <= branch_of(host->driver))
		return false;
	if (!brands_allow(BRANDS_WITHOUT_NOTE, host, why))
		return false;
	*why = "the image's libcuda is of a higher branch than the host's";
	return true;
}

static bool file_fits(enum compat_mode mode, const struct compat_host *host,
		      const struct compat_file *file)
{
	unsigned long branch = branch_of(version_of(file)), own = branch_of(host->driver);

	if (file->link || !branch)
		return false;
	return mode == COMPAT_AUTO || (own && branch > own);
}

static const struct compat_file *find(const struct compat_file *files, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

/* The file that a name leads to; NULL for one that leads nowhere. */
static const struct compat_file *follow(const struct compat_file *files, size_t n,
					const struct compat_file *at)
{
	for (int i = 0; at && at->link; i++) {
		if (i == LINKS_MAX)
			return NULL;
		at = find(files, n, at->link);
	}
	return at;
}

size_t compat_choose(enum compat_mode mode, const struct compat_host *host,
		     struct compat_file *files, size_t n, const char **why)
{
	bool any = mode != COMPAT_DISABLED;
	size_t chosen = 0;

	*why = any ? "no library of the image is of a higher branch than the host's" : "turned off";
	if (mode == COMPAT_AUTO)
		any = allowed(files, n, host, why);
	for (size_t i = 0; i < n; i++) {
		files[i].chosen = any && file_fits(mode, host, &files[i]);
		chosen += files[i].chosen;
	}
	if (chosen && mode != COMPAT_AUTO)
		*why = "libraries of the image are of a higher branch than the host's";
	for (size_t i = 0; i < n && chosen; i++)
		if (!files[i].link && !version_of(&files[i]))
			files[i].chosen = true;
	for (size_t i = 0; i < n; i++) {
		const struct compat_file *file = files[i].link ? follow(files, n, &files[i]) : NULL;

		if (file)
			files[i].chosen = file->chosen;
	}
	chosen = 0;
	for (size_t i = 0; i < n; i++)
		chosen += files[i].chosen;
	return chosen;
}
