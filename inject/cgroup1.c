/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup v1: the devices hierarchy. Each cgroup has a list of its own; a line can
 * be added only where the parent has it, so lines are added from the top down.
 *
 * The rule that must not be broken: a cgroup whose list says "everything" is not
 * touched. Its list does not show the exceptions, and those (a batch system's,
 * say) were made on purpose.
 * Source: security/device_cgroup.c; Documentation/admin-guide/cgroup-v1/devices.rst.
 */
#include "inject/cgroup_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cgroup_text.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

/* One write(2) is one rule; appending, they also add up in a plain file that plays the list. */
static int write_rule(int dir_fd, const char *file, const struct cgroup_rule *rule)
{
	auto_close int fd = openat(dir_fd, file, O_WRONLY | O_APPEND | O_CLOEXEC);
	char text[CGROUP_RULE_TEXT];

	if (fd < 0)
		return -errno;
	cgroup_text_rule(rule, text);
	return file_write_all(fd, text, strlen(text));
}

static int list_read(const struct cgroup_level *level, char **ret, struct error *err)
{
	int r = file_read_at(level->fd, "devices.list", CGROUP_PROC_TEXT_MAX, ret, NULL, err);

	return r < 0 ? error_wrap(err, r, "cgroup '%s'", level->path) : 0;
}

/*
 * What a level lacks of the rules; 1 when it allows everything. With @adopt a line of just our
 * form counts as lacking.
 */
static int level_missing(const struct cgroup_level *level, bool adopt,
			 const struct cgroup_rule *rules, size_t n, struct cgroup_rule *missing,
			 size_t *n_missing, struct error *err)
{
	auto_free char *list = NULL;
	int r;

	*n_missing = 0;
	r = list_read(level, &list, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct cgroup_listed listed = cgroup_text_listed(list, &rules[i]);

		if (listed.open)
			return 1;
		if (listed.covered && !(adopt && listed.access == rules[i].access))
			continue;
		missing[*n_missing] = rules[i];
		if (!listed.covered)
			missing[*n_missing].access &= ~listed.access;
		++*n_missing;
	}
	return 0;
}

/* From the process's own cgroup upwards, until one has all; the steps lie in that order. */
int cgroup1_plan(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		 const struct cgroup_rule *rules, size_t n, struct cgroup_undo *plan,
		 struct error *err)
{
	auto_free struct cgroup_rule *missing = calloc(n ? n : 1, sizeof(*missing));
	size_t n_missing;
	int r;

	if (!missing)
		return error_set(err, -ENOMEM, "plan devices.allow");
	for (size_t i = hierarchy->n; i-- > 0;) {
		const struct cgroup_level *level = &hierarchy->levels[i];

		r = level_missing(level, target->adopt && i == hierarchy->n - 1, rules, n, missing,
				  &n_missing, err);
		if (r != 0)
			return r < 0 ? r : 0;
		r = n_missing ? cgroup_members_check(target, level, err) : 0;
		if (r < 0)
			return r;
		if (!cgroup_step_add(plan, 1, level, missing, n_missing))
			return error_set(err, -ENOMEM, "plan devices.allow");
		if (!n_missing)
			return 0;
	}
	return 0;
}

int cgroup1_apply(struct cgroup_step *step, struct error *err)
{
	for (size_t i = 0; i < step->change.n_added; i++) {
		int r = write_rule(step->dir_fd, "devices.allow", &step->added[i]);

		if (r == 0)
			continue;
		step->change.n_added = i; /* what undo has to take back */
		(void)error_set(err, r, "allow %u:%u in '%s'", step->added[i].major,
				step->added[i].minor, step->path);
		return error_classify(err, r, ERROR_PERMISSION);
	}
	return 0;
}

static int deny(int dir_fd, const char *path, const struct cgroup_rule *rule, struct error *err)
{
	int r = write_rule(dir_fd, "devices.deny", rule);

	if (r == 0 || r == -ENODEV || r == -ENOENT) /* the cgroup has gone */
		return 0;
	return error_set(err, r, "deny %u:%u in '%s'", rule->major, rule->minor, path);
}

int cgroup1_undo(struct cgroup_step *step, struct error *err)
{
	int first = 0;

	for (size_t i = step->change.n_added; i-- > 0;) {
		int r = deny(step->dir_fd, step->path, &step->added[i], first ? NULL : err);

		first = first ? first : r;
	}
	return first;
}

/* @own: the container's own, whoever else is in it */
static int level_revoke(const struct cgroup_target *target, const struct cgroup_level *level,
			bool own, const struct cgroup_rule *rules, size_t n, struct error *err)
{
	auto_free char *list = NULL;
	bool checked = own;
	int r;

	r = list_read(level, &list, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct cgroup_listed listed = cgroup_text_listed(list, &rules[i]);

		if (listed.open)
			return 1;
		if (!(listed.access & rules[i].access))
			continue;
		if (!checked && cgroup_members_check(target, level, NULL) < 0)
			return 1;
		checked = true;
		r = deny(level->fd, level->path, &rules[i], err);
	}
	return r;
}

/*
 * From its own cgroup, whose list decides, upwards as far as the container alone lives there; a
 * parent's deny goes down by itself.
 */
int cgroup1_revoke(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		   const struct cgroup_rule *rules, size_t n, struct error *err)
{
	for (size_t i = hierarchy->n; i-- > 0;) {
		int r = level_revoke(target, &hierarchy->levels[i], i == hierarchy->n - 1, rules, n,
				     err);

		if (r != 0)
			return r < 0 ? r : 0;
	}
	return 0;
}
