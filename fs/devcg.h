/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_DEVCG_H
#define NVFS_FS_DEVCG_H

/*
 * A container's device cgroups, only looked at: has somebody changed what they permit? All that
 * changes them is nvinject's business.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct devcg {
	int v1, v2; /* O_PATH, the process's own cgroup in each hierarchy; -1: none, or none to be seen */
	char *path; /* in the hierarchy that systemd has its units in: v2's, else v1's; NULL: none */
};

#define DEVCG_EMPTY { .v1 = -1, .v2 = -1 }

/**
 * devcg_mountinfo() - the text that devcg_open() needs, good for many; NULL: out of memory, or no /proc
 */
char *devcg_mountinfo(void);

/**
 * devcg_open() - pin the cgroups of a process
 * @mountinfo: our own; borrowed for the call
 * @ret:       DEVCG_EMPTY; release with devcg_close() in any case
 *
 * Source: cgroups(7), proc(5).
 *
 * Return: 0, -ESRCH (the process, or its cgroup, has gone), -EXDEV (outside our cgroup namespace) or
 * the errno of reading.
 */
int devcg_open(pid_t pid, const char *mountinfo, struct devcg *ret, struct error *err);
void devcg_close(struct devcg *devcg);

/**
 * devcg_fingerprint() - a number that is another one when what is permitted may be
 *
 * v2: the ids of all device programs that are in effect for the cgroup, those of its ancestors too, by
 * one bpf(2), BPF_F_QUERY_EFFECTIVE. v1: the text of devices.list.
 *
 * Return: never 0, unless the cgroup has gone.
 */
uint64_t devcg_fingerprint(const struct devcg *devcg);

/**
 * devcg_is_as_recorded() - is it as the injector left it?
 * @step: "cgroup" of the record: see inject/cgroup_record.h
 */
bool devcg_is_as_recorded(const struct devcg *devcg, const json_t *step);

/**
 * devcg_programs() - device programs in effect for the cgroup of v2
 *
 * Return: their number; -EPERM; another negative errno where the kernel has none (CONFIG_CGROUP_BPF), or no v2.
 */
int devcg_programs(const struct devcg *devcg);

#endif
