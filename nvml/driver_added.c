/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that the admin's rules add. They are opened and read as the driver's
 * own are, but for the version: who names a file means that one. Found first,
 * they come before a file of the driver with the same name or soname.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nvml/driver_impl.h"

static int fill(struct driver_file *file, const struct rule *rule, const struct elf_info *info)
{
	/* As the rule calls it: what it names may be a link. */
	file->name = strdup(strrchr(rule->value, '/') + 1);
	if (info->soname[0] && rule->kind == DRIVER_LIBRARY)
		file->soname = strdup(info->soname);
	if (rule->dir)
		file->dir = strdup(rule->dir);
	file->caps = rule->caps;
	return file->name && (!info->soname[0] || file->soname || rule->kind != DRIVER_LIBRARY) &&
			       (!rule->dir || file->dir) ?
		       0 :
		       -ENOMEM;
}

static int add(struct discovery *d, const struct rule *rule)
{
	auto_driver_file struct driver_file file = { .kind = rule->kind, .fd = -1 };
	struct elf_info info = { 0 };
	int r = 0;

	file.fd = driver_root_open_file(&d->root, rule->value, &file.path, &file.st);
	if (file.fd < 0)
		return finding_add_rule(&d->findings, FINDING_CONTENT, true,
					"%s: %s, named by %s, left out", rule->value,
					strerror(-file.fd), rule->source);
	if (rule->kind != DRIVER_DATA &&
	    !discovery_read_elf(d, &file, rule->kind == DRIVER_LIBRARY, &info, &r))
		return r;
	r = fill(&file, rule, &info);
	if (r < 0 || discovery_find(d, &file))
		return r;
	return discovery_take(d, &file);
}

int driver_find_added(struct discovery *d)
{
	int r = 0;

	for (size_t i = 0; i < d->rules.n && r == 0; i++)
		if (d->rules.items[i].type == RULE_ADD)
			r = add(d, &d->rules.items[i]);
	return r;
}
