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
#include <sys/mman.h>
#include <sys/mount.h>
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

struct donor {
	const char *dev_root;
	struct donor_clone *clones;
	size_t n;
	char *inner_stack; /* its end */
	const char *step;  /* what is being done, for the error */
	int result;
};

/* In the new user namespace. */
static int take_clones(void *arg)
{
	const struct sys_mount_attr attr = { .propagation = MS_PRIVATE };
	struct donor *donor = arg;

	(void)alarm(INNER_TIMEOUT_S);
	for (size_t i = 0; i < donor->n; i++) {
		struct donor_clone *clone = &donor->clones[i];

		if (clone->gone)
			continue;
		donor->step = clone->path;
		clone->fd = sys_open_tree(AT_FDCWD, clone->path, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
		if (clone->fd < 0 && clone->optional)
			continue;
		donor->result = clone->fd < 0 ? clone->fd
					      : sys_mount_setattr(clone->fd, "", AT_EMPTY_PATH, &attr);
		if (donor->result < 0)
			return 0;
	}
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
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	r = cover(donor->dev_root, 0, device);
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

/* In a mount namespace of its own, and our user namespace. */
static int prepare(void *arg)
{
	struct donor *donor = arg;
	int r;

	(void)alarm(OUTER_TIMEOUT_S);
	donor->step = donor->dev_root;
	donor->result = cover_all(donor);
	if (donor->result < 0)
		return 0;
	donor->step = "a user namespace";
	r = run(take_clones, donor->inner_stack, CLONE_NEWUSER | CLONE_NEWNS, donor);
	if (r < 0)
		donor->result = r;
	return 0;
}

int donor_take(const char *dev_root, struct donor_clone *clones, size_t n, struct error *err)
{
	struct donor donor = { .dev_root = dev_root, .clones = clones, .n = n, .step = "" };
	char *stacks = mmap(NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int r;

	for (size_t i = 0; i < n; i++)
		clones[i].fd = -1;
	if (stacks == MAP_FAILED)
		return error_set(err, -ENOMEM, "make a stack");
	donor.inner_stack = stacks + STACK_SIZE;
	r = run(prepare, stacks + 2 * STACK_SIZE, CLONE_NEWNS, &donor);
	r = r ? r : donor.result;
	(void)munmap(stacks, 2 * STACK_SIZE);
	for (size_t i = 0; r < 0 && i < n; i++) {
		cleanup_close(&clones[i].fd);
		clones[i].fd = -1;
	}
	return r < 0 ? error_set(err, r, "clone '%s' for another user namespace", donor.step) : 0;
}
