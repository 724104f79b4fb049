/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_CGROUP_RECORD_H
#define NVFS_INJECT_CGROUP_RECORD_H

/*
 * The step "cgroup" of a container's record (inject/record.h), what later runs go by:
 *
 *	"asked"     rules, [major, minor, access], that the container is to have
 *	"added"     those that it had not by itself, all runs together: what a removal takes back
 *	"programs"  v2: ids of the device programs that are in effect afterwards
 *	"levels"    each cgroup that was changed: "version", "path", "added" there, and on v2
 *	            "replaced": ids of the programs that ours were put in the place of
 *
 * The daemon compares "programs" with what is in effect, and "path" with its container's unit.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/cgroup.h"

/** cgroup_record() - a new step, or NULL (out of memory) */
json_t *cgroup_record(const struct cgroup_undo *cgroup);

/** cgroup_record_is() - is this step of the record the cgroup's? */
bool cgroup_record_is(const json_t *step);

/**
 * cgroup_record_merge() - what an earlier run did was done, too
 * @step: changed: has what either added; what is asked, and the programs, stay
 * @old:  step of the earlier run, NULL for none
 *
 * Return: 0 or -ENOMEM.
 */
int cgroup_record_merge(json_t *step, const json_t *old);

/**
 * cgroup_record_rules() - read a list of rules; what is none is passed over
 * @rules: at least @max
 *
 * Return: their number.
 */
size_t cgroup_record_rules(const json_t *list, struct cgroup_rule *rules, size_t max);

/** cgroup_record_find() - the step in a whole record, NULL where there is none */
const json_t *cgroup_record_find(const json_t *done);

/** cgroup_record_originals() - all that is "replaced", the last @max (not 0) of it; their number */
size_t cgroup_record_originals(const json_t *step, uint32_t *ids, size_t max);

#endif
