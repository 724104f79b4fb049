/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_REINJECT_COMMAND_H
#define NVFS_FS_REINJECT_COMMAND_H

#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct gpu_list;

/* Which nvinject, with which arguments: the request that a container was injected with, once more. */

#define REINJECT_ARGS_MAX 48

struct reinject_request {
	const char *program;        /* nvinject of the configuration; NULL: beside this program */
	const char *socket;
	const char *spec;           /* JSON of the request; see inject_method.c */
	const char *done;           /* JSON of what was done; NULL: nothing */
	const struct gpu_list *gpus; /* that are there now */
	pid_t pid;                  /* of a process of the container */
	int64_t owner;              /* uid of the user who gave it the tree; -1: root did */
};

/* Release with reinject_command_done(), also after a failure. Zero-initialise. */
struct reinject_command {
	char program[PATH_MAX];
	char pid[16], owner[16];
	char *devices;
	char *imex; /* channels; NULL for none */
	json_t *spec;
	const char *argv[REINJECT_ARGS_MAX]; /* the others', the spec's, the request's; NULL at the end */
	size_t n;
};

/** reinject_program() - path of nvinject: beside this program, or @configured; 0 or -errno with a remedy */
int reinject_program(const char *configured, char ret[PATH_MAX], struct error *err);

/**
 * reinject_command_build() - repeat a request
 * @request: must outlive @ret
 *
 * GPUs and MIG devices are those that were given, as far as they are still there, and never
 * others; none left is "none". A cgroup is changed only if it was before. In a user's
 * container no more is done than he could do.
 *
 * Return: 0, -ENOENT (no such program), -EBADMSG (@request->spec) or -ENOMEM.
 */
int reinject_command_build(const struct reinject_request *request, struct reinject_command *ret,
			   struct error *err);
void reinject_command_done(struct reinject_command *command);

#endif
