/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_UNITBUS_H
#define NVFS_FS_UNITBUS_H

/*
 * DeviceAllow= of units of the system manager, over the system bus: org.freedesktop.systemd1(5),
 * sd-bus(3). Nothing here waits: the bus is a source of the daemon's loop, each call has a time
 * limit, and what came of a change is told by a callback.
 *
 * A build without libsystemd has unitbus-none.c, where every change fails with -EOPNOTSUPP.
 */

#include <jansson.h>

struct error;
struct loop;
struct unitbus;

/*
 * @added: what was not there before, for a later removal (unitlist.h); empty where nothing had to be
 *         changed, and after a removal. Borrowed. NULL on failure.
 * @err:   NULL on success
 */
typedef void unitbus_done_fn(void *data, int result, const json_t *added, const struct error *err);

/** unitbus_new() - not connected yet; release with unitbus_free(), which calls nobody back */
int unitbus_new(struct loop *loop, struct unitbus **ret, struct error *err);
void unitbus_free(struct unitbus *bus);

/* One of the two lists; borrowed. */
struct unitbus_change {
	const char *unit;
	const json_t *allow; /* rules: [[major, minor, access]...] */
	const json_t *remove; /* what an earlier change added */
};

/**
 * unitbus_change() - permit devices to a unit at run time, or take that back
 *
 * Where the unit restricts nothing, nothing is changed. What others have set stays. Success means that
 * the manager has carried it out. @done is called once, later; not where this returns an error.
 *
 * Return: 0, -EOPNOTSUPP, -ENOMEM or what kept us from the bus (-ENOENT: there is none).
 */
int unitbus_change(struct unitbus *bus, const struct unitbus_change *change, unitbus_done_fn *done,
		   void *data, struct error *err);

/** unitbus_tick() - every few seconds: end what takes too long */
void unitbus_tick(struct unitbus *bus);

#endif
