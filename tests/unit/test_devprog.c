/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/devprog.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/unit.h"

#define R CGROUP_ACCESS_READ
#define W CGROUP_ACCESS_WRITE
#define M CGROUP_ACCESS_MKNOD
#define AX 11

#define I(c, d, s, o, i)                                                            \
	{                                                                           \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define MOV(d, i) I(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define LOAD(d, off) I(BPF_LDX | BPF_MEM | BPF_W, d, 1, off, 0)
#define JNE(d, i, off) I(BPF_JMP | BPF_JNE | BPF_K, d, 0, off, i)
#define EXIT I(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* A runtime's program: /dev/null (1:3) rwm, mknod of everything, nothing else. */
static const struct bpf_insn runtime[] = {
	LOAD(2, 0),
	I(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff),
	LOAD(3, 0),
	I(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16),
	LOAD(4, 4),
	LOAD(5, 8),
	/* c 1:3 rwm */
	JNE(2, 2, 4),
	JNE(4, 1, 3),
	JNE(5, 3, 2),
	MOV(0, 1),
	EXIT,
	/* c *:* m */
	I(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0),
	I(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, 1),
	I(BPF_JMP | BPF_JNE | BPF_X, 1, 3, 2, 0),
	MOV(0, 1),
	EXIT,
	MOV(0, 0),
	EXIT,
};

static struct devprog_rules rules_of(size_t n, const struct cgroup_rule *rules)
{
	struct devprog_rules ret = { .n = 0 };

	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(devprog_rules_add(&ret, &rules[i]), 0);
	return ret;
}

static int ask(const struct bpf_insn *insns, size_t n, unsigned int type, unsigned int major,
	       unsigned int minor, unsigned int access)
{
	struct cgroup_rule request = { .major = major, .minor = minor, .access = access };

	return devprog_run(insns, n, type, &request);
}

static struct bpf_insn *build(const struct devprog_rules *rules, size_t *n)
{
	struct bpf_insn *insns = NULL;

	ck_assert_int_eq(devprog_build(rules, runtime, ARRAY_SIZE(runtime), &insns, n), 0);
	return insns;
}

START_TEST(the_runtimes_program_answers_as_its_rules_say)
{
	size_t n = ARRAY_SIZE(runtime);

	ck_assert_int_eq(ask(runtime, n, BPF_DEVCG_DEV_CHAR, 1, 3, R | W), 1);
	ck_assert_int_eq(ask(runtime, n, BPF_DEVCG_DEV_CHAR, 195, 0, M), 1);
	ck_assert_int_eq(ask(runtime, n, BPF_DEVCG_DEV_CHAR, 195, 0, R), 0);
	ck_assert_int_eq(ask(runtime, n, BPF_DEVCG_DEV_BLOCK, 1, 3, R), 0);
}
END_TEST

START_TEST(a_rule_permits_its_device_and_no_other)
{
	const struct cgroup_rule rule[] = { { 195, 0, R | W }, { 195, 255, R }, { 238, 1, R | W } };
	struct devprog_rules rules = rules_of(3, rule);
	auto_free struct bpf_insn *p = NULL;
	size_t n;

	p = build(&rules, &n);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, R | W), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, R), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, W), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 255, R), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 238, 1, R | W), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 1, R), 0);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 238, 0, R), 0);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 196, 0, R), 0);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_BLOCK, 195, 0, R), 0);
}
END_TEST

START_TEST(access_beyond_the_rule_is_not_permitted)
{
	const struct cgroup_rule rule[] = { { 195, 0, R } };
	struct devprog_rules rules = rules_of(1, rule);
	auto_free struct bpf_insn *p = NULL;
	size_t n;

	p = build(&rules, &n);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, R), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, R | W), 0);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, W), 0);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, R | M), 0);
}
END_TEST

