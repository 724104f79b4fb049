/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device cgroups of a container: found by the texts of /proc, pinned by fd, and
 * from then on only used by fd. An allow plans both hierarchies first, which changes
 * nothing and refuses what must be refused, and then applies; on a failure the steps
 * done are undone in reverse.
 */
#include "inject/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cgroup_text.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "inject/cgroup_impl.h"
#include "inject/devprog.h"

#define MOUNTINFO_MAX (64 << 20)
#define TRIES 32 /* of a plan that programs change under: others inject here too */

/* --- finding the cgroups --- */

static void hierarchy_done(struct cgroup_hierarchy *h)
{
	for (size_t i = 0; i < h->n; i++) {
		(void)close(h->levels[i].fd);
		free(h->levels[i].path);
	}
	free(h->levels);
	h->levels = NULL;
	h->n = 0;
}

/* Takes over the fd, also on failure. */
static int level_add(struct cgroup_hierarchy *h, int fd, const char *path)
{
	auto_close int owned = fd;
	struct cgroup_level *levels;
	char *copy;

	if (h->n == CGROUP_LEVELS_MAX)
		return -ELOOP;
	levels = realloc(h->levels, (h->n + 1) * sizeof(*levels));
	if (!levels)
		return -ENOMEM;
	h->levels = levels;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	levels[h->n++] = (struct cgroup_level){ .fd = take_fd(&owned), .path = copy };
	return 0;
}

static bool is_cgroup_dir(int fd, unsigned int version)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
	       fs.f_type == (version == 1 ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC);
}

