/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be done to a container, as data. Every mount that the container
 * gets is a clone made here: read-only, nosuid, and private, so that nothing
 * done to it later comes back to the host.
 */
#include "fs/planner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "nvml/devnode.h"

#define CACHE_PATH "/etc/ld.so.cache"
#define CONF_PATH "/etc/ld.so.conf.d/00-nvfs.conf"
#define PROC_PATH "/proc/driver/nvidia"
#define FALLBACK_TARGET "/dev/nvfs" /* where the image has no place for a directory */

static int step_add(struct planned *plan, json_t *step, struct error *err)
{
	if (!step || json_array_append_new(plan->steps, step) < 0)
		return error_set(err, -ENOMEM, "write the plan");
	return 0;
}

/* @fd is taken over; a step without one (a dry run) has fd -1. */
static int step_add_fd(struct planned *plan, json_t *step, int fd, struct error *err)
{
	if (fd >= 0) {
		if (plan->n_fds >= VARLINK_FDS_MAX) {
			(void)close(fd);
			json_decref(step);
			return error_setc(err, ERROR_DEVICE, -E2BIG, "more than %d mounts",
					  VARLINK_FDS_MAX);
		}
		if (step)
			(void)json_object_set_new(step, "fd", json_integer((json_int_t)plan->n_fds));
		plan->fds[plan->n_fds++] = fd;
	}
	return step_add(plan, step, err);
}

/* A detached, private clone with these flags; -1 in @ret for a dry run, which gets none. */
static int clone_mount(const struct planner_input *in, int dirfd, const char *path, uint64_t flags,
		       int *ret, struct error *err)
{
	const struct sys_mount_attr attr = { .attr_set = flags | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID,
					     .propagation = MS_PRIVATE };
	auto_close int fd = -1;
	int r;

	*ret = -1;
	if (in->root_fd < 0)
		return 0;
	fd = sys_open_tree(dirfd, path, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
	if (fd < 0)
		return error_set(err, fd, "clone '%s'", path);
	r = sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr);
	if (r < 0)
		return error_set(err, r, "set the mount flags of '%s'", path);
	*ret = take_fd(&fd);
	return 0;
}

static int add_tree(struct planned *plan, const struct planner_input *in, struct error *err)
{
	int fd, r = clone_mount(in, in->root_fd, in->name, MOUNT_ATTR_NODEV, &fd, err);

	if (r < 0)
		return error_classify(err, r, ERROR_MOUNT);
	return step_add_fd(plan, json_pack("{s:s, s:s, s:s}", "step", "tree", "target", in->target,
					   "alternative", FALLBACK_TARGET), fd, err);
}

static int add_proc(struct planned *plan, const struct planner_input *in, struct error *err)
{
	char path[512];
	int fd, r;

	if (!in->has_proc)
		return 0;
	(void)snprintf(path, sizeof(path), "%s%s", in->name, PROC_PATH);
	r = clone_mount(in, in->root_fd, path, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &fd, err);
	if (r < 0)
		return error_classify(err, r, ERROR_MOUNT);
	return step_add_fd(plan, json_pack("{s:s, s:s}", "step", "proc", "target", PROC_PATH), fd, err);
}

/* The clone is checked and not the path: it is what the container gets. */
static int clone_device(const struct planner_input *in, const struct devnode *node, int *ret,
			struct error *err)
{
	auto_close int fd = -1;
	struct stat st;
	int r = clone_mount(in, in->dev_fd, node->path, MOUNT_ATTR_NOEXEC, &fd, err);

	*ret = -1;
	if (r < 0 || fd < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "stat device node '%s'", node->path);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(node->major, node->minor))
		return error_setc(err, ERROR_DEVICE, -ENODEV, "'%s' is not the device %u:%u", node->path,
				  node->major, node->minor);
	*ret = take_fd(&fd);
	return 0;
}

static int add_device(struct planned *plan, const struct planner_input *in,
		      const struct devnode *node, struct error *err)
{
	char target[80];
	int fd, r = clone_device(in, node, &fd, err);

	if (r < 0)
		return error_classify(err, r, ERROR_DEVICE);
	(void)snprintf(target, sizeof(target), "/dev/%s", node->path);
	return step_add_fd(plan, json_pack("{s:s, s:s, s:i, s:i, s:s}", "step", "device", "target", target,
					   "major", (int)node->major, "minor", (int)node->minor, "access",
					   "rw"), fd, err);
}

static int add_cache(struct planned *plan, const struct planner_input *in, struct error *err)
{
	char content[300];
	int r, fd = -1;

	(void)snprintf(content, sizeof(content), "%s/lib64\n", in->target);
	r = step_add(plan, json_pack("{s:s, s:s, s:s}", "step", "file", "target", CONF_PATH, "content",
				     content), err);
	if (r < 0)
		return r;
	if (in->root_fd >= 0) {
		fd = fcntl(in->cache_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return error_set(err, -errno, "duplicate the merged cache");
	}
	return step_add_fd(plan, json_pack("{s:s, s:s}", "step", "cache", "target", CACHE_PATH), fd, err);
}

static int add_link(struct planned *plan, const struct planner_input *in, const char *program,
		    struct error *err)
{
	char target[300], to[600];

	(void)snprintf(target, sizeof(target), "/usr/bin/%s", program);
	(void)snprintf(to, sizeof(to), "%s/bin/%s", in->target, program);
	return step_add(plan, json_pack("{s:s, s:s, s:s}", "step", "link", "target", target, "to", to),
			err);
}

int planner_build(const struct planner_input *in, struct planned *ret, struct error *err)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->steps = json_array();
	if (!ret->steps)
		return error_set(err, -ENOMEM, "write the plan");
	r = add_tree(ret, in, err);
	if (r == 0)
		r = add_proc(ret, in, err);
	for (size_t i = 0; i < in->n_nodes && r == 0; i++)
		r = add_device(ret, in, &in->nodes[i], err);
	if (r == 0)
		r = add_cache(ret, in, err);
	for (size_t i = 0; i < in->n_programs && r == 0; i++)
		r = add_link(ret, in, in->programs[i], err);
	return r;
}

void planned_done(struct planned *plan)
{
	for (size_t i = 0; i < plan->n_fds; i++)
		cleanup_close(&plan->fds[i]);
	plan->n_fds = 0;
	json_decref(plan->steps);
	plan->steps = NULL;
}
