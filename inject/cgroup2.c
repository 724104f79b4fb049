/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup v2: device programs. A device is open to a process when every program that
 * is effective for its cgroup allows it; where no program is, everything is allowed.
 * Each program that denies is replaced by one with our rules at its head
 * (inject/devprog.h), in its place, in one step.
 *
 * systemd puts a new program of its own on a unit's cgroup whenever it reads its units
 * again, or a property changes, and takes away the one that it knows. Where ours has
 * replaced that one, ours stays, older than the unit: such a stale one is taken away.
 *
 * The rule that must not be broken: only programs of cgroups that hold nothing but
 * the container are replaced. An ancestor shared with others must allow by itself.
 *
 * Effective are the programs of the process's own cgroup and, upwards, those attached
 * with BPF_F_ALLOW_MULTI; others only if nothing lies below them.
 * Source: compute_effective_progs(), kernel/bpf/cgroup.c.
 */
#include "inject/cgroup_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "inject/bpfdev.h"
#include "inject/devprog.h"

#define auto_prog __attribute__((cleanup(bpfdev_prog_done)))

/* One program on the way up, and the level that it is attached to. */
struct visit {
	const struct cgroup_target *target;
	const struct cgroup_level *level;
	struct bpfdev_prog *prog;
	const struct bpfdev_attached *at; /* all of the level */
	size_t index;			  /* of this one among them */
	bool own; /* the container's own cgroup, not one above it */
};

/* bpf_device_program_new() of systemd, src/core/bpf-devices.c */
#define SYSTEMD_NAME "sd_devices"

/* A program that vanishes between query and open has been replaced: plan again. */
static int prog_open(const struct visit *v, uint32_t id, struct bpfdev_prog *ret, struct error *err)
{
	int r = bpfdev_open(id, ret);

	if (r == -ENOENT)
		return error_setc(err, ERROR_AGAIN, -EAGAIN, "cgroup '%s': its programs change",
				  v->level->path);
	if (r < 0) {
		(void)error_set(err, r, "read device program %u of '%s'", id, v->level->path);
		return error_classify(err, r, ERROR_PERMISSION);
	}
	(void)devprog_normalize(ret->insns, &ret->n_insns); /* unchanged where not understood */
	return 0;
}

/* Rules that the program does not grant. Return: how many, or -EOPNOTSUPP: cannot be told. */
static int rules_missing(const struct bpfdev_prog *prog, const struct cgroup_rule *rules, size_t n,
			 struct cgroup_rule *missing)
{
	bool unknown = false;
	int count = 0;

	for (size_t i = 0; i < n; i++) {
		int r = prog->n_insns ? devprog_allows(prog->insns, prog->n_insns, &rules[i])
				      : -EOPNOTSUPP;

		unknown |= r < 0;
		if (r <= 0)
			missing[count++] = rules[i];
	}
	return unknown ? -EOPNOTSUPP : count;
}

/* The rules that a head of ours holds; their number, or -ENOMEM. */
static int rules_of_ours(const struct bpfdev_prog *prog, const struct cgroup_rule *rules, size_t n,
			 struct cgroup_rule *ret)
{
	auto_free struct devprog_rules *head = calloc(1, sizeof(*head));
	int count = 0;

	if (!head)
		return -ENOMEM;
	(void)devprog_split(prog->insns, prog->n_insns, head);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < head->n; k++) {
			if (head->rule[k].major == rules[i].major &&
			    head->rule[k].minor == rules[i].minor)
				ret[count++] = rules[i];
		}
	}
	return count;
}

/* Our rules and those of a head that is there already, before the runtime's own part. */
static int rebuild(const struct bpfdev_prog *prog, const struct cgroup_rule *add, size_t n_add,
		   const struct cgroup_rule *remove, size_t n_remove, struct bpf_insn **ret,
		   size_t *ret_n)
{
	auto_free struct devprog_rules *rules = calloc(1, sizeof(*rules));
	size_t ours;
	int r = 0;

	if (!rules)
		return -ENOMEM;
	ours = devprog_split(prog->insns, prog->n_insns, rules);
	for (size_t i = 0; i < n_add && r == 0; i++)
		r = devprog_rules_add(rules, &add[i]);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_remove; i++)
		devprog_rules_remove(rules, &remove[i]);
	return devprog_build(rules, prog->insns + ours, prog->n_insns - ours, ret, ret_n);
}

