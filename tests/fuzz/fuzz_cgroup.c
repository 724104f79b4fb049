/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts about cgroups: names in them are the container's choice. Whatever
 * stands there, each parser ends, and what it finds is a part of the text.
 */
#include <errno.h>

#include "common/cleanup.h"
#include "common/cgroup_text.h"
#include "tests/fuzz/fuzz.h"

static void check_path(const char *text, unsigned int version)
{
	auto_free char *path = NULL;
	int r = cgroup_text_path(text, version, &path);

	require(r == 0 || r == -EINVAL || r == -EXDEV || r == -ENOENT);
	if (!path)
		return;
	require(r == 0 && path[0] == '/' && !strchr(path, '\n') && strstr(text, path));
	require(strncmp(path, "/../", 4) != 0 && strcmp(path, "/..") != 0);
}

static void check_mounts(const char *text, unsigned int version)
{
	struct cgroup_mount mount = { 0 };
	const char *cursor = text;

	while (cgroup_text_mount(&cursor, version, &mount) == 1) {
		const char *below = cgroup_text_below("/a/b/c", mount.root);

		require(mount.root && mount.point);
		require(!below || (*below != '/' && strstr("/a/b/c", below)));
		cgroup_mount_done(&mount);
	}
	require(cursor == NULL && !mount.root && !mount.point);
}

/* A rule that is covered stays so with fewer bits. */
static void check_listed(const char *text)
{
	struct cgroup_rule rule = { 195, 0, CGROUP_ACCESS_READ | CGROUP_ACCESS_WRITE };
	struct cgroup_listed both = cgroup_text_listed(text, &rule), one;

	rule.access = CGROUP_ACCESS_READ;
	one = cgroup_text_listed(text, &rule);
	require(!both.covered || one.covered);
	require(both.access == one.access && both.open == one.open && (both.access & ~7u) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);

	check_path(text, 1);
	check_path(text, 2);
	check_mounts(text, 1);
	check_mounts(text, 2);
	check_listed(text);
	return 0;
}