START_TEST(everything_else_gets_the_old_answer)
{
	const struct cgroup_rule rule[] = { { 195, 0, R | W | M }, { 10, 237, W } };
	struct devprog_rules rules = rules_of(2, rule);
	auto_free struct bpf_insn *p = NULL;
	size_t n;

	p = build(&rules, &n);
	for (unsigned int type = 1; type <= 2; type++) {
		for (unsigned int i = 0; i < 4 * 4 * 7; i++) {
			unsigned int majors[] = { 1, 10, 194, 0xfff },
				     minors[] = { 0, 3, 236, 256 };
			unsigned int a = majors[i % 4], b = minors[i / 4 % 4], access = i / 16 + 1;

			ck_assert_int_eq(ask(p, n, type, a, b, access),
					 ask(runtime, ARRAY_SIZE(runtime), type, a, b, access));
		}
	}
}
END_TEST

START_TEST(our_head_is_recognised_and_stripped_to_the_byte)
{
	const struct cgroup_rule rule[] = { { 195, 0, R | W }, { 4095, 1048575, R | W | M } };
	struct devprog_rules rules = rules_of(2, rule), found;
	auto_free struct bpf_insn *p = NULL;
	size_t n, ours;

	p = build(&rules, &n);
	ours = devprog_split(p, n, &found);
	ck_assert_uint_eq(found.n, 2);
	ck_assert_int_eq(memcmp(found.rule, rule, sizeof(rule)), 0);
	ck_assert_uint_eq(n - ours, ARRAY_SIZE(runtime));
	ck_assert_int_eq(memcmp(p + ours, runtime, sizeof(runtime)), 0);
}
END_TEST

START_TEST(heads_one_behind_the_other_are_read_as_one)
{
	const struct cgroup_rule a = { 195, 0, R }, b = { 195, 0, W }, c = { 195, 1, R };
	struct devprog_rules first = rules_of(1, &a), second = rules_of(1, &b), found;
	auto_free struct bpf_insn *inner = NULL, *outer = NULL;
	size_t n;

	ck_assert_int_eq(devprog_rules_add(&second, &c), 0);
	inner = build(&first, &n);
	ck_assert_int_eq(devprog_build(&second, inner, n, &outer, &n), 0);
	ck_assert_uint_eq(n - devprog_split(outer, n, &found), ARRAY_SIZE(runtime));
	ck_assert_uint_eq(found.n, 2);
	ck_assert_uint_eq(found.rule[0].access, R | W);
}
END_TEST

#define HEAD_OF_TWO (11 + 6 + 2) /* with one access */

START_TEST(a_foreign_program_is_not_taken_for_ours)
{
	const struct cgroup_rule rule[] = { { 195, 0, R | W }, { 195, 1, R | W } };
	struct devprog_rules rules = rules_of(2, rule), found;
	auto_free struct bpf_insn *p = NULL;
	size_t n;

	ck_assert_uint_eq(devprog_split(runtime, ARRAY_SIZE(runtime), &found), 0);
	ck_assert_uint_eq(devprog_split(runtime, 0, &found), 0);
	p = build(&rules, &n);
	/* any single instruction of the head changed, and any cut, makes it foreign */
	for (size_t i = 0; i < HEAD_OF_TWO; i++) {
		struct bpf_insn saved = p[i];

		p[i].code ^= 0x08;
		ck_assert_uint_eq(devprog_split(p, n, &found), 0);
		ck_assert_uint_eq(found.n, 0);
		p[i] = saved;
		ck_assert_uint_eq(devprog_split(p, i, &found), 0);
		ck_assert_uint_eq(found.n, 0);
	}
	ck_assert_uint_eq(devprog_split(p, HEAD_OF_TWO, &found), 0);
	p[1].imm = -1;
	ck_assert_uint_eq(devprog_split(p, n, &found), 0);
	p[1].imm = DEVPROG_RULES_MAX;
	ck_assert_uint_eq(devprog_split(p, n, &found), 0);
}
END_TEST

START_TEST(no_rules_give_the_old_program_back)
{
	struct devprog_rules none = { .n = 0 };
	auto_free struct bpf_insn *p = NULL;
	size_t n;

	p = build(&none, &n);
	ck_assert_uint_eq(n, ARRAY_SIZE(runtime));
	ck_assert_int_eq(memcmp(p, runtime, sizeof(runtime)), 0);
}
END_TEST

