/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would a device program answer? The kernel cannot be asked (programs of
 * this type have no test run), so this interprets the small part of eBPF that
 * runtimes, systemd and we write: loads from the context, arithmetic, jumps.
 *
 * The rule that must not be broken: it never guesses. An instruction, register
 * or address outside that part gives -EOPNOTSUPP, and the caller decides.
 */
#include "inject/devprog.h"

#include <errno.h>
#include <stdbool.h>

#define STEPS_MAX 100000 /* longer than any program without loops that we accept */
#define REGS 12

struct machine {
	uint64_t reg[REGS];
	enum { UNSET, SCALAR, CONTEXT } kind[REGS];
	uint32_t context[3]; /* struct bpf_cgroup_dev_ctx, linux/bpf.h */
	bool ended;
};

static int operand(const struct machine *m, const struct bpf_insn *p, uint64_t *ret)
{
	if (BPF_SRC(p->code) == BPF_K) {
		*ret = (uint64_t)(int64_t)p->imm;
		return 0;
	}
	if (p->src_reg >= REGS || m->kind[p->src_reg] != SCALAR)
		return -EOPNOTSUPP;
	*ret = m->reg[p->src_reg];
	return 0;
}

static int arithmetic(unsigned int op, uint64_t a, uint64_t b, bool wide, uint64_t *ret)
{
	unsigned int shift = b & (wide ? 63 : 31);

	switch (op) {
	case BPF_ADD:
		*ret = a + b;
		return 0;
	case BPF_SUB:
		*ret = a - b;
		return 0;
	case BPF_AND:
		*ret = a & b;
		return 0;
	case BPF_OR:
		*ret = a | b;
		return 0;
	case BPF_XOR:
		*ret = a ^ b;
		return 0;
	case BPF_LSH:
		*ret = a << shift;
		return 0;
	case BPF_RSH:
		*ret = (wide ? a : (uint32_t)a) >> shift;
		return 0;
	case BPF_ARSH:
		*ret = (uint64_t)((wide ? (int64_t)a : (int32_t)a) >> shift);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int run_alu(struct machine *m, const struct bpf_insn *p)
{
	bool wide = BPF_CLASS(p->code) == BPF_ALU64;
	unsigned int op = BPF_OP(p->code);
	uint64_t b, result;
	int r;

	if (p->off) /* sign-extending moves and signed division */
		return -EOPNOTSUPP;
	if (p->code == (BPF_ALU64 | BPF_MOV | BPF_X) && p->src_reg < REGS &&
	    m->kind[p->src_reg] == CONTEXT) {
		m->kind[p->dst_reg] = CONTEXT;
		return 0;
	}
	/* "r ^= r" is how a zero is blinded, whatever r was */
	if (op == BPF_XOR && BPF_SRC(p->code) == BPF_X && p->dst_reg == p->src_reg)
		m->kind[p->dst_reg] = SCALAR;
	r = operand(m, p, &b);
	if (r < 0)
		return r;
	if (op == BPF_MOV) {
		result = b;
	} else {
		if (m->kind[p->dst_reg] != SCALAR)
			return -EOPNOTSUPP;
		r = arithmetic(op, m->reg[p->dst_reg], b, wide, &result);
		if (r < 0)
			return r;
	}
	m->reg[p->dst_reg] = wide ? result : (uint32_t)result;
	m->kind[p->dst_reg] = SCALAR;
	return 0;
}

static int compare(unsigned int op, uint64_t a, uint64_t b, int64_t sa, int64_t sb)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return (a & b) != 0;
	case BPF_JSGT:
		return sa > sb;
	case BPF_JSGE:
		return sa >= sb;
	case BPF_JSLT:
		return sa < sb;
	case BPF_JSLE:
		return sa <= sb;
	default:
		return -EOPNOTSUPP;
	}
}

