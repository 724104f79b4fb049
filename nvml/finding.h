/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_FINDING_H
#define NVFS_NVML_FINDING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What a search wants to tell a person without giving up: a file left out and
 * why, a thing expected and not there.
 */
enum finding_rule {
	FINDING_OTHER,
	FINDING_VERSION,  /* of another driver version, or of none */
	FINDING_MACHINE,  /* for another machine, or of 32 bits */
	FINDING_SHADOWED, /* another file of that name comes first */
	FINDING_CONTENT,  /* not what its name says, or not readable */
	FINDING_MISSING,  /* expected, and not there */
	FINDING_NEVER,	  /* known, and of no use in a container */
	FINDING_UNKNOWN,  /* nothing of the driver is called so */
	FINDING_EXCLUDED, /* by a rule of the admin's */
	FINDING_RULES,	  /* no file was left out: these rules say what cannot be */
};

struct driver_finding {
	enum finding_rule rule; /* by which a file was left out */
	bool problem; /* false: good to know; true: something will not work */
	char *text;   /* one line, object first: "libcuda.so.550.1: version differs ..." */
};

struct finding_list {
	struct driver_finding *items;
	size_t n;
};

/**
 * finding_add() - append a line
 * @list: owned by the caller; NULL drops the line
 *
 * A line already there is not repeated; control characters become '?'. At most
 * FINDING_MAX lines are kept.
 *
 * Return: 0 or -ENOMEM.
 */
int finding_add(struct finding_list *list, bool problem, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** finding_add_rule() - as finding_add(), for a file that was left out; the text begins with its path */
int finding_add_rule(struct finding_list *list, enum finding_rule rule, bool problem,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define FINDING_MAX 1024

/** finding_has() - is there such a line? */
bool finding_has(const struct finding_list *list, const char *text);

/** finding_list_done() - free the lines; the list is empty afterwards; NULL is fine */
void finding_list_done(struct finding_list *list);

#endif
