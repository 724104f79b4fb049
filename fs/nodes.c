/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of the record against majors: see nodes.h. */
#include "fs/nodes.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "nvml/devnode.h"

#define DEV "/dev/"

/* A node is in the container: ours, or one that was there. */
static bool is_node(const json_t *step)
{
	const char *result = varlink_string(step, "result", "");

	return strcmp(varlink_string(step, "step", ""), "device") == 0 &&
	       strncmp(varlink_string(step, "target", ""), DEV, strlen(DEV)) == 0 &&
	       (strcmp(result, "mounted") == 0 || strcmp(result, "already") == 0);
}

/* The path may be anybody's: it must lead to nothing but what lies in /dev itself. */
static bool host_has(int dev_fd, const char *path, unsigned int number)
{
	auto_close int fd = sys_openat2(dev_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0,
					RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	       major(st.st_rdev) == number;
}

/* The host need not have one of these: root's containers get nodes of their own, see donor.h. */
static bool can_be_made(const char *path)
{
	return strncmp(path, "nvidia-caps", strlen("nvidia-caps")) == 0;
}

struct nodes nodes_check(const json_t *done, const char *majors, int dev_fd)
{
	struct nodes nodes = { 0 };
	const json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		const char *path;
		unsigned int number;
		int now;

		if (!majors || !is_node(step) ||
		    sscanf(varlink_string(step, "device", ""), "%u:", &number) != 1)
			continue;
		path = varlink_string(step, "target", "") + strlen(DEV);
		now = devnode_major_of(majors, path);
		if (now < 0 || (unsigned int)now == number)
			continue;
		nodes.stale++;
		nodes.ready += can_be_made(path) || host_has(dev_fd, path, (unsigned int)now);
	}
	return nodes;
}
