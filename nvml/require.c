/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requirements, evaluated as they are read: the language has two levels and no
 * parentheses, so that a tree of it would be more text than the loop. A term
 * has three values beside "invalid", since a fact may be unknown; the rule is
 * that an unknown one never decides, neither for nor against.
 */
#include "nvml/require.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/error.h"

#define OPERATOR_CHARS "<>=!"

enum verdict { HOLDS, FAILS, UNKNOWN, INVALID };

struct rule {
	const char *name;
	const char *words; /* for messages */
	bool is_version;   /* else a word */
	bool of_gpu;	   /* else of the driver */
};

static const struct rule rules[] = {
	{ "cuda", "CUDA", true, false },
	{ "driver", "version", true, false },
	{ "arch", "arch", true, true },
	{ "brand", "brand", false, true },
};

/* One term, cut into its parts; the strings are copies. */
struct term {
	char text[REQUIRE_TERM_MAX];
	const struct rule *rule;
	int wanted; /* outcomes of a comparison that make it hold: a set of these bits */
	const char *value;
};

enum { BELOW = 1, EQUAL = 2, ABOVE = 4 };

static const struct {
	const char *text;
	int wanted;
} operators[] = {
	{ "=", EQUAL }, { "!=", BELOW | ABOVE }, { "!", BELOW | ABOVE }, /* the existing tool reads
									    it so */
	{ "<", BELOW }, { "<=", BELOW | EQUAL }, { ">", ABOVE },	 { ">=", ABOVE | EQUAL },
};

static const char *fact_of(const struct require_facts *facts, const struct rule *rule)
{
	const char *const values[] = { facts->cuda, facts->driver, facts->arch, facts->brand };

	return values[rule - rules];
}

