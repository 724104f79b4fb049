/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_WHY_H
#define NVFS_FS_WHY_H

#include <jansson.h>
#include <stdint.h>

struct daemon;
struct error;

/* What a path is a path of. */
enum why_kind {
	WHY_TREE,      /* relative to the tree's root: "lib64/libcuda.so.1" */
	WHY_CONTAINER, /* absolute, as the tree's container sees it */
	WHY_NAME,      /* a file name alone */
	WHY_HOST,      /* absolute below the driver root, links resolved */
};

/** why_kind_by_name() - "tree", "container", "name", "host"; -EINVAL for another word */
int why_kind_by_name(const char *name, enum why_kind *ret);

/**
 * why_explain() - why a path is in a tree, or not
 * @tree: index in the store
 * @ret:  new object: "id", "in_tree", "rule", "why"; "path" in the tree, "host_path",
 *        "links" that lead there, "generation", "driver_version", and what the
 *        tree was made for
 *
 * Nothing but the daemon's own tables is looked at. "rule" is one of
 * "driver-capability", "gpu", "made" (by nvfs), "structure" (a directory),
 * "injection" (put into the container), "image" (the container's own),
 * "absent" (of which the host's files may tell more).
 *
 * Return: 0, -EINVAL (ERROR_USAGE: a path that no tree can have) or -ENOMEM.
 */
int why_explain(const struct daemon *daemon, uint32_t tree, enum why_kind kind, const char *path,
		json_t **ret, struct error *err);

#endif
