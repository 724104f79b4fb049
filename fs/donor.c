/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two children, one inside the other, both CLONE_VM | CLONE_VFORK: nothing of
 * our memory is copied, and what they find needs no pipe. Until they have ended
 * the thread that made them stands still, so they use its thread-local storage
 * (errno) alone. CLONE_FILES: the descriptors of the clones are ours.
 *
 * That thread is one for each call, for a path may lead to where nobody answers:
 * who asked waits for it a moment, and goes on without it. What both know is a
 * job, which the last of the two frees.
 */
#include "fs/donor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "fs/thread.h"

#define STACK_SIZE (64 * 1024) /* of each child, and of the thread */
#define HANGING_MAX 16
/* What hangs ends some time. The outer child outlives the inner one, which writes to our memory: who has
 * SIGALRM pending never runs again. */
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
	const char *step;  /* what is being done, for the error; one of these paths, or a literal */
	int result;
};

/* One call; all of it is the job's own. */
struct job {
	struct job *next; /* of the list; only who asks looks at it */
	struct donor donor;
	char *dev_root;
	char *stacks; /* of both children; MAP_FAILED: none */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done, left; /* lock: the thread has ended it; nobody waits for it any more */
};

struct donors {
	struct job *hanging; /* that were left */
};

/* The thread has all signals blocked, and so have we. */
static void set_limit(unsigned int seconds)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)alarm(seconds);
}

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
	if (clone->is_made) {
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
	set_limit(INNER_TIMEOUT_S);
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
	if (cap_set_proc(donor->caps) < 0 ||
	    mount("nvfs-nodes", NODES_DIR, "tmpfs", NODES_FLAGS, NODES_OPTIONS) < 0)
		return -errno;
	for (size_t i = 0; i < donor->n && r == 0; i++) {
		if (!donor->clones[i].is_made)
			continue;
		donor->step = donor->clones[i].path;
		r = make_node(&donor->clones[i].node, i);
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

	set_limit(OUTER_TIMEOUT_S);
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

/* jobs */

static void close_clones(struct job *job)
{
	for (size_t i = 0; job->donor.clones && i < job->donor.n; i++) {
		cleanup_close(&job->donor.clones[i].fd);
		job->donor.clones[i].fd = -1;
	}
}

static void job_free(struct job *job)
{
	if (!job)
		return;
	close_clones(job);
	for (size_t i = 0; job->donor.clones && i < job->donor.n; i++)
		free((char *)(uintptr_t)job->donor.clones[i].path);
	if (job->stacks != MAP_FAILED)
		(void)munmap(job->stacks, 2 * STACK_SIZE);
	(void)pthread_mutex_destroy(&job->lock);
	(void)pthread_cond_destroy(&job->ended);
	if (job->donor.caps)
		(void)cap_free(job->donor.caps);
	free(job->donor.clones);
	free(job->dev_root);
	free(job);
}

static void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

/* What the child that makes nodes has in effect beside ours. Made here: it must not allocate. */
static int node_capabilities(const struct donor_request *request, cap_t *ret)
{
	static const cap_value_t wanted[] = { CAP_MKNOD, CAP_CHOWN };
	cap_flag_value_t has = CAP_CLEAR;
	size_t i = 0;
	cap_t caps;

	while (i < request->n && !request->clones[i].is_made)
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

/* NULL: out of memory. */
static struct job *job_new(const struct donor_request *request)
{
	const struct donor_clone *clones = request->clones;
	size_t n = request->n;
	struct job *job = calloc(1, sizeof(*job));
	bool whole;

	if (!job)
		return NULL;
	(void)pthread_mutex_init(&job->lock, NULL);
	cond_init(&job->ended);
	job->stacks = mmap(NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
#ifdef __SANITIZE_ADDRESS__
	/* Marks of a child that was killed on a stack which lay here before. */
	if (job->stacks != MAP_FAILED)
		ASAN_UNPOISON_MEMORY_REGION(job->stacks, 2 * STACK_SIZE);
#endif
	job->dev_root = strdup(request->dev_root);
	job->donor = (struct donor){ .dev_root = job->dev_root,
				     .clones = calloc(n + 1, sizeof(*clones)),
				     .n = n,
				     .is_locked = request->is_locked,
				     .step = "" };
	whole = job->stacks != MAP_FAILED && job->dev_root && job->donor.clones &&
		node_capabilities(request, &job->donor.caps) == 0;
	for (size_t i = 0; job->donor.clones && i < n; i++) {
		job->donor.clones[i] = clones[i];
		job->donor.clones[i].fd = -1;
		job->donor.clones[i].path = strdup(clones[i].path);
		whole = whole && job->donor.clones[i].path;
	}
	if (whole) {
		job->donor.inner_stack = job->stacks + STACK_SIZE;
		return job;
	}
	job_free(job);
	return NULL;
}

static void *job_run(void *data)
{
	struct job *job = data;
	int r = run(prepare, job->stacks + 2 * STACK_SIZE, CLONE_NEWNS, &job->donor);

	(void)pthread_mutex_lock(&job->lock);
	if (r < 0)
		job->donor.result = r;
	if (job->left)
		close_clones(job);
	job->done = true; /* from here on it may be freed */
	(void)pthread_cond_signal(&job->ended);
	(void)pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* Until it has ended, or for so long; whether it has. */
static bool job_wait(struct job *job)
{
	struct timespec end;
	bool done;
	int r = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += DONOR_LIMIT_MS * 1000000L;
	end.tv_sec += end.tv_nsec / 1000000000L;
	end.tv_nsec %= 1000000000L;
	(void)pthread_mutex_lock(&job->lock);
	while (!job->done && r == 0)
		r = pthread_cond_timedwait(&job->ended, &job->lock, &end);
	done = job->done;
	job->left = !done;
	(void)pthread_mutex_unlock(&job->lock);
	return done;
}

static bool job_is_done(struct job *job)
{
	bool done;

	(void)pthread_mutex_lock(&job->lock);
	done = job->done;
	(void)pthread_mutex_unlock(&job->lock);
	return done;
}

/* those that hang */

/* Frees what has ended since. */
static size_t count_hanging(struct donors *donors)
{
	struct job **at = &donors->hanging;
	size_t n = 0;

	while (*at) {
		struct job *job = *at;

		if (job_is_done(job)) {
			*at = job->next;
			job_free(job);
		} else {
			at = &job->next;
			n++;
		}
	}
	return n;
}

static const char *step_of(const struct job *job)
{
	return __atomic_load_n(&job->donor.step, __ATOMIC_RELAXED);
}

static int no_answer(struct error *err, const char *path)
{
	return error_setc(err, ERROR_AGAIN, -ETIME, "'%s' does not answer within %d ms", path,
			  DONOR_LIMIT_MS);
}

/* What hangs there now hangs there for whoever comes next, too. */
static int check_hanging(struct donors *donors, const struct donor_request *request,
			 struct error *err)
{
	if (count_hanging(donors) >= HANGING_MAX)
		return no_answer(err, step_of(donors->hanging));
	for (const struct job *job = donors->hanging; job; job = job->next) {
		for (size_t i = 0; i < request->n; i++) {
			if (strcmp(step_of(job), request->clones[i].path) == 0)
				return no_answer(err, request->clones[i].path);
		}
	}
	return 0;
}

int donors_new(struct donors **ret, struct error *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : error_set(err, -ENOMEM, "prepare clones of mounts");
}

void donors_free(struct donors *donors)
{
	if (donors)
		(void)count_hanging(donors);
	free(donors);
}

/* What came of it: the caller's clones. */
static int job_take(struct job *job, struct donor_clone *clones, struct error *err)
{
	if (job->donor.result < 0)
		return error_set(err, job->donor.result, "clone '%s' for %s", job->donor.step,
				 job->donor.is_locked ? "another user namespace" : "a container");
	for (size_t i = 0; i < job->donor.n; i++) {
		clones[i].fd = take_fd(&job->donor.clones[i].fd);
		clones[i].gone = job->donor.clones[i].gone;
	}
	return 0;
}

int donor_take(struct donors *donors, const struct donor_request *request, struct error *err)
{
	struct job *job;
	int r = check_hanging(donors, request, err);

	for (size_t i = 0; i < request->n; i++)
		request->clones[i].fd = -1;
	if (r < 0)
		return r;
	job = job_new(request);
	r = job ? thread_start(job_run, job, STACK_SIZE) : -ENOMEM;
	if (r < 0) {
		job_free(job);
		return error_set(err, r, "clone mounts");
	}
	if (!job_wait(job)) {
		job->next = donors->hanging;
		donors->hanging = job;
		return no_answer(err, step_of(job));
	}
	r = job_take(job, request->clones, err);
	job_free(job);
	return r;
}
