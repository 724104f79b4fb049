/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_LAYOUT_H
#define NVFS_FS_LAYOUT_H

/*
 * A layout is the shape of one driver tree: names, kinds and references, as
 * one flat block of memory without pointers. It can be compared by memcmp(),
 * shared by many trees, written to a file and mapped by another process.
 *
 * The nodes are an array; a node's index in it is its slot. Slot 0 is the
 * root. The children of a directory are neighbours and sorted by name, so that
 * a lookup is a binary search.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define LAYOUT_SLOTS_MAX 16384 /* a nodeid has 14 bits for the slot */
#define LAYOUT_NAME_MAX 255    /* NAME_MAX of linux/limits.h */

enum layout_kind {
	LAYOUT_DIR = 1,
	LAYOUT_HOST = 2, /* a file of the host: ref is an object */
	LAYOUT_TEXT = 3, /* a file made here: ref is a blob */
	LAYOUT_LINK = 4, /* a symbolic link: ref is a link */
};

struct layout_node {
	uint32_t name;   /* offset from the start of the layout */
	uint32_t parent; /* slot */
	uint32_t ref;    /* directory: slot of its first child; others: see enum layout_kind */
	uint32_t count;  /* directory: number of children */
	uint16_t mode;   /* permission bits */
	uint8_t kind;    /* enum layout_kind */
	uint8_t unused;
};

struct layout {
	uint32_t size; /* bytes of the whole block */
	uint32_t n_nodes;
	struct layout_node nodes[];
	/* names, each ended by NUL */
};

struct layout_builder;

/** layout_builder_new() - start an empty tree; release with layout_builder_free() */
struct layout_builder *layout_builder_new(void);

/** layout_builder_free() - release a builder; NULL is fine */
void layout_builder_free(struct layout_builder *builder);

/**
 * layout_add() - add a file or link; missing directories come into being (0555)
 * @builder: the tree under construction
 * @path:    relative, without empty, "." or ".." components; copied
 * @kind:    not LAYOUT_DIR unless an empty directory is wanted
 * @ref:     what it refers to, opaque here
 * @mode:    permission bits
 * @err:     message chain, may be NULL
 *
 * Return: 0, -EINVAL (bad path), -EEXIST (the path is taken), -ENOTDIR,
 * -ENOSPC (too many nodes) or -ENOMEM.
 */
int layout_add(struct layout_builder *builder, const char *path, enum layout_kind kind,
	       uint32_t ref, unsigned int mode, struct error *err);

/**
 * layout_finish() - the flat block for all that was added
 *
 * Return: a new block that the caller frees, or NULL (out of memory). The same
 * additions give the same bytes, in whatever order they came.
 */
struct layout *layout_finish(const struct layout_builder *builder);

/** layout_name_is_sound() - can it be a file name: not empty, ".", "..", too long, with a slash */
bool layout_name_is_sound(const char *name);

/**
 * layout_is_sound() - can bytes that somebody else has written be used as a layout?
 * @size: bytes that there are
 *
 * All offsets stay inside, each node has a name and is the child of one
 * directory. What the nodes refer to is the caller's to check.
 */
bool layout_is_sound(const struct layout *layout, size_t size);

/**
 * layout_lookup() - find a name in a directory
 * @dir: slot of a directory
 *
 * Return: the slot, -ENOENT or -ENOTDIR.
 */
int layout_lookup(const struct layout *layout, uint32_t dir, const char *name);

/** layout_name() - a node's name, "" for the root */
const char *layout_name(const struct layout *layout, uint32_t slot);

/**
 * layout_path() - a node's path from the root
 *
 * Return: 0, or -ENAMETOOLONG where @size does not suffice.
 */
int layout_path(const struct layout *layout, uint32_t slot, char *buf, size_t size);

/**
 * layout_print() - the tree as text, one line a node, in depth-first order
 * @describe: words for a reference ("-> lib64"), may be NULL; data is passed on
 *
 * Return: a new string that the caller frees, or NULL (out of memory).
 */
char *layout_print(const struct layout *layout,
		   const char *(*describe)(void *data, enum layout_kind kind, uint32_t ref),
		   void *data);

#endif
