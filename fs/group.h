/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_GROUP_H
#define NVFS_FS_GROUP_H

#include <sys/types.h>

#define GROUP_FILE "/etc/group"

/**
 * group_find() - the id of a group
 * @path: in the form of group(5); borrowed
 * @name: of a group in that file, or a number
 * @ret:  untouched on failure
 *
 * The file alone, and not getgrnam(3): that loads whatever nsswitch.conf(5) names into a privileged
 * process. Groups that a directory service has are given by number.
 *
 * Return: 0, -ENOENT (no such group), or the errno of fopen(3).
 */
int group_find(const char *path, const char *name, gid_t *ret);

#endif
