/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts about cgroups: /proc/PID/cgroup, mountinfo, devices.list. A container may
 * have chosen the names in the first one, so nothing is assumed of them but what
 * the kernel guarantees: no newline, no "/" inside a component.
 */
#include "common/cgroup_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/parse.h"

#define DELETED " (deleted)"

/* Is @word an item of the comma list? */
static bool list_has(const char *list, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	while (len) {
		const char *comma = memchr(list, ',', len);
		size_t item = comma ? (size_t)(comma - list) : len;

		if (item == word_len && memcmp(list, word, item) == 0)
			return true;
		item += comma ? 1 : 0;
		list += item;
		len -= item;
	}
	return false;
}

/* The kernel writes ".." only as leading components, for a cgroup above the reader's root. */
static int path_check(const char *path, size_t len)
{
	size_t tail = strlen(DELETED);

	if (len == 0 || path[0] != '/')
		return -EINVAL;
	if (len >= 3 && memcmp(path, "/..", 3) == 0 && (len == 3 || path[3] == '/'))
		return -EXDEV;
	if (len > tail && memcmp(path + len - tail, DELETED, tail) == 0)
		return -ENOENT;
	return 0;
}

int cgroup_text_path(const char *text, unsigned int version, char **ret)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *names = memchr(text, ':', len), *path;
		size_t names_len, path_len;
		int r;

		names = names ? names + 1 : NULL;
		path = names ? memchr(names, ':', len - (size_t)(names - text)) : NULL;
		if (!path)
			return -EINVAL;
		names_len = (size_t)(path++ - names);
		path_len = len - (size_t)(path - text);
		/* a named v1 hierarchy may have a comma in its name, but starts with "name=" */
		if (version == 1 ? list_has(names, names_len, "devices") &&
					   strncmp(names, "name=", 5) != 0
				 : names_len == 0 && strncmp(text, "0:", 2) == 0) {
			r = path_check(path, path_len);
			if (r < 0)
				return r;
			*ret = strndup(path, path_len);
			return *ret ? 0 : -ENOMEM;
		}
		text += len + (text[len] == '\n');
	}
	*ret = NULL;
	return 0;
}

/* Copies a mountinfo field, "\040" and the like resolved. */
static char *unescape(const char *field, size_t len)
{
	char *out = malloc(len + 1), *p = out;

	for (size_t i = 0; out && i < len; i++) {
		if (field[i] == '\\' && i + 3 < len && field[i + 1] >= '0' && field[i + 1] <= '3' &&
		    field[i + 2] >= '0' && field[i + 2] <= '7' && field[i + 3] >= '0' &&
		    field[i + 3] <= '7') {
			*p++ = (char)((field[i + 1] - '0') << 6 | (field[i + 2] - '0') << 3 |
				      (field[i + 3] - '0'));
			i += 3;
		} else {
			*p++ = field[i];
		}
	}
	if (out)
		*p = '\0';
	return out;
}

struct field {
	const char *at;
	size_t len;
};

static struct field next_field(const char **line, const char *end)
{
	struct field f = { .at = *line };

	while (f.at < end && *f.at == ' ')
		f.at++;
	while (f.at + f.len < end && f.at[f.len] != ' ')
		f.len++;
	*line = f.at + f.len;
	return f;
}

static bool field_is(struct field f, const char *word)
{
	return f.len == strlen(word) && memcmp(f.at, word, f.len) == 0;
}

/* "36 35 98:0 ROOT POINT rw,relatime [optional...] - TYPE source SUPER" */
static bool mount_line(const char *line, const char *end, unsigned int version, struct field *root,
		       struct field *point)
{
	struct field f = { 0 };