/* 1: taken, 0: not taken */
static int run_jump(const struct machine *m, const struct bpf_insn *p)
{
	uint64_t a, b;
	int r;

	if (p->code == (BPF_JMP | BPF_JA))
		return 1;
	r = operand(m, p, &b);
	if (r < 0 || m->kind[p->dst_reg] != SCALAR)
		return -EOPNOTSUPP;
	a = m->reg[p->dst_reg];
	if (BPF_CLASS(p->code) == BPF_JMP32)
		return compare(BPF_OP(p->code), (uint32_t)a, (uint32_t)b, (int32_t)a, (int32_t)b);
	return compare(BPF_OP(p->code), a, b, (int64_t)a, (int64_t)b);
}

/* Little end first, as on every machine with an NVIDIA driver of today. */
static int run_load(struct machine *m, const struct bpf_insn *p)
{
	unsigned int size = BPF_SIZE(p->code), bytes, at;
	uint64_t value;

	if (BPF_MODE(p->code) != BPF_MEM || p->src_reg >= REGS || m->kind[p->src_reg] != CONTEXT)
		return -EOPNOTSUPP;
	bytes = size == BPF_W ? 4 : size == BPF_H ? 2 : size == BPF_B ? 1 : 0;
	if (!bytes || p->off < 0 || p->off % (int)bytes || (size_t)p->off >= sizeof(m->context))
		return -EOPNOTSUPP;
	at = (unsigned int)p->off;
	value = m->context[at / 4] >> (at % 4 * 8);
	m->reg[p->dst_reg] = bytes == 4 ? value : value & ((1u << bytes * 8) - 1);
	m->kind[p->dst_reg] = SCALAR;
	return 0;
}

static int run_wide(struct machine *m, const struct bpf_insn *p)
{
	if (p->src_reg)
		return -EOPNOTSUPP;
	m->reg[p->dst_reg] = (uint32_t)p[0].imm | (uint64_t)(uint32_t)p[1].imm << 32;
	m->kind[p->dst_reg] = SCALAR;
	return 0;
}

/* One instruction at @pc. Return: the next one; below 0 is an error or a jump out of the program.
 */
static long run_step(struct machine *m, const struct bpf_insn *insns, size_t n, long pc)
{
	const struct bpf_insn *p = &insns[pc];
	int r = -EOPNOTSUPP;

	if (p->dst_reg >= REGS)
		return -EOPNOTSUPP;
	switch (BPF_CLASS(p->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		r = run_alu(m, p);
		break;
	case BPF_JMP:
		if (BPF_OP(p->code) == BPF_EXIT) {
			m->ended = m->kind[0] == SCALAR;
			return -EOPNOTSUPP;
		}
		/* fall through */
	case BPF_JMP32:
		r = run_jump(m, p);
		if (r > 0)
			return pc + 1 + p->off;
		break;
	case BPF_LDX:
		r = run_load(m, p);
		break;
	case BPF_LD:
		if (p->code != (BPF_LD | BPF_IMM | BPF_DW) || (size_t)pc + 1 >= n)
			break;
		r = run_wide(m, p);
		pc++;
		break;
	default:
		break;
	}
	return r < 0 ? r : pc + 1;
}

int devprog_run(const struct bpf_insn *insns, size_t n, unsigned int type,
		const struct cgroup_rule *request)
{
	struct machine m = { .kind[1] = CONTEXT,
			     .context = { request->access << 16 | type, request->major,
					  request->minor } };
	long pc = 0;

	for (int step = 0; step < STEPS_MAX; step++) {
		if (pc < 0 || (size_t)pc >= n)
			return -EOPNOTSUPP;
		pc = run_step(&m, insns, n, pc);
		if (m.ended)
			return (uint32_t)m.reg[0] != 0;
	}
	return -EOPNOTSUPP;
}

int devprog_allows(const struct bpf_insn *insns, size_t n, const struct cgroup_rule *rule)
{
	for (unsigned int access = 1; access <= rule->access; access++) {
		struct cgroup_rule request = *rule;
		int r;

		if (access & ~rule->access)
			continue;
		request.access = access;
		r = devprog_run(insns, n, BPF_DEVCG_DEV_CHAR, &request);
		if (r <= 0)
			return r;
	}
	return 1;
}