START_TEST(nothing_is_built_without_an_old_program_or_on_one_too_long)
{
	struct devprog_rules none = { .n = 0 };
	struct bpf_insn *p = NULL;
	size_t n;

	ck_assert_int_eq(devprog_build(&none, runtime, 0, &p, &n), -EINVAL);
	ck_assert_int_eq(devprog_build(&none, runtime, DEVPROG_OLD_MAX + 1, &p, &n), -E2BIG);
	ck_assert_ptr_null(p);
}
END_TEST

START_TEST(rules_merge_by_device_and_leave_bit_by_bit)
{
	const struct cgroup_rule r = { 195, 0, R }, w = { 195, 0, W }, other = { 195, 1, W };
	struct devprog_rules rules = { .n = 0 };

	ck_assert_int_eq(devprog_rules_add(&rules, &r), 0);
	ck_assert_int_eq(devprog_rules_add(&rules, &w), 0);
	ck_assert_int_eq(devprog_rules_add(&rules, &other), 0);
	ck_assert_uint_eq(rules.n, 2);
	ck_assert_uint_eq(rules.rule[0].access, R | W);
	devprog_rules_remove(&rules, &r);
	ck_assert_uint_eq(rules.rule[0].access, W);
	devprog_rules_remove(&rules, &w);
	ck_assert_uint_eq(rules.n, 1);
	devprog_rules_remove(&rules, &w);
	ck_assert_uint_eq(rules.rule[0].minor, 1);
}
END_TEST

START_TEST(bad_rules_are_refused)
{
	const struct cgroup_rule bad[] = {
		{ 4096, 0, R }, { 1, 1048576, R }, { 1, 0, 0 }, { 1, 0, 8 }, { 1, 0, 9 }
	};
	struct devprog_rules rules = { .n = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(devprog_rules_add(&rules, &bad[i]), -EINVAL);
	ck_assert_uint_eq(rules.n, 0);
}
END_TEST

START_TEST(the_longest_list_works_and_one_more_is_refused)
{
	auto_free struct devprog_rules *rules = calloc(1, sizeof(*rules));
	auto_free struct devprog_rules *found = calloc(1, sizeof(*found));
	struct cgroup_rule rule = { 195, 0, R | W };
	auto_free struct bpf_insn *p = NULL;
	size_t n;

	for (unsigned int i = 0; i < DEVPROG_RULES_MAX; i++) {
		rule.minor = i;
		ck_assert_int_eq(devprog_rules_add(rules, &rule), 0);
	}
	p = build(rules, &n);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, DEVPROG_RULES_MAX - 1, R | W), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, DEVPROG_RULES_MAX, R | W), 0);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_BLOCK, 195, 0, R | W), 0);
	ck_assert_uint_eq(n - devprog_split(p, n, found), ARRAY_SIZE(runtime));
	ck_assert_uint_eq(found->n, DEVPROG_RULES_MAX);
	rule.minor++;
	ck_assert_int_eq(devprog_rules_add(rules, &rule), -E2BIG);
}
END_TEST

/* What constant blinding and speculation barriers make of "c 195:0: 1, else 0". */
static const struct bpf_insn blinded[] = {
	I(BPF_ALU64 | BPF_XOR | BPF_X, 0, 0, 0, 0),
	LOAD(4, 4),
	I(BPF_ALU64 | BPF_MOV | BPF_K, AX, 0, 0, 0x5a5a5a5a ^ 195),
	I(BPF_ALU64 | BPF_XOR | BPF_K, AX, 0, 0, 0x5a5a5a5a),
	I(BPF_JMP | BPF_JNE | BPF_X, 4, AX, 4, 0), /* to the exit */
	I(BPF_ST | 0xc0, 0, 0, 0, 0),
	I(BPF_ALU | BPF_MOV | BPF_K, AX, 0, 0, -77 ^ 1),
	I(BPF_ALU | BPF_XOR | BPF_K, AX, 0, 0, -77),
	I(BPF_ALU | BPF_MOV | BPF_X, 0, AX, 0, 0),
	EXIT,
};