/* The next number and the dots behind it. */
static bool take_number(const char **s, uint64_t *ret)
{
	uint64_t value = 0;
	const char *c = *s;

	for (; *c >= '0' && *c <= '9'; c++) {
		unsigned int digit = (unsigned int)*c - '0';

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (c == *s)
		return false;
	*s = c + strspn(c, ".");
	*ret = value;
	return true;
}

/* BELOW, EQUAL or ABOVE; 0 for what is no version. */
static int compare_versions(const char *a, const char *b)
{
	uint64_t x, y;

	if (a[strspn(a, "0123456789.")] || b[strspn(b, "0123456789.")])
		return 0;
	while (*a && *b) {
		if (!take_number(&a, &x) || !take_number(&b, &y))
			return 0;
		if (x != y)
			return x < y ? BELOW : ABOVE;
	}
	a += strspn(a, ".0");
	b += strspn(b, ".0");
	return *a ? ABOVE : *b ? BELOW : EQUAL;
}

static const struct rule *rule_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (strcasecmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

static int operator_by_text(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (strlen(operators[i].text) == len && !memcmp(operators[i].text, text, len))
			return operators[i].wanted;
	return 0;
}

static bool value_is_sound(const struct term *term)
{
	if (term->rule->is_version)
		return compare_versions(term->value, term->value) != 0;
	return term->wanted == EQUAL || term->wanted == (BELOW | ABOVE);
}

static bool parse_term(const char *text, size_t len, struct term *term)
{
	size_t name_len, op_len;

	if (len >= sizeof(term->text))
		return false;
	memcpy(term->text, text, len);
	term->text[len] = '\0';
	name_len = strcspn(term->text, OPERATOR_CHARS);
	op_len = strspn(term->text + name_len, OPERATOR_CHARS);
	term->wanted = operator_by_text(term->text + name_len, op_len);
	term->text[name_len] = '\0';
	term->value = term->text + name_len + op_len;
	term->rule = rule_by_name(term->text);
	return term->rule && term->wanted && *term->value && value_is_sound(term);
}

static enum verdict judge_term(const struct term *term, const struct require_facts *facts)
{
	const char *fact = fact_of(facts, term->rule);
	int outcome;

	if (term->rule->of_gpu && !facts->gpu)
		return HOLDS;
	if (!*fact)
		return UNKNOWN;
	if (term->rule->is_version)
		outcome = compare_versions(fact, term->value);
	else
		outcome = strcasecmp(fact, term->value) == 0 ? EQUAL : ABOVE;
	if (!outcome)
		return UNKNOWN; /* a fact that is no version tells nothing */
	return outcome & term->wanted ? HOLDS : FAILS;
}

/* What stood in the way, for the message: of the first alternative that failed, or was unknown. */
struct reason {
	const struct rule *rule;
	const char *text; /* the alternative, or the invalid term; into the expression */
	size_t len;
};

static void remember(struct reason *reason, const struct rule *rule, const char *text, size_t len)
{
	if (!reason->text)
		*reason = (struct reason){ rule, text, len };
}

static enum verdict judge_alternative(const char *text, size_t len,
				      const struct require_facts *facts, struct reason *invalid,
				      const struct rule **ret_rule)
{
	const char *end = text + len;
	enum verdict verdict = HOLDS, one;
	struct term term;

	for (const char *next; text < end; text = next + 1) {
		next = memchr(text, ',', (size_t)(end - text));
		if (!next)
			next = end;
		if (next == text)
			continue;
		if (!parse_term(text, (size_t)(next - text), &term)) {
			remember(invalid, NULL, text, (size_t)(next - text));
			return INVALID;
		}
		one = judge_term(&term, facts);
		if (one == HOLDS)
			continue;
		if (one == FAILS || verdict == HOLDS)
			*ret_rule = term.rule;
		if (one == FAILS)
			return FAILS;
		verdict = UNKNOWN;
	}
	return verdict;
}

static int tell_invalid(const struct reason *reason, struct error *err)
{
	(void)error_setc(err, ERROR_REQUIREMENT, -EINVAL, "invalid expression: '%.*s'",
			 reason->len > 60 ? 60 : (int)reason->len, reason->text);
	return error_remedy(err, -EINVAL, "cuda, driver, arch or brand; = != < <= > >=; a value");
}

static int tell_unknown(const struct reason *reason, const struct require_facts *facts,
			struct error *err)
{
	(void)error_setc(err, ERROR_REQUIREMENT, -ENODATA,
			 "condition cannot be checked: %.*s: %s of %s is not known",
			 reason->len > 60 ? 60 : (int)reason->len, reason->text,
			 reason->rule->words, reason->rule->of_gpu ? facts->gpu : "the driver");
	return error_remedy(err, -ENODATA,
			    "see `nvfs devices`; NVIDIA_DISABLE_REQUIRE=1 skips the check");
}

/* The text is the existing tool's, word by word. */
static int tell_failed(const struct reason *reason, const struct require_facts *facts,
		       struct error *err)
{
	static const char newer[] = "cuda>=";
	bool update = reason->len >= strlen(newer) && !memcmp(reason->text, newer, strlen(newer));

	(void)error_setc(
		err, ERROR_REQUIREMENT, -ENOTSUP, "unsatisfied condition: %.*s%s",
		reason->len > 60 ? 60 : (int)reason->len, reason->text,
		update ? ", please update your driver to a newer version, or use an earlier "
			 "cuda container"
		       : "");
	return error_remedy(err, -ENOTSUP, "%s has %s %s",
			    reason->rule->of_gpu ? facts->gpu : "the driver", reason->rule->words,
			    fact_of(facts, reason->rule));
}

int require_check(const char *expression, const struct require_facts *facts, struct error *err)
{
	struct reason failed = { 0 }, unknown = { 0 }, invalid = { 0 };
	const struct rule *rule = NULL;
	size_t len;

	for (const char *text = expression; *text; text += len) {
		text += strspn(text, " ");
		len = strcspn(text, " ");
		if (len == 0)
			break;
		switch (judge_alternative(text, len, facts, &invalid, &rule)) {
		case HOLDS:
			return 0;
		case INVALID:
			return tell_invalid(&invalid, err);
		case FAILS:
			remember(&failed, rule, text, len);
			break;
		case UNKNOWN:
			remember(&unknown, rule, text, len);
			break;
		}
	}
	if (unknown.text)
		return tell_unknown(&unknown, facts, err);
	return failed.text ? tell_failed(&failed, facts, err) : 0;
}
