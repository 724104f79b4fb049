/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_RESTORE_H
#define NVFS_INJECT_RESTORE_H

#include <jansson.h>
#include <stddef.h>

#include "inject/place.h"

struct error;

/* Take an injection back, maybe days later, by the record of apply_record(). */
struct restore {
	struct place_roots roots;
	const json_t *done; /* borrowed; the record */
	const void *cache;  /* the container's present ld.so.cache without our entries; NULL: none */
	size_t cache_len;
	const char *at;     /* target of the record that is being taken back; the record's */
	size_t removed, left; /* of the things in the record; left: no longer ours */
};

/**
 * restore_run() - an enter_run() function; @restore is a struct restore
 *
 * Backwards through the record, and only what is still ours: a mount whose
 * filesystem and inode are those recorded, a link that leads where we let it
 * lead, a file with our content. Directories go if they are empty. A failure
 * does not stop it.
 *
 * Return: 0 or the first failure.
 */
int restore_run(void *restore, struct error *err);

#endif