static int open_below(int fd, const char *name)
{
	return sys_openat2(fd, name, O_RDONLY | O_DIRECTORY, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* Opens each cgroup from the mount's top down to @below. 1: all open, 0: not under this mount. */
static int levels_open(struct cgroup_hierarchy *h, const char *point, const char *below,
		       struct error *err)
{
	auto_free char *path = malloc(strlen(point) + strlen(below) + 2);
	int fd, r;

	if (!path)
		return error_set(err, -ENOMEM, "open");
	strcpy(path, point);
	fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (!is_cgroup_dir(fd, h->version)) {
		(void)close(fd);
		return 0;
	}
	for (;;) {
		char *name;
		size_t len;

		r = level_add(h, fd, path);
		if (r < 0)
			return error_set(err, r, "open '%s'", path);
		if (!*below)
			return 1;
		len = strcspn(below, "/");
		name = path + strlen(path);
		*name++ = '/';
		memcpy(name, below, len);
		name[len] = '\0';
		below += len + (below[len] == '/');
		fd = open_below(h->levels[h->n - 1].fd, name);
		if (fd < 0)
			return fd == -ENOENT ? 0 : error_set(err, fd, "open '%s'", path);
	}
}

/* Tries every mount of the hierarchy: one may be hidden below another. */
static int hierarchy_open(struct cgroup_target *target, struct cgroup_hierarchy *h,
			  const char *path, const char *mountinfo, struct error *err)
{
	bool mounted = false;
	int r;

	for (const char *cursor = mountinfo;;) {
		struct cgroup_mount mount = { 0 };
		const char *below;

		r = cgroup_text_mount(&cursor, h->version, &mount);
		if (r <= 0)
			break;
		mounted = true;
		below = cgroup_text_below(path, mount.root);
		r = below ? levels_open(h, mount.point, below, err) : 0;
		cgroup_mount_done(&mount);
		if (r > 0)
			r = cgroup_members_has(h->levels[h->n - 1].fd, target->pid, err);
		if (r != 0)
			break;
		hierarchy_done(h);
	}
	if (r < 0)
		return error_wrap(err, r, "cgroup '%s'", path);
	if (r > 0 || !mounted)
		return 0;
	return error_setc(err, ERROR_AGAIN, -ESRCH, "process %d is not in its cgroup '%s'",
			  (int)target->pid, path);
}

static int path_failed(int r, struct error *err)
{
	if (r == -EXDEV)
		return error_setc(err, ERROR_PERMISSION, r,
				  "the container's cgroup lies outside this cgroup namespace");
	if (r == -ENOENT)
		return error_setc(err, ERROR_AGAIN, -ESRCH, "the container's cgroup was removed");
	return error_set(err, r, "read /proc/PID/cgroup");
}

static int hierarchies_open(struct cgroup_target *target, int proc_pid_fd, struct error *err)
{
	auto_free char *text = NULL, *mountinfo = NULL;
	int r;

	r = file_read_at(proc_pid_fd, "cgroup", CGROUP_PROC_TEXT_MAX, &text, NULL, err);
	if (r == 0)
		r = file_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mountinfo, NULL,
				 err);
	for (unsigned int version = 1; r == 0 && version <= 2; version++) {
		struct cgroup_hierarchy *h = &target->hierarchy[version - 1];
		auto_free char *path = NULL;

		h->version = version;
		r = cgroup_text_path(text, version, &path);
		if (r < 0)
			return path_failed(r, err);
		if (path)
			r = hierarchy_open(target, h, path, mountinfo, err);
	}
	return r;
}

static int target_fill(struct cgroup_target *target, int proc_pid_fd, struct error *err)
{
	int r;

	target->proc_fd = openat(proc_pid_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target->proc_fd < 0)
		return error_set(err, -errno, "open /proc");
	r = cgroup_ns_read(proc_pid_fd, "ns/mnt", &target->mnt_ns);
	r = r ? r : cgroup_ns_read(proc_pid_fd, "ns/pid", &target->pid_ns);
	r = r ? r : cgroup_ns_read(target->proc_fd, "self/ns/mnt", &target->our_mnt_ns);
	r = r ? r : cgroup_ns_read(target->proc_fd, "self/ns/pid", &target->our_pid_ns);
	if (r == -ENOENT || r == -ESRCH)
		return error_setc(err, ERROR_MOUNT, -ESRCH, "process %d has ended",
				  (int)target->pid);
	if (r < 0) {
		(void)error_set(err, r, "read the namespaces of process %d", (int)target->pid);
		return error_classify(err, r, ERROR_PERMISSION);
	}
	return hierarchies_open(target, proc_pid_fd, err);
}

int cgroup_target_open(pid_t pid, int proc_pid_fd, struct cgroup_target **ret, struct error *err)
{
	struct cgroup_target *target = calloc(1, sizeof(*target));
	int r;

	if (!target)
		return error_set(err, -ENOMEM, "open cgroups");
	target->pid = pid;
	target->proc_fd = -1;
	r = target_fill(target, proc_pid_fd, err);
	if (r < 0) {
		cgroup_target_free(target);
		return r;
	}
	*ret = target;
	return 0;
}

void cgroup_target_adopt(struct cgroup_target *target)
{
	target->adopt = true;
}

void cgroup_target_originals(struct cgroup_target *target, const uint32_t *ids, size_t n)
{
	size_t first = n > CGROUP_ORIGINALS_MAX ? n - CGROUP_ORIGINALS_MAX : 0;

	target->n_originals = n - first;
	if (n)
		memcpy(target->originals, ids + first, (n - first) * sizeof(*ids));
}

void cgroup_target_free(struct cgroup_target *target)
{
	if (!target)
		return;
	cleanup_close(&target->proc_fd);
	for (size_t i = 0; i < ARRAY_SIZE(target->hierarchy); i++)
		hierarchy_done(&target->hierarchy[i]);
	free(target);
}

/* --- plan, apply, undo --- */

struct cgroup_step *cgroup_step_add(struct cgroup_undo *plan, unsigned int version,
				    const struct cgroup_level *level,
				    const struct cgroup_rule *added, size_t n_added)
{
	struct cgroup_step *steps = realloc(plan->steps, (plan->n + 1) * sizeof(*steps)), *step;

	if (!steps)
		return NULL;
	plan->steps = steps;
	step = &steps[plan->n];
	*step = (struct cgroup_step){ .old_fd = -1, .new_fd = -1, .pending = n_added > 0 };
	step->dir_fd = fcntl(level->fd, F_DUPFD_CLOEXEC, 0);
	step->path = strdup(level->path);
	step->added = calloc(n_added ? n_added : 1, sizeof(*added));
	plan->n++; /* from here on cgroup_undo_free() releases it */
	if (step->dir_fd < 0 || !step->path || !step->added)
		return NULL;
	if (n_added)
		memcpy(step->added, added, n_added * sizeof(*added));
	step->change = (struct cgroup_change){ .version = version,
					       .path = step->path,
					       .result = "unchanged",
					       .added = step->added,
					       .n_added = n_added };
	return step;
}

static int plan_make(const struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		     struct cgroup_undo *plan, struct error *err)
{
	int r = cgroup1_plan(target, &target->hierarchy[0], rules, n, plan, err);

	return r ? r : cgroup2_plan(target, &target->hierarchy[1], rules, n, plan, err);
}

/* Backwards: v2 first, and in each hierarchy from the top down, as v1 needs it. */
static int plan_apply(struct cgroup_undo *plan, struct error *err)
{
	for (size_t i = plan->n; i-- > 0;) {
		struct cgroup_step *step = &plan->steps[i];
		int r;

		if (!step->pending)
			continue;
		step->pending = false;
		r = step->change.version == 1 ? cgroup1_apply(step, err) : cgroup2_apply(step, err);
		/* A v1 step may be done in part; what was done of it is in change.n_added. */
		step->done = r == 0 || step->change.version == 1;
		if (r < 0)
			return r;
		step->change.result = step->detach ? "detached" : "changed";
	}
	return 0;
}

/* What later removal needs: each device once. */
static int plan_sum(struct cgroup_undo *plan, struct error *err)
{
	auto_free struct devprog_rules *sum = calloc(1, sizeof(*sum));

	if (!sum)
		return error_set(err, -ENOMEM, "sum up cgroup rules");
	for (size_t i = 0; i < plan->n; i++) {
		const struct cgroup_change *c = &plan->steps[i].change;

		for (size_t k = 0; k < c->n_added; k++) {
			int r = devprog_rules_add(sum, &c->added[k]);

			if (r < 0)
				return error_set(err, r, "sum up cgroup rules");
		}
	}
	plan->added = calloc(sum->n ? sum->n : 1, sizeof(*plan->added));
	if (!plan->added)
		return error_set(err, -ENOMEM, "sum up cgroup rules");
	memcpy(plan->added, sum->rule, sum->n * sizeof(*plan->added));
	plan->n_added = sum->n;
	return 0;
}

static int plan_keep_asked(struct cgroup_undo *plan, const struct cgroup_rule *rules, size_t n,
			   struct error *err)
{
	plan->asked = calloc(n ? n : 1, sizeof(*plan->asked));
	if (!plan->asked)
		return error_set(err, -ENOMEM, "plan cgroup rules");
	if (n)
		memcpy(plan->asked, rules, n * sizeof(*plan->asked));
	plan->n_asked = n;
	return 0;
}

static int allow_once(const struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		      struct cgroup_undo **ret, struct error *err)
{
	struct cgroup_undo *plan = calloc(1, sizeof(*plan));
	int r;

	if (!plan)
		return error_set(err, -ENOMEM, "plan cgroup rules");
	r = plan_make(target, rules, n, plan, err);
	r = r ? r : plan_sum(plan, err);
	r = r ? r : plan_keep_asked(plan, rules, n, err);
	r = r ? r : plan_apply(plan, err);
	if (r < 0) {
		(void)cgroup_undo(plan, NULL);
		cgroup_undo_free(plan);
		return r;
	}
	*ret = plan;
	return 0;
}

static int rules_check(const struct cgroup_rule *rules, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (devprog_rule_check(&rules[i]) < 0)
			return error_set(err, -EINVAL, "device rule %u:%u, access %u",
					 rules[i].major, rules[i].minor, rules[i].access);
	}
	return 0;
}