START_TEST(a_blinded_dump_becomes_what_was_loaded)
{
	const struct bpf_insn want[] = { MOV(0, 0), LOAD(4, 4), JNE(4, 195, 1),
					 I(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, 1), EXIT };
	struct bpf_insn p[ARRAY_SIZE(blinded)];
	size_t n = ARRAY_SIZE(blinded);

	ck_assert_int_eq(devprog_reloadable(blinded, n), -EOPNOTSUPP);
	memcpy(p, blinded, sizeof(p));
	ck_assert_int_eq(devprog_normalize(p, &n), 0);
	ck_assert_uint_eq(n, ARRAY_SIZE(want));
	ck_assert_int_eq(memcmp(p, want, sizeof(want)), 0);
	ck_assert_int_eq(devprog_reloadable(p, n), 0);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 0, R), 1);
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 196, 0, R), 0);
}
END_TEST

static bool is_jump(const struct bpf_insn *p)
{
	return BPF_CLASS(p->code) == BPF_JMP32 ||
	       (BPF_CLASS(p->code) == BPF_JMP && BPF_OP(p->code) != BPF_EXIT);
}

/* Blinds as bpf_jit_blind_insn() does, for what our own programs consist of. */
static size_t blind(const struct bpf_insn *in, size_t n, struct bpf_insn *out)
{
	size_t at[256], len = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int class = BPF_CLASS(in[i].code);
		bool alu = class == BPF_ALU || class == BPF_ALU64;
		bool jump = is_jump(&in[i]) && BPF_OP(in[i].code) != BPF_JA;
		unsigned int wide = class == BPF_ALU || class == BPF_JMP32 ? BPF_ALU : BPF_ALU64;

		at[i] = len;
		if ((!alu && !jump) || BPF_SRC(in[i].code) == BPF_X) {
			out[len++] = in[i];
			continue;
		}
		out[len++] = (struct bpf_insn)I(wide | BPF_MOV | BPF_K, AX, 0, 0,
						in[i].imm ^ 0x1234567);
		out[len++] = (struct bpf_insn)I(wide | BPF_XOR | BPF_K, AX, 0, 0, 0x1234567);
		out[len] = in[i];
		out[len].code |= BPF_X;
		out[len].src_reg = AX;
		out[len++].imm = 0;
	}
	for (size_t i = 0; i < n; i++) {
		size_t last = (i + 1 < n ? at[i + 1] : len) - 1;

		if (is_jump(&in[i]))
			out[last].off = (short)((long)at[i + 1 + (size_t)in[i].off] - (long)last -
						1);
	}
	return len;
}

START_TEST(rules_of_several_accesses_are_told_apart_and_read_back)
{
	const struct cgroup_rule rule[] = {
		{ 195, 0, R | W }, { 4095, 1048575, R }, { 510, 1, R | W },
		{ 0, 0, W },	   { 195, 1, R },
	};
	struct devprog_rules rules = rules_of(ARRAY_SIZE(rule), rule), found;
	auto_free struct bpf_insn *p = NULL, *again = NULL;
	size_t n, n_again, len;

	p = build(&rules, &n);
	for (size_t i = 0; i < ARRAY_SIZE(rule); i++) {
		/* not mknod alone, which the runtime grants */
		for (unsigned int access = 2; access < 8; access++)
			ck_assert_int_eq(
				ask(p, n, BPF_DEVCG_DEV_CHAR, rule[i].major, rule[i].minor, access),
				!(access & ~rule[i].access));
		ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_BLOCK, rule[i].major, rule[i].minor, R),
				 0);
	}
	ck_assert_int_eq(ask(p, n, BPF_DEVCG_DEV_CHAR, 195, 2, R), 0);
	len = devprog_split(p, n, &found);
	ck_assert_uint_eq(len, 11 + 3 * 6 + ARRAY_SIZE(rule));
	ck_assert_uint_eq(found.n, ARRAY_SIZE(rule));
	ck_assert_int_eq(devprog_build(&found, p + len, n - len, &again, &n_again), 0);
	ck_assert_uint_eq(n_again, n);
	ck_assert_int_eq(memcmp(p, again, n * sizeof(*p)), 0);
}
END_TEST

