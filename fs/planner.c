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
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "fs/donor.h"
#include "fs/fixed.h"
#include "fs/ipc.h"
#include "nvml/devnode.h"

#define CACHE_PATH "/etc/ld.so.cache"
#define CONF_PATH "/etc/ld.so.conf.d/00-nvfs.conf"
#define CONF_OTHER "/etc/ld.so.conf.d/00-nvfs-driver.conf" /* where that one is the image's own */
#define CONF_MARK "# made by nvfs; its libraries of the NVIDIA driver\n" /* see plan.h: is a file ours? */
#define PROC_PATH "/proc/driver/nvidia"
#define FALLBACK_TARGET "/dev/nvfs" /* where the image has no place for a directory */

/* One mount of the plan. */
struct source {
	int dirfd;
	char *path;      /* in our mount namespace; owned */
	const char *rel; /* its part below dirfd; "": dirfd itself, which the clone must be, or is left out */
	uint64_t flags;
	bool is_made;           /* it is a node to be made: */
	struct donor_node node;
	int fd; /* a detached, private clone; -1 for a dry run, or left out */
};

struct sources {
	struct source items[VARLINK_FDS_MAX];
	size_t n;
};

static void sources_free(struct sources **sources)
{
	for (size_t i = 0; *sources && i < (*sources)->n; i++) {
		free((*sources)->items[i].path);
		cleanup_close(&(*sources)->items[i].fd);
	}
	free(*sources);
}

static int source_add(struct sources *sources, int dirfd, const char *dir, const char *rel,
		      uint64_t flags, struct error *err)
{
	struct source *source = &sources->items[sources->n];

	if (sources->n == VARLINK_FDS_MAX - 1) /* one is for the cache */
		return error_setc(err, ERROR_DEVICE, -E2BIG, "more than %d mounts",
				  VARLINK_FDS_MAX - 1);
	*source = (struct source){ .dirfd = dirfd, .flags = flags, .fd = -1 };
	if (asprintf(&source->path, "%s%s%s", dir, *rel ? "/" : "", rel) < 0) {
		source->path = NULL;
		return error_set(err, -ENOMEM, "list the mounts");
	}
	source->rel = source->path + strlen(source->path) - strlen(rel);
	sources->n++;
	return 0;
}

