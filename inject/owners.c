/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/owners.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "inject/regular.h"

#define UID_MAP_MAX 65536 /* 340 lines, see user_namespaces(7) */

bool owners_have(const struct owners *owners, uid_t uid)
{
	for (size_t i = 0; i < owners->n; i++) {
		if (uid >= owners->range[i].first &&
		    uid - owners->range[i].first < owners->range[i].count)
			return true;
	}
	return !owners->limited;
}

void owners_parse(const char *uid_map, struct owners *ret)
{
	*ret = (struct owners){ .limited = true };
	for (const char *line = uid_map; line && *line && ret->n < OWNERS_MAX;
	     line = strchr(line, '\n')) {
		uint32_t first, count;

		line += *line == '\n';
		if (sscanf(line, "%*u %u %u", &first, &count) != 2)
			continue;
		ret->range[ret->n].first = first;
		ret->range[ret->n++].count = count;
	}
}

static bool same_namespace(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int owners_read(int proc_pid, int mntns, struct owners *ret, struct error *err)
{
	auto_free char *uid_map = NULL;
	auto_close int userns = -1;
	struct stat owner, ours, its;
	int r;

	*ret = (struct owners){ 0 };
	if (proc_pid < 0 || mntns < 0)
		return 0;
	userns = ioctl(mntns, NS_GET_USERNS);
	if (userns < 0 || fstat(userns, &owner) < 0 ||
	    fstatat(regular_host_proc(), "self/ns/user", &ours, 0) < 0)
		return error_set(err, -errno, "ask for the user namespace of the container");
	if (same_namespace(&owner, &ours))
		return 0;
	ret->limited = true;
	if (fstatat(proc_pid, "ns/user", &its, 0) < 0)
		return error_set(err, -errno, "ask for the user namespace of the process");
	if (!same_namespace(&its, &owner))
		return 0;
	r = file_read_at(proc_pid, "uid_map", UID_MAP_MAX, &uid_map, NULL, err);
	if (r == 0)
		owners_parse(uid_map, ret);
	return r;
}
