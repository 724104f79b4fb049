/* SPDX-License-Identifier: Apache-2.0 */
/* Starting nvinject, and reading what it says when it has ended: less than a pipe holds. */
#include "fs/injector.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/loop.h"
#include "fs/reinject_command.h"
#include "fs/store.h"

#define TIMEOUT_S "8"	 /* nvinject's own limit; a client waits for 10 s */
#define LIMIT_S 20	 /* one that takes longer hangs */
#define REPORT_MAX 65536 /* what a pipe holds, see pipe(7) */

struct child {
	struct loop_source source; /* pidfd; first: cast back */
	struct injector *owner;
	struct injector_job job;
	pid_t pid; /* 0: this place is free */
	int out;
	time_t started; /* CLOCK_MONOTONIC */
};

struct injector {
	struct daemon *daemon;
	struct child children[INJECTOR_AT_ONCE];
};

static time_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* posix_spawn(3): no code of ours runs between fork and exec, and there are other threads. */
static int spawn(const char *program, const char *const argv[], int out, bool silent, pid_t *ret,
		 struct error *err)
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
	(void)posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (silent)
		(void)posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_RDWR, 0);
	r = -posix_spawn(ret, program, &files, &attr, (char *const *)(uintptr_t)argv, env);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attr);
	return r < 0 ? error_set(err, r, "run '%s'", program) : 0;
}

static json_t *read_report(int fd)
{
	auto_free char *text = malloc(REPORT_MAX);
	ssize_t n = text ? read(fd, text, REPORT_MAX) : -1;

	return n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
}

static void read_error(const json_t *report, int status, struct error *err)
{
	const json_t *error = json_object_get(report, "error");
	const char *remedy = varlink_string(error, "remedy", "");
	int code = -(int)json_integer_value(json_object_get(error, "errno"));

	if (!error) {
		(void)error_setc(err, ERROR_OTHER, -EIO, "nvinject ended with %s %d",
				 WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		return;
	}
	(void)error_setc(err, error_class_by_name(varlink_string(error, "class", "")), code < 0 ? code : -EIO,
			 "%s", varlink_string(error, "message", "?"));
	if (*remedy)
		(void)error_remedy(err, err->code, "%s", remedy);
}

static void on_end(struct loop_source *source, uint32_t events)
{
	struct child *child = (struct child *)source;
	struct daemon *daemon = child->owner->daemon;
	struct injector_job job = child->job;
	struct error err = { 0 };
	json_t *report;
	int status = 0;

	(void)events;
	loop_remove(daemon->loop, source);
	cleanup_close(&source->fd);
	(void)waitpid(child->pid, &status, 0);
	child->pid = 0;
	report = read_report(child->out);
	cleanup_close(&child->out);
	if (status != 0)
		read_error(report, status, &err);
	job.done(daemon, job.tree, job.data, report, status != 0 ? &err : NULL);
	json_decref(report);
}

static int watch(struct child *child, struct error *err)
{
	struct daemon *daemon = child->owner->daemon;
	int r;

	child->source = (struct loop_source){ .fd = sys_pidfd_open(child->pid, 0), .on_ready = on_end };
	r = child->source.fd < 0 ? child->source.fd : loop_add(daemon->loop, &child->source, EPOLLIN);
	if (r == 0)
		return 0;
	(void)kill(child->pid, SIGKILL); /* nobody would tell its end: it must not have one that counts */
	(void)waitpid(child->pid, NULL, 0);
	cleanup_close(&child->source.fd);
	child->pid = 0;
	return error_set(err, r, "watch nvinject");
}

static int start(struct child *child, const struct injector_job *job, const char *id, struct error *err)
{
	struct daemon *daemon = child->owner->daemon;
	char program[PATH_MAX], pid[16];
	const char *argv[] = { "nvinject", "--socket", daemon->config.socket, "--timeout", TIMEOUT_S, "--json",
			       job->action, "--id", id, job->pid ? "--pid" : NULL, pid, NULL };
	int out[2] = { -1, -1 };
	int r = reinject_program(daemon->config.nvinject, program, err);

	(void)snprintf(pid, sizeof(pid), "%d", job->pid);
	if (r == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		r = error_set(err, -errno, "make a pipe");
	r = r ? r : spawn(program, argv, out[1], job->silent, &child->pid, err);
	cleanup_close(&out[1]);
	child->job = *job;
	child->started = now_s();
	r = r ? r : watch(child, err);
	if (r < 0) {
		child->pid = 0;
		cleanup_close(&out[0]);
		return r;
	}
	child->out = out[0];
	return 0;
}

int injector_run(struct injector *injector, const struct injector_job *job, struct error *err)
{
	const struct daemon *daemon = injector->daemon;
	const struct store_tree *tree = store_tree(daemon->store, job->tree);
	json_t *spec;
	size_t i = 0;
	int r;

	while (i < INJECTOR_AT_ONCE && injector->children[i].pid)
		i++;
	if (i == INJECTOR_AT_ONCE)
		return error_setc(err, ERROR_AGAIN, -EAGAIN, "%d others are under way", INJECTOR_AT_ONCE);
	spec = json_loads(store_blob(daemon->store, tree->spec, NULL), 0, NULL);
	if (!spec)
		return error_set(err, -ENOMEM, "name the container");
	r = start(&injector->children[i], job, varlink_string(spec, "id", ""), err);
	json_decref(spec);
	return r;
}

void injector_tick(struct injector *injector)
{
	for (size_t i = 0; i < INJECTOR_AT_ONCE; i++) {
		const struct child *child = &injector->children[i];

		if (child->pid && now_s() - child->started > LIMIT_S)
			(void)sys_pidfd_send_signal(child->source.fd, SIGKILL);
	}
}

int injector_new(struct daemon *daemon, struct injector **ret, struct error *err)
{
	struct injector *injector = calloc(1, sizeof(*injector));

	if (!injector)
		return error_set(err, -ENOMEM, "prepare nvinject");
	injector->daemon = daemon;
	for (size_t i = 0; i < INJECTOR_AT_ONCE; i++)
		injector->children[i].owner = injector;
	*ret = injector;
	return 0;
}

void injector_free(struct injector *injector)
{
	for (size_t i = 0; injector && i < INJECTOR_AT_ONCE; i++) {
		struct child *child = &injector->children[i];

		if (!child->pid)
			continue;
		(void)sys_pidfd_send_signal(child->source.fd, SIGKILL);
		(void)waitpid(child->pid, NULL, 0);
		cleanup_close(&child->source.fd);
		cleanup_close(&child->out);
	}
	free(injector);
}
