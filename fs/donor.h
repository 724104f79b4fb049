/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_DONOR_H
#define NVFS_FS_DONOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct donors;
struct error;

/*
 * The lock donor: mounts for a container in another user namespace, whose
 * read-only, nosuid and nodev flags its root cannot clear.
 *
 * The kernel locks the flags of a mount when a mount namespace is copied into
 * another user namespace, and clones of it inherit the locks
 * (mount_namespaces(7), "Restrictions on mount namespaces"). So a child makes
 * two namespaces, one after the other: in the first, which is still our user
 * namespace, it lays read-only views over the directory of device nodes and
 * over sockets; in the second, of a new user namespace, it clones.
 *
 * And device nodes that the host has not, or not so that the container could
 * open them: they are made in a tmpfs of the first namespace, which lives as
 * long as somebody has a clone of one of them. No directory of the host ever has it.
 */

#define DONOR_LIMIT_MS 100

/* A node to be made. */
struct donor_node {
	dev_t rdev;
	mode_t mode; /* permission bits */
	uid_t uid;
	gid_t gid;
};

struct donor_clone {
	const char *path; /* absolute, in the daemon's mount namespace */
	bool cover;       /* read-only, nosuid, nodev and noexec, whatever the host's mount is */
	bool optional;    /* it may be gone by now: its fd is then -1, and that is no error */
	bool is_made;     /* make this instead of cloning it; the path is for messages then: */
	struct donor_node node;
	bool gone;        /* result, where it is optional: nothing was there to be covered */
	int fd;           /* result: a detached mount, propagation private; -1 before */
};

struct donor_request {
	const char *dev_root; /* directory of the device nodes; what is cloned from it is read-only, nosuid and
			       * noexec, and so are nodes that are made */
	bool is_locked; /* for another user namespace; else there is but one child, and no flag is locked */
	struct donor_clone *clones;
	size_t n;
};

/** donors_new() - none is at work; release with donors_free(), which leaves those that hang to themselves */
int donors_new(struct donors **ret, struct error *err);
void donors_free(struct donors *donors);

/**
 * donor_take() - clone mounts with locked flags, and nodes made for that
 * @donors:  of one thread
 * @request: its clones each get a descriptor, which is then the caller's
 * @err:     names the path that failed
 *
 * Other paths that say no cover get the flags that the host's mount has there;
 * the FUSE mount itself is read-only, nosuid and nodev. A path is walked anew
 * here, and links are followed on the way, but not at its end: who does not
 * own the way looks at what came of it. The caller holds no lock:
 * the paths may be served by this very process. Callable with threads.
 *
 * A path may lead to a filesystem that does not answer: it has DONOR_LIMIT_MS. What takes longer is
 * left to itself, and until that has ended a path of it is refused at once.
 *
 * Sources: clone(2), open_tree(2), mount_setattr(2), user_namespaces(7).
 * Privilege: CAP_SYS_ADMIN; CAP_MKNOD and CAP_CHOWN, permitted, for nodes.
 *
 * Return: 0, or a negative errno: then there are no descriptors. -ENOSPC or
 * -EPERM where the host forbids user namespaces; -ETIME (ERROR_AGAIN) where a path does not answer.
 */
int donor_take(struct donors *donors, const struct donor_request *request, struct error *err);

#endif
