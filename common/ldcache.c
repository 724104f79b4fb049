/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading an ld.so.cache that may be hostile. The file is copied first and
 * every number in it is taken out with memcpy() after a bounds check; all
 * bounds are of the form "count > (len - at) / size", with at <= len known, so
 * that nothing overflows. No pointer leaves this file to a string whose end
 * has not been seen.
 */
#include "common/ldcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/ldcache_format.h"

#define DIGITS_MAX 9 /* ld.so compares runs of digits as int: longer ones overflow */

/* Where the records are, and what their strings count from. */
struct table {
	size_t records;
	size_t n;
	size_t strings;
	bool old;
};

bool ldcache_key_usable(const char *key)
{
	size_t len = 0, digits = 0;

	for (; key[len]; len++) {
		/* ld.so compares char: bytes above 0x7f sort by the sign of char */
		if (key[len] <= 0x20 || key[len] >= 0x7f || key[len] == '/')
			return false;
		digits = key[len] >= '0' && key[len] <= '9' ? digits + 1 : 0;
		if (digits > DIGITS_MAX || len + 1 >= LDCACHE_KEY_MAX)
			return false;
	}
	return len > 0;
}

static int corrupt(struct error *err, const char *what)
{
	return error_setc(err, ERROR_OTHER, -EBADMSG, "ld.so.cache: %s", what);
}

static bool in_file(const struct ldcache *cache, size_t at, size_t count, size_t size)
{
	return at <= cache->image_len && count <= (cache->image_len - at) / size;
}

static bool magic_at(const struct ldcache *cache, size_t at, const char *magic)
{
	return in_file(cache, at, strlen(magic), 1) &&
	       memcmp(cache->image + at, magic, strlen(magic)) == 0;
}

/* A string at base + offset of at most max bytes with its NUL, or NULL. */
static const char *string_at(const struct ldcache *cache, size_t base, uint32_t offset, size_t max)
{
	size_t at = base + offset;

	if (at >= cache->image_len)
		return NULL;
	if (max > cache->image_len - at)
		max = cache->image_len - at;
	return memchr(cache->image + at, '\0', max) ? cache->image + at : NULL;
}

static int check_count(const struct ldcache *cache, const struct table *table, size_t size,
		       struct error *err)
{
	if (!in_file(cache, table->records, table->n, size))
		return corrupt(err, "table is longer than the file");
	if (table->n > LDCACHE_ENTRIES_MAX)
		return error_setc(err, ERROR_OTHER, -EFBIG, "ld.so.cache: more than %u entries",
				  LDCACHE_ENTRIES_MAX);
	return 0;
}

/* The 1.1 header at this place; tells the records and where the extension is. */
static int find_table_new(const struct ldcache *cache, size_t at, struct table *ret,
			  uint32_t *ret_extension, struct error *err)
{
	struct ldcache_header header;
	unsigned int endian;

	if (!in_file(cache, at, 1, sizeof(header)))
		return corrupt(err, "shorter than its header");
	memcpy(&header, cache->image + at, sizeof(header));
	endian = header.endian & LDCACHE_ENDIAN_MASK;
	if (header.endian != 0 && endian != LDCACHE_ENDIAN_NATIVE)
		return corrupt(err, "for another byte order");
	*ret = (struct table){
		.records = at + sizeof(header),
		.n = header.n_records,
		.strings = at,
	};
	*ret_extension = header.extension;
	return check_count(cache, ret, sizeof(struct ldcache_record), err);
}

static int find_table_old(const struct ldcache *cache, struct table *ret, uint32_t *ret_extension,
			  struct error *err)
{
	struct ldcache_old_header header;
	struct table table = { .records = sizeof(header), .old = true };
	size_t end, embedded;
	int r;

	if (!in_file(cache, 0, 1, sizeof(header)))
		return corrupt(err, "shorter than its header");
	memcpy(&header, cache->image, sizeof(header));
	table.n = header.n_records;
	r = check_count(cache, &table, sizeof(struct ldcache_old_record), err);
	if (r < 0)
		return r;
	end = table.records + table.n * sizeof(struct ldcache_old_record);
	embedded = (end + LDCACHE_ALIGN - 1) / LDCACHE_ALIGN * LDCACHE_ALIGN;
	if (magic_at(cache, embedded, LDCACHE_MAGIC))
		return find_table_new(cache, embedded, ret, ret_extension, err);
	table.strings = end;
	*ret = table;
	*ret_extension = 0;
	return 0;
}

static int find_table(const struct ldcache *cache, struct table *ret, uint32_t *ret_extension,
		      struct error *err)
{
	if (magic_at(cache, 0, LDCACHE_MAGIC))
		return find_table_new(cache, 0, ret, ret_extension, err);
	if (magic_at(cache, 0, LDCACHE_OLD_MAGIC))
		return find_table_old(cache, ret, ret_extension, err);
	return corrupt(err, "not a cache of glibc");
}

static int read_hwcaps(struct ldcache *cache, const struct ldcache_section *section, size_t base,
		       struct error *err)
{
	size_t n = section->size / sizeof(uint32_t);

