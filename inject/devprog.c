/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device programs of cgroup v2 as data: build, recognise, strip, normalize.
 *
 * A program of ours is a head in front of the runtime's own instructions:
 *
 *	r0 = "nvfs"; r0 = number of rules		the mark by which we know it
 *	r2 = type; r3 = access; r4 = device number	r1, the context, stays
 *	if r2 != char: on to the old program
 *	for each group of rules with one and the same access:
 *		if access has a bit beyond the rules': next group
 *		for each rule: if r4 is its device: goto yes
 *		goto next group
 *	yes:	r0 = 1; exit
 *
 * One comparison a device, and few ways through: each instruction on each way costs 1 us of
 * the verifier's time, at every start of a container.
 *
 * The rule that must not be broken: a head only ever adds. Whatever it does not
 * permit gets the answer of the old program, so the head can be stripped again.
 * Nothing in it may look dead to the verifier, which would remove it and with it
 * our mark: so the access mask has all upper bits, and no device is in it twice.
 */
#include "inject/devprog.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define MARK 0x7366766e /* "nvfs" */
#define HEAD_LEN 11
#define GROUP_LEN 6 /* and one for each rule */
#define MAJOR_MAX 0xfffu
#define MINOR_BITS 20
#define MINOR_MAX 0xfffffu
#define ACCESS_ALL (CGROUP_ACCESS_MKNOD | CGROUP_ACCESS_READ | CGROUP_ACCESS_WRITE)
#define HEAD_LEN_MAX (HEAD_LEN + DEVPROG_RULES_MAX + ACCESS_ALL * GROUP_LEN)

/* The kernel's scratch register for blinded constants; MAX_BPF_REG, linux/filter.h. */
#define REG_AX 11
/* Speculation barrier, seen in dumps only: BPF_ST | BPF_NOSPEC, linux/filter.h. */
#define CODE_NOSPEC (BPF_ST | 0xc0)
/* Conditional pseudo jump, linux/bpf.h since 6.8. */
#define OP_JCOND 0xe0

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

int devprog_rule_check(const struct cgroup_rule *rule)
{
	if (rule->major > MAJOR_MAX || rule->minor > MINOR_MAX)
		return -EINVAL;
	return rule->access && !(rule->access & ~ACCESS_ALL) ? 0 : -EINVAL;
}

static struct cgroup_rule *rules_find(struct devprog_rules *rules, const struct cgroup_rule *rule)
{
	for (size_t i = 0; i < rules->n; i++) {
		struct cgroup_rule *known = &rules->rule[i];

		if (known->major == rule->major && known->minor == rule->minor)
			return known;
	}
	return NULL;
}

int devprog_rules_add(struct devprog_rules *rules, const struct cgroup_rule *rule)
{
	struct cgroup_rule *known = rules_find(rules, rule);
	int r = devprog_rule_check(rule);

	if (r < 0)
		return r;
	if (known) {
		known->access |= rule->access;
		return 0;
	}
	if (rules->n == DEVPROG_RULES_MAX)
		return -E2BIG;
	rules->rule[rules->n++] = *rule;
	return 0;
}

void devprog_rules_remove(struct devprog_rules *rules, const struct cgroup_rule *rule)
{
	struct cgroup_rule *known = rules_find(rules, rule);

	if (!known)
		return;
	known->access &= ~rule->access;
	if (!known->access)
		*known = rules->rule[--rules->n];
}

/* --- the head --- */

/* As in a dev_t: MKDEV() of linux/kdev_t.h. */
static int rule_key(const struct cgroup_rule *rule)
{
	return (int)(rule->major << MINOR_BITS | rule->minor);
}

/* Is it the first with its access? Then a group begins with it. */
static bool begins_group(const struct devprog_rules *rules, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (rules->rule[k].access == rules->rule[i].access)
			return false;
	}
	return true;
}

static size_t head_len(const struct devprog_rules *rules)
{
	size_t len = HEAD_LEN + rules->n;

	for (size_t i = 0; i < rules->n; i++)
		len += begins_group(rules, i) ? GROUP_LEN : 0;
	return len;
}

