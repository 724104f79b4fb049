/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory, and jansson's part of it: a heap that only grows, since the process is short. */
#include "inject/shared.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define JSON_LEAST (1UL << 20)
#define JSON_STEP (256UL << 10)
#define JSON_WARM (64UL << 10)
#define ALIGNMENT 16 /* as malloc(3) */

/*
 * A file that grows as memory is asked for, mapped at its greatest size from the beginning, where the
 * child has it too. Not anonymous memory: of that all counts as used where vm.overcommit_memory is 2,
 * and MAP_NORESERVE means nothing there.
 */
static struct {
	char *start, *next, *end; /* NULL: malloc */
	char *limit;		  /* of the mapping */
	int fd;
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

static int grow(size_t size)
{
	size_t used = (size_t)(heap.next - heap.start), room = (size_t)(heap.limit - heap.start);
	size_t wanted = (used + size + JSON_STEP - 1) / JSON_STEP * JSON_STEP;

	if (size > room - used)
		return -ENOMEM;
	if (wanted > room)
		wanted = room;
	if (ftruncate(heap.fd, (off_t)wanted) < 0)
		return -errno;
	heap.end = heap.start + wanted;
	return 0;
}

static void *json_new(size_t size)
{
	char *memory = heap.next;

	if (size > SHARED_JSON_MAX)
		return NULL;
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (size > (size_t)(heap.end - heap.next) && grow(size) < 0)
		return NULL;
	heap.next += size;
	return memory;
}

/* What was made before shared_json() is malloc's. */
static void json_release(void *memory)
{
	const char *at = memory;

	if (at < heap.start || at >= heap.limit)
		free(memory);
}

/* As many addresses as RLIMIT_AS has left. */
static int map_heap(void)
{
	void *memory = MAP_FAILED;
	size_t size;

	for (size = SHARED_JSON_MAX; memory == MAP_FAILED && size >= JSON_LEAST; size /= 2) {
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, heap.fd, 0);
		heap.limit = (char *)memory + size;
	}
	if (memory == MAP_FAILED)
		return -ENOMEM;
	heap.start = heap.next = heap.end = memory;
	return 0;
}

int shared_json(void)
{
	if (heap.start)
		return 0;
	heap.fd = memfd_create("nvinject", MFD_CLOEXEC);
	if (heap.fd < 0 || map_heap() < 0)
		return -ENOMEM;
	json_set_alloc_funcs(json_new, json_release);
	return 0;
}

void shared_json_warm(void)
{
	if (heap.next == heap.end && grow(JSON_WARM) == 0)
		(void)madvise(heap.start, JSON_WARM, MADV_POPULATE_WRITE); /* since Linux 5.14: faults one by one before */
}