static void error_clear(struct error *err)
{
	if (err)
		*err = (struct error){ 0 };
}

int cgroup_allow(struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		 struct cgroup_undo **ret, struct error *err)
{
	int r = rules_check(rules, n, err);

	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i)
			error_clear(err);
		r = allow_once(target, rules, n, ret, err);
	}
	return r;
}

int cgroup_revoke(struct cgroup_target *target, const struct cgroup_rule *rules, size_t n,
		  struct error *err)
{
	int r = rules_check(rules, n, err);

	if (r < 0)
		return r;
	r = -EAGAIN;
	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i)
			error_clear(err);
		r = cgroup1_revoke(target, &target->hierarchy[0], rules, n, err);
		r = r ? r : cgroup2_revoke(target, &target->hierarchy[1], rules, n, err);
	}
	return r;
}

int cgroup_undo(struct cgroup_undo *undo, struct error *err)
{
	int first = 0;

	/* apply went through the steps backwards */
	for (size_t i = 0; i < undo->n; i++) {
		struct cgroup_step *step = &undo->steps[i];
		struct error *e = first ? NULL : err;
		int r;

		if (!step->done)
			continue;
		step->done = false;
		r = step->change.version == 1 ? cgroup1_undo(step, e) : cgroup2_undo(step, e);
		first = first ? first : r;
	}
	return first;
}

void cgroup_undo_free(struct cgroup_undo *undo)
{
	if (!undo)
		return;
	for (size_t i = 0; i < undo->n; i++) {
		struct cgroup_step *step = &undo->steps[i];

		cleanup_close(&step->dir_fd);
		cleanup_close(&step->old_fd);
		cleanup_close(&step->new_fd);
		free(step->path);
		free(step->added);
		free(step->insns);
	}
	free(undo->steps);
	free(undo->added);
	free(undo->asked);
	free(undo);
}

/* --- the record --- */

size_t cgroup_undo_count(const struct cgroup_undo *undo)
{
	return undo->n;
}

const struct cgroup_change *cgroup_undo_at(const struct cgroup_undo *undo, size_t i)
{
	return i < undo->n ? &undo->steps[i].change : NULL;
}

size_t cgroup_undo_added(const struct cgroup_undo *undo, const struct cgroup_rule **ret)
{
	*ret = undo->added;
	return undo->n_added;
}

size_t cgroup_undo_asked(const struct cgroup_undo *undo, const struct cgroup_rule **ret)
{
	*ret = undo->asked;
	return undo->n_asked;
}

void cgroup_undo_note(const struct cgroup_undo *undo, char *buf, size_t size)
{
	size_t used = 0;

	(void)snprintf(buf, size, "unchanged");
	for (size_t i = 0; i < undo->n; i++) {
		const struct cgroup_change *c = &undo->steps[i].change;
		int len;

		if (strcmp(c->result, "unchanged") == 0 || used >= size)
			continue;
		len = snprintf(buf + used, size - used, "%s%s '%s'", used ? ", " : "", c->result,
			       c->path);
		used += len > 0 ? (size_t)len : 0;
		if (c->program_after == c->program_before || !c->program_after || used >= size)
			continue;
		len = snprintf(buf + used, size - used, " (program %u -> %u)", c->program_before,
			       c->program_after);
		used += len > 0 ? (size_t)len : 0;
	}
}