	if (cache->hwcaps)
		return corrupt(err, "two lists of glibc-hwcaps directories");
	if (n > LDCACHE_HWCAPS_MAX || section->size % sizeof(uint32_t) != 0)
		return corrupt(err, "bad list of glibc-hwcaps directories");
	if (n == 0)
		return 0;
	cache->hwcaps = calloc(n, sizeof(*cache->hwcaps));
	if (!cache->hwcaps)
		return error_set(err, -ENOMEM, "ld.so.cache");
	for (; cache->n_hwcaps < n; cache->n_hwcaps++) {
		size_t at = section->offset + cache->n_hwcaps * sizeof(uint32_t);
		uint32_t offset;

		memcpy(&offset, cache->image + at, sizeof(offset));
		cache->hwcaps[cache->n_hwcaps] = string_at(cache, base, offset, LDCACHE_KEY_MAX);
		if (!cache->hwcaps[cache->n_hwcaps])
			return corrupt(err, "name of a glibc-hwcaps directory is outside the file");
	}
	return 0;
}

static int read_extension(struct ldcache *cache, uint32_t at, size_t base, struct error *err)
{
	struct ldcache_extension extension;
	struct ldcache_section section;
	int r;

	if (at == 0)
		return 0;
	if (at % sizeof(uint32_t) != 0 || !in_file(cache, at, 1, sizeof(extension)))
		return corrupt(err, "extension is outside the file");
	memcpy(&extension, cache->image + at, sizeof(extension));
	if (extension.magic != LDCACHE_EXTENSION_MAGIC ||
	    !in_file(cache, at + sizeof(extension), extension.n_sections, sizeof(section)))
		return corrupt(err, "damaged extension");
	for (size_t i = 0; i < extension.n_sections; i++) {
		memcpy(&section, cache->image + at + sizeof(extension) + i * sizeof(section),
		       sizeof(section));
		if (!in_file(cache, section.offset, section.size, 1))
			return corrupt(err, "section of the extension is outside the file");
		if (section.tag != LDCACHE_SECTION_HWCAPS)
			continue; /* the generator's name, or newer than us: glibc skips those too
				   */
		r = read_hwcaps(cache, &section, base, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct ldcache_record read_record(const struct ldcache *cache, const struct table *table,
					 size_t i)
{
	struct ldcache_record record = { 0 };
	size_t size = table->old ? sizeof(struct ldcache_old_record) : sizeof(record);

	/* An old record is the first half of a new one. */
	memcpy(&record, cache->image + table->records + i * size, size);
	return record;
}

static bool hwcap_usable(const struct ldcache *cache, uint64_t hwcap)
{
	return !(hwcap & LDCACHE_HWCAP_EXTENSION) || (uint32_t)hwcap < cache->n_hwcaps;
}

static int read_entries(struct ldcache *cache, const struct table *table, struct error *err)
{
	cache->entries = calloc(table->n ? table->n : 1, sizeof(*cache->entries));
	if (!cache->entries)
		return error_set(err, -ENOMEM, "ld.so.cache");
	for (size_t i = 0; i < table->n; i++) {
		struct ldcache_record record = read_record(cache, table, i);
		struct ldcache_entry entry = {
			.key = string_at(cache, table->strings, record.key, LDCACHE_KEY_MAX),
			.value = string_at(cache, table->strings, record.value, LDCACHE_VALUE_MAX),
			.flags = record.flags,
			.osversion = record.osversion,
			.hwcap = record.hwcap,
		};

		if (entry.key && ldcache_key_usable(entry.key) && entry.value &&
		    entry.value[0] == '/' && hwcap_usable(cache, entry.hwcap))
			cache->entries[cache->n_entries++] = entry;
	}
	return 0;
}

int ldcache_parse(const void *data, size_t len, struct ldcache **ret, struct error *err)
{
	auto_ldcache struct ldcache *cache = NULL;
	uint32_t extension = 0;
	struct table table = { 0 };
	int r;

	if (len > LDCACHE_SIZE_MAX)
		return error_setc(err, ERROR_OTHER, -EFBIG, "ld.so.cache: more than %u bytes",
				  LDCACHE_SIZE_MAX);
	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return error_set(err, -ENOMEM, "ld.so.cache");
	cache->image = malloc(len ? len : 1);
	if (!cache->image)
		return error_set(err, -ENOMEM, "ld.so.cache");
	if (len)
		memcpy(cache->image, data, len);
	cache->image_len = len;

	r = find_table(cache, &table, &extension, err);
	r = r < 0 ? r : read_extension(cache, extension, table.strings, err);
	r = r < 0 ? r : read_entries(cache, &table, err);
	if (r < 0)
		return r;
	*ret = take_ptr(&cache);
	return 0;
}

void ldcache_free(struct ldcache *cache)
{
	if (!cache)
		return;
	free(cache->hwcaps);
	free(cache->entries);
	free(cache->image);
	free(cache);
}

size_t ldcache_count(const struct ldcache *cache)
{
	return cache->n_entries;
}

const struct ldcache_entry *ldcache_at(const struct ldcache *cache, size_t i)
{
	return &cache->entries[i];
}

int32_t ldcache_native_flags(void)
{
#if defined(__x86_64__)
	return LDCACHE_FLAGS_X86_64;
#elif defined(__aarch64__)
	return LDCACHE_FLAGS_AARCH64;
#else
#error "flags of ldconfig for this architecture are not known"
#endif
}
