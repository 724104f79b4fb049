/* SPDX-License-Identifier: Apache-2.0 */
/* DeviceAllow= as lists: what is added, and the way back. Others may have changed the list between. */
#include "fs/unitlist.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cgroup_text.h"

static bool ends_with(const char *text, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && memcmp(text + len - n, end, n) == 0;
}

bool unitlist_unit(const char *cgroup, char name[256], size_t *ret_len)
{
	const char *part = cgroup;
	size_t len;

	while (*part == '/') {
		part++;
		len = strcspn(part, "/");
		if (!ends_with(part, len, ".slice")) {
			const char *unescaped = part + (*part == '_'); /* cg_unescape() */
			size_t n = len - (size_t)(unescaped - part);

			if ((!ends_with(part, len, ".scope") &&
			     !ends_with(part, len, ".service")) ||
			    n > 255)
				return false;
			memcpy(name, unescaped, n);
			name[n] = '\0';
			*ret_len = (size_t)(part + len - cgroup);
			return true;
		}
		part += len;
	}
	return false;
}

bool unitlist_restricts(const char *policy, const json_t *current)
{
	return strcmp(policy, "auto") != 0 || json_array_size(current) != 0;
}

static unsigned int access_parse(const char *text)
{
	return (strchr(text, 'r') ? CGROUP_ACCESS_READ : 0) |
	       (strchr(text, 'w') ? CGROUP_ACCESS_WRITE : 0) |
	       (strchr(text, 'm') ? CGROUP_ACCESS_MKNOD : 0);
}

static json_t *entry(const char *path, unsigned int access)
{
	char text[4];

	(void)snprintf(text, sizeof(text), "%s%s%s", access & CGROUP_ACCESS_READ ? "r" : "",
		       access & CGROUP_ACCESS_WRITE ? "w" : "",
		       access & CGROUP_ACCESS_MKNOD ? "m" : "");
	return json_pack("[s, s]", path, text);
}

static const char *entry_path(const json_t *item)
{
	const char *path = json_string_value(json_array_get(item, 0));

	return path ? path : "";
}

static unsigned int entry_access(const json_t *item)
{
	const char *access = json_string_value(json_array_get(item, 1));

	return access ? access_parse(access) : 0;
}

/* The access bits of this path; 0 where it is not in the list. */
static unsigned int find(const json_t *list, const char *path)
{
	unsigned int access = 0;
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (strcmp(entry_path(item), path) == 0)
			access |= entry_access(item);
	}
	return access;
}

static unsigned int rule_access(const json_t *rule)
{
	return (unsigned int)json_integer_value(json_array_get(rule, 2)) & 7;
}

static void rule_path(const json_t *rule, char path[64])
{
	(void)snprintf(path, 64, "/dev/char/%u:%u",
		       (unsigned int)json_integer_value(json_array_get(rule, 0)),
		       (unsigned int)json_integer_value(json_array_get(rule, 1)));
}

int unitlist_add(const json_t *current, const json_t *rules, json_t **ret_set, json_t **ret_added)
{
	json_t *set = json_array(), *added = json_array(), *rule;
	int r = 0;
	size_t i;

	json_array_foreach(rules, i, rule) {
		unsigned int wanted = rule_access(rule), have;
		char path[64];

		rule_path(rule, path);
		have = find(current, path);
		if ((have & wanted) == wanted)
			continue;
		r |= json_array_append_new(set, entry(path, have | wanted));
		r |= json_array_append_new(added, entry(path, wanted & ~have));
	}
	if (r) {
		json_decref(set);
		json_decref(added);
		return -ENOMEM;
	}
	*ret_set = set;
	*ret_added = added;
	return 0;
}

json_t *unitlist_remove(const json_t *current, const json_t *added)
{
	json_t *list = json_array();
	const json_t *item;
	int r = 0;
	size_t i;

	json_array_foreach(current, i, item) {
		unsigned int left = entry_access(item) & ~find(added, entry_path(item));

		if (left)
			r |= json_array_append_new(list, entry(entry_path(item), left));
	}
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

static unsigned int needed(const json_t *rules, const char *path)
{
	unsigned int access = 0;
	const json_t *rule;
	size_t i;

	json_array_foreach(rules, i, rule) {
		char text[64];

		rule_path(rule, text);
		if (strcmp(text, path) == 0)
			access |= rule_access(rule);
	}
	return access;
}

json_t *unitlist_stale(const json_t *added, const json_t *rules)
{
	json_t *list = json_array();
	const json_t *item;
	int r = list ? 0 : -1;
	size_t i;

	json_array_foreach(added, i, item) {
		unsigned int stale = entry_access(item) & ~needed(rules, entry_path(item));

		if (r == 0 && stale)
			r = json_array_append_new(list, entry(entry_path(item), stale));
	}
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

int unitlist_merge(json_t *added, const json_t *more)
{
	const json_t *item;
	int r = 0;
	size_t i, k;

	json_array_foreach(more, i, item) {
		const char *path = entry_path(item);
		unsigned int access = find(added, path) | entry_access(item);

		for (k = 0; k < json_array_size(added) &&
			    strcmp(entry_path(json_array_get(added, k)), path) != 0;)
			k++;
		r |= k < json_array_size(added) ? json_array_set_new(added, k, entry(path, access))
						: json_array_append_new(added, entry(path, access));
	}
	return r ? -ENOMEM : 0;
}
