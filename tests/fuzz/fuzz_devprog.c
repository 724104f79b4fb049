/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device programs as somebody else loaded them. What must hold for any
 * instructions: making a dump loadable again changes no answer, our head in
 * front of a program adds what its rules say and nothing else, and it is found
 * again and taken off whole.
 *
 * Input: number of rules, four bytes each, then instructions.
 */
#include <stdbool.h>

#include "common/cleanup.h"
#include "inject/devprog.h"
#include "tests/fuzz/fuzz.h"

#define INSNS_MAX 256

static const struct {
	unsigned int type;
	struct cgroup_rule device;
} requests[] = {
	{ BPF_DEVCG_DEV_CHAR, { 195, 0, 6 } },	 { BPF_DEVCG_DEV_CHAR, { 195, 255, 2 } },
	{ BPF_DEVCG_DEV_CHAR, { 235, 1, 7 } },	 { BPF_DEVCG_DEV_BLOCK, { 195, 0, 6 } },
	{ BPF_DEVCG_DEV_CHAR, { 1, 3, 1 } },	 { BPF_DEVCG_DEV_BLOCK, { 8, 0, 7 } },
};

/* A program that can run on and on may come to the interpreter's limit earlier or later. */
static bool has_loops(const struct bpf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((BPF_CLASS(insns[i].code) == BPF_JMP ||
		     BPF_CLASS(insns[i].code) == BPF_JMP32) &&
		    insns[i].off < 0)
			return true;
	}
	return false;
}

static int run(const struct bpf_insn *insns, size_t n, size_t request)
{
	return devprog_run(insns, n, requests[request].type, &requests[request].device);
}

/* Return: instructions left in @insns, or 0 where the program is none that we load again. */
static size_t check_normalize(struct bpf_insn *insns, size_t n)
{
	int before[ARRAY_SIZE(requests)];
	bool loops = has_loops(insns, n);
	size_t was = n;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		before[i] = loops ? -1 : run(insns, n, i);
	if (devprog_normalize(insns, &n) < 0)
		return 0;
	require(n <= was);
	if (devprog_reloadable(insns, n) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		require(before[i] < 0 || run(insns, n, i) == before[i]);
	return n;
}

static bool is_covered(const struct devprog_rules *rules, size_t request)
{
	const struct cgroup_rule *want = &requests[request].device;

	for (size_t i = 0; i < rules->n; i++) {
		const struct cgroup_rule *rule = &rules->rule[i];

		if (rule->major == want->major && rule->minor == want->minor &&
		    (want->access & ~rule->access) == 0)
			return requests[request].type == BPF_DEVCG_DEV_CHAR;
	}
	return false;
}

/* A head has rules by access, in an order of its own. */
static bool has_rule(const struct devprog_rules *rules, const struct cgroup_rule *rule)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (memcmp(&rules->rule[i], rule, sizeof(*rule)) == 0)
			return true;
	}
	return false;
}

static void check_build(const struct devprog_rules *rules, const struct bpf_insn *old, size_t n)
{
	auto_free struct bpf_insn *built = NULL;
	static struct devprog_rules found;
	bool loops = has_loops(old, n);
	size_t n_built;

	require(devprog_build(rules, old, n, &built, &n_built) == 0);
	require(devprog_split(built, n_built, &found) == n_built - n);
	require(memcmp(built + n_built - n, old, n * sizeof(*old)) == 0);
	require(found.n == rules->n);
	for (size_t i = 0; i < rules->n; i++)
		require(has_rule(&found, &rules->rule[i]));
	for (size_t i = 0; i < ARRAY_SIZE(requests) && !loops; i++) {
		int before = run(old, n, i);

		if (is_covered(rules, i))
			require(run(built, n_built, i) == 1);
		else /* what no verifier passes may read the registers that the head has left */
			require(before < 0 || run(built, n_built, i) == before);
	}
}

static const uint8_t *read_rules(const uint8_t *data, size_t *size, struct devprog_rules *ret)
{
	size_t n = *size ? data[0] & 7 : 0;

	ret->n = 0;
	if (*size < 1 + n * 4)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *at = data + 1 + i * 4;
		struct cgroup_rule rule = { at[0], at[1] | (unsigned int)at[2] << 8, at[3] };

		(void)devprog_rules_add(ret, &rule);
	}
	*size -= *size ? 1 + n * 4 : 0;
	return data + 1 + n * 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct devprog_rules rules, head;
	auto_free struct bpf_insn *insns = NULL;
	size_t n, ours;

	data = read_rules(data, &size, &rules);
	n = size / sizeof(*insns);
	if (n == 0 || n > INSNS_MAX)
		return 0;
	insns = malloc(n * sizeof(*insns));
	require(insns != NULL);
	memcpy(insns, data, n * sizeof(*insns));
	n = check_normalize(insns, n);
	if (!n)
		return 0;
	ours = devprog_split(insns, n, &head);
	require(ours < n && head.n <= DEVPROG_RULES_MAX);
	check_build(&rules, insns + ours, n - ours);
	return 0;
}
