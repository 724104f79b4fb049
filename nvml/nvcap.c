/* SPDX-License-Identifier: Apache-2.0 */
/* The module lists every instance that could be, thousands of lines: read once, found by bisection.
 */
#include "nvml/nvcap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"

#define NVCAPS_MAX 262144

static bool take_word(const char **s, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*s, word, len) != 0)
		return false;
	*s += len;
	return true;
}

static bool take_number(const char **s, unsigned int *ret)
{
	size_t digits = strspn(*s, "0123456789");

	if (digits == 0 || digits > 9)
		return false;
	*ret = (unsigned int)strtoul(*s, NULL, 10);
	*s += digits;
	return true;
}

/* "gpu0/gi0/ci0/access", "gpu0/gi0/access" */
static bool take_instance(const char **s, struct nvcap *cap)
{
	cap->kind = NVCAP_GI;
	if (!take_word(s, "gpu") || !take_number(s, &cap->gpu) || !take_word(s, "/gi") ||
	    !take_number(s, &cap->gi))
		return false;
	if (take_word(s, "/ci")) {
		cap->kind = NVCAP_CI;
		if (!take_number(s, &cap->ci))
			return false;
	}
	return take_word(s, "/access");
}

static bool parse_line(const char *line, size_t len, struct nvcap *cap)
{
	const char *s = line;

	*cap = (struct nvcap){ .mode = NVCAP_MODE_DEFAULT };
	if (take_word(&s, "config"))
		cap->kind = NVCAP_CONFIG;
	else if (take_word(&s, "monitor"))
		cap->kind = NVCAP_MONITOR;
	else if (!take_instance(&s, cap))
		return false;
	if (*s != ' ' && *s != '\t')
		return false;
	s += strspn(s, " \t");
	return take_number(&s, &cap->minor) && cap->minor <= NVCAP_MINOR_MAX && s == line + len;
}

static int order(const struct nvcap *a, const struct nvcap *b)
{
	const unsigned int x[] = { a->kind, a->gpu, a->gi, a->ci },
			   y[] = { b->kind, b->gpu, b->gi, b->ci };

	for (size_t i = 0; i < ARRAY_SIZE(x); i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct nvcap *x = a, *y = b;
	int r = order(x, y);

	return r ? r : x->minor < y->minor ? -1 : x->minor > y->minor;
}

static int compare_names(const void *a, const void *b)
{
	return order(a, b);
}

static size_t count_lines(const char *text)
{
	size_t n = 1;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n < NVCAPS_MAX ? n : NVCAPS_MAX;
}

static void drop_repeated(struct nvcap_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++)
		if (kept == 0 || order(&list->caps[i], &list->caps[kept - 1]) != 0)
			list->caps[kept++] = list->caps[i];
	list->n = kept;
}

int nvcap_list_parse(const char *text, struct nvcap_list *ret, struct error *err)
{
	size_t room = count_lines(text), len;
	struct nvcap_list list = { .caps = calloc(room, sizeof(*list.caps)) };
	const char *cursor = text, *line;

	if (!list.caps)
		return error_set(err, -ENOMEM, "list the capabilities of MIG");
	while (list.n < room && (line = parse_field(&cursor, '\n', &len)))
		if (parse_line(line, len, &list.caps[list.n]))
			list.n++;
	qsort(list.caps, list.n, sizeof(*list.caps), compare);
	drop_repeated(&list);
	*ret = list;
	return 0;
}

void nvcap_list_done(struct nvcap_list *list)
{
	free(list->caps);
	*list = (struct nvcap_list){ 0 };
}

int nvcap_list_copy(const struct nvcap *caps, size_t n, struct nvcap_list *ret)
{
	struct nvcap_list list = { .caps = calloc(n + 1, sizeof(*caps)), .n = n };

	if (!list.caps)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (caps[i].kind >= NVCAP_KINDS || caps[i].minor > NVCAP_MINOR_MAX ||
		    caps[i].mode & ~0666U) {
			free(list.caps);
			return -EBADMSG;
		}
		list.caps[i] = caps[i];
	}
	qsort(list.caps, list.n, sizeof(*list.caps), compare);
	drop_repeated(&list);
	*ret = list;
	return 0;
}

bool nvcap_list_equal(const struct nvcap_list *a, const struct nvcap_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (compare(&a->caps[i], &b->caps[i]) != 0 || a->caps[i].mode != b->caps[i].mode)
			return false;
	return true;
}

const struct nvcap *nvcap_find(const struct nvcap_list *list, enum nvcap_kind kind,
			       unsigned int gpu, unsigned int gi, unsigned int ci)
{
	const struct nvcap key = { .kind = kind, .gpu = gpu, .gi = gi, .ci = ci };

	return list->n ? bsearch(&key, list->caps, list->n, sizeof(key), compare_names) : NULL;
}

int nvcap_minor(const struct nvcap_list *list, enum nvcap_kind kind, unsigned int gpu,
		unsigned int gi, unsigned int ci)
{
	const struct nvcap *found = nvcap_find(list, kind, gpu, gi, ci);

	return found ? (int)found->minor : -ENOENT;
}

void nvcap_file_name(const struct nvcap *cap, char name[NVCAP_NAME_MAX])
{
	switch (cap->kind) {
	case NVCAP_CONFIG:
		(void)snprintf(name, NVCAP_NAME_MAX, "mig/config");
		break;
	case NVCAP_MONITOR:
		(void)snprintf(name, NVCAP_NAME_MAX, "mig/monitor");
		break;
	case NVCAP_FABRIC:
		(void)snprintf(name, NVCAP_NAME_MAX, "fabric-imex-mgmt");
		break;
	case NVCAP_GI:
		(void)snprintf(name, NVCAP_NAME_MAX, "gpu%u/mig/gi%u/access", cap->gpu, cap->gi);
		break;
	default:
		(void)snprintf(name, NVCAP_NAME_MAX, "gpu%u/mig/gi%u/ci%u/access", cap->gpu,
			       cap->gi, cap->ci);
	}
}

/* "Key: 12", the whole line */
static bool parse_number_line(const char *line, size_t len, const char *key, unsigned int *ret)
{
	const char *s = line;
	unsigned int number;

	if (!take_word(&s, key))
		return false;
	s += strspn(s, " \t");
	if (!take_number(&s, &number) || s != line + len)
		return false;
	*ret = number;
	return true;
}

int nvcap_file_parse(const char *text, struct nvcap *ret)
{
	const char *cursor = text, *line;
	unsigned int minor = NVCAP_MINOR_MAX + 1, mode = 0;
	size_t len;

	while ((line = parse_field(&cursor, '\n', &len))) {
		(void)parse_number_line(line, len, "DeviceFileMinor:", &minor);
		(void)parse_number_line(line, len, "DeviceFileMode:", &mode);
	}
	if (minor > NVCAP_MINOR_MAX)
		return -EBADMSG;
	ret->minor = minor;
	/* Nothing but to read and to write, and somebody at least. */
	ret->mode = mode && !(mode & ~0666U) ? mode : NVCAP_MODE_DEFAULT;
	return 0;
}