static int step_fill(struct cgroup_step *step, const struct visit *v, struct error *err)
{
	int r;

	step->change.program_before = step->change.program_after = v->prog->id;
	step->attach_flags = v->at->flags;
	memcpy(step->name, v->prog->name, sizeof(step->name));
	if (!step->change.n_added)
		return 0;
	r = rebuild(v->prog, step->added, step->change.n_added, NULL, 0, &step->insns,
		    &step->n_insns);
	if (r < 0)
		return error_set(err, r, "extend device program %u of '%s'", v->prog->id,
				 v->level->path);
	step->old_fd = take_fd(&v->prog->fd);
	return 0;
}

static bool is_systemds(uint32_t id)
{
	auto_prog struct bpfdev_prog prog = { .fd = -1 };

	return bpfdev_open(id, &prog) == 0 && strcmp(prog.name, SYSTEMD_NAME) == 0;
}

/*
 * Programs lie in the order in which they were attached; a replacement keeps the place. systemd has
 * one on each cgroup: a younger one is what it wants now.
 */
static bool is_stale(const struct visit *v)
{
	auto_free struct devprog_rules *head = NULL;
	size_t i = v->at->n;

	if (v->index + 1 >= v->at->n || strcmp(v->prog->name, SYSTEMD_NAME) != 0)
		return false;
	head = calloc(1, sizeof(*head));
	if (!head || !devprog_split(v->prog->insns, v->prog->n_insns, head))
		return false;
	while (i > v->index + 1 && !is_systemds(v->at->id[i - 1]))
		i--;
	return i > v->index + 1;
}

static int plan_detach(const struct visit *v, struct cgroup_undo *plan, struct error *err)
{
	struct cgroup_step *step = cgroup_step_add(plan, 2, v->level, NULL, 0);

	if (!step)
		return error_set(err, -ENOMEM, "plan device program");
	step->change.program_before = v->prog->id;
	step->old_fd = take_fd(&v->prog->fd);
	step->detach = step->pending = true;
	return 0;
}

static int refuse_program(const struct visit *v, struct error *err)
{
	(void)error_setc(err, ERROR_PERMISSION, -EOPNOTSUPP,
			 "device program %u '%s' of cgroup '%s' cannot be extended", v->prog->id,
			 v->prog->name, v->level->path);
	return error_remedy(err, -EOPNOTSUPP, "give the devices in the container's configuration");
}

static int plan_program(const struct visit *v, const struct cgroup_rule *rules, size_t n,
			struct cgroup_undo *plan, struct error *err)
{
	auto_free struct cgroup_rule *missing = calloc(n ? n : 1, sizeof(*missing));
	struct cgroup_step *step;
	int count, r = 0;

	if (!missing)
		return error_set(err, -ENOMEM, "plan device program");
	if (is_stale(v) && cgroup_members_check(v->target, v->level, NULL) == 0)
		return plan_detach(v, plan, err);
	count = rules_missing(v->prog, rules, n, missing);
	if (count == 0 && v->own && v->target->adopt)
		count = rules_of_ours(v->prog, rules, n, missing);
	if (count != 0)
		r = cgroup_members_check(v->target, v->level, err);
	if (r < 0 && !(r == -EPERM && count < 0))
		return r;
	/* Unreadable: ours to change it is not; others' may well allow, and is recorded. */
	if (count != 0 && r == 0 &&
	    (count < 0 || v->prog->has_maps ||
	     devprog_reloadable(v->prog->insns, v->prog->n_insns) < 0))
		return refuse_program(v, err);
	step = cgroup_step_add(plan, 2, v->level, missing, count > 0 ? (size_t)count : 0);
	if (!step)
		return error_set(err, -ENOMEM, "plan device program");
	if (count < 0) {
		step->change.result = "unknown";
		if (err)
			*err = (struct error){ 0 };
	}
	return step_fill(step, v, err);
}

