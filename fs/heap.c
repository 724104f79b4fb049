/* SPDX-License-Identifier: Apache-2.0 */
/* A power-of-two allocator whose memory is a file: see heap.h. */
#include "fs/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"

#define GROW (256UL * 1024)
#define CLASS_MIN 6 /* 64 bytes, header included */

struct chunk {
	uint32_t class; /* size is 1 << class */
	uint32_t used;
};

/* @fd is taken over, also on failure. */
static int heap_map(struct heap *heap, int fd, size_t reserved, int flags, struct error *err)
{
	void *base = mmap(NULL, HEAP_SIZE_MAX, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd,
			  0);

	memset(heap, 0, sizeof(*heap));
	heap->fd = fd;
	if (base == MAP_FAILED) {
		int r = error_set(err, -errno, "map the state file");

		(void)close(fd);
		heap->fd = -1;
		return r;
	}
	heap->base = base;
	heap->start = heap->end = (reserved + 63) & ~63UL;
	return 0;
}

int heap_init(struct heap *heap, int fd, size_t reserved, struct error *err)
{
	int r = heap_map(heap, fd, reserved, MAP_SHARED, err);

	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)(heap->end + GROW)) < 0) {
		r = error_set(err, -errno, "size the state file");
		heap_done(heap);
		return r;
	}
	heap->file_size = heap->end + GROW;
	return 0;
}

/* Walk the chunks to where the file has never been written: class 0. */
static int find_end(struct heap *heap)
{
	heap->begins = calloc(heap->file_size / 64 / 8 + 1, 1);
	if (!heap->begins)
		return -ENOMEM;
	while (heap->end + sizeof(struct chunk) <= heap->file_size) {
		const struct chunk *chunk = heap_at(heap, (uint32_t)heap->end);

		if (chunk->class == 0)
			return 0;
		if (chunk->class < CLASS_MIN || chunk->class >= HEAP_CLASSES ||
		    (1UL << chunk->class) > heap->file_size - heap->end)
			return -EBADMSG;
		heap->begins[heap->end / 64 / 8] |= (unsigned char)(1 << heap->end / 64 % 8);
		heap->end += 1UL << chunk->class;
	}
	return 0;
}

static int open_mapped(struct heap *heap, int fd, size_t reserved, int flags, struct error *err)
{
	int r = heap_map(heap, fd, reserved, flags, err);
	struct stat st;

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		r = error_set(err, -errno, "stat the state file");
	else if ((size_t)st.st_size < heap->start || (size_t)st.st_size > HEAP_SIZE_MAX)
		r = error_set(err, -EBADMSG, "state file of %lld bytes", (long long)st.st_size);
	if (r == 0) {
		heap->file_size = (size_t)st.st_size;
		r = find_end(heap);
		if (r < 0)
			(void)error_set(err, r, "chunks of the state file");
	}
	if (r < 0)
		heap_done(heap);
	return r;
}

int heap_open(struct heap *heap, int fd, size_t reserved, struct error *err)
{
	return open_mapped(heap, fd, reserved, MAP_SHARED, err);
}

int heap_open_copy(struct heap *heap, int fd, size_t reserved, struct error *err)
{
	return open_mapped(heap, fd, reserved, MAP_PRIVATE, err);
}

void heap_done(struct heap *heap)
{
	free(heap->begins);
	heap->begins = NULL;
	if (heap->base)
		(void)munmap(heap->base, HEAP_SIZE_MAX);
	if (heap->fd >= 0)
		(void)close(heap->fd);
	heap->base = NULL;
	heap->fd = -1;
}

static uint32_t heap_extend(struct heap *heap, unsigned int class)
{
	size_t offset = heap->end, need = offset + (1UL << class);

	if (need > HEAP_SIZE_MAX)
		return 0;
	if (need > heap->file_size) {
		size_t size = (need + GROW - 1) / GROW * GROW;

		if (size > HEAP_SIZE_MAX)
			size = HEAP_SIZE_MAX;
		if (ftruncate(heap->fd, (off_t)size) < 0)
			return 0;
		heap->file_size = size;
	}
	heap->end = need;
	((struct chunk *)heap_at(heap, (uint32_t)offset))->class = class;
	return (uint32_t)offset;
}

uint32_t heap_alloc(struct heap *heap, size_t size)
{
	unsigned int class = CLASS_MIN;
	struct chunk *chunk;
	uint32_t offset;

	while (class < HEAP_CLASSES && (1UL << class) < size + sizeof(struct chunk))
		class++;
	if (class >= HEAP_CLASSES)
		return 0;
	offset = heap->free[class];
	if (offset) {
		chunk = heap_at(heap, offset);
		memcpy(&heap->free[class], chunk + 1, sizeof(uint32_t));
	} else {
		offset = heap_extend(heap, class);
		if (!offset)
			return 0;
		chunk = heap_at(heap, offset);
	}
	memset(chunk + 1, 0, size);
	chunk->used = 1;
	return offset + (uint32_t)sizeof(struct chunk);
}

static void chunk_give(struct heap *heap, struct chunk *chunk, uint32_t offset)
{
	chunk->used = 0;
	memcpy(chunk + 1, &heap->free[chunk->class], sizeof(uint32_t));
	heap->free[chunk->class] = offset;
}

void heap_sweep(struct heap *heap, int (*is_used)(const void *data, uint32_t offset),
		const void *data)
{
	memset(heap->free, 0, sizeof(heap->free));
	for (size_t at = heap->start; at < heap->end;) {
		struct chunk *chunk = heap_at(heap, (uint32_t)at);
		size_t next = at + (1UL << chunk->class);

		if (is_used(data, (uint32_t)(at + sizeof(*chunk))))
			chunk->used = 1;
		else
			chunk_give(heap, chunk, (uint32_t)at);
		at = next;
	}
	free(heap->begins);
	heap->begins = NULL;
}

size_t heap_room(const struct heap *heap, uint32_t offset)
{
	size_t at = (size_t)offset - sizeof(struct chunk);
	const struct chunk *chunk;

	if (!heap->begins || offset < heap->start + sizeof(*chunk) || offset >= heap->end ||
	    at % 64 || !(heap->begins[at / 64 / 8] >> at / 64 % 8 & 1))
		return 0;
	chunk = heap_at(heap, (uint32_t)at);
	return (1UL << chunk->class) - sizeof(*chunk);
}

int heap_holds(const struct heap *heap, uint32_t offset, size_t size)
{
	size_t room = heap_room(heap, offset);

	return room && size <= room;
}

void heap_free(struct heap *heap, uint32_t offset)
{
	struct chunk *chunk;

	if (!offset)
		return;
	offset -= (uint32_t)sizeof(*chunk);
	chunk = heap_at(heap, offset);
	assert(chunk->used && chunk->class < HEAP_CLASSES);
	chunk_give(heap, chunk, offset);
}
