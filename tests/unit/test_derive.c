/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/derive.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "common/ldcache.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "tests/unit/unit.h"

static struct driver_file files[] = {
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libcuda.so.535.1" },
	  .path = (char[]){ "/l/cuda" },
	  .soname = (char[]){ "libcuda.so.1" },
	  .caps = DRIVER_CAP_COMPUTE,
	  .elf_class = 64,
	  .st.st_mode = 0644 },
};
static struct gpu_list no_gpus;
static struct driver driver = { .version = "535.1", .files = files, .n_files = 1 };
static uint32_t objects[1];
static struct generation generation = { .number = 1, .driver = &driver, .gpus = &no_gpus,
					.objects = objects };
static struct store *store;
static struct deriver *deriver;
static struct derive_request request;

static void open_sample(void)
{
	struct store_object object = { .mode = 0644 };

	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	objects[0] = store_object_add(store, &object);
	deriver = deriver_new(store, NULL);
	request = (struct derive_request){ .caps = DRIVER_CAP_COMPUTE,
					   .target = "/usr/local/nvidia" };
}

static void close_sample(void)
{
	deriver_free(deriver);
	store_free(store);
}

START_TEST(without_an_image_the_cache_has_the_drivers_entries)
{
	struct derived derived;
	struct ldcache *cache;
	char *bytes;
	size_t len;

	open_sample();
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	ck_assert_str_eq(derived.warning, "");
	ck_assert_int_gt(file_memfd_sealed_size(derived.cache_fd, 1 << 20), 0);
	ck_assert_int_eq(lseek(derived.cache_fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(file_read_fd(derived.cache_fd, 1 << 20, &bytes, &len, NULL), 0);
	ck_assert_int_eq(ldcache_parse(bytes, len, &cache, NULL), 0);
	ck_assert_uint_eq(ldcache_count(cache), 2);
	ck_assert_str_eq(ldcache_at(cache, 0)->value, "/usr/local/nvidia/lib64/libcuda.so.1");
	ldcache_free(cache);
	free(bytes);
	close_sample();
}
END_TEST

START_TEST(the_same_request_gives_the_same_answer_and_another_one_another)
{
	struct derived one, two, other;

	open_sample();
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &one, NULL), 0);
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &two, NULL), 0);
	ck_assert_uint_eq(one.layout, two.layout);
	ck_assert_int_eq(one.cache_fd, two.cache_fd);
	request.target = "/dev/nvfs";
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &other, NULL), 0);
	ck_assert_uint_ne(one.layout, other.layout);
	close_sample();
}
END_TEST

START_TEST(an_image_that_cannot_be_parsed_is_a_warning)
{
	struct derived derived;

	open_sample();
	request.image = "junk";
	request.image_size = 4;
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	ck_assert_ptr_nonnull(strstr(derived.warning, "using the driver's entries alone"));
	ck_assert_int_gt(file_memfd_sealed_size(derived.cache_fd, 1 << 20), 0);
	close_sample();
}
END_TEST

START_TEST(an_image_that_is_too_large_is_a_warning_and_not_kept)
{
	struct derived derived;
	size_t before;

	open_sample();
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	before = store_memory(store);
	request.image_size = DERIVE_IMAGE_MAX + 1;
	request.image = calloc(1, request.image_size);
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	ck_assert_ptr_nonnull(strstr(derived.warning, "more than"));
	ck_assert_uint_lt(store_memory(store) - before, DERIVE_IMAGE_MAX);
	free((void *)(uintptr_t)request.image);
	close_sample();
}
END_TEST

/* Without a confined parser nobody looks at them. */
START_TEST(compatibility_libraries_that_cannot_be_looked_at_are_a_warning)
{
	struct derived derived;

	open_sample();
	request.compat = "file libcuda.so.550.1\n\n";
	request.compat_size = strlen(request.compat);
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	ck_assert_ptr_nonnull(strstr(derived.compat_warning, "using the driver's"));
	ck_assert_str_eq(derived.warning, "");
	ck_assert_ptr_null(derived.compat);
	/* Nor where there is nothing to choose. */
	request.compat_mode = COMPAT_DISABLED;
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	ck_assert_str_eq(derived.compat_warning, "");
	request.compat_mode = COMPAT_AUTO;
	request.caps = DRIVER_CAP_UTILITY;
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	ck_assert_str_eq(derived.compat_warning, "");
	close_sample();
}
END_TEST

START_TEST(answers_give_their_references_back)
{
	struct derived derived;

	open_sample();
	ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
	store_layout_unref(store, derived.layout);
	ck_assert_ptr_nonnull(store_layout(store, derived.layout)); /* the answer holds it */
	deriver_forget(deriver);
	ck_assert_ptr_null(store_layout(store, derived.layout));
	close_sample();
}
END_TEST

START_TEST(more_requests_than_are_remembered_do_no_harm)
{
	char target[32];
	struct derived derived;

	open_sample();
	request.target = target;
	for (int i = 0; i < 600; i++) {
		(void)snprintf(target, sizeof(target), "/t/%d", i);
		ck_assert_int_eq(deriver_get(deriver, &generation, &request, &derived, NULL), 0);
		store_layout_unref(store, derived.layout);
	}
	close_sample();
}
END_TEST

UNIT_MAIN("derive", compatibility_libraries_that_cannot_be_looked_at_are_a_warning,
	  without_an_image_the_cache_has_the_drivers_entries,
	  the_same_request_gives_the_same_answer_and_another_one_another,
	  an_image_that_cannot_be_parsed_is_a_warning,
	  an_image_that_is_too_large_is_a_warning_and_not_kept, answers_give_their_references_back,
	  more_requests_than_are_remembered_do_no_harm)
