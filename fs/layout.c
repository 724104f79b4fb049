/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure tree model. The builder keeps a linked tree with sorted children;
 * layout_finish() lays it out breadth first, which makes siblings neighbours.
 * Nothing here knows FUSE, drivers or files: references are numbers.
 */
#include "fs/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"

#define DIR_MODE 0555

struct build_node {
	char *name;
	enum layout_kind kind;
	uint32_t ref;
	uint16_t mode;
	struct build_node **children; /* sorted by name */
	size_t n_children;
	uint32_t slot; /* while it is laid out */
};

struct layout_builder {
	struct build_node root;
	size_t n_nodes;
	size_t names_size;
};

static void node_done(struct build_node *node)
{
	for (size_t i = 0; i < node->n_children; i++) {
		node_done(node->children[i]);
		free(node->children[i]);
	}
	free(node->children);
	free(node->name);
}

struct layout_builder *layout_builder_new(void)
{
	struct layout_builder *builder = calloc(1, sizeof(*builder));

	if (!builder)
		return NULL;
	builder->root.kind = LAYOUT_DIR;
	builder->root.mode = DIR_MODE;
	builder->n_nodes = 1;
	builder->names_size = 1;
	return builder;
}

void layout_builder_free(struct layout_builder *builder)
{
	if (!builder)
		return;
	node_done(&builder->root);
	free(builder);
}

/* Where @name is among the children, or where it belongs. */
static size_t child_position(const struct build_node *dir, const char *name, bool *found)
{
	size_t low = 0, high = dir->n_children;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(dir->children[middle]->name, name);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

static struct build_node *child_new(struct layout_builder *builder, struct build_node *dir,
				    size_t position, const char *name)
{
	struct build_node *child = calloc(1, sizeof(*child));
	struct build_node **bigger =
		realloc(dir->children, (dir->n_children + 1) * sizeof(*dir->children));

	if (bigger)
		dir->children = bigger;
	if (child)
		child->name = strdup(name);
	if (!child || !bigger || !child->name) {
		if (child)
			free(child->name);
		free(child);
		return NULL;
	}
	memmove(dir->children + position + 1, dir->children + position,
		(dir->n_children - position) * sizeof(*dir->children));
	dir->children[position] = child;
	dir->n_children++;
	builder->n_nodes++;
	builder->names_size += strlen(name) + 1;
	return child;
}

static int add_component(struct layout_builder *builder, struct build_node **dir,
			 const char *name, bool last, struct error *err)
{
	struct build_node *child;
	size_t position;
	bool found;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strlen(name) > LAYOUT_NAME_MAX)
		return error_set(err, -EINVAL, "tree name '%.40s'", name);
	if ((*dir)->kind != LAYOUT_DIR)
		return error_set(err, -ENOTDIR, "tree name '%.40s'", name);
	position = child_position(*dir, name, &found);
	if (found && last)
		return error_set(err, -EEXIST, "tree name '%.40s'", name);
	if (found) {
		*dir = (*dir)->children[position];
		return 0;
	}
	if (builder->n_nodes >= LAYOUT_SLOTS_MAX)
		return error_set(err, -ENOSPC, "tree has %d nodes", LAYOUT_SLOTS_MAX);
	child = child_new(builder, *dir, position, name);
	if (!child)
		return error_set(err, -ENOMEM, "add '%.40s'", name);
	child->kind = LAYOUT_DIR;
	child->mode = DIR_MODE;
	*dir = child;
	return 0;
}

int layout_add(struct layout_builder *builder, const char *path, enum layout_kind kind,
	       uint32_t ref, unsigned int mode, struct error *err)
{
	struct build_node *node = &builder->root;
	auto_free char *copy = strdup(path);
	char *name = copy;
	int r;

	if (!copy)
		return error_set(err, -ENOMEM, "add '%.40s'", path);
	while (name) {
		char *slash = strchr(name, '/');

		if (slash)
			*slash = '\0';
		r = add_component(builder, &node, name, !slash, err);
		if (r < 0)
			return r;
		name = slash ? slash + 1 : NULL;
	}
	node->kind = kind;
	node->ref = ref;
	node->mode = (uint16_t)(mode & 07777);
	return 0;
}

/* Breadth first: a queue of nodes in slot order, which is the array itself. */
static void lay_out(const struct layout_builder *builder, struct layout *layout,
		    const struct build_node **queue)
{
	char *names = (char *)(layout->nodes + layout->n_nodes);
	uint32_t n_queued = 1;

	queue[0] = &builder->root;
	*names++ = '\0';
	layout->nodes[0].name = (uint32_t)(names - 1 - (char *)layout);
	for (uint32_t slot = 0; slot < n_queued; slot++) {
		const struct build_node *from = queue[slot];
		struct layout_node *to = &layout->nodes[slot];

		to->kind = (uint8_t)from->kind;
		to->mode = from->mode;
		to->ref = from->kind == LAYOUT_DIR ? n_queued : from->ref;
		to->count = (uint32_t)from->n_children;
		for (size_t i = 0; i < from->n_children; i++) {
			const char *name = from->children[i]->name;

			layout->nodes[n_queued].parent = slot;
			layout->nodes[n_queued].name = (uint32_t)(names - (char *)layout);
			names = stpcpy(names, name) + 1;
			queue[n_queued++] = from->children[i];
		}
	}
}

