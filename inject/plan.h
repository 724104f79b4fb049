/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_PLAN_H
#define NVFS_INJECT_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct error;
struct varlink_message;

/* The daemon's answer to io.nvfs.Inject, checked and with its descriptors taken. */

enum step_kind {
	STEP_TREE,   /* mount the driver tree on a directory */
	STEP_PROC,   /* mount the view of /proc/driver/nvidia */
	STEP_DEVICE, /* bind a device node */
	STEP_SOCKET, /* bind a daemon's socket, or a directory of them */
	STEP_FILE,   /* a small file; one whose first line is a comment and the same is ours */
	STEP_CACHE,  /* the merged ld.so.cache */
	STEP_LINK,   /* a symbolic link */
};

#define PLAN_STEPS_MAX 640

struct step {
	enum step_kind kind;
	const char *target;      /* absolute, plain; the JSON's */
	const char *alternative; /* STEP_TREE, STEP_FILE: where to go if target cannot be had; NULL */
	const char *to;          /* STEP_LINK */
	const char *where;       /* STEP_LINK: only where the container has this; NULL: anywhere */
	int fd;                  /* detached mount; -1; owned by the plan */
	unsigned int major, minor, access; /* STEP_DEVICE; CGROUP_ACCESS_* */
	const json_t *before;    /* STEP_DEVICE, STEP_LINK: record of the node of another number, or the link
				  * that led elsewhere; see moved.h */
	const void *data;        /* STEP_FILE: content */
	size_t len;              /* STEP_FILE: its; STEP_CACHE: of what is in @fd, a sealed memfd */
	bool permit_only;        /* STEP_DEVICE: not bound */
	bool replace_stale;      /* STEP_LINK: in the place of a link, or of an empty file, too */
	bool only_if_absent;     /* STEP_FILE: what stands there stays, whatever it is */
};

struct plan {
	json_t *json;  /* the reply; owns the strings */
	struct step steps[PLAN_STEPS_MAX];
	size_t n;
	const char *id, *trace, *token; /* the JSON's, never NULL */
	bool known;    /* this container has been injected before */
	const char *nothing; /* why the daemon gives no GPU at all; NULL: it does */
};

/**
 * plan_parse() - check a reply and take its descriptors
 * @reply:   of io.nvfs.Inject; its JSON is referenced, its descriptors are taken
 * @dry_run: the reply has no descriptors
 * @ret:     zero-initialised; release with plan_done() also on failure
 *
 * A step of an unknown kind, with a path that is not plain or without its
 * descriptor refuses the whole plan: daemon and nvinject do not match.
 *
 * Return: 0 or -EBADMSG (ERROR_DAEMON), -EFBIG.
 */
int plan_parse(struct varlink_message *reply, bool dry_run, struct plan *ret, struct error *err);
void plan_done(struct plan *plan);

/** plan_print() - one line a step, for people */
void plan_print(const struct plan *plan, FILE *out);

/** step_name() - the word of the protocol: "tree", "device", ... */
const char *step_name(enum step_kind kind);

/** step_kind_by_name() - or -1 */
int step_kind_by_name(const char *name);

/** plan_path_ok() - absolute, not the root, and without ".", ".." and empty components */
bool plan_path_ok(const char *path);

#endif