/* Sockets come last: their paths may lead elsewhere by now. */
static int add_ipcs(struct sources *sources, const struct ipc_list *ipcs, struct error *err)
{
	int r = 0;

	for (size_t i = 0; ipcs && i < ipcs->n && r == 0; i++) {
		r = source_add(sources, ipcs->items[i].fd, ipcs->items[i].path, "",
			       MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	}
	return r;
}

/* Is there something that the owner may and others may not? */
static bool is_restricted(unsigned int mode)
{
	return ((mode >> 6) & 06 & ~mode) != 0;
}

static int add_node(const struct planner_input *in, struct sources *sources,
		    const struct devnode *node, struct error *err)
{
	struct source *source = &sources->items[sources->n];
	int r = source_add(sources, in->dev_fd, in->dev_root, node->path, MOUNT_ATTR_NOEXEC, err);

	if (r < 0 || !in->may_make || !(node->is_made || (in->locked && is_restricted(node->mode))))
		return r;
	source->is_made = true;
	source->node = (struct donor_node){ .rdev = makedev(node->major, node->minor),
					    .mode = node->mode & 0666,
					    .uid = in->root_uid,
					    .gid = in->root_gid };
	return 0;
}

static int list_sources(const struct planner_input *in, struct sources *sources, struct error *err)
{
	char proc[512];
	int r = source_add(sources, in->root_fd, in->mountpoint, in->name, MOUNT_ATTR_NODEV, err);

	(void)snprintf(proc, sizeof(proc), "%s%s", in->name, PROC_PATH);
	if (r == 0 && in->has_proc)
		r = source_add(sources, in->root_fd, in->mountpoint, proc,
			       MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	for (size_t i = 0; !in->permit_only && i < in->n_nodes && r == 0; i++)
		r = add_node(in, sources, &in->nodes[i], err);
	return r ? r : add_ipcs(sources, in->ipcs, err);
}

static int clone_source(struct source *source, struct error *err)
{
	source->fd = sys_open_tree(source->dirfd, source->rel,
				   OPEN_TREE_CLONE |
					   (*source->rel ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH));
	return source->fd < 0 ? error_set(err, source->fd, "clone '%s'", source->path) : 0;
}

static bool is_same_inode(int a, int b)
{
	const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
	struct statx x, y;

	return statx(a, "", flags, STATX_INO, &x) == 0 && statx(b, "", flags, STATX_INO, &y) == 0 &&
	       x.stx_ino == y.stx_ino && x.stx_dev_major == y.stx_dev_major &&
	       x.stx_dev_minor == y.stx_dev_minor;
}

/*
 * The donor walks paths. What was found by one, and is another thing now, is left out. Without a
 * lock it is asked for nodes to be made alone.
 */
static int clone_by_donor(const struct planner_input *in, struct sources *sources,
			  struct error *err)
{
	struct donor_clone clones[VARLINK_FDS_MAX];
	struct donor_request request = { .dev_root = in->dev_root,
					 .is_locked = in->locked,
					 .clones = clones };
	size_t at[VARLINK_FDS_MAX];
	int r;

	for (size_t i = 0; i < sources->n; i++) {
		const struct source *source = &sources->items[i];
		bool is_ipc = !*source->rel;

		if (!in->locked && !source->is_made)
			continue;
		at[request.n] = i;
		clones[request.n++] = (struct donor_clone){ .path = source->path,
							    .cover = is_ipc,
							    .optional = is_ipc,
							    .is_made = source->is_made,
							    .node = source->node };
	}
	r = request.n ? donor_take(in->donors, &request, err) : 0;
	for (size_t i = 0; i < request.n; i++) {
		struct source *source = &sources->items[at[i]];

		source->fd = clones[i].fd;
		if (source->fd >= 0 && !*source->rel && !is_same_inode(source->fd, source->dirfd)) {
			cleanup_close(&source->fd);
			source->fd = -1;
		}
	}
	return r;
}

static int set_flags(const struct source *source, struct error *err)
{
	const struct sys_mount_attr attr = {
		.attr_set = source->flags | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID,
		.propagation = MS_PRIVATE,
	};
	int r = source->fd < 0 ? 0 : sys_mount_setattr(source->fd, "", AT_EMPTY_PATH, &attr);

	return r < 0 ? error_set(err, r, "set the mount flags of '%s'", source->path) : 0;
}

/* None for a dry run. */
static int take_clones(const struct planner_input *in, struct sources *sources, struct error *err)
{
	int r;

	if (in->root_fd < 0)
		return 0;
	r = clone_by_donor(in, sources, err);
	for (size_t i = 0; i < sources->n && r == 0; i++) {
		if (!in->locked && !sources->items[i].is_made)
			r = clone_source(&sources->items[i], err);
		r = r ? r : set_flags(&sources->items[i], err);
	}
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

/* The clone is checked and not the path: it is what the container gets. */
static int check_device(const struct source *source, const struct devnode *node, struct error *err)
{
	struct stat st;

	if (source->fd < 0)
		return 0;
	if (fstat(source->fd, &st) < 0)
		return error_set(err, -errno, "stat device node '%s'", source->path);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(node->major, node->minor))
		return error_setc(err, ERROR_DEVICE, -ENODEV, "'%s' is not the device %u:%u",
				  source->path, node->major, node->minor);
	return 0;
}

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
		if (step)
			(void)json_object_set_new(step, "fd",
						  json_integer((json_int_t)plan->n_fds));
		plan->fds[plan->n_fds++] = fd;
	}
	return step_add(plan, step, err);
}

/* @source: NULL for a node that is permitted and not bound */
static int add_device(struct planned *plan, struct source *source, const struct devnode *node,
		      struct error *err)
{
	char target[80];
	int r = source ? check_device(source, node, err) : 0;

