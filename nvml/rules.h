/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_RULES_H
#define NVFS_NVML_RULES_H

#include <stddef.h>

#include "nvml/driver.h"

struct driver_guard;
struct finding_list;

/*
 * The admin's rules: files that containers get beside the driver's, and files
 * of the driver that they don't get. INI files, see nvfs.conf(5), RULES.
 */

struct rule {
	enum {
		RULE_ADD,
		RULE_EXCLUDE
	} type;
	enum driver_file_kind kind; /* RULE_ADD: DRIVER_LIBRARY, DRIVER_PROGRAM or DRIVER_DATA */
	char *value;                /* RULE_ADD: path below the driver root; else a glob(7) */
	char *dir;                  /* DRIVER_DATA: in the tree */
	unsigned int caps;          /* enum driver_cap */
	char *source;               /* "50-site.conf:3" */
};

struct rules {
	struct rule *items;
	size_t n;
};

#define RULES_DIR "/etc/nvfs/rules.d"
#define RULES_MAX 512
#define RULES_SIZE_MAX (256UL * 1024)

/**
 * rules_read() - the rules of a directory: its files *.conf, in order of names
 * @guard: told of each path; NULL for none
 * @ret:   zero-initialised; release with rules_done() also on failure
 * @findings: what is wrong with them, by file and line; such a line is ignored
 *
 * Return: 0 (also where there is no such directory), or -ENOMEM.
 */
int rules_read(const char *dir, const struct driver_guard *guard, struct rules *ret,
	       struct finding_list *findings);

/** rules_parse() - one file's text, which is NUL-terminated; @name is the file's. As rules_read() */
int rules_parse(const char *text, const char *name, struct rules *ret,
		struct finding_list *findings);

/** rules_exclude() - the rule that leaves a file out, by its path or name in the tree; or NULL */
const struct rule *rules_exclude(const struct rules *rules, const char *path, const char *name);

/** rules_done() - free all; on zeroed ones fine */
void rules_done(struct rules *rules);

#endif