/* All rules from @first on that have its access; returns the length. */
static size_t group_write(struct bpf_insn *p, const struct devprog_rules *rules, size_t first)
{
	unsigned int access = rules->rule[first].access;
	size_t at = 3, n = 0;

	for (size_t i = first; i < rules->n; i++)
		n += rules->rule[i].access == access;
	p[0] = INSN(BPF_ALU | BPF_MOV | BPF_X, 0, 3, 0, 0);
	p[1] = INSN(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0, (int)~access);
	p[2] = INSN(BPF_JMP | BPF_JNE | BPF_K, 0, 0, (short)(n + 3), 0);
	for (size_t i = first; i < rules->n; i++) {
		if (rules->rule[i].access == access)
			p[at++] = INSN(BPF_JMP32 | BPF_JEQ | BPF_K, 4, 0, (short)n--,
				       rule_key(&rules->rule[i]));
	}
	p[at++] = INSN(BPF_JMP | BPF_JA, 0, 0, 2, 0);
	p[at++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
	p[at++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return at;
}

static void head_write(struct bpf_insn *p, const struct devprog_rules *rules)
{
	size_t at = HEAD_LEN;

	p[0] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, MARK);
	p[1] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, (int)rules->n);
	p[2] = INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0);
	p[3] = INSN(BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
	p[4] = INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	p[5] = INSN(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	p[6] = INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0);
	p[7] = INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0);
	p[8] = INSN(BPF_ALU | BPF_LSH | BPF_K, 4, 0, 0, MINOR_BITS);
	p[9] = INSN(BPF_ALU | BPF_OR | BPF_X, 4, 5, 0, 0);
	for (size_t i = 0; i < rules->n; i++) {
		if (begins_group(rules, i))
			at += group_write(p + at, rules, i);
	}
	p[10] = INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, (short)(at - HEAD_LEN), BPF_DEVCG_DEV_CHAR);
}

/* The rules of what may be a group; its length, or 0. */
static size_t group_read(const struct bpf_insn *p, size_t n, struct devprog_rules *rules)
{
	size_t at = 3;

	for (; at < n && p[at].code == (BPF_JMP32 | BPF_JEQ | BPF_K); at++) {
		unsigned int key = (unsigned int)p[at].imm;
		struct cgroup_rule rule = { key >> MINOR_BITS, key & MINOR_MAX,
					    ~(unsigned int)p[1].imm };

		if (devprog_rules_add(rules, &rule) < 0)
			return 0;
	}
	return at > 3 ? at + 3 : 0;
}

/*
 * One head: its length in instructions, or 0, and then no rule of it counts. What was read
 * is written anew and compared, so that nothing but our own writing is taken for it.
 */
static size_t head_read(const struct bpf_insn *p, size_t n, struct devprog_rules *rules)
{
	struct bpf_insn model[HEAD_LEN_MAX];
	struct devprog_rules found = { .n = 0 };
	size_t at = HEAD_LEN, len = 1;

	if (n <= HEAD_LEN || p[0].imm != MARK || p[1].imm < 1 || p[1].imm > DEVPROG_RULES_MAX)
		return 0;
	for (; found.n < (size_t)p[1].imm; at += len) {
		len = at + GROUP_LEN < n ? group_read(p + at, n - at, &found) : 0;
		if (len == 0)
			return 0;
	}
	if (at >= n || at > HEAD_LEN_MAX || head_len(&found) != at ||
	    found.n > DEVPROG_RULES_MAX - rules->n)
		return 0;
	head_write(model, &found);
	if (memcmp(p, model, at * sizeof(*p)) != 0)
		return 0;
	for (size_t i = 0; i < found.n; i++)
		(void)devprog_rules_add(rules, &found.rule[i]); /* there is room, and it is a good one */
	return at;
}

size_t devprog_split(const struct bpf_insn *insns, size_t n, struct devprog_rules *ret)
{
	size_t ours = 0, len;

	ret->n = 0;
	do {
		len = head_read(insns + ours, n - ours, ret);
		ours += len;
	} while (len);
	return ours;
}

int devprog_build(const struct devprog_rules *rules, const struct bpf_insn *old, size_t n_old,
		  struct bpf_insn **ret, size_t *ret_n)
{
	size_t head = rules->n ? head_len(rules) : 0;
	struct bpf_insn *insns;

