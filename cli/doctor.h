/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_CLI_DOCTOR_H
#define NVFS_CLI_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/config.h"

/*
 * `nvfs doctor`: is this node as nvfs needs it, and if not, what is to be done? Each group of checks is
 * one function, and runs in a process of its own with a time limit: whatever does not answer, a network
 * filesystem or something in a container, costs that group alone.
 */

/** cmd_doctor() - gives the exit status: 0, 1 with warnings, 2 with failures */
int cmd_doctor(int argc, char **argv);

enum doctor_state { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
	struct config config;
	const char *config_path;
	bool config_optional;
	const char *root; /* of the files that engines read: "" for the host's, else a directory */
	pid_t pid;        /* of a container; 0: none was named */
	/* What the daemon says; NULL where it says nothing. */
	json_t *check;  /* io.nvfs.Check, or why there is no answer: status.h */
	json_t *status; /* io.nvfs.Status */
	json_t *tree;   /* io.nvfs.Show of the container */
};

/**
 * doctor_say() - one finding
 * @report: array, gets {"check", "state", "what", "remedy"}
 * @check:  what was looked at, one word
 * @remedy: what to do; NULL where nothing is to be done
 */
void doctor_say(json_t *report, const char *check, enum doctor_state state, const char *remedy,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** doctor_read() - text of a small regular file below @root, which the caller frees; NULL: none, or not to be read */
char *doctor_read(const struct doctor *doctor, const char *path);

/** doctor_tree_name() - name of the tree that a process has mounted, by its mountinfo alone; false: none */
bool doctor_tree_name(pid_t pid, char *ret, size_t size);

/* The groups. Each reads @doctor, and adds to @report. */
void doctor_kernel(const struct doctor *doctor, json_t *report);
void doctor_config(const struct doctor *doctor, json_t *report);
void doctor_daemon(const struct doctor *doctor, json_t *report);
void doctor_mount(const struct doctor *doctor, json_t *report);
void doctor_cgroup(const struct doctor *doctor, json_t *report);
void doctor_driver(const struct doctor *doctor, json_t *report);
void doctor_nodes(const struct doctor *doctor, json_t *report);
void doctor_engines(const struct doctor *doctor, json_t *report);
void doctor_container(const struct doctor *doctor, json_t *report);

#endif