START_TEST(our_own_program_survives_blinding)
{
	const struct cgroup_rule rule[] = { { 195, 0, R | W }, { 195, 255, R | W } };
	struct devprog_rules rules = rules_of(2, rule), found;
	auto_free struct bpf_insn *p = NULL;
	struct bpf_insn dump[256];
	size_t n, n_dump;

	p = build(&rules, &n);
	n_dump = blind(p, n, dump);
	ck_assert_uint_gt(n_dump, n);
	ck_assert_int_eq(ask(dump, n_dump, BPF_DEVCG_DEV_CHAR, 195, 255, R), 1);
	ck_assert_int_eq(devprog_normalize(dump, &n_dump), 0);
	ck_assert_uint_eq(n_dump, n);
	ck_assert_int_eq(memcmp(dump, p, n * sizeof(*p)), 0);
	ck_assert_uint_gt(devprog_split(dump, n_dump, &found), 0);
	ck_assert_uint_eq(found.n, 2);
}
END_TEST

START_TEST(a_dump_that_is_not_understood_stays_as_it_is)
{
	/* a stack store is blinded in another way: AX is left; and a jump out of the program */
	struct bpf_insn store[] = { I(BPF_ALU64 | BPF_MOV | BPF_K, AX, 0, 0, 5),
				    I(BPF_STX | BPF_MEM | BPF_W, 10, AX, -4, 0), MOV(0, 1), EXIT };
	struct bpf_insn jump[] = { I(BPF_ST | 0xc0, 0, 0, 0, 0), JNE(1, 0, 100), MOV(0, 1), EXIT };
	struct bpf_insn before[ARRAY_SIZE(jump)];
	size_t n = ARRAY_SIZE(store);

	ck_assert_int_eq(devprog_normalize(store, &n), 0);
	ck_assert_uint_eq(n, ARRAY_SIZE(store));
	ck_assert_int_eq(devprog_reloadable(store, n), -EOPNOTSUPP);
	n = ARRAY_SIZE(jump);
	memcpy(before, jump, sizeof(jump));
	ck_assert_int_eq(devprog_normalize(jump, &n), -EOPNOTSUPP);
	ck_assert_int_eq(memcmp(before, jump, sizeof(jump)), 0);
}
END_TEST

START_TEST(maps_and_calls_are_not_reloadable)
{
	const struct bpf_insn call[] = { I(BPF_JMP | BPF_CALL, 0, 0, 0, 5), EXIT };
	const struct bpf_insn map[] = { I(BPF_LD | BPF_IMM | BPF_DW, 1, 1, 0, 7), { 0 }, EXIT };
	const struct bpf_insn number[] = { I(BPF_LD | BPF_IMM | BPF_DW, 0, 0, 0, 1), { 0 }, EXIT };

	ck_assert_int_eq(devprog_reloadable(runtime, ARRAY_SIZE(runtime)), 0);
	ck_assert_int_eq(devprog_reloadable(call, ARRAY_SIZE(call)), -EOPNOTSUPP);
	ck_assert_int_eq(devprog_reloadable(map, ARRAY_SIZE(map)), -EOPNOTSUPP);
	ck_assert_int_eq(devprog_reloadable(number, ARRAY_SIZE(number)), 0);
	ck_assert_int_eq(devprog_reloadable(number, 0), -EOPNOTSUPP);
	ck_assert_int_eq(ask(number, ARRAY_SIZE(number), 2, 0, 0, R), 1);
	ck_assert_int_eq(ask(map, ARRAY_SIZE(map), 2, 0, 0, R), -EOPNOTSUPP);
	ck_assert_int_eq(ask(call, ARRAY_SIZE(call), 2, 0, 0, R), -EOPNOTSUPP);
}
END_TEST

