/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_FIXED_H
#define NVFS_FS_FIXED_H

#include <stddef.h>

struct error;
struct finding_list;
struct layout;

/*
 * Fixed paths: where programs and loaders look for parts of the driver that
 * are not libraries. A container gets a symbolic link there for each file that
 * its tree holds in one of the directories of a table. What discovery learns
 * to find, and a tree to hold, gets its links by a row.
 */

/* One link. Path and to are owned. */
struct fixed_link {
	char *path; /* in the container: "/usr/bin/nvidia-smi" */
	char *to;   /* in the tree: "/usr/local/nvidia/bin/nvidia-smi" */
	const char *where; /* only in a container that has this path; static; NULL: in any */
};

struct fixed_links {
	struct fixed_link *items;
	size_t n;
};

#define FIXED_LINKS_MAX 96 /* a plan has room for 256 steps, of which 127 are mounts */

/**
 * fixed_links_list() - the links for a tree
 * @layout: of the tree; borrowed for the call
 * @target: where the tree will be mounted in the container
 * @ret:    zero-initialised; release with fixed_links_done() also on failure
 * @findings: gets a line where there are more than FIXED_LINKS_MAX; may be NULL
 *
 * In the table's order, within a directory by name. Directories below those
 * of the table give no links: each has a row of its own. Some rows are links to
 * the directory itself.
 *
 * Return: 0 or -ENOMEM.
 */
int fixed_links_list(const struct layout *layout, const char *target, struct fixed_links *ret,
		     struct finding_list *findings, struct error *err);
void fixed_links_done(struct fixed_links *links);

#endif
