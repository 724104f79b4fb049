/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/group.h"

#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/parse.h"

int group_find(const char *path, const char *name, gid_t *ret)
{
	auto_fclose FILE *file = NULL;
	const struct group *group;
	uint64_t number;

	/* (gid_t)-1 is no group, see setregid(2). */
	if (parse_u64(name, UINT32_MAX - 1, &number) == 0) {
		*ret = (gid_t)number;
		return 0;
	}
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while ((group = fgetgrent(file))) {
		if (strcmp(group->gr_name, name) == 0) {
			*ret = group->gr_gid;
			return 0;
		}
	}
	return -ENOENT;
}
