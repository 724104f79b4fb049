/* SPDX-License-Identifier: Apache-2.0 */
/* The work of a parser, without its walls: requests whole and broken, of the layout that cachebox_wire.h tells. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/ldcache.h"
#include "fs/cachebox_wire.h"
#include "nvml/compat.h"
#include "tests/unit/unit.h"

struct request {
	char bytes[1024];
	size_t len;
};

static struct request request_of(struct box_request head)
{
	struct request request = { .len = sizeof(head) };

	memcpy(request.bytes, &head, sizeof(head));
	return request;
}

static void put(struct request *request, const void *data, size_t len)
{
	memcpy(request->bytes + request->len, data, len);
	request->len += len;
}

static void put_string(struct request *request, const char *text)
{
	put(request, text, strlen(text) + 1);
}

static int work(const struct request *request, const char *image, char **ret, size_t *ret_len,
		struct error *err)
{
	const struct cachebox_input input = { .request = request->bytes,
					      .request_len = request->len,
					      .image = image,
					      .image_len = image ? strlen(image) : 0 };
	void *result = NULL;
	int r = box_work(&input, &result, ret_len, err);

	*ret = result;
	return r;
}

static struct request merging_one(void)
{
	struct request request = request_of((struct box_request){ .work = BOX_MERGE, .n_add = 1 });
	const int32_t flags = ldcache_native_flags();

	put(&request, &flags, sizeof(flags));
	put_string(&request, "/usr/local/nvidia/");
	put_string(&request, "libcuda.so.1");
	put_string(&request, "/usr/local/nvidia/lib64/libcuda.so.1");
	return request;
}

START_TEST(without_an_image_the_cache_has_what_is_added)
{
	const struct request request = merging_one();
	auto_ldcache struct ldcache *cache = NULL;
	auto_free char *result = NULL;
	struct error err = { 0 };
	size_t len = 0;

	ck_assert_msg(work(&request, NULL, &result, &len, &err) == 0, "%s", err.text);
	ck_assert_int_eq(ldcache_parse(result, len, &cache, NULL), 0);
	ck_assert_ptr_nonnull(memmem(result, len, "libcuda.so.1", 13));
}
END_TEST

START_TEST(a_request_cut_anywhere_is_refused)
{
	const struct request whole = merging_one();

	for (size_t len = 0; len < whole.len; len++) {
		struct request cut = { .len = len };
		auto_free char *result = NULL;
		struct error err = { 0 };
		size_t n;

		memcpy(cut.bytes, whole.bytes, len);
		ck_assert_msg(work(&cut, NULL, &result, &n, &err) == -EINVAL, "%zu bytes", len);
		ck_assert_ptr_null(result);
		ck_assert_ptr_nonnull(strstr(err.text, "request to the cache parser"));
	}
}
END_TEST

START_TEST(a_number_of_additions_beyond_the_request_is_refused)
{
	static const uint32_t numbers[] = { 2, 1000, UINT32_MAX / 4, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct request request = merging_one();
		const struct box_request head = { .work = BOX_MERGE, .n_add = numbers[i] };
		auto_free char *result = NULL;
		size_t n;

		memcpy(request.bytes, &head, sizeof(head));
		ck_assert_int_eq(work(&request, NULL, &result, &n, NULL), -EINVAL);
	}
}
END_TEST

START_TEST(an_image_that_is_no_cache_is_refused)
{
	const struct request request = merging_one();
	auto_free char *result = NULL;
	struct error err = { 0 };
	size_t n;

	ck_assert_int_lt(work(&request, "no cache", &result, &n, &err), 0);
	ck_assert_str_ne(err.text, "");
	ck_assert_ptr_null(result);
}
END_TEST

static struct request choosing(enum compat_mode mode, const char *driver)
{
	struct request request = request_of(
		(struct box_request){ .work = BOX_CHOOSE, .mode = mode });

	put_string(&request, driver);
	put_string(&request, "12.2");
	return request;
}

START_TEST(a_choice_is_lines_of_text)
{
	static const char image[] =
		"file libcuda.so.550.54.15\nlink libcuda.so.1 libcuda.so.550.54.15\n\n";
	struct request request = choosing(COMPAT_LDCONFIG, "535.261.03");
	auto_free char *newer = NULL, *older = NULL;
	size_t len;

	ck_assert_int_eq(work(&request, image, &newer, &len, NULL), 0);
	ck_assert_uint_eq(strlen(newer), len);
	ck_assert_int_eq(strncmp(newer, "why ", 4), 0);
	ck_assert_ptr_nonnull(strstr(
		newer,
		"\nuse libcuda.so.550.54.15\nuse libcuda.so.1\n\nfile libcuda.so.550.54.15\n"));
	request = choosing(COMPAT_LDCONFIG, "580.159.04");
	ck_assert_int_eq(work(&request, image, &older, &len, NULL), 0);
	ck_assert_ptr_null(strstr(older, "use "));
	ck_assert_ptr_nonnull(strstr(older, "file libcuda.so.550.54.15\n"));
}
END_TEST

START_TEST(a_choice_without_sense_is_refused)
{
	struct request mode = choosing((enum compat_mode)(COMPAT_DISABLED + 1), "535.1"),
		       cut = choosing(COMPAT_AUTO, "535.1"), good = choosing(COMPAT_AUTO, "535.1");
	auto_free char *result = NULL;
	size_t n;

	cut.len -= 1;
	ck_assert_int_eq(work(&mode, "file libx.so.1\n\n", &result, &n, NULL), -EINVAL);
	ck_assert_int_eq(work(&cut, "file libx.so.1\n\n", &result, &n, NULL), -EINVAL);
	ck_assert_int_eq(work(&good, NULL, &result, &n, NULL), -EBADMSG); /* an image is what there is to choose from */
	ck_assert_int_eq(work(&good, "nonsense", &result, &n, NULL), -EBADMSG);
	ck_assert_ptr_null(result);
}
END_TEST

UNIT_MAIN("cachebox_work", without_an_image_the_cache_has_what_is_added,
	  a_request_cut_anywhere_is_refused, a_number_of_additions_beyond_the_request_is_refused,
	  an_image_that_is_no_cache_is_refused, a_choice_is_lines_of_text,
	  a_choice_without_sense_is_refused)
