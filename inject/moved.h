/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_MOVED_H
#define NVFS_INJECT_MOVED_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/cgroup.h"
#include "inject/plan.h"

struct error;

/*
 * A second injection after the driver's module was loaded anew: majors may have
 * moved, and a node that the first one gave leads by its old number nowhere, or
 * to another driver's device. It gives way to the new one, and so does its
 * permission. Which node is ours is in the record of what was done; what the
 * container had by itself stays, and is reported. So does a link of ours that led elsewhere.
 */

struct moved {
	struct cgroup_rule rules[PLAN_STEPS_MAX]; /* added before, for numbers of before */
	size_t n;
	uint32_t originals[CGROUP_ORIGINALS_ALL]; /* programs that ours were put in the place of */
	size_t n_originals;
	struct cgroup_target *revoked; /* where they were taken back; NULL: nowhere */
};

/**
 * moved_find() - compare a plan with what was done to the container before
 * @plan: steps of nodes whose number, and of links whose end is another one now get their record as `before`
 * @done: the record; borrowed, must outlive @plan
 * @ret:  the rules that went with those nodes, and that nothing needs any more
 */
void moved_find(struct plan *plan, const json_t *done, struct moved *ret);

/**
 * moved_revoke() - take the permission of before back
 * @target: must outlive @moved
 *
 * Where nothing of ours is left in a program, its owner's own is put back, as a removal does.
 *
 * Return: 0, or what cgroup_revoke() says.
 */
int moved_revoke(struct moved *moved, struct cgroup_target *target, struct error *err);

/** moved_undo() - permit again what moved_revoke() took back; nothing where it did not */
int moved_undo(struct moved *moved, struct error *err);

/**
 * moved_merge() - what of the record has moved
 * @record: what is told to the daemon, merged already. Its entry of the cgroup gets the rules that are ours,
 *          of all injections together; nodes that are right now by themselves are not those of before any more
 * @now:    what this injection did
 * @before: the record of those before
 * @plan:   after moved_find()
 *
 * Return: 0 or -ENOMEM.
 */
int moved_merge(json_t *record, const json_t *now, const json_t *before, const struct plan *plan,
		const struct moved *moved);

#endif
