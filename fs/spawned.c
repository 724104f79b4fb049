/* SPDX-License-Identifier: Apache-2.0 */
/* Children, from posix_spawn(3) to waitpid(2). */
#include "fs/spawned.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/sys.h"

/* posix_spawn(3): no code of ours runs between fork and exec, and there are other threads. */
static int run(const struct spawn *spawn, pid_t *ret, struct error *err)
{
	char *env[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	if (spawn->out >= 0)
		(void)posix_spawn_file_actions_adddup2(&files, spawn->out, STDOUT_FILENO);
	else
		(void)posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_RDWR,
						       0);
	if (spawn->silent)
		(void)posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_RDWR,
						       0);
	r = -posix_spawn(ret, spawn->program, &files, &attr, (char *const *)(uintptr_t)spawn->argv,
			 env);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attr);
	return r < 0 ? error_set(err, r, "run '%s'", spawn->program) : 0;
}

static void on_end(struct loop_source *source, uint32_t events)
{
	struct spawned *child = (struct spawned *)source;
	int status = 0;

	(void)events;
	loop_remove(child->loop, source);
	cleanup_close(&source->fd);
	(void)waitpid(child->pid, &status, 0);
	child->pid = 0;
	child->ended(child, status);
}

int spawned_start(struct spawned *child, struct loop *loop, const struct spawn *spawn,
		  struct error *err)
{
	pid_t pid;
	int r = run(spawn, &pid, err);

	if (r < 0)
		return r;
	child->loop = loop;
	child->source = (struct loop_source){ .fd = sys_pidfd_open(pid, 0), .on_ready = on_end };
	r = child->source.fd < 0 ? child->source.fd : loop_add(loop, &child->source, EPOLLIN);
	if (r < 0) { /* nobody would tell its end: it must not have one that counts */
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		cleanup_close(&child->source.fd);
		return error_set(err, r, "watch '%s'", spawn->program);
	}
	child->pid = pid;
	child->started = clock_s();
	return 0;
}

void spawned_check(const struct spawned *child, unsigned int limit_s)
{
	if (child->pid && clock_s() - child->started > (time_t)limit_s)
		(void)sys_pidfd_send_signal(child->source.fd, SIGKILL);
}

void spawned_kill(struct spawned *child)
{
	if (!child->pid)
		return;
	(void)sys_pidfd_send_signal(child->source.fd, SIGKILL);
	(void)waitpid(child->pid, NULL, 0);
	cleanup_close(&child->source.fd);
	child->pid = 0;
}
