/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_APPLY_H
#define NVFS_INJECT_APPLY_H

#include <stdbool.h>

#include "common/error.h"
#include "inject/effect.h"
#include "inject/place.h"
#include "inject/plan.h"

#define APPLY_LINK_MAX 255 /* of links of ours; a plan's lead into a tree */

/* What became of one step. */
struct outcome {
	const char *result; /* "mounted", "bound", "created", "replaced": done now;
			     * "already": done before; "kept": something else stands there, and
			     * stays; "omitted": the container has no place for it; NULL: not reached */
	char note[ERROR_TEXT_MAX]; /* why, or "" */
	unsigned int dirs;  /* directories made above the target */
	bool made;          /* the directory or file mounted over was made */
	bool elsewhere;     /* STEP_FILE: it is the step's alternative that was made */
	struct place_identity identity; /* of a mount */
	char was[APPLY_LINK_MAX + 1]; /* STEP_LINK: where ours led before; "": there was none */
};

/*
 * One application of a plan. Large (500 KiB): allocate it. Zero-initialise,
 * then set roots and plan. Everything the child does is recorded here, so that
 * another child can undo it.
 */
struct apply {
	struct place_roots roots;
	const struct plan *plan; /* borrowed */
	bool adopt; /* the daemon knows of no injection: what is there and is just what we would
		     * make is of a run that was killed, and counts as made now */
	const char *at;          /* target of the step that is being done; the plan's */
	struct outcome outcomes[PLAN_STEPS_MAX];
	struct effects effects;
	int tree_fd;             /* borrowed or owned by effects; the mounted tree */
	int tree_found;          /* owned: the tree of an earlier run; -1 */
	bool wants_alternative;  /* the tree's target cannot be had: nothing was done; ask the
				  * daemon for a plan with the alternative as its target */
};

/**
 * apply_run() - do all steps in order; an enter_run() function
 * @apply: struct apply
 *
 * Steps that a container may have no place for are left out and noted: proc,
 * socket, file, cache, link. On any other failure, and where the alternative
 * is wanted, what was done is undone before it returns.
 *
 * Return: 0, or the errno of the step, class ERROR_MOUNT.
 */
int apply_run(void *apply, struct error *err);

/** apply_undo() - take back what apply_run() did; an enter_run() function */
int apply_undo(void *apply, struct error *err);

/** apply_done() - close the descriptors; undoes nothing */
void apply_done(struct apply *apply);

#endif
