/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_TARGETS_H
#define NVFS_INJECT_TARGETS_H

#include <stdbool.h>
#include <sys/types.h>

#include "inject/enter.h"
#include "inject/owners.h"

struct cgroup_target;
struct error;
struct request;

/* What an injection acts on, pinned before anything is entered. -1: not there. */
struct targets {
	int pidfd;    /* the process named by --pid; -1 when standalone */
	int proc_pid; /* O_PATH, its directory in our /proc */
	struct enter_ns ns; /* its mount namespace; where the request names an owner, the user namespace
			     * that this is of */
	int root;     /* O_PATH, the container's root directory; filled by targets_open() for a
		       * running container, else by targets_open_root() inside the namespace */
	struct {
		unsigned int dev_major, dev_minor;
		unsigned long long ino;
	} host_root; /* our own root directory: never a container's */
	dev_t host_dev, host_run; /* st_dev of our own /dev and /run: a container that shows
				   * them shows the host's, where nothing is ours to make */
	struct owners owners; /* of the directories that may be written to */
	struct cgroup_target *cgroup; /* NULL: cgroups are left alone */
};

#define TARGETS_EMPTY { .pidfd = -1, .proc_pid = -1, .ns = ENTER_NOWHERE, .root = -1 }

/**
 * targets_open() - pin process, mount namespace and root
 * @targets: TARGETS_EMPTY; what was opened stays open to the end of the process
 * @req:     what cannot be done here is left out: cgroups
 * @hook:    a pid whose mount namespace is our own means a hook that runs
 *           inside the container; elsewhere that is an error
 *
 * The process is alive after everything else was opened, so a recycled pid
 * cannot slip in.
 * Privilege: CAP_SYS_PTRACE where the process has other credentials.
 * Source: pidfd_open(2), proc(5), namespaces(7).
 *
 * Where the request names an owner, the mount namespace must be of a user namespace
 * of his, ioctl_ns(2).
 *
 * Return: 0, -ESRCH (no such process, or it ended), -EINVAL (a thread id, or
 * our own mount namespace), -EPERM (ERROR_PERMISSION: another owner), or the errno of
 * open(2).
 */
int targets_open(struct targets *targets, struct request *req, bool hook, struct error *err);

/**
 * targets_name() - the request's id where it is missing: by the container's cgroup, whose name others choose
 *
 * Return: 0, -ENOMEM, or the errno of open(2) and read(2), ERROR_MOUNT.
 */
int targets_name(const struct targets *targets, struct request *req, struct error *err);

/** targets_open_cgroup() - pin its device cgroups, if the request has to do with them; as above */
int targets_open_cgroup(struct targets *targets, const struct request *req, struct error *err);

/**
 * targets_open_root() - open the container's root by its path; to be called
 * inside its mount namespace, before pivot_root
 *
 * Return: 0 or the errno of open(2).
 */
int targets_open_root(struct targets *targets, const char *rootfs, struct error *err);

/** targets_done() - give all back: TARGETS_EMPTY again */
void targets_done(struct targets *targets);

/** targets_alive() - 0, or -ESRCH when the process has ended meanwhile */
int targets_alive(const struct targets *targets, struct error *err);

/**
 * targets_id_from_cgroup() - a container's id in the text of /proc/PID/cgroup
 * @text: lines "N:controllers:/path"
 * @ret:  64 hex digits, out of the last path component that holds as many
 *
 * Return: true if there is one.
 */
bool targets_id_from_cgroup(const char *text, char ret[65]);
#endif
