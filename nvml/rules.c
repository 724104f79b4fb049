/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading rules, by libinih. A section is one rule and its name is for people;
 * what the section says as a whole, driver capabilities and place, is known
 * at its end.
 */
#include "nvml/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/lines.h"
#include "common/parse.h"
#include "nvml/driver_root.h"

#define DEFAULT_DIR "share/site"
#define FILES_MAX 256
#define DIR_LENGTH_MAX 200

struct reading {
	struct rules *rules;
	struct finding_list *findings;
	const char *name; /* of the file */
	struct lines lines;
	char section[64]; /* that the handler was told last */
	size_t first;     /* rule of the section */
	unsigned int caps;
	char *dir;
	int result;
};

static void rule_done(struct rule *rule)
{
	free(rule->value);
	free(rule->dir);
	free(rule->source);
}

void rules_done(struct rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		rule_done(&rules->items[i]);
	free(rules->items);
	*rules = (struct rules){ 0 };
}

static void complain(struct reading *reading, const char *what, const char *value)
{
	if (reading->result == 0)
		reading->result = finding_add_rule(reading->findings, FINDING_RULES, true,
						   "rules: %s:%d: %s '%.80s', ignoring",
						   reading->name, reading->lines.number, what,
						   value);
}

/* What a section said counts for all of it, wherever it stood. */
static void end_section(struct reading *reading)
{
	for (size_t i = reading->first; i < reading->rules->n; i++) {
		struct rule *rule = &reading->rules->items[i];

		rule->caps = reading->caps;
		if (rule->kind != DRIVER_DATA || rule->type != RULE_ADD)
			continue;
		rule->dir = strdup(reading->dir ? reading->dir : DEFAULT_DIR);
		if (!rule->dir)
			reading->result = -ENOMEM;
	}
	reading->first = reading->rules->n;
	reading->caps = DRIVER_CAP_ALL;
	free(reading->dir);
	reading->dir = NULL;
}