START_TEST(the_interpreter_never_guesses)
{
	const struct bpf_insn unset[] = { EXIT };
	const struct bpf_insn loop[] = { I(BPF_JMP | BPF_JA, 0, 0, -1, 0) };
	const struct bpf_insn runs_out[] = { MOV(0, 1) };
	const struct bpf_insn jumps_out[] = { MOV(0, 1), I(BPF_JMP | BPF_JA, 0, 0, -3, 0), EXIT };
	const struct bpf_insn pointer[] = { I(BPF_ALU64 | BPF_MOV | BPF_X, 0, 1, 0, 0), EXIT };
	const struct bpf_insn beyond[] = { LOAD(0, 12), EXIT };
	const struct bpf_insn below[] = { LOAD(0, -4), EXIT };
	const struct bpf_insn crooked[] = { LOAD(0, 2), EXIT };
	const struct bpf_insn half[] = { I(BPF_LD | BPF_IMM | BPF_DW, 0, 0, 0, 1) };
	const struct bpf_insn stack[] = { I(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 1), MOV(0, 1),
					  EXIT };
	const struct {
		const struct bpf_insn *p;
		size_t n;
	} cases[] = {
		{ unset, 1 },	{ loop, 1 },   { runs_out, 1 }, { jumps_out, 3 },
		{ pointer, 2 }, { beyond, 2 }, { below, 2 },	{ crooked, 2 },
		{ half, 1 },	{ stack, 3 },  { unset, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_int_eq(ask(cases[i].p, cases[i].n, 2, 195, 0, R), -EOPNOTSUPP);
}
END_TEST

START_TEST(any_bytes_are_answered_without_harm)
{
	uint64_t seed = 88172645463325252u;

	for (int i = 0; i < 20000; i++) {
		struct bpf_insn p[24];
		struct devprog_rules found;
		size_t n = ARRAY_SIZE(p);

		for (size_t k = 0; k < sizeof(p) / 8; k++) {
			uint64_t word;

			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			/* mostly near jumps and low registers, so that something runs */
			word = i % 2 ? seed & 0xffffffff0003ffffu : seed;
			memcpy(&p[k], &word, 8);
		}
		(void)ask(p, n, 2, 195, 0, R);
		(void)devprog_normalize(p, &n);
		ck_assert_uint_le(n, ARRAY_SIZE(p));
		(void)devprog_split(p, n, &found);
		(void)devprog_reloadable(p, n);
	}
}
END_TEST

START_TEST(a_rule_is_allowed_only_with_each_combination_of_its_bits)
{
	/* permits reading and writing together, and reading, but not writing alone */
	const struct bpf_insn odd[] = { I(BPF_LDX | BPF_MEM | BPF_H, 3, 1, 2, 0), MOV(0, 1),
					JNE(3, W, 1), MOV(0, 0), EXIT };
	const struct cgroup_rule rw = { 195, 0, R | W }, r = { 195, 0, R };

	ck_assert_int_eq(ask(odd, ARRAY_SIZE(odd), 2, 195, 0, R | W), 1);
	ck_assert_int_eq(devprog_allows(odd, ARRAY_SIZE(odd), &rw), 0);
	ck_assert_int_eq(devprog_allows(odd, ARRAY_SIZE(odd), &r), 1);
}
END_TEST

UNIT_MAIN("devprog", the_runtimes_program_answers_as_its_rules_say,
	  a_rule_permits_its_device_and_no_other, access_beyond_the_rule_is_not_permitted,
	  everything_else_gets_the_old_answer, our_head_is_recognised_and_stripped_to_the_byte,
	  heads_one_behind_the_other_are_read_as_one, a_foreign_program_is_not_taken_for_ours,
	  no_rules_give_the_old_program_back,
	  nothing_is_built_without_an_old_program_or_on_one_too_long,
	  rules_merge_by_device_and_leave_bit_by_bit, bad_rules_are_refused,
	  the_longest_list_works_and_one_more_is_refused, a_blinded_dump_becomes_what_was_loaded,
	  our_own_program_survives_blinding, rules_of_several_accesses_are_told_apart_and_read_back,
	  a_dump_that_is_not_understood_stays_as_it_is,
	  maps_and_calls_are_not_reloadable, the_interpreter_never_guesses,
	  any_bytes_are_answered_without_harm,
	  a_rule_is_allowed_only_with_each_combination_of_its_bits)
