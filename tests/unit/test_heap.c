/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/heap.h"

#include <string.h>
#include <sys/mman.h>

#include "tests/unit/unit.h"

static struct heap heap;

static void open_heap(void)
{
	ck_assert_int_eq(heap_init(&heap, memfd_create("heap", MFD_CLOEXEC), 100, NULL), 0);
}

START_TEST(chunks_are_zeroed_aligned_and_apart)
{
	uint32_t a, b;

	open_heap();
	a = heap_alloc(&heap, 10);
	memset(heap_at(&heap, a), 0xff, 10);
	b = heap_alloc(&heap, 10);
	ck_assert_uint_ge(a, 100);
	ck_assert_uint_eq(a % 8, 0);
	ck_assert_uint_ge(b > a ? b - a : a - b, 10);
	ck_assert_int_eq(*(char *)heap_at(&heap, b), 0);
	heap_free(&heap, a);
	ck_assert_uint_eq(heap_alloc(&heap, 20), a);
	ck_assert_int_eq(*(char *)heap_at(&heap, a), 0);
	heap_done(&heap);
}
END_TEST

START_TEST(addresses_stay_when_the_file_grows)
{
	char *first;
	uint32_t offset;

	open_heap();
	offset = heap_alloc(&heap, 64);
	first = heap_at(&heap, offset);
	strcpy(first, "still here");
	for (int i = 0; i < 100; i++)
		ck_assert_uint_ne(heap_alloc(&heap, 100000), 0);
	ck_assert_ptr_eq(heap_at(&heap, offset), first);
	ck_assert_str_eq(first, "still here");
	heap_done(&heap);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
	open_heap();
	ck_assert_uint_eq(heap_alloc(&heap, HEAP_SIZE_MAX), 0);
	ck_assert_uint_ne(heap_alloc(&heap, 100), 0);
	heap_free(&heap, 0);
	heap_done(&heap);
}
END_TEST

UNIT_MAIN("heap", chunks_are_zeroed_aligned_and_apart, addresses_stay_when_the_file_grows,
	  what_does_not_fit_is_refused)