	for (int i = 0; i < 6; i++) {
		f = next_field(&line, end);
		if (i == 3)
			*root = f;
		if (i == 4)
			*point = f;
	}
	do {
		f = next_field(&line, end);
		if (f.len == 0)
			return false;
	} while (!field_is(f, "-"));
	f = next_field(&line, end);
	if (version == 2)
		return field_is(f, "cgroup2");
	if (!field_is(f, "cgroup"))
		return false;
	(void)next_field(&line, end);
	f = next_field(&line, end);
	return list_has(f.at, f.len, "devices");
}

int cgroup_text_mount(const char **cursor, unsigned int version, struct cgroup_mount *ret)
{
	while (*cursor && **cursor) {
		const char *line = *cursor, *end = line + strcspn(line, "\n");
		struct field root = { 0 }, point = { 0 };

		*cursor = *end ? end + 1 : NULL;
		if (!mount_line(line, end, version, &root, &point) || !root.len || !point.len)
			continue;
		ret->root = unescape(root.at, root.len);
		ret->point = unescape(point.at, point.len);
		if (ret->root && ret->point)
			return 1;
		cgroup_mount_done(ret);
		return -ENOMEM;
	}
	*cursor = NULL;
	return 0;
}

void cgroup_mount_done(struct cgroup_mount *mount)
{
	free(mount->root);
	free(mount->point);
	*mount = (struct cgroup_mount){ 0 };
}

const char *cgroup_text_below(const char *path, const char *root)
{
	size_t len = strlen(root);

	if (strcmp(root, "/") == 0)
		return path + 1;
	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return NULL;
	return path[len] ? path + len + 1 : path + len;
}

/* "195" or "*"; 1: the number or every number, 0: another, negative: junk */
static int number_matches(const char *s, size_t len, unsigned int want, bool *wild)
{
	char text[16];
	uint64_t value;

	*wild = len == 1 && *s == '*';
	if (*wild)
		return 1;
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, len);
	text[len] = '\0';
	if (parse_u64(text, UINT32_MAX, &value) < 0)
		return -EINVAL;
	return value == want;
}

static unsigned int access_bits(const char *s, size_t len)
{
	return (memchr(s, 'm', len) ? CGROUP_ACCESS_MKNOD : 0) |
	       (memchr(s, 'r', len) ? CGROUP_ACCESS_READ : 0) |
	       (memchr(s, 'w', len) ? CGROUP_ACCESS_WRITE : 0);
}

static void list_line(const char *line, const char *end, const struct cgroup_rule *rule,
		      struct cgroup_listed *ret)
{
	struct field type = next_field(&line, end), device = next_field(&line, end);
	struct field access = next_field(&line, end);
	const char *colon = memchr(device.at, ':', device.len);
	bool any_major, any_minor;
	unsigned int bits;

	if (field_is(type, "a"))
		ret->open = true;
	if (!field_is(type, "c") || !colon)
		return;
	if (number_matches(device.at, (size_t)(colon - device.at), rule->major, &any_major) != 1 ||
	    number_matches(colon + 1, device.len - (size_t)(colon - device.at) - 1, rule->minor,
			   &any_minor) != 1)
		return;
	bits = access_bits(access.at, access.len);
	if ((rule->access & ~bits) == 0)
		ret->covered = true;
	if (!any_major && !any_minor)
		ret->access |= bits;
}

struct cgroup_listed cgroup_text_listed(const char *list, const struct cgroup_rule *rule)
{
	struct cgroup_listed ret = { 0 };

	while (*list) {
		const char *end = list + strcspn(list, "\n");

		list_line(list, end, rule, &ret);
		list = *end ? end + 1 : end;
	}
	return ret;
}

void cgroup_text_rule(const struct cgroup_rule *rule, char buf[CGROUP_RULE_TEXT])
{
	(void)snprintf(buf, CGROUP_RULE_TEXT, "c %u:%u %s%s%s", rule->major, rule->minor,
		       rule->access & CGROUP_ACCESS_READ ? "r" : "",
		       rule->access & CGROUP_ACCESS_WRITE ? "w" : "",
		       rule->access & CGROUP_ACCESS_MKNOD ? "m" : "");
}
