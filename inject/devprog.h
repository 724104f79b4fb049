/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_DEVPROG_H
#define NVFS_INJECT_DEVPROG_H

#include <linux/bpf.h>
#include <stddef.h>

#include "inject/cgroup.h"

/* Most rules in one program: 16 GPUs with every MIG capability node and more. */
#define DEVPROG_RULES_MAX 512
/* Longest foreign program that we extend, in instructions. */
#define DEVPROG_OLD_MAX 16384

/* Rules without duplicates: each device once. */
struct devprog_rules {
	struct cgroup_rule rule[DEVPROG_RULES_MAX];
	size_t n;
};

/**
 * devprog_rule_check() - is this a rule that a program can hold?
 *
 * Return: 0 or -EINVAL (major above 12 bits, minor above 20, access none or unknown).
 * Source: MINORBITS, linux/kdev_t.h.
 */
int devprog_rule_check(const struct cgroup_rule *rule);

/**
 * devprog_rules_add() - add a rule, or its access bits to the device that is there
 *
 * Return: 0, -EINVAL (a bad rule) or -E2BIG.
 */
int devprog_rules_add(struct devprog_rules *rules, const struct cgroup_rule *rule);

/** devprog_rules_remove() - take access bits away; a device without any leaves the list */
void devprog_rules_remove(struct devprog_rules *rules, const struct cgroup_rule *rule);

/**
 * devprog_normalize() - make a dumped program loadable again
 * @insns: changed in place; never gets longer
 * @n:     in: instructions, out: what is left
 *
 * Takes back what the kernel's constant blinding (net.core.bpf_jit_harden) and its
 * speculation barriers did to a program after it was verified.
 * Source: bpf_jit_blind_insn(), kernel/bpf/core.c; BPF_NOSPEC, linux/filter.h.
 *
 * Return: 0, -EOPNOTSUPP (a shape that is not understood: nothing is changed) or -ENOMEM.
 */
int devprog_normalize(struct bpf_insn *insns, size_t *n);

/**
 * devprog_split() - find our own rules at the head of a program
 * @insns: normalized
 * @ret:   the rules; empty if there are none of ours
 *
 * Heads that lie one behind the other are read as one.
 *
 * Return: number of instructions that are ours; the rest is the runtime's program.
 */
size_t devprog_split(const struct bpf_insn *insns, size_t n, struct devprog_rules *ret);

/**
 * devprog_build() - our rules, then the old program unchanged
 * @rules: may be empty: a copy of @old
 * @old:   without a head of ours; borrowed
 * @ret:   new array; the caller frees it
 * @ret_n: its length
 *
 * A request that no rule permits whole goes on to the old program, which finds
 * its context in r1 as at its start.
 *
 * Return: 0, -EINVAL (no old program), -E2BIG or -ENOMEM.
 */
int devprog_build(const struct devprog_rules *rules, const struct bpf_insn *old, size_t n_old,
		  struct bpf_insn **ret, size_t *ret_n);

/**
 * devprog_reloadable() - may these instructions be loaded again as they are?
 * @insns: normalized
 *
 * Return: 0, or -EOPNOTSUPP for maps, calls and whatever a dump does not give back.
 */
int devprog_reloadable(const struct bpf_insn *insns, size_t n);

/**
 * devprog_run() - what a program answers to one request
 * @insns: any instructions, also ones that no verifier has seen
 * @type:  BPF_DEVCG_DEV_CHAR or BPF_DEVCG_DEV_BLOCK
 * @request: the device and the access bits asked for together
 *
 * Interprets what device programs are made of: arithmetic, jumps, reads of the context.
 * Source: Documentation/bpf/standardization/instruction-set.rst.
 *
 * Return: 1 (allowed), 0 (denied) or -EOPNOTSUPP (uses something else, or does not end).
 */
int devprog_run(const struct bpf_insn *insns, size_t n, unsigned int type,
		const struct cgroup_rule *request);

/**
 * devprog_allows() - does a program permit a rule, with each combination of its access bits?
 *
 * Return: 1, 0 or -EOPNOTSUPP as devprog_run().
 */
int devprog_allows(const struct bpf_insn *insns, size_t n, const struct cgroup_rule *rule);

#endif