	if (n_old == 0)
		return -EINVAL;
	if (n_old > DEVPROG_OLD_MAX || rules->n > DEVPROG_RULES_MAX)
		return -E2BIG;
	insns = calloc(head + n_old, sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	if (head)
		head_write(insns, rules);
	memcpy(insns + head, old, n_old * sizeof(*old));
	*ret = insns;
	*ret_n = head + n_old;
	return 0;
}

/* --- dumps --- */

static bool is_jump(const struct bpf_insn *p)
{
	unsigned int class = BPF_CLASS(p->code), op = BPF_OP(p->code);

	return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
}

static bool is_wide(const struct bpf_insn *p)
{
	return p->code == (BPF_LD | BPF_IMM | BPF_DW);
}

/* "ax = a; ax ^= b; op dst, ax" stands for "op dst, a ^ b" */
static bool is_blinded(const struct bpf_insn *p, size_t left)
{
	unsigned int class;

	if (left < 3 || p[0].dst_reg != REG_AX || p[1].dst_reg != REG_AX || p[2].src_reg != REG_AX)
		return false;
	class = BPF_CLASS(p[0].code);
	if (class != BPF_ALU && class != BPF_ALU64)
		return false;
	if (p[0].code != (class | BPF_MOV | BPF_K) || p[1].code != (class | BPF_XOR | BPF_K))
		return false;
	if (class == BPF_ALU)
		return BPF_SRC(p[2].code) == BPF_X &&
		       (BPF_CLASS(p[2].code) == BPF_ALU || BPF_CLASS(p[2].code) == BPF_JMP32);
	return BPF_SRC(p[2].code) == BPF_X &&
	       (BPF_CLASS(p[2].code) == BPF_ALU64 || BPF_CLASS(p[2].code) == BPF_JMP);
}

/* Blinding writes "r = 0" as "r ^= r", which reads a register that may never have been written. */
static bool is_zeroing(const struct bpf_insn *p)
{
	return p->code == (BPF_ALU64 | BPF_XOR | BPF_X) && p->dst_reg == p->src_reg;
}

static bool needs_rewrite(const struct bpf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_wide(&insns[i]))
			i++;
		else if (insns[i].code == CODE_NOSPEC || is_zeroing(&insns[i]) ||
			 insns[i].dst_reg == REG_AX)
			return true;
	}
	return false;
}

/* First pass: the new instructions; map[] gives old index -> new, from[] new -> old. */
static size_t rewrite_insns(const struct bpf_insn *in, size_t n, struct bpf_insn *out, size_t *map,
			    size_t *from)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		map[i] = len;
		if (in[i].code == CODE_NOSPEC)
			continue;
		out[len] = in[i];
		if (is_blinded(in + i, n - i)) {
			map[i + 1] = map[i + 2] = len;
			out[len] = in[i + 2];
			out[len].code = (in[i + 2].code & ~BPF_X) | BPF_K;
			out[len].src_reg = 0;
			out[len].imm = in[i].imm ^ in[i + 1].imm;
			i += 2;
		} else if (is_zeroing(&in[i])) {
			out[len] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, in[i].dst_reg, 0, 0, 0);
		} else if (is_wide(&in[i]) && i + 1 < n) {
			from[len++] = i++;
			map[i] = len;
			out[len] = in[i];
		}
		from[len++] = i;
	}
	map[n] = len;
	return len;
}

/* Second pass: jumps keep their targets. */
static int rewrite_jumps(struct bpf_insn *out, size_t len, const size_t *map, const size_t *from,
			 size_t n)
{
	for (size_t i = 0; i < len; i++) {
		long target = (long)from[i] + 1 + out[i].off;

		if (is_wide(&out[i])) {
			i++;
			continue;
		}
		if (!is_jump(&out[i]))
			continue;
		/* gotol keeps its distance in imm; may_goto is not in device programs */
		if (BPF_OP(out[i].code) == OP_JCOND || out[i].code == (BPF_JMP32 | BPF_JA) ||
		    target < 0 || target >= (long)n)
			return -EOPNOTSUPP;
		out[i].off = (short)((long)map[target] - (long)i - 1);
	}
	return 0;
}

int devprog_normalize(struct bpf_insn *insns, size_t *n)
{
	auto_free struct bpf_insn *out = NULL;
	auto_free size_t *index = NULL;
	size_t len;
	int r;

	if (!needs_rewrite(insns, *n))
		return 0;
	out = calloc(*n, sizeof(*out));
	index = calloc(2 * (*n + 1), sizeof(*index));
	if (!out || !index)
		return -ENOMEM;
	len = rewrite_insns(insns, *n, out, index, index + *n + 1);
	r = rewrite_jumps(out, len, index, index + *n + 1, *n);
	if (r < 0)
		return r;
	memcpy(insns, out, len * sizeof(*out));
	*n = len;
	return 0;
}

int devprog_reloadable(const struct bpf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct bpf_insn *p = &insns[i];
		bool jump = BPF_CLASS(p->code) == BPF_JMP;

		if (p->dst_reg > 10 || p->src_reg > 10 || p->code == CODE_NOSPEC)
			return -EOPNOTSUPP;
		if (jump && BPF_OP(p->code) == BPF_CALL)
			return -EOPNOTSUPP;
		if (is_wide(p)) {
			if (p->src_reg) /* a map, a function or a kernel address */
				return -EOPNOTSUPP;
			i++;
		}
	}
	return n && n <= DEVPROG_OLD_MAX ? 0 : -EOPNOTSUPP;
}
