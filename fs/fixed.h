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

#define FIXED_LINKS_MAX 96
#define FIXED_LIBRARIES_MAX 256 /* a plan has room for both, and for all mounts */

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

/**
 * fixed_links_libraries() - a link for each library of a tree, where the container's own libraries lie
 * @dir: of the tree: "lib64", "lib32"
 * @at:  directory in the container: "/usr/lib/x86_64-linux-gnu"
 * @ret: of fixed_links_list(); what it has stays
 *
 * For who opens a library by its path, or copies it from there: the linker's cache is enough for the
 * others. More than FIXED_LIBRARIES_MAX of one tree are a finding. Return: 0 or -ENOMEM.
 */
int fixed_links_libraries(const struct layout *layout, const char *dir, const char *at,
			  const char *target, struct fixed_links *ret,
			  struct finding_list *findings, struct error *err);
void fixed_links_done(struct fixed_links *links);

#endif
