/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an ld.so.cache. ld.so(8) searches the table by halves, so the order
 * is part of the format: descending by a comparison in which runs of digits
 * count as numbers; among equal sonames the first match wins. Our entries are
 * put in front and the sort is stable, which is all it takes for the driver to
 * win and for the image's own order (glibc-hwcaps variants first) to stay.
 *
 * The size is counted before anything is written: entries of a hostile image
 * may share strings, which would be many times the image when written out.
 */
#include "common/ldcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/ldcache_format.h"

#define GENERATOR "nvfs"

/* What goes into the file. */
struct plan {
	struct ldcache_entry *entries;
	size_t n;
	const char *const *hwcaps; /* borrowed from the image */
	size_t n_hwcaps;
};

/* The file under construction: places of its parts, from the start of the file. */
struct writer {
	char *file;
	size_t strings; /* where the next string goes */
	size_t extension;
	size_t hwcaps;
	size_t generator;
	size_t size;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint32_t take_number(const char **s)
{
	uint32_t value = 0; /* usable keys have at most nine digits in a row */

	for (; is_digit(**s); (*s)++)
		value = value * 10 + (uint32_t)(**s - '0');
	return value;
}

/* ld.so's order of usable keys; "libx.so.1" and "libx.so.01" are equal to it. */
static int key_compare(const char *a, const char *b)
{
	for (;;) {
		if (is_digit(*a) && is_digit(*b)) {
			uint32_t x = take_number(&a), y = take_number(&b);

			if (x != y)
				return x < y ? -1 : 1;
		} else if (*a != *b) {
			if (is_digit(*a) != is_digit(*b))
				return is_digit(*a) ? 1 : -1;
			return *a < *b ? -1 : 1;
		} else if (*a == '\0') {
			return 0;
		} else {
			a++;
			b++;
		}
	}
}

/* Merge two sorted neighbours of @from, [0, mid) and [mid, n), into @to. */
static void merge_runs(struct ldcache_entry *to, const struct ldcache_entry *from, size_t mid,
		       size_t n)
{
	size_t a = 0, b = mid;

	/* In order already, as most of a cache is: one comparison instead of n. */
	if (mid == n || key_compare(from[mid].key, from[mid - 1].key) <= 0) {
		memcpy(to, from, n * sizeof(*to));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		bool take_b = a == mid || (b < n && key_compare(from[b].key, from[a].key) > 0);

		to[i] = from[take_b ? b++ : a++];
	}
}

/*
 * Stable and never worse than n log n, whatever the image holds. Not qsort():
 * glibc's asks the kernel for the size of memory, which a sandbox would have
 * to allow.
 */
static int sort_entries(struct plan *plan)
{
	struct ldcache_entry *from = plan->entries, *to, *spare;

	spare = calloc(plan->n ? plan->n : 1, sizeof(*spare));
	if (!spare)
		return -ENOMEM;
	to = spare;
	for (size_t width = 1; width < plan->n; width *= 2) {
		for (size_t at = 0; at < plan->n; at += 2 * width) {
			size_t left = plan->n - at;
			size_t n = left < 2 * width ? left : 2 * width;

			merge_runs(to + at, from + at, n < width ? n : width, n);
		}
		spare = from;
		from = to;
		to = spare;
	}
	plan->entries = from;
	free(to);
	return 0;
}

static bool at_or_below(const char *path, const char *dir)
{
	size_t len = dir ? strlen(dir) : 0;

	if (len == 0)
		return false;
	while (len > 0 && dir[len - 1] == '/')
		len--;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int check_add(const struct ldcache_add *add, struct error *err)
{
	if (!ldcache_key_usable(add->soname))
		return error_set(err, -EINVAL, "soname '%s' in ld.so.cache", add->soname);
	if (add->path[0] != '/' || strnlen(add->path, LDCACHE_VALUE_MAX) == LDCACHE_VALUE_MAX)
		return error_set(err, -EINVAL, "path '%s' in ld.so.cache", add->path);
	return 0;
}

static int plan_entries(struct plan *plan, const struct ldcache *image,
			const struct ldcache_add *add, size_t n_add, const char *drop_prefix,
			struct error *err)
{
	size_t n_image = image ? image->n_entries : 0;
	int r;

	if (n_add > LDCACHE_ENTRIES_MAX)
		return error_set(err, -EFBIG, "%zu libraries for ld.so.cache", n_add);
	plan->entries = calloc(n_add + n_image + 1, sizeof(*plan->entries));
	if (!plan->entries)
		return error_set(err, -ENOMEM, "merge ld.so.cache");
	for (size_t i = 0; i < n_add; i++) {
		r = check_add(&add[i], err);
		if (r < 0)
			return r;
		plan->entries[plan->n++] = (struct ldcache_entry){
			.key = add[i].soname,
			.value = add[i].path,
			.flags = add[i].flags,
		};
	}
	for (size_t i = 0; i < n_image; i++) {
		if (!at_or_below(image->entries[i].value, drop_prefix))
			plan->entries[plan->n++] = image->entries[i];
	}
	if (plan->n > LDCACHE_ENTRIES_MAX)
		return error_set(err, -EFBIG, "merge ld.so.cache: %zu entries", plan->n);
	if (image && image->n_hwcaps) {
		plan->hwcaps = image->hwcaps;
		plan->n_hwcaps = image->n_hwcaps;
	}
	return sort_entries(plan) < 0 ? error_set(err, -ENOMEM, "merge ld.so.cache") : 0;
}

/* Most sonames are the end of their path and need no string of their own. */
static bool key_ends_value(const struct ldcache_entry *entry)
{
	size_t key_len = strlen(entry->key), value_len = strlen(entry->value);

	return key_len <= value_len &&
	       memcmp(entry->value + value_len - key_len, entry->key, key_len) == 0;
}

/* At most 131072 x (4096 + 256) + 1024 x 256 bytes: no overflow in 64 bits. */
static uint64_t strings_size(const struct plan *plan)
{
	uint64_t size = 0;

	for (size_t i = 0; i < plan->n_hwcaps; i++)
		size += strlen(plan->hwcaps[i]) + 1;
	for (size_t i = 0; i < plan->n; i++) {
		size += strlen(plan->entries[i].value) + 1;
		if (!key_ends_value(&plan->entries[i]))
			size += strlen(plan->entries[i].key) + 1;
	}
	return size;
}

static int writer_layout(struct writer *w, const struct plan *plan, struct error *err)
{
	size_t n_sections = plan->n_hwcaps ? 2 : 1;
	uint64_t at;

	at = sizeof(struct ldcache_header) + plan->n * sizeof(struct ldcache_record);
	w->strings = at;
	at = (at + strings_size(plan) + 3) & ~UINT64_C(3);
	w->extension = at;
	at += sizeof(struct ldcache_extension) + n_sections * sizeof(struct ldcache_section);
	w->hwcaps = at;
	at += plan->n_hwcaps * sizeof(uint32_t);
	w->generator = at;
	at += strlen(GENERATOR);
	if (at > LDCACHE_SIZE_MAX)
		return error_setc(err, ERROR_OTHER, -EFBIG,
				  "ld.so.cache: the merged one has more than %u bytes",
				  LDCACHE_SIZE_MAX);
	w->size = at;
	w->file = calloc(1, w->size);
	return w->file ? 0 : error_set(err, -ENOMEM, "merge ld.so.cache");
}

static void put(struct writer *w, size_t at, const void *what, size_t size)
{
	memcpy(w->file + at, what, size);
}

static uint32_t put_string(struct writer *w, const char *s)
{
	size_t at = w->strings, size = strlen(s) + 1;

	put(w, at, s, size);
	w->strings += size;
	return (uint32_t)at;
}

static void put_header(struct writer *w, const struct plan *plan)
{
	size_t strings = sizeof(struct ldcache_header) + plan->n * sizeof(struct ldcache_record);
	struct ldcache_header header = {
		.n_records = (uint32_t)plan->n,
		.strings_len = (uint32_t)(w->strings - strings),
		.endian = LDCACHE_ENDIAN_NATIVE,
		.extension = (uint32_t)w->extension,
	};

	memcpy(header.magic, LDCACHE_MAGIC, sizeof(header.magic));
	put(w, 0, &header, sizeof(header));
}

static void put_extension(struct writer *w, const struct plan *plan)
{
	const struct ldcache_section sections[] = {
		{ LDCACHE_SECTION_GENERATOR, 0, (uint32_t)w->generator, strlen(GENERATOR) },
		{ LDCACHE_SECTION_HWCAPS, 0, (uint32_t)w->hwcaps,
		  (uint32_t)(plan->n_hwcaps * sizeof(uint32_t)) },
	};
	size_t n = plan->n_hwcaps ? 2 : 1;
	struct ldcache_extension extension = { LDCACHE_EXTENSION_MAGIC, (uint32_t)n };

	put(w, w->extension, &extension, sizeof(extension));
	put(w, w->extension + sizeof(extension), sections, n * sizeof(sections[0]));
	put(w, w->generator, GENERATOR, strlen(GENERATOR));
}

static void put_entry(struct writer *w, size_t i, const struct ldcache_entry *entry)
{
	struct ldcache_record record = {
		.flags = entry->flags,
		.osversion = entry->osversion,
		.hwcap = entry->hwcap,
	};

	record.value = put_string(w, entry->value);
	if (key_ends_value(entry))
		record.key = (uint32_t)(w->strings - strlen(entry->key) - 1);
	else
		record.key = put_string(w, entry->key);
	put(w, sizeof(struct ldcache_header) + i * sizeof(record), &record, sizeof(record));
}

static void write_plan(struct writer *w, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_hwcaps; i++) {
		uint32_t offset = put_string(w, plan->hwcaps[i]);

		put(w, w->hwcaps + i * sizeof(offset), &offset, sizeof(offset));
	}
	for (size_t i = 0; i < plan->n; i++)
		put_entry(w, i, &plan->entries[i]);
	put_extension(w, plan);
	put_header(w, plan);
}

int ldcache_merge(const struct ldcache *image, const struct ldcache_add *add, size_t n_add,
		  const char *drop_prefix, void **ret, size_t *ret_len, struct error *err)
{
	struct plan plan = { 0 };
	struct writer w = { 0 };
	int r;

	r = plan_entries(&plan, image, add, n_add, drop_prefix, err);
	r = r < 0 ? r : writer_layout(&w, &plan, err);
	if (r == 0) {
		write_plan(&w, &plan);
		*ret = w.file;
		*ret_len = w.size;
	}
	free(plan.entries);
	return r;
}
