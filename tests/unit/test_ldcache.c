/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ldcache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache_format.h"
#include "tests/unit/unit.h"

#define PREFIX "/usr/local/nvidia"
#define CORPUS "tests/fuzz/corpus/ldcache/"
#define HWCAP(i) (LDCACHE_HWCAP_EXTENSION | (i))

static const struct ldcache_add driver[] = {
	{ "libcuda.so.1", PREFIX "/lib64/libcuda.so.1", LDCACHE_FLAGS_X86_64 },
	{ "libnvidia-ml.so.1", PREFIX "/lib64/libnvidia-ml.so.1", LDCACHE_FLAGS_X86_64 },
	{ "libcuda.so.1", PREFIX "/lib32/libcuda.so.1", LDCACHE_FLAGS_I386 },
};

static char *load(const char *path, size_t *ret_len)
{
	struct error err = { 0 };
	char *data;

	ck_assert_msg(file_read_at(AT_FDCWD, path, LDCACHE_SIZE_MAX, &data, ret_len, &err) == 0,
		      "%s (run from the top folder)", err.text);
	return data;
}

static struct ldcache *parse_file(const char *path)
{
	auto_free char *data = NULL;
	struct error err = { 0 };
	struct ldcache *cache;
	size_t len;

	data = load(path, &len);
	ck_assert_msg(ldcache_parse(data, len, &cache, &err) == 0, "%s: %s", path, err.text);
	return cache;
}

/* The path that ld.so would take: the first match for these flags. */
static const char *find(const struct ldcache *cache, const char *key, int32_t flags)
{
	for (size_t i = 0; i < ldcache_count(cache); i++) {
		const struct ldcache_entry *entry = ldcache_at(cache, i);

		if (strcmp(entry->key, key) == 0 && entry->flags == flags)
			return entry->value;
	}
	return NULL;
}

static struct ldcache *merge_and_parse(const struct ldcache *image, const struct ldcache_add *add,
				       size_t n_add, const char *drop_prefix)
{
	auto_free void *data = NULL;
	struct ldcache *cache;
	size_t len;

	ck_assert_int_eq(ldcache_merge(image, add, n_add, drop_prefix, &data, &len, NULL), 0);
	ck_assert_int_eq(ldcache_parse(data, len, &cache, NULL), 0);
	return cache;
}

/* An image made of these entries. */
static struct ldcache *make(const struct ldcache_add *add, size_t n_add)
{
	return merge_and_parse(NULL, add, n_add, NULL);
}

START_TEST(the_cache_of_a_gpu_node_is_read_whole)
{
	auto_ldcache struct ldcache *cache = parse_file("tests/data/ld.so.cache.h100");

	ck_assert_uint_eq(ldcache_count(cache), 520);
	ck_assert_str_eq(find(cache, "libcuda.so.1", LDCACHE_FLAGS_X86_64),
			 PREFIX "/lib64/libcuda.so.1");
	ck_assert_str_eq(find(cache, "libc.so.6", LDCACHE_FLAGS_X86_64),
			 "/lib/x86_64-linux-gnu/libc.so.6");
	ck_assert_ptr_null(find(cache, "libcuda.so.1", LDCACHE_FLAGS_I386));
}
END_TEST

START_TEST(all_three_formats_of_ldconfig_are_read)
{
	static const char *const formats[] = { "new", "compat", "old" };

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		auto_ldcache struct ldcache *cache = NULL;
		char path[128];

		(void)snprintf(path, sizeof(path), CORPUS "ldconfig-%s", formats[i]);
		cache = parse_file(path);
		ck_assert_uint_eq(ldcache_count(cache), 6);
		ck_assert_str_eq(ldcache_at(cache, 0)->key, "libfoo.so.1");
		ck_assert_str_eq(ldcache_at(cache, 0)->value,
				 "/lib/glibc-hwcaps/x86-64-v2/libfoo.so.1");
		ck_assert_str_eq(ldcache_at(cache, 5)->value, "/lib/libbar.so.1");
		ck_assert_int_eq(ldcache_at(cache, 5)->flags, LDCACHE_FLAGS_X86_64);
		ck_assert_uint_eq(ldcache_at(cache, 1)->hwcap, i < 2 ? HWCAP(1) : 0);
		ck_assert_uint_eq(cache->n_hwcaps, i < 2 ? 2 : 0);
		if (cache->n_hwcaps)
			ck_assert_str_eq(cache->hwcaps[1], "x86-64-v3");
	}
}
END_TEST

