/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Findings: lines for a person, gathered while a search goes on. Their texts
 * hold names from foreign directories, so control characters are replaced here,
 * in the one place that all of them pass.
 */
#include "nvml/finding.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static bool finding_known(const struct finding_list *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->items[i].text, text))
			return true;
	return false;
}

static int finding_append(struct finding_list *list, enum finding_rule rule, bool problem,
			  char *text)
{
	struct driver_finding *items;

	items = reallocarray(list->items, list->n + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	items[list->n++] =
		(struct driver_finding){ .rule = rule, .problem = problem, .text = text };
	list->items = items;
	return 0;
}

static int finding_vadd(struct finding_list *list, enum finding_rule rule, bool problem,
			const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));
static int finding_vadd(struct finding_list *list, enum finding_rule rule, bool problem,
			const char *fmt, va_list ap)
{
	auto_free char *text = NULL;
	int r;

	if (!list || list->n >= FINDING_MAX)
		return 0;
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL; /* asprintf(3) leaves it undefined */
		return -ENOMEM;
	}
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (finding_known(list, text))
		return 0;
	r = finding_append(list, rule, problem, text);
	if (r == 0)
		text = NULL;
	return r;
}

int finding_add(struct finding_list *list, bool problem, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = finding_vadd(list, FINDING_OTHER, problem, fmt, ap);
	va_end(ap);
	return r;
}

int finding_add_rule(struct finding_list *list, enum finding_rule rule, bool problem,
		     const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = finding_vadd(list, rule, problem, fmt, ap);
	va_end(ap);
	return r;
}

bool finding_has(const struct finding_list *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->items[i].text, text) == 0)
			return true;
	}
	return false;
}

void finding_list_done(struct finding_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].text);
	free(list->items);
	*list = (struct finding_list){ 0 };
}