static int append(struct reading *reading, struct rule *rule, const char *value)
{
	struct rules *rules = reading->rules;
	struct rule *items;

	if (rules->n >= RULES_MAX) {
		complain(reading, "more rules than there is room for:", value);
		return 0;
	}
	items = reallocarray(rules->items, rules->n + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	rules->items = items;
	rule->value = strdup(value);
	if (asprintf(&rule->source, "%s:%d", reading->name, reading->lines.number) < 0)
		rule->source = NULL;
	items[rules->n++] = *rule;
	return rule->value && rule->source ? 0 : -ENOMEM;
}

/* "share/site": relative, and every part a name */
static bool dir_is_plain(const char *dir)
{
	const char *part;
	size_t len;

	if (!*dir || *dir == '/' || strlen(dir) > DIR_LENGTH_MAX || dir[strlen(dir) - 1] == '/')
		return false;
	while ((part = parse_field(&dir, '/', &len)))
		if (len == 0 || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
	return true;
}

static void set_dir(struct reading *reading, const char *value)
{
	if (!dir_is_plain(value)) {
		complain(reading, "not a plain directory of the tree:", value);
		return;
	}
	free(reading->dir);
	reading->dir = strdup(value);
	if (!reading->dir)
		reading->result = -ENOMEM;
}

static void set_caps(struct reading *reading, const char *value)
{
	unsigned int caps = 0;

	if (driver_caps_parse(value, &caps, NULL) < 0 || !caps)
		complain(reading, "not a list of driver capabilities:", value);
	else
		reading->caps = caps;
}

static void add(struct reading *reading, struct rule rule, const char *value)
{
	size_t len = strlen(value);

	if (rule.type == RULE_ADD && (value[0] != '/' || len < 2 || value[len - 1] == '/'))
		complain(reading, "not the absolute path of a file:", value);
	else if (!len)
		complain(reading, "no pattern:", value);
	else if (reading->result == 0)
		reading->result = append(reading, &rule, value);
}

static int on_key(void *data, const char *section, const char *key, const char *value)
{
	static const struct {
		const char *key;
		struct rule rule;
	} adds[] = {
		{ "library", { .type = RULE_ADD, .kind = DRIVER_LIBRARY } },
		{ "program", { .type = RULE_ADD, .kind = DRIVER_PROGRAM } },
		{ "file", { .type = RULE_ADD, .kind = DRIVER_DATA } },
		{ "exclude", { .type = RULE_EXCLUDE } },
	};
	struct reading *reading = data;

	if (strncmp(reading->section, section, sizeof(reading->section) - 1) != 0) {
		end_section(reading);
		(void)snprintf(reading->section, sizeof(reading->section), "%s", section);
	}
	for (size_t i = 0; i < ARRAY_SIZE(adds); i++) {
		if (strcmp(key, adds[i].key) == 0) {
			add(reading, adds[i].rule, value);
			return 1;
		}
	}
	if (strcmp(key, "driver_capabilities") == 0)
		set_caps(reading, value);
	else if (strcmp(key, "to") == 0)
		set_dir(reading, value);
	else
		complain(reading, "unknown key", key);
	return 1;
}

int rules_parse(const char *text, const char *name, struct rules *ret,
		struct finding_list *findings)
{
	struct reading reading = { .rules = ret,
				   .findings = findings,
				   .name = name,
				   .lines.at = text,
				   .first = ret->n,
				   .caps = DRIVER_CAP_ALL };
	int line = ini_parse_stream(lines_next, &reading.lines, on_key, &reading);

	end_section(&reading);
	if (line > 0 && reading.result == 0)
		reading.result = finding_add_rule(findings, FINDING_RULES, true,
						  "rules: %s:%d: not 'key = value', ignoring", name,
						  line);
	return line == -2 ? -ENOMEM : reading.result;
}

static int read_file(const char *dir, const char *name, const struct driver_guard *guard,
		     struct rules *rules, struct finding_list *findings)
{
	auto_free char *path = NULL, *text = NULL;
	struct error err = { 0 };
	size_t len = 0;
	int r;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = driver_guard_enter(guard, path);
	r = r < 0 ? error_set(&err, r, "open") :
		    file_read_at(AT_FDCWD, path, RULES_SIZE_MAX, &text, &len, &err);
	if (r == 0 && strlen(text) != len)
		r = error_set(&err, -EINVAL, "a NUL in it");
	if (r < 0)
		return r == -ENOMEM ? r
				    : finding_add_rule(findings, FINDING_RULES, true,
						       "rules: %s: %s, ignoring", path, err.text);
	return rules_parse(text, name, rules, findings);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_rule_file(const char *name)
{
	return fnmatch("*.conf", name, FNM_PERIOD) == 0;
}

int rules_read(const char *dir, const struct driver_guard *guard, struct rules *ret,
	       struct finding_list *findings)
{
	auto_closedir DIR *stream = NULL;
	const struct dirent *entry;
	char *names[FILES_MAX];
	size_t n = 0;
	int r = driver_guard_enter(guard, dir);

	stream = r < 0 ? NULL : opendir(dir);
	if (!stream && r == 0 && errno == ENOENT)
		return 0;
	if (!stream)
		return finding_add_rule(findings, FINDING_RULES, true, "rules: %s: %s, ignoring",
					dir, strerror(r < 0 ? -r : errno));
	while (n < FILES_MAX && (entry = readdir(stream)))
		if (is_rule_file(entry->d_name) && (names[n] = strdup(entry->d_name)))
			n++;
	qsort(names, n, sizeof(names[0]), compare_names);
	for (size_t i = 0; i < n; i++) {
		r = r ? r : read_file(dir, names[i], guard, ret, findings);
		free(names[i]);
	}
	return r;
}

const struct rule *rules_exclude(const struct rules *rules, const char *path, const char *name)
{
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *rule = &rules->items[i];

		if (rule->type == RULE_EXCLUDE &&
		    fnmatch(rule->value, rule->value[0] == '/' ? path : name, FNM_PATHNAME) == 0)
			return rule;
	}
	return NULL;
}
