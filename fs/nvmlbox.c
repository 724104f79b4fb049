/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of the process that asks NVML: start it, hear it, end it. See nvmlbox.h. */
#include "fs/nvmlbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/sys.h"
#include "nvml/answer.h"

struct nvmlbox {
	pid_t pid; /* 0: it was taken in */
	int sock, pidfd;
	int64_t begun_ms;
	struct answer answer;
};

/* starting */

#define NUMBER_MAX 12

struct command {
	char uid[NUMBER_MAX], gid[NUMBER_MAX], limit[NUMBER_MAX],
		skipped[NVMLBOX_SKIPPED_MAX][NUMBER_MAX];
	char *argv[6 + NVMLBOX_SKIPPED_MAX + 1];
};

static void command_init(struct command *c, const struct nvmlbox_request *request)
{
	size_t n = 0;

	(void)snprintf(c->uid, NUMBER_MAX, "%u", request->uid);
	(void)snprintf(c->gid, NUMBER_MAX, "%u", request->gid);
	(void)snprintf(c->limit, NUMBER_MAX, "%u", request->limit_s);
	c->argv[n++] = (char *)(uintptr_t)"nvfs";
	c->argv[n++] = (char *)(uintptr_t)"nvml";
	c->argv[n++] = (char *)(uintptr_t)request->library;
	c->argv[n++] = c->uid;
	c->argv[n++] = c->gid;
	c->argv[n++] = c->limit;
	for (size_t i = 0; i < request->n_skipped && i < NVMLBOX_SKIPPED_MAX; i++) {
		(void)snprintf(c->skipped[i], NUMBER_MAX, "%u", request->skipped[i]);
		c->argv[n++] = c->skipped[i];
	}
	c->argv[n] = NULL;
}

/* @fds become NVMLBOX_SOCKET and those after it; first out of each other's way. */
static int spawn(const struct nvmlbox_request *request, const int fds[NVMLBOX_FD_END], pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	int moved[NVMLBOX_FD_END];
	struct command command;
	posix_spawnattr_t attr;
	sigset_t none;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return -r;
	command_init(&command, request);
	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setpgroup(&attr, 0); /* Ctrl-C is the keeper's */
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	for (int i = NVMLBOX_SOCKET; i < NVMLBOX_FD_END; i++) {
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, NVMLBOX_FD_END);
		r = r		   ? r
		    : moved[i] < 0 ? errno
				   : posix_spawn_file_actions_adddup2(&actions, moved[i], i);
	}
	/* Not our path: the package may have been upgraded since. */
	r = r ? r : posix_spawn(ret, "/proc/self/exe", &actions, &attr, command.argv, environ);
	for (int i = NVMLBOX_SOCKET; i < NVMLBOX_FD_END; i++)
		cleanup_close(&moved[i]);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start(struct nvmlbox *box, const struct nvmlbox_request *request)
{
	int fds[NVMLBOX_FD_END], pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	box->sock = pair[0];
	fds[NVMLBOX_SOCKET] = pair[1];
	fds[NVMLBOX_ROOT] = request->root_fd;
	r = spawn(request, fds, &box->pid);
	(void)close(pair[1]);
	if (r < 0)
		return r;
	box->pidfd = sys_pidfd_open(box->pid, 0);
	return box->pidfd < 0 ? box->pidfd : 0;
}

int nvmlbox_start(const struct nvmlbox_request *request, struct nvmlbox **ret, struct error *err)
{
	struct nvmlbox *box = calloc(1, sizeof(*box));
	int r;

	if (!box)
		return error_set(err, -ENOMEM, "ask NVML");
	box->sock = box->pidfd = -1;
	box->begun_ms = clock_ms();
	r = start(box, request);
	if (r < 0) {
		nvmlbox_free(box);
		return error_set(err, r, "start a process that asks NVML");
	}
	*ret = box;
	return 0;
}

/* hearing */

int nvmlbox_fd(const struct nvmlbox *box)
{
	return box->sock;
}

int nvmlbox_pidfd(const struct nvmlbox *box)
{
	return box->pidfd;
}

const struct answer *nvmlbox_answer(const struct nvmlbox *box)
{
	return &box->answer;
}

int64_t nvmlbox_since_ms(const struct nvmlbox *box)
{
	return clock_ms() - box->begun_ms;
}

/* More at a time would keep others waiting. */
#define MESSAGES_AT_ONCE 256

enum nvmlbox_state nvmlbox_receive(struct nvmlbox *box)
{
	for (int i = 0; i < MESSAGES_AT_ONCE && !box->answer.whole; i++) {
		struct answer_message message;
		ssize_t n = recv(box->sock, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? NVMLBOX_ASKS : NVMLBOX_ENDED;
		if (n == 0)
			return NVMLBOX_ENDED;
		if ((size_t)n > sizeof(message) ||
		    answer_add(&box->answer, &message, (size_t)n) < 0)
			return NVMLBOX_BABBLES;
	}
	return box->answer.whole ? NVMLBOX_DONE : NVMLBOX_ASKS;
}

/* ending */

void nvmlbox_kill(struct nvmlbox *box)
{
	if (box->pid > 0)
		(void)kill(box->pid, SIGKILL);
}

bool nvmlbox_reap(struct nvmlbox *box, char *ret_how, size_t size)
{
	int status = 0;

	if (box->pid <= 0 || waitpid(box->pid, &status, WNOHANG) != box->pid)
		return box->pid <= 0;
	box->pid = 0;
	if (WIFSIGNALED(status))
		(void)snprintf(ret_how, size, "was killed by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(ret_how, size, "ended with status %d", WEXITSTATUS(status));
	return true;
}

void nvmlbox_free(struct nvmlbox *box)
{
	char how[64];

	if (!box)
		return;
	nvmlbox_kill(box);
	(void)nvmlbox_reap(box, how, sizeof(how));
	cleanup_close(&box->sock);
	cleanup_close(&box->pidfd);
	answer_done(&box->answer);
	free(box);
}