struct layout *layout_finish(const struct layout_builder *builder)
{
	size_t size = sizeof(struct layout) + builder->n_nodes * sizeof(struct layout_node) +
		      builder->names_size;
	auto_free const struct build_node **queue = calloc(builder->n_nodes, sizeof(*queue));
	struct layout *layout = calloc(1, size);

	if (!queue || !layout) {
		free(layout);
		return NULL;
	}
	layout->size = (uint32_t)size;
	layout->n_nodes = (uint32_t)builder->n_nodes;
	lay_out(builder, layout, queue);
	return layout;
}

const char *layout_name(const struct layout *layout, uint32_t slot)
{
	return (const char *)layout + layout->nodes[slot].name;
}

int layout_lookup(const struct layout *layout, uint32_t dir, const char *name)
{
	const struct layout_node *node = &layout->nodes[dir];
	uint32_t low, high;

	if (node->kind != LAYOUT_DIR)
		return -ENOTDIR;
	low = node->ref;
	high = low + node->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(layout_name(layout, middle), name);

		if (order == 0)
			return (int)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

int layout_path(const struct layout *layout, uint32_t slot, char *buf, size_t size)
{
	size_t at = size;

	if (!size)
		return -ENAMETOOLONG;
	buf[--at] = '\0';
	while (slot) {
		const char *name = layout_name(layout, slot);
		size_t len = strlen(name);

		if (at < len + 1)
			return -ENAMETOOLONG;
		if (buf[at])
			buf[--at] = '/';
		at -= len;
		memcpy(buf + at, name, len);
		slot = layout->nodes[slot].parent;
	}
	memmove(buf, buf + at, size - at);
	return 0;
}

bool layout_name_is_sound(const char *name)
{
	return *name && !strchr(name, '/') && strlen(name) <= LAYOUT_NAME_MAX &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Each node but the root is the child of one directory, which comes before it: no cycles. */
static bool place_is_sound(const struct layout *layout, uint32_t slot)
{
	const struct layout_node *node = &layout->nodes[slot],
				 *parent = &layout->nodes[node->parent];

	if (node->kind == LAYOUT_DIR) {
		if (node->ref > layout->n_nodes || node->count > layout->n_nodes - node->ref)
			return false;
		for (uint32_t i = 0; i < node->count; i++) {
			if (layout->nodes[node->ref + i].parent != slot)
				return false;
		}
	}
	if (slot == 0)
		return node->kind == LAYOUT_DIR;
	return node->parent < slot && parent->kind == LAYOUT_DIR && slot >= parent->ref &&
	       slot - parent->ref < parent->count;
}

static bool node_is_sound(const struct layout *layout, uint32_t slot, size_t names)
{
	const struct layout_node *node = &layout->nodes[slot];

	if (node->name < names || node->name >= layout->size || node->parent >= layout->n_nodes)
		return false;
	if (node->kind < LAYOUT_DIR || node->kind > LAYOUT_LINK || node->mode & ~07777)
		return false;
	return place_is_sound(layout, slot) &&
	       (!slot || layout_name_is_sound(layout_name(layout, slot)));
}

bool layout_is_sound(const struct layout *layout, size_t size)
{
	size_t names;

	if (size < sizeof(*layout) || layout->size != size || !layout->n_nodes ||
	    layout->n_nodes > LAYOUT_SLOTS_MAX)
		return false;
	names = sizeof(*layout) + (size_t)layout->n_nodes * sizeof(layout->nodes[0]);
	if (names >= size || ((const char *)layout)[size - 1])
		return false;
	for (uint32_t slot = 0; slot < layout->n_nodes; slot++) {
		if (!node_is_sound(layout, slot, names))
			return false;
	}
	return true;
}

static void print_node(const struct layout *layout, uint32_t slot, FILE *out,
		       const char *(*describe)(void *, enum layout_kind, uint32_t), void *data)
{
	static const char *const kinds[] = { "?", "dir", "host", "text", "link" };
	const struct layout_node *node = &layout->nodes[slot];
	char path[4096];

	if (slot) {
		if (layout_path(layout, slot, path, sizeof(path)) < 0)
			strcpy(path, "?");
		fprintf(out, "%s %04o %s%s", kinds[node->kind], node->mode, path,
			node->kind == LAYOUT_DIR ? "/" : "");
		if (describe && node->kind != LAYOUT_DIR)
			fprintf(out, " %s", describe(data, node->kind, node->ref));
		fputc('\n', out);
	}
	for (uint32_t i = 0; node->kind == LAYOUT_DIR && i < node->count; i++)
		print_node(layout, node->ref + i, out, describe, data);
}

char *layout_print(const struct layout *layout,
		   const char *(*describe)(void *data, enum layout_kind kind, uint32_t ref),
		   void *data)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	print_node(layout, 0, out, describe, data);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
