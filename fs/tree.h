/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_TREE_H
#define NVFS_FS_TREE_H

/*
 * The inodes that the store makes up, by nodeid. This is the filesystem as
 * plain functions: it has never heard of FUSE. The caller holds the store's
 * read lock; results that point into the store are valid that long.
 *
 * What a container has mounted, a tree's root and its proc/driver/nvidia, keeps
 * its nodeid while what is in it changes: both lead to the newest snapshot.
 *
 * A nodeid is kind << 56 and below it, by kind:
 *
 *   1                             the top directory, /run/nvfs
 *   BY_PID                        /run/nvfs/by-pid
 *   PID_LINK  serial, tree        a link in it
 *   ROOT      serial, tree        /run/nvfs/<id>: stays while the tree lives
 *   PROC      serial, tree        its proc/driver/nvidia, likewise
 *   NODE      serial, snapshot, slot   directories and texts of one snapshot
 *   HOST      object              a host's file, the same in all trees
 *   LINK      link                a symbolic link, the same in all trees
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct layout;
struct store;

#define TREE_TOP 1ULL /* FUSE_ROOT_ID of linux/fuse.h */

struct tree_inode {
	uint64_t nodeid;
	struct stat st;
};

struct tree_dirent {
	char name[256];
	uint64_t next; /* cookie of the entry after this one */
	struct tree_inode inode;
};

/* What an open file is: one of the two. */
struct tree_file {
	uint32_t object;  /* STORE_NONE for a text */
	int32_t backing_id; /* of a host's file: the kernel reads it by itself; 0: we do */
	const char *text; /* NULL for a host's file */
	size_t size;
};

/** tree_root_nodeid() - nodeid of a tree's root directory, 0 for a free index */
uint64_t tree_root_nodeid(const struct store *store, uint32_t tree);

/** tree_proc_nodeid() - of its proc/driver/nvidia, which a container has mounted as well */
uint64_t tree_proc_nodeid(const struct store *store, uint32_t tree);

/** tree_slot_nodeid() - of a directory of a snapshot, other than those two */
uint64_t tree_slot_nodeid(const struct store *store, uint32_t snapshot, uint32_t slot);

/** tree_object_nodeid() - of a host's file, in every tree */
uint64_t tree_object_nodeid(uint32_t object);

/** tree_describe() - for a log: "tree 'ID'", "file '/usr/lib/...' of all trees", ... */
void tree_describe(const struct store *store, uint64_t nodeid, char *buf, size_t size);

/** tree_proc_slot() - that directory's slot, -ENOENT where a layout has none */
int tree_proc_slot(const struct layout *layout);

/** tree_getattr() - attributes; -ESTALE for a nodeid that is no more */
int tree_getattr(const struct store *store, uint64_t nodeid, struct stat *ret);

/** tree_lookup() - a name in a directory; -ENOENT, -ENOTDIR or -ESTALE */
int tree_lookup(const struct store *store, uint64_t parent, const char *name,
		struct tree_inode *ret);

/**
 * tree_readdir() - the entry at a position, "." and ".." included
 * @cookie: 0 at first, then the entry's next
 *
 * Cookies stay valid when trees come and go between two calls.
 *
 * Return: 1, 0 (no more), -ENOTDIR or -ESTALE.
 */
int tree_readdir(const struct store *store, uint64_t nodeid, uint64_t cookie,
		 struct tree_dirent *ret);

/** tree_readlink() - a link's target as a string; -EINVAL for what is no link */
int tree_readlink(const struct store *store, uint64_t nodeid, char *buf, size_t size);

/** tree_open() - what to read; -EISDIR, -EINVAL for a link, -ESTALE */
int tree_open(const struct store *store, uint64_t nodeid, struct tree_file *ret);

#endif
