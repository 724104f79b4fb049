/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two children, one inside the other, both CLONE_VM | CLONE_VFORK: nothing of
 * our memory is copied, and what they find needs no pipe. Until they have ended
 * the calling thread stands still, so they use its thread-local storage (errno)
 * alone. CLONE_FILES: the descriptors of the clones are ours.
 */
#include "fs/donor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"

#define STACK_SIZE (64 * 1024)
/* A host's filesystem that hangs must not keep us. The outer child outlives the inner one, which
 * writes to our stack: who has SIGALRM pending never runs again. */
#define INNER_TIMEOUT_S 5
#define OUTER_TIMEOUT_S 10

/* Nothing that is to be cloned lies there, and in the child's namespace nobody else looks. */
#define NODES_DIR "/proc"
#define NODES_OPTIONS "mode=0755,size=4k,nr_inodes=512"
#define NODES_FLAGS (MS_NOSUID | MS_NOEXEC) /* see sandbox_calls.c */

struct donor {
	const char *dev_root;
	struct donor_clone *clones;
	size_t n;
	bool is_locked;
	cap_t caps;        /* to make nodes; NULL: none is to be made */
	char *inner_stack; /* its end */
	const char *step;  /* what is being done, for the error */
	int result;
};

static void node_path(size_t i, char path[32])
{
	(void)snprintf(path, 32, NODES_DIR "/%zu", i);
}

static int take_clone(struct donor *donor, size_t i)
{
	const struct sys_mount_attr attr = { .propagation = MS_PRIVATE };
	struct donor_clone *clone = &donor->clones[i];
	const char *path = clone->path;
	char made[32];

	if (clone->gone)
		return 0;
	donor->step = clone->path;
	if (clone->node) {
		node_path(i, made);
		path = made;
	}
	clone->fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
	if (clone->fd < 0)
		return clone->optional ? 0 : clone->fd;
	return sys_mount_setattr(clone->fd, "", AT_EMPTY_PATH, &attr);
}

static void take_all(struct donor *donor)
{
	for (size_t i = 0; i < donor->n && donor->result == 0; i++)
		donor->result = take_clone(donor, i);
}

/* In the new user namespace. */
static int take_clones(void *arg)
{
	(void)alarm(INNER_TIMEOUT_S);
	take_all(arg);
	return 0;
}

static int run(int (*fn)(void *arg), char *stack, int flags, struct donor *donor)
{
	int status = 0;
	pid_t pid = clone(fn, stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | flags, donor);

	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? -ETIME : 0;
}

/* What is copied read-only is locked read-only. */
static int cover(const char *path, unsigned int how, uint64_t flags)
{
	const struct sys_mount_attr attr = { .attr_set = flags };
	auto_close int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | how);
	int r = fd < 0 ? fd : sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr);

	return r < 0 ? r : sys_move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

static int cover_all(struct donor *donor)
{
	/* Devices must stay devices: no nodev. */
	const uint64_t device = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	int r = cover(donor->dev_root, 0, device);

	for (size_t i = 0; i < donor->n && r == 0; i++) {
		struct donor_clone *clone = &donor->clones[i];

		if (!clone->cover)
			continue;
		donor->step = clone->path;
		r = cover(clone->path, AT_SYMLINK_NOFOLLOW, device | MOUNT_ATTR_NODEV);
		clone->gone = r < 0 && clone->optional;
		r = clone->gone ? 0 : r;
	}
	return r;
}

/* The mode before the owner: who does not own a file may not change it. */
static int make_node(const struct donor_node *node, size_t i)
{
	char path[32];

	node_path(i, path);
	if (mknod(path, S_IFCHR | node->mode, node->rdev) < 0 || chmod(path, node->mode) < 0 ||
	    
	    fchownat(AT_FDCWD, path, node->uid, node->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int make_nodes(struct donor *donor)
{
	const struct sys_mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
							 MOUNT_ATTR_NOEXEC };
	int r = 0;

	donor->step = "a tmpfs for device nodes";
	if (cap_set_proc(donor->caps) < 0 || mount("nvfs-nodes", NODES_DIR, "tmpfs", NODES_FLAGS, NODES_OPTIONS) < 0)
		return -errno;
	for (size_t i = 0; i < donor->n && r == 0; i++) {
		if (!donor->clones[i].node)
			continue;
		donor->step = donor->clones[i].path;
		r = make_node(donor->clones[i].node, i);
	}
	return r ? r : sys_mount_setattr(AT_FDCWD, NODES_DIR, 0, &attr);
}

static int prepare_mounts(struct donor *donor)
{
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	r = donor->is_locked ? cover_all(donor) : 0;
	return r || !donor->caps ? r : make_nodes(donor);
}

/* In a mount namespace of its own, and our user namespace. */
static int prepare(void *arg)
{
	struct donor *donor = arg;
	int r;

	(void)alarm(OUTER_TIMEOUT_S);
	donor->step = donor->dev_root;
	donor->result = prepare_mounts(donor);
	if (donor->result < 0)
		return 0;
	if (!donor->is_locked) {
		take_all(donor);
		return 0;
	}
	donor->step = "a user namespace";
	r = run(take_clones, donor->inner_stack, CLONE_NEWUSER | CLONE_NEWNS, donor);
	if (r < 0)
		donor->result = r;
	return 0;
}

/* What the child that makes nodes has in effect beside ours. Made here: it must not allocate. */
static int node_capabilities(const struct donor_request *request, cap_t *ret)
{
	static const cap_value_t wanted[] = { CAP_MKNOD, CAP_CHOWN };
	cap_flag_value_t has = CAP_CLEAR;
	size_t i = 0;
	cap_t caps;

	while (i < request->n && !request->clones[i].node)
		i++;
	if (i == request->n)
		return 0;
	caps = cap_get_proc();
	if (!caps)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (cap_get_flag(caps, wanted[i], CAP_PERMITTED, &has) == 0 && has == CAP_SET)
			(void)cap_set_flag(caps, CAP_EFFECTIVE, 1, &wanted[i], CAP_SET);
	}
	*ret = caps;
	return 0;
}

static int take(struct donor *donor, struct error *err)
{
	char *stacks = mmap(NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int r;

	if (stacks == MAP_FAILED)
		return error_set(err, -ENOMEM, "make a stack");
	donor->inner_stack = stacks + STACK_SIZE;
	r = run(prepare, stacks + 2 * STACK_SIZE, CLONE_NEWNS, donor);
	r = r ? r : donor->result;
	(void)munmap(stacks, 2 * STACK_SIZE);
	return r < 0 ? error_set(err, r, "clone '%s' for %s", donor->step,
				 donor->is_locked ? "another user namespace" : "a container") : 0;
}

int donor_take(const struct donor_request *request, struct error *err)
{
	struct donor donor = { .dev_root = request->dev_root, .clones = request->clones, .n = request->n,
			       .is_locked = request->is_locked, .step = "" };
	int r;

	for (size_t i = 0; i < donor.n; i++)
		donor.clones[i].fd = -1;
	r = node_capabilities(request, &donor.caps);
	r = r < 0 ? error_set(err, r, "make device nodes") : take(&donor, err);
	for (size_t i = 0; r < 0 && i < donor.n; i++) {
		cleanup_close(&donor.clones[i].fd);
		donor.clones[i].fd = -1;
	}
	if (donor.caps)
		(void)cap_free(donor.caps);
	return r;
}
