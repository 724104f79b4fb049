/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_LDCACHE_FORMAT_H
#define NVFS_COMMON_LDCACHE_FORMAT_H

/*
 * ld.so.cache on disk, shared by its reader and its writer. Numbers have the
 * byte order of the machine that the cache is for.
 *
 *   1.1:     header | records | strings | (aligned to 4) extension | its sections
 *   1.7.0:   old header | old records | strings
 *   compat:  old header | old records | (aligned to 8) a whole 1.1 file, whose
 *            strings serve the old records too
 *
 * What an offset counts from:
 *   key, value of a record         the 1.1 header (also in a compat file)
 *   string of a glibc-hwcaps name  the 1.1 header
 *   extension, its sections        the file
 *   key, value of an old record    the end of the old records
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ldcache.h"

#define LDCACHE_OLD_MAGIC "ld.so-1.7.0"	     /* 11 bytes, no NUL */
#define LDCACHE_MAGIC "glibc-ld.so.cache1.1" /* 20 bytes, no NUL: magic and version */
#define LDCACHE_EXTENSION_MAGIC 0xeaa42174u
#define LDCACHE_ALIGN 8u /* of the 1.1 header in a compat file */

struct ldcache_old_header {
	char magic[12]; /* 11 bytes and padding */
	uint32_t n_records;
};

struct ldcache_old_record {
	int32_t flags;
	uint32_t key;
	uint32_t value;
};

struct ldcache_header {
	char magic[20];
	uint32_t n_records;
	uint32_t strings_len;
	uint8_t endian; /* lowest two bits; 0: written before glibc 2.33, not said */
	uint8_t padding[3];
	uint32_t extension; /* 0: none */
	uint32_t unused[3];
};

struct ldcache_record {
	int32_t flags;
	uint32_t key;
	uint32_t value;
	uint32_t osversion;
	uint64_t hwcap;
};

struct ldcache_extension {
	uint32_t magic;
	uint32_t n_sections;
};

struct ldcache_section {
	uint32_t tag;
	uint32_t flags;
	uint32_t offset;
	uint32_t size; /* bytes */
};

_Static_assert(sizeof(struct ldcache_old_header) == 16, "layout of glibc");
_Static_assert(sizeof(struct ldcache_old_record) == 12, "layout of glibc");
_Static_assert(sizeof(struct ldcache_header) == 48, "layout of glibc");
_Static_assert(sizeof(struct ldcache_record) == 24, "layout of glibc");

enum {
	LDCACHE_ENDIAN_MASK = 3,
	LDCACHE_ENDIAN_NATIVE = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 2 : 3,
};

enum {
	LDCACHE_SECTION_GENERATOR = 0, /* text, not terminated: which program wrote the file */
	LDCACHE_SECTION_HWCAPS = 1,    /* uint32_t offsets of names, sorted by name */
};

/* This bit in hwcap: the low 32 bits are an index into LDCACHE_SECTION_HWCAPS. */
#define LDCACHE_HWCAP_EXTENSION (1ull << 62)

struct ldcache {
	char *image; /* the file; what entries and hwcaps point into */
	size_t image_len;
	struct ldcache_entry *entries;
	size_t n_entries;
	const char **hwcaps; /* names of glibc-hwcaps directories, "x86-64-v3" */
	size_t n_hwcaps;
};

/** ldcache_key_usable() - can ld.so find this soname in a sorted table? */
bool ldcache_key_usable(const char *key);

#endif