/* Calls @each for every effective program, from the process's own cgroup upwards. */
static int for_each_program(const struct cgroup_target *target,
			    const struct cgroup_hierarchy *hierarchy,
			    int (*each)(const struct visit *v, void *arg, struct error *err),
			    void *arg, struct error *err)
{
	struct bpfdev_attached at;
	size_t below = 0;

	for (size_t i = hierarchy->n; i-- > 0;) {
		struct visit v = { .target = target,
				   .level = &hierarchy->levels[i],
				   .own = i == hierarchy->n - 1 };
		int r = bpfdev_query(v.level->fd, &at);

		if (r < 0) {
			(void)error_set(err, r, "query device programs of '%s'", v.level->path);
			return error_classify(err, r, ERROR_PERMISSION);
		}
		if (below && !(at.flags & BPF_F_ALLOW_MULTI))
			continue;
		below += at.n;
		for (size_t p = 0; p < at.n; p++) {
			auto_prog struct bpfdev_prog prog = { .fd = -1 };

			v.prog = &prog;
			v.at = &at;
			v.index = p;
			r = prog_open(&v, at.id[p], &prog, err);
			if (r == 0)
				r = each(&v, arg, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

struct rules_arg {
	const struct cgroup_rule *rules;
	size_t n;
	struct cgroup_undo *plan;
};

static int plan_each(const struct visit *v, void *arg, struct error *err)
{
	const struct rules_arg *a = arg;

	return plan_program(v, a->rules, a->n, a->plan, err);
}

int cgroup2_plan(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		 const struct cgroup_rule *rules, size_t n, struct cgroup_undo *plan,
		 struct error *err)
{
	struct rules_arg arg = { .rules = rules, .n = n, .plan = plan };

	return for_each_program(target, hierarchy, plan_each, &arg, err);
}

static int replace_failed(const char *path, int r, struct error *err)
{
	if (r == -ENOENT)
		return error_setc(err, ERROR_AGAIN, -EAGAIN, "cgroup '%s': its programs change",
				  path);
	(void)error_set(err, r, "replace a device program of '%s'", path);
	return error_classify(err, r, ERROR_PERMISSION);
}

int cgroup2_apply(struct cgroup_step *step, struct error *err)
{
	int r;

	if (step->detach) {
		r = bpfdev_detach(step->dir_fd, step->old_fd);
		return r < 0 ? replace_failed(step->path, r, err) : 0;
	}
	step->new_fd = bpfdev_load(step->insns, step->n_insns, step->name);
	free(take_ptr(&step->insns));
	if (step->new_fd < 0) {
		r = error_set(err, step->new_fd, "load device program for '%s'", step->path);
		return error_classify(err, r, ERROR_PERMISSION);
	}
	r = bpfdev_id(step->new_fd, &step->change.program_after);
	if (r < 0)
		return error_set(err, r, "tell the device program for '%s'", step->path);
	r = bpfdev_replace(step->dir_fd, step->attach_flags, step->old_fd, step->new_fd);
	return r < 0 ? replace_failed(step->path, r, err) : 0;
}

int cgroup2_undo(struct cgroup_step *step, struct error *err)
{
	int r = step->detach ? bpfdev_attach(step->dir_fd, step->old_fd)
			     : bpfdev_replace(step->dir_fd, step->attach_flags, step->new_fd,
					      step->old_fd);

	if (r == -ENOENT || r == -ENODEV) /* replaced by others, or the cgroup has gone */
		return 0;
	return r < 0 ? replace_failed(step->path, r, err) : 0;
}

static bool is_program(uint32_t id, const struct visit *v, const struct bpf_insn *insns, size_t n,
		       int *ret_fd)
{
	auto_prog struct bpfdev_prog prog = { .fd = -1 };

	if (bpfdev_open(id, &prog) < 0 || strcmp(prog.name, v->prog->name) != 0)
		return false;
	(void)devprog_normalize(prog.insns, &prog.n_insns);
	if (prog.n_insns != n || memcmp(prog.insns, insns, n * sizeof(*insns)) != 0)
		return false;
	*ret_fd = take_fd(&prog.fd);
	return true;
}

/* The program that ours had replaced, if it is still loaded and somebody's. */
static int original(const struct visit *v, const struct bpf_insn *insns, size_t n)
{
	int fd = -1;

	for (size_t i = v->target->n_originals; i-- > 0;) {
		if (is_program(v->target->originals[i], v, insns, n, &fd))
			return fd;
	}
	return -ENOENT;
}

static int revoke_by(const struct visit *v, int fd, struct error *err)
{
	int r = bpfdev_replace(v->level->fd, v->at->flags, v->prog->fd, fd);

	return r < 0 ? replace_failed(v->level->path, r, err) : 0;
}

/* What is left without our rules: the runtime's own program, or a copy of it. */
static int revoke_program(const struct visit *v, const struct bpf_insn *insns, size_t n,
			  struct error *err)
{
	auto_close int old = original(v, insns, n), copy = -1;

	/* -EINVAL: it is attached here once more */
	if (old >= 0 && revoke_by(v, old, NULL) == 0)
		return 0;
	copy = bpfdev_load(insns, n, v->prog->name);
	if (copy >= 0)
		return revoke_by(v, copy, err);
	(void)error_set(err, copy, "load device program for '%s'", v->level->path);
	return error_classify(err, copy, ERROR_PERMISSION);
}

struct revoke_arg {
	const struct cgroup_rule *rules;
	size_t n;
	bool denied; /* by one of the programs that were looked at: whatever those above say */
};

static void note_denied(struct revoke_arg *a, const struct bpf_insn *insns, size_t n)
{
	size_t i = 0;

	while (i < a->n && devprog_allows(insns, n, &a->rules[i]) == 0)
		i++;
	a->denied |= i == a->n;
}

/*
 * May our rules go from this cgroup? From the container's own always: nobody gains by that, and who
 * has moved a process there must not keep the device by it. Others in one above may have it by the
 * same rules; where one of the container's below denies, theirs are left to them.
 */
static int may_revoke(const struct revoke_arg *a, const struct visit *v, struct error *err)
{
	int r = v->own ? 0 : cgroup_members_check(v->target, v->level, a->denied ? NULL : err);

	return r == 0 ? 1 : a->denied ? 0 : r;
}

static int revoke_each(const struct visit *v, void *arg, struct error *err)
{
	auto_free struct devprog_rules *rules = calloc(1, sizeof(*rules));
	const struct bpfdev_prog *prog = v->prog;
	auto_free struct bpf_insn *insns = NULL;
	struct revoke_arg *a = arg;
	size_t n_insns;
	bool stale;
	int r;

	if (!rules)
		return error_set(err, -ENOMEM, "revoke");
	if (!devprog_split(prog->insns, prog->n_insns, rules) || prog->has_maps) {
		note_denied(a, prog->insns, prog->n_insns);
		return 0;
	}
	r = rebuild(prog, NULL, 0, a->rules, a->n, &insns, &n_insns);
	if (r < 0)
		return error_set(err, r, "revoke in '%s'", v->level->path);
	stale = is_stale(v);
	if (stale || n_insns != prog->n_insns ||
	    memcmp(insns, prog->insns, n_insns * sizeof(*insns)) != 0) {
		r = may_revoke(a, v, err);
		if (r <= 0)
			return r;
		if (stale) {
			r = bpfdev_detach(v->level->fd, prog->fd);
			return r < 0 && r != -ENOENT ? replace_failed(v->level->path, r, err) : 0;
		}
		r = revoke_program(v, insns, n_insns, err);
	}
	note_denied(a, insns, n_insns);
	return r < 0 ? r : 0;
}

int cgroup2_revoke(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		   const struct cgroup_rule *rules, size_t n, struct error *err)
{
	struct revoke_arg arg = { .rules = rules, .n = n };

	return for_each_program(target, hierarchy, revoke_each, &arg, err);
}
