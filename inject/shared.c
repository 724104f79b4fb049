/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory, and jansson's part of it: a heap that only grows, since the process is short. */
#include "inject/shared.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>

#define JSON_SIZE (128UL << 20) /* of addresses; memory only for what is used */
#define ALIGNMENT 16		/* as malloc(3) */

static struct {
	char *start, *next; /* NULL: malloc */
} heap;

void *shared_new(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void shared_clear(void *memory, size_t size)
{
	const size_t page = 4096;

	/* shmem_fallocate() punches a hole: the pages are new ones for everybody. */
	if (madvise(memory, (size + page - 1) / page * page, MADV_REMOVE) < 0)
		abort();
}

void shared_free(void *memory, size_t size)
{
	if (memory)
		(void)munmap(memory, size);
}

static void *json_new(size_t size)
{
	char *memory = heap.next;

	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (size > (size_t)(heap.start + JSON_SIZE - heap.next))
		return NULL;
	heap.next += size;
	return memory;
}

/* What was made before shared_json() is malloc's. */
static void json_release(void *memory)
{
	const char *at = memory;

	if (at < heap.start || at >= heap.start + JSON_SIZE)
		free(memory);
}

int shared_json(void)
{
	heap.start = heap.next = shared_new(JSON_SIZE);
	if (!heap.start)
		return -ENOMEM;
	json_set_alloc_funcs(json_new, json_release);
	return 0;
}
