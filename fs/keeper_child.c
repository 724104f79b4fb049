/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's children: everything that one needs is inherited by number. */
#include "fs/keeper_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/sys.h"
#include "fs/keeper.h"

#define ARGS_MAX 64
#define END_MS 500 /* that SIGKILL may take */

static void fd_argument(char *buf, size_t size, int fd)
{
	(void)snprintf(buf, size, "%d", fd);
	(void)fcntl(fd, F_SETFD, 0); /* inherited */
}

static void exec_daemon(const struct keeper *k, int program, const char *mode, int link)
{
	char fuse[12], state[12], listener[12], linked[12], word[12];
	char *argv[ARGS_MAX + 8] = {
		(char[]){ "nvfs" }, (char[]){ "daemon" }, fuse, state, listener, linked, word
	};

	fd_argument(fuse, sizeof(fuse), k->fuse);
	fd_argument(state, sizeof(state), k->state);
	fd_argument(listener, sizeof(listener), k->listen);
	fd_argument(linked, sizeof(linked), link);
	(void)snprintf(word, sizeof(word), "%s", mode);
	for (int i = 0; k->argv[i] && i < ARGS_MAX; i++)
		argv[7 + i] = k->argv[i];
	/*
	 * Signals stay blocked: one that asks for the end waits until the daemon can
	 * listen. Ctrl-C is for the keeper, which tells the daemon.
	 */
	(void)setpgid(0, 0);
	(void)fexecve(program, argv, environ);
	log_error("execute '%s': %s", k->path, strerror(errno));
	_exit(ERROR_OTHER);
}

int keeper_child_start(const struct keeper *k, int program, const char *mode,
		       struct keeper_child *ret, struct error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, -errno, "make a socket pair");
	ret->pid = fork(); /* one thread, nothing locked */
	if (ret->pid < 0) {
		int r = error_set(err, -errno, "start the daemon");

		(void)close(pair[0]);
		(void)close(pair[1]);
		ret->pid = 0;
		return r;
	}
	if (ret->pid == 0)
		exec_daemon(k, program, mode, pair[1]);
	(void)close(pair[1]);
	ret->link = pair[0];
	ret->pidfd = sys_pidfd_open(ret->pid, 0);
	ret->started_ms = clock_ms();
	return 0;
}

int keeper_child_reap(struct keeper_child *child)
{
	int status = 0;

	if (waitpid(child->pid, &status, WNOHANG) == 0) {
		log_warning("the daemon (pid %d) is killed and does not end: a filesystem of the "
			    "host does not answer, "
			    "going on without it",
			    child->pid);
		status = SIGKILL; /* what it will say */
	}
	cleanup_close(&child->link);
	cleanup_close(&child->pidfd);
	*child = (struct keeper_child)KEEPER_NO_CHILD;
	return status;
}

int keeper_child_end(struct keeper_child *child)
{
	struct pollfd end = { .fd = child->pidfd, .events = POLLIN };

	(void)sys_pidfd_send_signal(child->pidfd, SIGKILL);
	(void)poll(&end, 1, END_MS);
	return keeper_child_reap(child);
}

int keeper_give_files(const struct keeper *k, int link)
{
	int r = 0;

	for (size_t i = 0; i < k->n_files && r == 0; i++)
		r = link_send(link, LINK_FILE, k->files[i].object, k->files[i].fd);
	return r < 0 ? r : link_send(link, LINK_GO, 0, -1);
}
