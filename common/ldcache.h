/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_LDCACHE_H
#define NVFS_COMMON_LDCACHE_H

/*
 * The dynamic linker's cache, /etc/ld.so.cache: a table from soname to path
 * that ldconfig(8) writes and ld.so(8) searches. Read in all three shapes that
 * glibc reads (1.7.0, 1.7.0 with an embedded 1.1, and 1.1), written as 1.1,
 * which every glibc since 2.2 reads and every ldconfig since 2.32 writes.
 *
 * No function here makes a system call beyond what malloc() and free() need,
 * nor takes a lock, so that they run inside a strict sandbox.
 */

#include <stddef.h>
#include <stdint.h>

struct error;

#define LDCACHE_SIZE_MAX (16u << 20) /* bytes, of a file read or written */
#define LDCACHE_ENTRIES_MAX 131072u
#define LDCACHE_KEY_MAX 256u	 /* bytes with the NUL */
#define LDCACHE_VALUE_MAX 4096u	 /* bytes with the NUL: PATH_MAX */
#define LDCACHE_HWCAPS_MAX 1024u /* names of glibc-hwcaps directories */

/* Flags of glibc's ldconfig.h: 3 is "ELF for libc 6", the second byte is the architecture. */
#define LDCACHE_FLAGS_I386 0x0003
#define LDCACHE_FLAGS_X86_64 0x0303
#define LDCACHE_FLAGS_AARCH64 0x0a03

/* One library. The strings are borrowed from the struct ldcache. */
struct ldcache_entry {
	const char *key;    /* soname: 1 to 255 printable ASCII bytes, no '/' */
	const char *value;  /* absolute path, not normalised, not checked against any root */
	int32_t flags;	    /* LDCACHE_FLAGS_*, or what else the file says */
	uint32_t osversion; /* least kernel version, from an old ldconfig; else 0 */
	uint64_t hwcap;	    /* hardware capabilities, or with bit 62 a glibc-hwcaps directory */
};

struct ldcache;

/**
 * ldcache_parse() - read a cache that somebody else made
 * @data: the whole file, hostile; borrowed for the call
 * @len:  bytes at @data
 * @ret:  new cache on success, untouched on failure; the caller owns it and
 *        releases it with ldcache_free(). It holds its own copy of @data.
 * @err:  message chain, may be NULL
 *
 * One unusable entry (string outside the file or without an end, relative
 * path, soname that glibc could not keep in order, unknown glibc-hwcaps
 * directory) is skipped; a damaged header, table or extension is an error.
 * Source: glibc sysdeps/generic/dl-cache.h, elf/dl-cache.c, and the files that
 * ldconfig -c new|old|compat writes.
 *
 * Return: 0, -EBADMSG (not a cache of this byte order, or damaged), -EFBIG
 * (more than LDCACHE_SIZE_MAX bytes or LDCACHE_ENTRIES_MAX entries), -ENOMEM.
 */
int ldcache_parse(const void *data, size_t len, struct ldcache **ret, struct error *err);

/** ldcache_free() - release a cache and all strings borrowed from it; NULL is fine */
void ldcache_free(struct ldcache *cache);

/** ldcache_count() - number of usable entries */
size_t ldcache_count(const struct ldcache *cache);

/** ldcache_at() - entry @i, below ldcache_count(), in the order of the file; borrowed */
const struct ldcache_entry *ldcache_at(const struct ldcache *cache, size_t i);

/** ldcache_native_flags() - flags of a library for the architecture this program is built for */
int32_t ldcache_native_flags(void);

/* An entry to add; the strings are the caller's. */
struct ldcache_add {
	const char *soname;
	const char *path;
	int32_t flags; /* ldcache_native_flags() or LDCACHE_FLAGS_I386 */
};

/**
 * ldcache_merge() - a new cache file: these libraries first, then an old cache
 * @image:       cache to keep, or NULL for none; borrowed for the call
 * @add:         libraries that win over those of the same soname in @image; of
 *               several with one soname the first is found first; may be NULL
 * @n_add:       how many
 * @drop_prefix: entries of @image at or below this directory are left out;
 *               NULL or "": none. Compared as text.
 * @ret:         new file content on success, untouched on failure; the caller
 *               frees it
 * @ret_len:     its size in bytes
 * @err:         message chain, may be NULL
 *
 * The same input gives the same bytes. Merging the result again with the same
 * @add below @drop_prefix gives the same bytes too. The image's glibc-hwcaps
 * variants stay in use.
 *
 * Return: 0, -EINVAL (an entry of @add that a cache cannot hold), -EFBIG (more
 * than LDCACHE_SIZE_MAX bytes or LDCACHE_ENTRIES_MAX entries), -ENOMEM.
 */
int ldcache_merge(const struct ldcache *image, const struct ldcache_add *add, size_t n_add,
		  const char *drop_prefix, void **ret, size_t *ret_len, struct error *err);

static inline void cleanup_ldcache(struct ldcache **cache)
{
	ldcache_free(*cache);
}

#define auto_ldcache __attribute__((cleanup(cleanup_ldcache)))

#endif
