/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_PERMIT_IMPL_H
#define NVFS_FS_PERMIT_IMPL_H

/* What permit.c, permit_unit.c, permit_method.c and revoke.c share; nobody else includes this. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fs/devcg.h"

struct client;
struct daemon;
struct revoke;
struct unitbus;

struct permit {
	struct permits *owner;
	uint32_t tree, serial; /* a tree's index comes back with another serial */
	uint32_t commits;      /* injections that ended meanwhile */
	bool ready;	       /* what follows is of the record that the tree has */
	bool wanted;	       /* there is something to keep */
	struct devcg devcg;
	uint64_t right; /* fingerprint that nothing is to be done about */
	uint64_t from;	/* when the last heal began */
	uint64_t refused; /* what a heal failed for, as it has been said */
	bool due, healing;
	time_t not_before, unit_not_before; /* CLOCK_MONOTONIC */
	time_t again; /* likewise; 0: what was refused is not tried again */
	/* the unit */
	char unit[256]; /* "": none that is to be told */
	json_t *rules;	/* what it is to permit */
	json_t *stale;	/* what it was told to and is not to any more, see unitlist.h */
	bool unit_due, unit_busy, removing, keeps_unit;
	bool keeps_tree;      /* when the permission has been taken back */
	struct client *waits; /* for the end of a removal */
};

struct permits {
	struct daemon *daemon;
	struct permit **at; /* by the tree's index */
	uint32_t room;
	struct unitbus *bus;
	bool said_no_bus;
	time_t next_check;
	struct revoke *revokes;	  /* under way */
	uint64_t healed, refused; /* so often */
	uint32_t watched, check_us; /* at the last look */
};

/** permit_of() - of a tree of a container; NULL: out of memory */
struct permit *permit_of(struct permits *permits, uint32_t tree);

/** permit_still() - the one that a call was begun for; NULL when its tree has gone meanwhile */
struct permit *permit_still(const struct permits *permits, uint32_t tree, uint32_t serial);

/**
 * permit_is_injected() - is its container injected anew, or about to be?
 *
 * A heal goes by the record of before, and would permit again what an injection takes away.
 */
bool permit_is_injected(const struct permit *permit);

/** permit_heal_due() - start what waits to be healed, as far as there is room */
void permit_heal_due(struct permits *permits);

/** permit_find_unit() - from the record: which unit, what it is to permit, and what not any more */
void permit_find_unit(struct permit *permit, const json_t *done);

/** permit_tell_unit() - begin to, where that is due */
void permit_tell_unit(struct permit *permit);

/** permit_unit_forget() - the tree goes: see permit_forget() */
void permit_unit_forget(struct permit *permit);

#endif
