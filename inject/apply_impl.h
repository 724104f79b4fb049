/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_APPLY_IMPL_H
#define NVFS_INJECT_APPLY_IMPL_H

#include "inject/apply.h"

/* What the files apply*.c share, and nobody else includes. */

static inline void cleanup_place(struct place *place)
{
	place_done(place);
}
#define auto_place __attribute__((cleanup(cleanup_place)))

/** apply_note() - what became of a step, and why; returns 0 */
int apply_note(struct outcome *outcome, const char *result, const char *why);

/** apply_note_already() - it is there already, and is what we would make; @made: what it counts as
 * where the daemon knows of no injection */
int apply_note_already(const struct apply *apply, struct outcome *outcome, const char *made);

/** apply_find() - place_find(); directories are made where @make says so, and counted */
int apply_find(struct apply *apply, const char *target, bool make, struct place *ret,
	       struct outcome *outcome, struct error *err);

/**
 * apply_clear_other_trees() - trees of daemons that are gone give way
 *
 * Ours on top of one would do, but one more would be left after each death of
 * everybody. Several may lie on each other; what cannot be taken away stays.
 */
void apply_clear_other_trees(const struct place *place, const struct place_identity *ours);

/* One step each. Return: 0, or an errno that may tell how the container is made. */
int apply_device(struct apply *apply, const struct step *step, struct outcome *outcome,
		 struct error *err);
int apply_socket(struct apply *apply, const struct step *step, struct outcome *outcome,
		 struct error *err);
int apply_file(struct apply *apply, const struct step *step, struct outcome *outcome,
	       struct error *err);
int apply_cache(struct apply *apply, const struct step *step, struct outcome *outcome,
		struct error *err);
int apply_link(struct apply *apply, const struct step *step, struct outcome *outcome,
	       struct error *err);

#endif
