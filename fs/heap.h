/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_HEAP_H
#define NVFS_FS_HEAP_H

/*
 * Memory inside one mapped file, handed out by offset. Chunks are powers of
 * two, each with a header, one after the other from the file's start: a new
 * process finds them all by walking, so the lists of free chunks need not be
 * in the file. The address range is reserved once and never moves.
 */

#include <stddef.h>
#include <stdint.h>

struct error;

#define HEAP_SIZE_MAX (1UL << 30) /* address space reserved; memory is used as needed */
#define HEAP_CLASSES 31

struct heap {
	int fd;
	char *base;
	size_t file_size;            /* what ftruncate() has given so far */
	size_t start, end;           /* of the chunks; end is the first byte never handed out */
	uint32_t free[HEAP_CLASSES]; /* first free chunk of each class, 0 = none */
	unsigned char *begins;       /* from heap_open() to heap_sweep(): a bit for each 64 bytes,
				      * set where a chunk begins; else NULL */
};

/**
 * heap_init() - map an empty file
 * @fd:       taken over, also on failure
 * @reserved: bytes at offset 0 that are the caller's own
 *
 * Return: 0 or a negative errno.
 */
int heap_init(struct heap *heap, int fd, size_t reserved, struct error *err);
void heap_done(struct heap *heap);

/**
 * heap_open() - map a file that another process has used
 * @fd: taken over, also on failure
 *
 * All its chunks count as used until heap_sweep().
 *
 * Return: 0, -EBADMSG (chunks that make no sense), -ENOMEM or another negative errno.
 */
int heap_open(struct heap *heap, int fd, size_t reserved, struct error *err);

/**
 * heap_open_copy() - the same for a look: what is changed is ours alone, and lost at the end
 *
 * The file may be written meanwhile, and what is seen of it make no sense.
 */
int heap_open_copy(struct heap *heap, int fd, size_t reserved, struct error *err);

/**
 * heap_sweep() - free every chunk that nobody needs
 * @is_used: asked with each chunk's offset, as heap_alloc() gave it
 */
void heap_sweep(struct heap *heap, int (*is_used)(const void *data, uint32_t offset),
		const void *data);

/**
 * heap_room() - bytes that a chunk has at this offset, 0 where there is no chunk's
 *
 * For offsets that a file says, between heap_open() and heap_sweep().
 */
size_t heap_room(const struct heap *heap, uint32_t offset);

/** heap_holds() - is this offset a chunk's, with room for @size bytes? As heap_room() */
int heap_holds(const struct heap *heap, uint32_t offset, size_t size);

/** heap_alloc() - offset of @size zeroed bytes, 8-byte aligned; 0 when out of memory */
uint32_t heap_alloc(struct heap *heap, size_t size);

/** heap_free() - give a chunk back; 0 is fine */
void heap_free(struct heap *heap, uint32_t offset);

/** heap_at() - the address of an offset */
static inline void *heap_at(const struct heap *heap, uint32_t offset)
{
	return heap->base + offset;
}

#endif
