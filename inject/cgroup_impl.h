/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_CGROUP_IMPL_H
#define NVFS_INJECT_CGROUP_IMPL_H

/*
 * What cgroup.c, cgroup_target.c, cgroup1.c, cgroup2.c and cgroup_members.c share; nobody else
 * includes this. The order of an allow: plan both hierarchies (nothing is
 * changed, foreign processes are refused), then apply step by step.
 */

#include <linux/bpf.h>
#include <stdbool.h>
#include <sys/types.h>

#include "inject/cgroup.h"

#define CGROUP_PROC_TEXT_MAX (1 << 20)

struct cgroup_ns {
	dev_t dev;
	ino_t ino;
};

/* One cgroup on the way from the top that we see to the process's own. */
struct cgroup_level {
	int fd; /* directory */
	char *path;
};

struct cgroup_hierarchy {
	unsigned int version;
	struct cgroup_level *levels; /* [0] is the top, [n - 1] the process's own */
	size_t n;		     /* 0: no such hierarchy */
};

struct cgroup_target {
	int proc_fd; /* the /proc that the process was named by */
	pid_t pid;   /* as that /proc counts */
	struct cgroup_ns mnt_ns, pid_ns, our_mnt_ns, our_pid_ns;
	struct cgroup_hierarchy hierarchy[2]; /* v1, v2 */
	bool adopt; /* see cgroup_target_adopt() */
	uint32_t originals[CGROUP_ORIGINALS_ALL];
	size_t n_originals;
};

/* What is to be done, or was, at one cgroup; for v2 at one program of it. */
struct cgroup_step {
	struct cgroup_change change; /* its strings and rules point into the step */
	char *path;
	struct cgroup_rule *added;
	int dir_fd;
	bool pending, done;
	bool detach; /* v2: the program goes, nothing comes in its place */
	/* v2 only */
	int old_fd, new_fd;
	unsigned int attach_flags;
	struct bpf_insn *insns; /* the new program, until it is loaded */
	size_t n_insns;
	char name[BPF_OBJ_NAME_LEN];
};

struct cgroup_undo {
	struct cgroup_step *steps;
	size_t n;
	struct cgroup_rule *added; /* of all steps, each device once */
	size_t n_added;
	struct cgroup_rule *asked;
	size_t n_asked;
};

/**
 * cgroup_step_add() - append a step to the plan
 * @added: what is not there yet; empty: nothing to do, result "unchanged"
 *
 * Return: the step (valid until the next is added), or NULL: out of memory.
 */
struct cgroup_step *cgroup_step_add(struct cgroup_undo *plan, unsigned int version,
				    const struct cgroup_level *level,
				    const struct cgroup_rule *added, size_t n_added);

/**
 * cgroup_members_check() - refuse a cgroup that holds processes outside the container
 *
 * Looks at the cgroup and everything below it. A process belongs to the container
 * when it is in the target's mount namespace, or in its pid namespace or one below
 * that; a namespace that is our own counts for nothing. A runtime joins a container
 * from outside, so a stranger is looked for again for some milliseconds.
 *
 * systemd-nspawn itself is no stranger in the unit of its container: where that has the
 * container in "payload", the host's root may be in "supervisor" beside it. Such a process
 * has CAP_SYS_ADMIN in our user namespace, and no device program keeps a device from it.
 *
 * Return: 0, -EPERM (foreign; ERROR_PERMISSION, names cgroup and process) or the errno
 * of reading.
 */
int cgroup_members_check(const struct cgroup_target *target, const struct cgroup_level *level,
			 struct error *err);

/** cgroup_members_has() - is this pid listed in the cgroup's own cgroup.procs? 1, 0 or errno */
int cgroup_members_has(int dir_fd, pid_t pid, struct error *err);

/** cgroup_ns_read() - identity of a namespace link below @dir_fd; 0 or the errno of stat(2) */
int cgroup_ns_read(int dir_fd, const char *link, struct cgroup_ns *ret);

/* Each hierarchy: plan appends steps and changes nothing; apply and undo do one step. */
int cgroup1_plan(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		 const struct cgroup_rule *rules, size_t n, struct cgroup_undo *plan,
		 struct error *err);
int cgroup1_apply(struct cgroup_step *step, struct error *err);
int cgroup1_undo(struct cgroup_step *step, struct error *err);
int cgroup1_revoke(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		   const struct cgroup_rule *rules, size_t n, struct error *err);

int cgroup2_plan(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		 const struct cgroup_rule *rules, size_t n, struct cgroup_undo *plan,
		 struct error *err);
int cgroup2_apply(struct cgroup_step *step, struct error *err);
int cgroup2_undo(struct cgroup_step *step, struct error *err);
int cgroup2_revoke(const struct cgroup_target *target, const struct cgroup_hierarchy *hierarchy,
		   const struct cgroup_rule *rules, size_t n, struct error *err);

#endif
