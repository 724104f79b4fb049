/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_WHY_H
#define NVFS_CLI_WHY_H

#include <limits.h>
#include <stdint.h>

struct error;

/** cmd_why() - `nvfs why`: why a path is in a tree, or is not; gives the exit status */
int cmd_why(int argc, char **argv);

/* What a question is about. Strings are borrowed or inside. */
struct why_question {
	const char *kind; /* "tree", "container", "name" or "host", as io.nvfs.Why has it */
	char path[PATH_MAX];
	char tree[NAME_MAX + 1]; /* the tree's directory name; "": by id or pid */
	const char *id;          /* NULL: none */
	uint64_t pid;            /* 0: none */
};

/**
 * why_classify() - what is meant by a path
 * @path:       below the mount point, in the container of @id, on the host, in a
 *              tree ("lib64/libcuda.so.1"), or a bare file name
 * @id:         NULL for none: the reference tree is asked then
 * @mountpoint: absolute, without detours
 * @err:        ERROR_USAGE
 *
 * By the text alone, nothing is looked at: the mount may be dead.
 *
 * Return: 0, -EINVAL or -ENAMETOOLONG.
 */
int why_classify(const char *path, const char *id, const char *mountpoint, struct why_question *ret,
		 struct error *err);

/** why_exit_status() - 0 in the tree; by the rule that kept it out: 3 GPU, 8 driver, 1 another */
int why_exit_status(int in_tree, const char *rule);

#endif
