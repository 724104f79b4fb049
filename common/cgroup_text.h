/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_CGROUP_TEXT_H
#define NVFS_COMMON_CGROUP_TEXT_H

/* The texts that the kernel writes about cgroups; pure, no files are opened here. */

#include <stdbool.h>
#include <stddef.h>

/* Access bits: the kernel's BPF_DEVCG_ACC_*, linux/bpf.h. */
#define CGROUP_ACCESS_MKNOD 1u
#define CGROUP_ACCESS_READ 2u
#define CGROUP_ACCESS_WRITE 4u

/* One character device, always by exact numbers. */
struct cgroup_rule {
	unsigned int major, minor;
	unsigned int access; /* CGROUP_ACCESS_*, at least one bit */
};

/**
 * cgroup_text_path() - a process's cgroup in one hierarchy
 * @text:    content of /proc/PID/cgroup
 * @version: 1: the hierarchy with the controller "devices"; 2: the line "0::"
 * @ret:     new string that starts with '/', or NULL where there is no such line;
 *           the caller frees it
 *
 * Colons in names are kept. Source: cgroups(7).
 *
 * Return: 0, -EINVAL (a line without its three parts, a path without '/'),
 * -EXDEV (outside the reader's cgroup namespace: "/.."), -ENOENT (" (deleted)") or -ENOMEM.
 */
int cgroup_text_path(const char *text, unsigned int version, char **ret);

/* One cgroup mount of mountinfo. */
struct cgroup_mount {
	char *point; /* where it is mounted */
	char *root;  /* which cgroup is its top */
};

/**
 * cgroup_text_mount() - next mount of a hierarchy in mountinfo
 * @cursor:  walks the text; NULL at its end
 * @version: 1: fstype cgroup with the superblock option "devices"; 2: cgroup2
 * @ret:     filled with new strings; release them with cgroup_mount_done()
 *
 * Octal escapes are resolved. Lines that do not parse are passed over.
 * Source: proc(5).
 *
 * Return: 1, 0 (no more) or -ENOMEM.
 */
int cgroup_text_mount(const char **cursor, unsigned int version, struct cgroup_mount *ret);

/** cgroup_mount_done() - free the strings of a cgroup_mount */
void cgroup_mount_done(struct cgroup_mount *mount);

/**
 * cgroup_text_below() - the part of a cgroup path below a mount's root
 *
 * Return: a pointer into @path ("" for the root itself, no leading '/'), or NULL
 * when @path does not lie below @root.
 */
const char *cgroup_text_below(const char *path, const char *root);

/* What a v1 devices.list says about one device. */
struct cgroup_listed {
	bool open;	     /* "a *:* rwm": everything is allowed */
	bool covered;	     /* one line allows the whole rule */
	unsigned int access; /* bits on the line of exactly this device */
};

/**
 * cgroup_text_listed() - look a rule up in devices.list
 *
 * As the kernel, a rule counts as covered only when one line has all its bits.
 * Source: match_exception() and dev_exception_add(), security/device_cgroup.c.
 */
struct cgroup_listed cgroup_text_listed(const char *list, const struct cgroup_rule *rule);

/** cgroup_text_rule() - "c 195:0 rw", as devices.allow wants it; @buf holds CGROUP_RULE_TEXT bytes
 */
#define CGROUP_RULE_TEXT 40
void cgroup_text_rule(const struct cgroup_rule *rule, char buf[CGROUP_RULE_TEXT]);

#endif