/* Overwrite bytes of what ldconfig wrote and parse it. */
static int parse_patched(size_t at, const void *bytes, size_t n, struct ldcache **ret)
{
	auto_free char *data = NULL;
	size_t len;

	data = load(CORPUS "ldconfig-new", &len);
	memcpy(data + at, bytes, n);
	return ldcache_parse(data, len, ret, NULL);
}

static int parse_patched_u32(size_t at, uint32_t value, struct ldcache **ret)
{
	return parse_patched(at, &value, sizeof(value), ret);
}

START_TEST(a_damaged_file_is_refused)
{
	static const struct {
		const char *what;
		size_t at;
		uint32_t value;
	} cases[] = {
		{ "magic", 4, 0 },
		{ "version", 17, 0x302e31 },
		{ "count", 20, UINT32_MAX },
		{ "count one too many", 20, (523 - 48) / 24 + 1 },
		{ "big endian", 28, 3 },
		{ "endian invalid", 28, 1 },
		{ "extension outside", 32, 0xfffffffc },
		{ "extension at the end", 32, 520 },
		{ "extension unaligned", 32, 0x199 },
		{ "extension magic", 0x198, 0 },
		{ "sections", 0x19c, 0x10000000 },
		{ "section offset", 0x1b8, UINT32_MAX },
		{ "section size", 0x1bc, UINT32_MAX },
		{ "section size odd", 0x1bc, 7 },
		{ "section twice", 0x1a0, 1 },
		{ "name outside", 0x1c0, 523 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ldcache *cache = NULL;
		int r = parse_patched_u32(cases[i].at, cases[i].value, &cache);

		ck_assert_msg(r == -EBADMSG, "%s: %d", cases[i].what, r);
		ck_assert_ptr_null(cache);
	}
}
END_TEST

START_TEST(every_cut_of_a_file_is_refused_or_read_without_harm)
{
	static const char *const files[] = { CORPUS "ldconfig-new", CORPUS "ldconfig-old",
					     CORPUS "ldconfig-compat" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		auto_free char *data = NULL;
		size_t len;

		data = load(files[i], &len);
		for (size_t cut = 0; cut < len; cut++) {
			auto_ldcache struct ldcache *cache = NULL;
			auto_free char *copy = malloc(cut ? cut : 1);

			memcpy(copy, data, cut);
			if (ldcache_parse(copy, cut, &cache, NULL) == 0)
				ck_assert_uint_le(ldcache_count(cache), 6);
		}
	}
}
END_TEST

START_TEST(files_that_are_no_cache_are_refused_with_the_reason)
{
	static const char *const texts[] = { "", "x", "ld.so-1.7.0", "glibc-ld.so.cache1.1",
					     "glibc-ld.so.cache1.2 and something that is long "
					     "enough to hold a header" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct ldcache *cache = NULL;
		struct error err = { 0 };

		ck_assert_int_eq(ldcache_parse(texts[i], strlen(texts[i]), &cache, &err), -EBADMSG);
		ck_assert_ptr_null(cache);
		ck_assert_int_eq(strncmp(err.text, "ld.so.cache: ", 13), 0);
	}
}
END_TEST

START_TEST(one_unusable_entry_is_skipped_and_the_rest_stays)
{
	static const struct {
		size_t at;
		uint32_t value;
	} cases[] = {
		{ 48 + 4, 523 },	/* key outside */
		{ 48 + 4, 522 },	/* key without an end */
		{ 48 + 4, 0x195 },	/* key empty */
		{ 48 + 4, 0x16e },	/* key is a path */
		{ 48 + 8, UINT32_MAX }, /* value outside */
		{ 48 + 8, 0x16f },	/* value relative */
		{ 48 + 16, 2 },		/* no such glibc-hwcaps directory */
		{ 48 + 16, UINT32_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_ldcache struct ldcache *cache = NULL;

		ck_assert_int_eq(parse_patched_u32(cases[i].at, cases[i].value, &cache), 0);
		ck_assert_msg(ldcache_count(cache) == 5, "case %zu: %zu", i, ldcache_count(cache));
		ck_assert_str_eq(ldcache_at(cache, 0)->value,
				 "/lib/glibc-hwcaps/x86-64-v3/libfoo.so.1");
	}
}
END_TEST

START_TEST(hwcaps_without_their_list_are_skipped)
{
	auto_ldcache struct ldcache *cache = NULL;

	ck_assert_int_eq(parse_patched_u32(32, 0, &cache), 0); /* no extension */
	ck_assert_uint_eq(ldcache_count(cache), 2);
	ck_assert_str_eq(ldcache_at(cache, 0)->value, "/lib/libfoo.so.1");
}
END_TEST

START_TEST(sonames_that_ld_so_cannot_order_are_unusable)
{
	static const char *const bad[] = { "",		"a/b",	     "a b",   "a\x7f",
					   "a\n",	"a\xc3\xa9", "a\x80", "lib.so.1234567890",
					   "0123456789" };
	char key[LDCACHE_KEY_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(!ldcache_key_usable(bad[i]), "'%s'", bad[i]);
	ck_assert(ldcache_key_usable("lib-x+y_z.so.123456789.1"));
	memset(key, 'k', sizeof(key));
	key[LDCACHE_KEY_MAX - 1] = '\0';
	ck_assert(ldcache_key_usable(key));
	key[LDCACHE_KEY_MAX - 1] = 'k';
	key[LDCACHE_KEY_MAX] = '\0';
	ck_assert(!ldcache_key_usable(key));
}
END_TEST

START_TEST(too_large_a_file_or_table_is_refused)
{
	size_t n = LDCACHE_ENTRIES_MAX + 1, len = 48 + n * 24;
	auto_free char *data = calloc(1, LDCACHE_SIZE_MAX + 1);
	struct ldcache_header *header = (void *)data;
	struct ldcache *cache = NULL;

	ck_assert_int_eq(ldcache_parse(data, LDCACHE_SIZE_MAX + 1, &cache, NULL), -EFBIG);
	memcpy(header->magic, LDCACHE_MAGIC, sizeof(header->magic));
	header->n_records = (uint32_t)n;
	ck_assert_int_eq(ldcache_parse(data, len, &cache, NULL), -EFBIG);
	header->n_records = LDCACHE_ENTRIES_MAX;
	ck_assert_int_eq(ldcache_parse(data, len, &cache, NULL), 0);
	ck_assert_uint_eq(ldcache_count(cache), 0); /* their strings are the header: no path */
	ldcache_free(cache);
}
END_TEST

START_TEST(the_driver_wins_over_the_image)
{
	static const struct ldcache_add stub[] = {
		{ "libcuda.so.1", "/usr/local/cuda/compat/libcuda.so.1", LDCACHE_FLAGS_X86_64 },
		{ "libcuda.so.01", "/lib/libcuda.so.01", LDCACHE_FLAGS_X86_64 },
		{ "libz.so.1", "/lib/libz.so.1", LDCACHE_FLAGS_X86_64 },
	};
	auto_ldcache struct ldcache *image = make(stub, ARRAY_SIZE(stub)), *merged = NULL;

	merged = merge_and_parse(image, driver, ARRAY_SIZE(driver), PREFIX);
	ck_assert_uint_eq(ldcache_count(merged), 6);
	ck_assert_str_eq(ldcache_at(merged, 0)->key, "libz.so.1");
	ck_assert_str_eq(ldcache_at(merged, 2)->value, PREFIX "/lib64/libcuda.so.1");
	ck_assert_str_eq(ldcache_at(merged, 3)->value, PREFIX "/lib32/libcuda.so.1");
	/* ld.so takes 01 for 1: this one must come later, too. */
	ck_assert_str_eq(find(merged, "libcuda.so.1", LDCACHE_FLAGS_X86_64),
			 PREFIX "/lib64/libcuda.so.1");
	ck_assert_str_eq(ldcache_at(merged, 5)->value, "/lib/libcuda.so.01");
}
END_TEST

START_TEST(entries_below_the_prefix_are_dropped_and_no_others)
{
	static const struct ldcache_add old[] = {
		{ "liba.so", PREFIX "/lib64/liba.so", 3 },
		{ "libb.so", PREFIX, 3 },
		{ "libc.so", PREFIX "2/libc.so", 3 },
		{ "libd.so", "/usr/local/libd.so", 3 },
	};
	static const char *const prefixes[] = { PREFIX, PREFIX "/", PREFIX "//" };
	auto_ldcache struct ldcache *image = make(old, ARRAY_SIZE(old));

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		auto_ldcache struct ldcache *kept = merge_and_parse(image, NULL, 0, prefixes[i]);

		ck_assert_uint_eq(ldcache_count(kept), 2);
		ck_assert_ptr_nonnull(find(kept, "libc.so", 3));
		ck_assert_ptr_nonnull(find(kept, "libd.so", 3));
	}
	for (int i = 0; i < 2; i++) {
		auto_ldcache struct ldcache *kept = merge_and_parse(image, NULL, 0, i ? "" : NULL);

		ck_assert_uint_eq(ldcache_count(kept), 4);
	}
}
END_TEST

START_TEST(merging_twice_changes_no_byte)
{
	auto_ldcache struct ldcache *image = parse_file("tests/data/ld.so.cache.h100");
	auto_ldcache struct ldcache *merged = NULL;
	auto_free void *once = NULL, *twice = NULL;
	size_t once_len, twice_len;

	ck_assert_int_eq(
		ldcache_merge(image, driver, ARRAY_SIZE(driver), PREFIX, &once, &once_len, NULL),
		0);
	ck_assert_int_eq(ldcache_parse(once, once_len, &merged, NULL), 0);
	ck_assert_int_eq(
		ldcache_merge(merged, driver, ARRAY_SIZE(driver), PREFIX, &twice, &twice_len, NULL),
		0);
	ck_assert_uint_eq(once_len, twice_len);
	ck_assert_mem_eq(once, twice, once_len);
}
END_TEST

START_TEST(the_order_of_ldconfig_stays)
{
	auto_ldcache struct ldcache *image = parse_file("tests/data/ld.so.cache.h100");
	auto_ldcache struct ldcache *copy = merge_and_parse(image, NULL, 0, NULL);

	ck_assert_uint_eq(ldcache_count(image), ldcache_count(copy));
	for (size_t i = 0; i < ldcache_count(image); i++) {
		ck_assert_str_eq(ldcache_at(image, i)->key, ldcache_at(copy, i)->key);
		ck_assert_str_eq(ldcache_at(image, i)->value, ldcache_at(copy, i)->value);
		ck_assert_int_eq(ldcache_at(image, i)->flags, ldcache_at(copy, i)->flags);
	}
}
END_TEST

START_TEST(an_unsorted_image_comes_out_sorted)
{
	static const char *const sorted[] = { "libb.so", "lib10.so", "lib9.so.10", "lib9.so.9",
					      "lib9.so", "lib",	     "a.so",	   "a+" };
	struct ldcache_add shuffled[ARRAY_SIZE(sorted)];
	auto_ldcache struct ldcache *cache = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
		shuffled[i * 5 % ARRAY_SIZE(sorted)] = (struct ldcache_add){ sorted[i], "/x", 3 };
	cache = make(shuffled, ARRAY_SIZE(shuffled));
	/* A digit is above every letter: "lib10" comes before "libb". */
	ck_assert_str_eq(ldcache_at(cache, 0)->key, "lib10.so");
	ck_assert_str_eq(ldcache_at(cache, 1)->key, "lib9.so.10");
	ck_assert_str_eq(ldcache_at(cache, 2)->key, "lib9.so.9");
	ck_assert_str_eq(ldcache_at(cache, 3)->key, "lib9.so");
	ck_assert_str_eq(ldcache_at(cache, 4)->key, "libb.so");
	ck_assert_str_eq(ldcache_at(cache, 5)->key, "lib");
	ck_assert_str_eq(ldcache_at(cache, 6)->key, "a.so");
	ck_assert_str_eq(ldcache_at(cache, 7)->key, "a+");
}
END_TEST

START_TEST(hwcaps_variants_of_the_image_stay_in_front)
{
	auto_ldcache struct ldcache *image = parse_file(CORPUS "ldconfig-compat");
	auto_ldcache struct ldcache *merged = merge_and_parse(image, driver, ARRAY_SIZE(driver),
							      PREFIX);

	ck_assert_uint_eq(ldcache_count(merged), 9);
	ck_assert_uint_eq(merged->n_hwcaps, 2);
	ck_assert_str_eq(merged->hwcaps[0], "x86-64-v2");
	ck_assert_str_eq(merged->hwcaps[1], "x86-64-v3");
	ck_assert_str_eq(ldcache_at(merged, 1)->value, "/lib/glibc-hwcaps/x86-64-v2/libfoo.so.1");
	ck_assert_uint_eq(ldcache_at(merged, 1)->hwcap, HWCAP(0));
	ck_assert_uint_eq(ldcache_at(merged, 2)->hwcap, HWCAP(1));
	ck_assert_uint_eq(ldcache_at(merged, 3)->hwcap, 0);
}
END_TEST

START_TEST(nothing_merged_is_an_empty_cache)
{
	auto_ldcache struct ldcache *cache = make(NULL, 0);

	ck_assert_uint_eq(ldcache_count(cache), 0);
}
END_TEST

START_TEST(additions_that_no_cache_can_hold_are_refused_by_name)
{
	char longest[LDCACHE_VALUE_MAX + 1] = "/";
	const struct ldcache_add bad[] = {
		{ "lib/x.so", "/x", 3 }, { "", "/x", 3 },      { "libx.so.12345678901", "/x", 3 },
		{ "libx.so", "x", 3 },	 { "libx.so", "", 3 }, { "libx.so", longest, 3 },
	};
	struct error err = { 0 };

	memset(longest + 1, 'x', LDCACHE_VALUE_MAX - 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		void *data = NULL;
		size_t len;

		ck_assert_int_eq(ldcache_merge(NULL, &bad[i], 1, NULL, &data, &len, &err), -EINVAL);
		ck_assert_ptr_null(data);
	}
	(void)ldcache_merge(NULL, &bad[0], 1, NULL, &(void *){ NULL }, &(size_t){ 0 }, &err);
	ck_assert_ptr_nonnull(strstr(err.text, "'lib/x.so'"));
	longest[LDCACHE_VALUE_MAX - 1] = '\0';
	ldcache_free(make(&bad[5], 1));
}
END_TEST

/* 100 kB that would be 400 MB with every string written out. */
START_TEST(shared_strings_do_not_blow_up_the_result)
{
	size_t n = 100000, len = sizeof(struct ldcache_header) + n * 24 + 4100;
	auto_free char *data = calloc(1, len);
	struct ldcache_header *header = (void *)data;
	struct ldcache_record *records = (void *)(header + 1);
	uint32_t strings = (uint32_t)(len - 4100);
	auto_ldcache struct ldcache *cache = NULL;
	struct error err = { 0 };
	void *result = NULL;
	size_t result_len;

	memcpy(header->magic, LDCACHE_MAGIC, sizeof(header->magic));
	header->n_records = (uint32_t)n;
	memset(data + strings, '/', 4000);
	memcpy(data + strings + 4002, "libx.so", 8);
	for (size_t i = 0; i < n; i++)
		records[i] = (struct ldcache_record){ .key = strings + 4002, .value = strings };
	ck_assert_int_eq(ldcache_parse(data, len, &cache, &err), 0);
	ck_assert_uint_eq(ldcache_count(cache), n);
	ck_assert_int_eq(ldcache_merge(cache, driver, 1, NULL, &result, &result_len, &err), -EFBIG);
	ck_assert_ptr_null(result);
}
END_TEST

/* Run `ldconfig -p -C FILE` on these bytes and give what it prints. */
static char *ldconfig_print(const void *data, size_t len)
{
	char path[] = "/tmp/test_ldcache.XXXXXX", command[128], *text = NULL;
	int fd = mkstemp(path);
	size_t text_len;
	FILE *out;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(file_write_all(fd, data, len), 0);
	(void)close(fd);
	(void)snprintf(command, sizeof(command),
		       "LC_ALL=C PATH=$PATH:/sbin:/usr/sbin ldconfig -p -C %s 2>&1", path);
	out = popen(command, "r");
	ck_assert_int_eq(file_read_fd(fileno(out), LDCACHE_SIZE_MAX, &text, &text_len, NULL), 0);
	ck_assert_int_eq(pclose(out), 0);
	(void)unlink(path);
	return text;
}

START_TEST(ldconfig_itself_reads_what_we_write)
{
	auto_ldcache struct ldcache *image = parse_file(CORPUS "ldconfig-new");
	auto_free void *data = NULL;
	auto_free char *text = NULL;
	size_t len;

	ck_assert_int_eq(
		ldcache_merge(image, driver, ARRAY_SIZE(driver), PREFIX, &data, &len, NULL), 0);
	text = ldconfig_print(data, len);
	ck_assert_ptr_nonnull(strstr(text, "9 libs found in cache"));
	ck_assert_ptr_nonnull(strstr(
		text, "\tlibnvidia-ml.so.1 (libc6,x86-64) => " PREFIX "/lib64/libnvidia-ml.so.1\n"
		      "\tlibfoo.so.1 (libc6,x86-64, hwcap: \"x86-64-v2\") => "));
	ck_assert_ptr_nonnull(
		strstr(text, "\tlibcuda.so.1 (libc6,x86-64) => " PREFIX "/lib64/libcuda.so.1\n"
			     "\tlibcuda.so.1 (libc6) => " PREFIX "/lib32/libcuda.so.1\n"));
	ck_assert_ptr_nonnull(strstr(text, "Cache generated by: nvfs"));
}
END_TEST

UNIT_MAIN("ldcache", the_cache_of_a_gpu_node_is_read_whole, all_three_formats_of_ldconfig_are_read,
	  a_damaged_file_is_refused, every_cut_of_a_file_is_refused_or_read_without_harm,
	  files_that_are_no_cache_are_refused_with_the_reason,
	  one_unusable_entry_is_skipped_and_the_rest_stays, hwcaps_without_their_list_are_skipped,
	  sonames_that_ld_so_cannot_order_are_unusable, too_large_a_file_or_table_is_refused,
	  the_driver_wins_over_the_image, entries_below_the_prefix_are_dropped_and_no_others,
	  merging_twice_changes_no_byte, the_order_of_ldconfig_stays,
	  an_unsorted_image_comes_out_sorted, hwcaps_variants_of_the_image_stay_in_front,
	  nothing_merged_is_an_empty_cache, additions_that_no_cache_can_hold_are_refused_by_name,
	  shared_strings_do_not_blow_up_the_result, ldconfig_itself_reads_what_we_write)
