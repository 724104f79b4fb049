/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_RECORD_H
#define NVFS_INJECT_RECORD_H

#include <jansson.h>
#include <stdbool.h>

struct apply;
struct cgroup_undo;
struct error;
struct place_identity;

/*
 * What was done to a container, as JSON: told to the daemon by io.nvfs.Commit,
 * shown by --json and `nvfs show`, and read again by restore_run(). One object
 * a step: "step", "target", "result", maybe "note", and what tells our own
 * things from others later: "dirs" (directories made above the target), "made"
 * (the mount point was made), "dev" and "ino" of a mount, "device", "content", "to". The last one is inject/cgroup_record.h.
 */

/**
 * record_all() - the steps, and the cgroup permission as a last one
 * @cgroup: NULL: cgroups were left alone
 *
 * Return: a new array, or NULL (out of memory).
 */
json_t *record_all(const struct apply *apply, const struct cgroup_undo *cgroup);

/**
 * record_merge_old() - a second injection finds done what the first one did
 * @done: changed: an entry that did nothing now gives way to what @old says of
 *        it, and entries of @old without a successor are added
 *
 * Return: 0 or -ENOMEM.
 */
int record_merge_old(json_t *done, const json_t *old);

/* Result of a device step: the container's own node stays, though it has the number of before. */
#define RECORD_LEFT "left"

/** record_is_mount() - is this the mount that a record tells of? */
bool record_is_mount(const json_t *record, const struct place_identity *id);

#endif