	if (r < 0)
		return error_classify(err, r, ERROR_DEVICE);
	(void)snprintf(target, sizeof(target), "/dev/%s", node->path);
	return step_add_fd(plan,
			   json_pack("{s:s, s:s, s:i, s:i, s:s, s:o*}", "step", "device", "target",
				     target, "major", (int)node->major, "minor", (int)node->minor,
				     "access", "rw", "bind", source ? NULL : json_false()),
			   source ? take_fd(&source->fd) : -1, err);
}

static int add_sockets(struct planned *plan, const struct planner_input *in, struct source *source,
		       struct error *err)
{
	int r = 0;

	for (size_t i = 0; in->ipcs && i < in->ipcs->n && r == 0; i++, source++) {
		if (in->root_fd >= 0 && source->fd < 0)
			continue;
		r = step_add_fd(plan,
				json_pack("{s:s, s:s}", "step", "socket", "target",
					  in->ipcs->items[i].target),
				take_fd(&source->fd), err);
	}
	return r;
}

/* Steps in the order of the sources. */
static int add_mounts(struct planned *plan, const struct planner_input *in, struct sources *sources,
		      struct error *err)
{
	struct source *source = sources->items;
	int r = step_add_fd(plan,
			    json_pack("{s:s, s:s, s:s}", "step", "tree", "target", in->target,
				      "alternative", FALLBACK_TARGET),
			    take_fd(&source->fd), err);

	source++;
	if (r == 0 && in->has_proc) {
		r = step_add_fd(plan, json_pack("{s:s, s:s}", "step", "proc", "target", PROC_PATH),
				take_fd(&source->fd), err);
		source++;
	}
	for (size_t i = 0; i < in->n_nodes && r == 0; i++)
		r = add_device(plan, in->permit_only ? NULL : source++, &in->nodes[i], err);
	return r ? r : add_sockets(plan, in, source, err);
}

static int add_cache(struct planned *plan, const struct planner_input *in, struct error *err)
{
	char content[700];
	int r, fd = -1;

	(void)snprintf(content, sizeof(content), CONF_MARK "%s/lib64\n%s%s", in->target,
		       in->compat32 ? in->target : "", in->compat32 ? "/lib32\n" : "");
	r = step_add(plan, json_pack("{s:s, s:s, s:s, s:s}", "step", "file", "target", CONF_PATH,
				     "alternative", CONF_OTHER, "content", content), err);
	if (r < 0)
		return r;
	if (in->root_fd >= 0) {
		fd = fcntl(in->cache_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return error_set(err, -errno, "duplicate the merged cache");
	}
	return step_add_fd(plan, json_pack("{s:s, s:s}", "step", "cache", "target", CACHE_PATH), fd,
			   err);
}

static int add_link(struct planned *plan, const struct fixed_link *link, bool stale,
		    struct error *err)
{
	return step_add(plan,
			json_pack("{s:s, s:s, s:s, s:s*, s:o*}", "step", "link", "target",
				  link->path, "to", link->to, "where", link->where, "stale",
				  stale ? json_true() : NULL),
			err);
}

void planner_warm(int root_fd, const char *name)
{
	char path[512];
	struct statx st;

	(void)snprintf(path, sizeof(path), "%s%s", name, PROC_PATH);
	(void)statx(root_fd, path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_TYPE, &st);
}

int planner_build(const struct planner_input *in, struct planned *ret, struct error *err)
{
	__attribute__((cleanup(sources_free))) struct sources *sources = calloc(1,
										sizeof(*sources));
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->steps = json_array();
	if (!ret->steps || !sources)
		return error_set(err, -ENOMEM, "write the plan");
	r = list_sources(in, sources, err);
	r = r ? r : take_clones(in, sources, err);
	r = r ? r : add_mounts(ret, in, sources, err);
	if (r == 0)
		r = add_cache(ret, in, err);
	for (size_t i = 0; in->links && i < in->links->n && r == 0; i++)
		r = add_link(ret, &in->links->items[i], in->replace_stale, err);
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
