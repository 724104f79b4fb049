/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_UNITLIST_H
#define NVFS_FS_UNITLIST_H

/*
 * What a unit's DeviceAllow= is to become; pure. A list is JSON, [[path, access]...] in systemd's own
 * words: "/dev/char/195:0", "rw".
 *
 * As systemd 252 has it: setting DeviceAllow= to a list that is not empty adds its entries, or gives
 * an entry of the same path another access, less also; to the empty list, takes all away. Several
 * settings in one call are carried out in order, and only their sum reaches the cgroup. With
 * DevicePolicy=auto the empty list permits everything, and the first entry nothing but itself.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * unitlist_unit() - the unit that a cgroup belongs to
 * @cgroup: as in /proc/PID/cgroup, seen by the system manager
 * @name:   the unit's name; needs no room beyond 256 bytes
 * @ret_len: as much of @cgroup is the unit's own cgroup
 *
 * The topmost component that is no slice, if it is a scope or a service.
 * Source: cg_path_get_unit(), src/basic/cgroup-util.c of systemd.
 *
 * Return: whether there is one.
 */
bool unitlist_unit(const char *cgroup, char name[256], size_t *ret_len);

/** unitlist_restricts() - does the unit permit some devices only? */
bool unitlist_restricts(const char *policy, const json_t *current);

/**
 * unitlist_add() - what to set, so that these devices are permitted, too
 * @rules:   [[major, minor, access]...], access of CGROUP_ACCESS_*
 * @ret_set: new list of entries, empty where all are there
 * @ret_added: new list for unitlist_remove(): [[path, access that was not there]...]
 *
 * Return: 0 or -ENOMEM.
 */
int unitlist_add(const json_t *current, const json_t *rules, json_t **ret_set, json_t **ret_added);

/**
 * unitlist_stale() - what was added for devices that are not to be permitted any more
 * @added: of the record; NULL: nothing
 * @rules: what the unit is to permit now, as for unitlist_add()
 *
 * A device that has another number since its driver was loaded anew leaves such an entry.
 *
 * Return: new list for unitlist_remove(), empty where there is none; NULL: out of memory.
 */
json_t *unitlist_stale(const json_t *added, const json_t *rules);

/** unitlist_remove() - the whole list without what was added; NULL: out of memory */
json_t *unitlist_remove(const json_t *current, const json_t *added);

/** unitlist_merge() - @added: changed to have what either list has; 0 or -ENOMEM */
int unitlist_merge(json_t *added, const json_t *more);

#endif
