/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_IDENT_H
#define NVFS_FS_IDENT_H

struct error;

#define IDENT_MAX 255       /* NAME_MAX */
#define IDENT_HOST "host"   /* the reference tree */

/**
 * ident_escape() - the directory name for a container's id
 * @id:  from anybody
 * @ret: NUL-terminated; letters, digits and "_.:+@=,~-" stay, other bytes become
 *       \xHH, as does the first byte of a name that nvfs reserves: "host",
 *       "generations", "by-...", and whatever starts with a dot
 * @err: ERROR_USAGE
 *
 * Two ids never have one name.
 *
 * Return: 0, -EINVAL (empty, contains '/', is "." or "..") or -ENAMETOOLONG.
 */
int ident_escape(const char *id, char ret[IDENT_MAX + 1], struct error *err);

#endif
