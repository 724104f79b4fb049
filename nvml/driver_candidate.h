/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_DRIVER_CANDIDATE_H
#define NVFS_NVML_DRIVER_CANDIDATE_H

#include <stddef.h>
#include <sys/types.h>

struct driver_root;
struct driver_row;
struct error;
struct finding_list;

/*
 * A file that by its name may be a library of the driver. Whether it is one is
 * decided by the driver's version and by its content, later.
 */
struct driver_candidate {
	char *path;                   /* below the driver root, links resolved */
	const char *name;             /* its last part; points into path */
	const char *version;          /* what follows ".so."; points into path; NULL for none */
	const struct driver_row *row; /* NULL: the table does not know it */
	dev_t device;                 /* with inode: which file it is */
	ino_t inode;
};

struct driver_candidates {
	struct driver_candidate *all; /* best place first, no file twice */
	size_t n;
};

#define DRIVER_CANDIDATES_MAX 4096

/**
 * driver_candidates_find() - search a driver root for libraries by name
 * @root:     borrowed for the call
 * @ret:      filled on success; the caller releases it with driver_candidates_done()
 * @findings: what is wrong with the root's ld.so.cache
 *
 * Return: 0 or -ENOMEM. A root without any is a success.
 */
int driver_candidates_find(const struct driver_root *root, struct driver_candidates *ret,
			   struct finding_list *findings, struct error *err);

/** driver_candidates_done() - free all; empty ones are fine */
void driver_candidates_done(struct driver_candidates *candidates);

#endif
