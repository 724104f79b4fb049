/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zygote: receives jobs, forks a parser for each, waits for it with a time
 * limit, answers. It gives up every privilege when it starts, so that its
 * children never had any, and it never looks into a file that it passes on.
 *
 * The daemon must find the parser dead and its files let go of when the answer
 * comes: reap first, close second, answer last.
 */
#include "fs/cachebox.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sys.h"
#include "fs/cachebox_wire.h"
#include "fs/sandbox.h"

struct job {
	int fds[BOX_FD_MAX];
};

static void job_close(struct job *job)
{
	for (int i = 0; i < BOX_FD_MAX; i++) {
		if (job->fds[i] >= 0)
			(void)close(job->fds[i]);
		job->fds[i] = -1;
	}
}

static void take_fds(struct job *job, struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(job->fds, CMSG_DATA(cmsg), cmsg->cmsg_len - CMSG_LEN(0));
}

/* 1 with a job, 0 when the daemon has gone, or a negative errno */
static int job_receive(int sock, struct job *job)
{
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union {
		struct cmsghdr header; /* for alignment */
		char space[CMSG_SPACE(BOX_FD_MAX * sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = CMSG_LEN(BOX_FD_MAX * sizeof(int)),
	};
	ssize_t n;

	*job = (struct job){ .fds = { -1, -1, -1 } };
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take_fds(job, &msg);
	if (n == 0)
		return 0;
	return byte == BOX_JOB && job->fds[BOX_FD_REQUEST] >= 0 && job->fds[BOX_FD_OUTPUT] >= 0
		       ? 1
		       : -EPROTO;
}

/* Wait for the parser with the time limit; true when it ended by itself. */
static bool wait_until_dead(int pidfd)
{
	struct pollfd dead = { .fd = pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&dead, 1, BOX_PARSER_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

static struct box_answer reap(pid_t pid)
{
	auto_close int pidfd = sys_pidfd_open(pid, 0);
	bool in_time = pidfd >= 0 && wait_until_dead(pidfd);
	int status = 0;

	if (!in_time)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pidfd < 0)
		return (struct box_answer){ BOX_FAILED, -pidfd };
	if (!in_time)
		return (struct box_answer){ BOX_TIMED_OUT, 0 };
	if (WIFSIGNALED(status))
		return (struct box_answer){ BOX_KILLED, WTERMSIG(status) };
	return (struct box_answer){ BOX_EXITED, WEXITSTATUS(status) };
}

static struct box_answer job_run(const struct job *job, const struct box_filter *filter,
				 cachebox_work *work)
{
	pid_t pid = fork();

	if (pid < 0)
		return (struct box_answer){ BOX_FAILED, errno };
	if (pid == 0)
		box_parser_run(job->fds, filter, work);
	return reap(pid);
}

int cachebox_serve(int sock_fd, cachebox_work *work)
{
	struct box_filter filter = { 0 };
	struct job job;
	int r;

	/* Later, in a parser, jansson could not open /dev/urandom. */
	json_object_seed(0);
	r = sys_close_range((unsigned int)sock_fd + 1, ~0U, 0);
	r = r < 0 ? r : sandbox_become(SANDBOX_NOBODY, SANDBOX_NOBODY);
	r = r < 0 ? r : box_filter_init(&filter);
	while (r >= 0) {
		struct box_answer answer;

		r = job_receive(sock_fd, &job);
		if (r <= 0)
			break; /* what it brought ends with this process */
		answer = job_run(&job, &filter, work);
		job_close(&job);
		r = send(sock_fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 ? -errno : 0;
	}
	box_filter_done(&filter);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int cachebox_main(int sock_fd)
{
	return cachebox_serve(sock_fd, box_work);
}
