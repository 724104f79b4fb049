/* SPDX-License-Identifier: Apache-2.0 */
/* Starting nvinject, and reading what it says when it has ended: less than a pipe holds. */
#include "fs/injector.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/reinject_command.h"
#include "fs/spawned.h"
#include "fs/store.h"

#define TIMEOUT_S "8"	 /* nvinject's own limit; a client waits for 10 s */
#define LIMIT_S 20	 /* one that takes longer hangs */
#define REPORT_MAX 65536 /* what a pipe holds, see pipe(7) */

struct child {
	struct spawned spawned; /* first: cast back */
	struct injector *owner;
	struct injector_job job;
	int out;
};

struct injector {
	struct daemon *daemon;
	struct child children[INJECTOR_AT_ONCE];
};

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
	(void)error_setc(err, error_class_by_name(varlink_string(error, "class", "")),
			 code < 0 ? code : -EIO, "%s", varlink_string(error, "message", "?"));
	if (*remedy)
		(void)error_remedy(err, err->code, "%s", remedy);
}

static void on_end(struct spawned *spawned, int status)
{
	struct child *child = (struct child *)spawned;
	struct injector_job job = child->job;
	struct error err = { 0 };
	json_t *report = read_report(child->out);

	cleanup_close(&child->out);
	child->out = -1;
	if (status != 0)
		read_error(report, status, &err);
	job.done(child->owner->daemon, job.tree, job.data, report, status != 0 ? &err : NULL);
	json_decref(report);
}

static int start(struct child *child, const struct injector_job *job, const char *id,
		 struct error *err)
{
	struct daemon *daemon = child->owner->daemon;
	char program[PATH_MAX], pid[16];
	const char *argv[] = { "nvinject",
			       "--socket",
			       daemon->config.socket,
			       "--timeout",
			       TIMEOUT_S,
			       "--json",
			       job->action,
			       "--id",
			       id,
			       job->pid ? "--pid" : NULL,
			       pid,
			       NULL };
	struct spawn spawn = { .program = program, .argv = argv, .silent = job->silent };
	int out[2] = { -1, -1 };
	int r = reinject_program(daemon->config.nvinject, program, err);

	(void)snprintf(pid, sizeof(pid), "%d", job->pid);
	if (r == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		r = error_set(err, -errno, "make a pipe");
	spawn.out = out[1];
	child->job = *job;
	r = r ? r : spawned_start(&child->spawned, daemon->loop, &spawn, err);
	cleanup_close(&out[1]);
	if (r < 0)
		cleanup_close(&out[0]);
	else
		child->out = out[0];
	return r;
}

int injector_run(struct injector *injector, const struct injector_job *job, struct error *err)
{
	const struct daemon *daemon = injector->daemon;
	const struct store_tree *tree = store_tree(daemon->store, job->tree);
	json_t *spec;
	size_t i = 0;
	int r;

	while (i < INJECTOR_AT_ONCE && injector->children[i].spawned.pid)
		i++;
	if (i == INJECTOR_AT_ONCE)
		return error_setc(err, ERROR_AGAIN, -EAGAIN, "%d others are under way",
				  INJECTOR_AT_ONCE);
	spec = json_loads(store_blob(daemon->store, tree->spec, NULL), 0, NULL);
	if (!spec)
		return error_set(err, -ENOMEM, "name the container");
	r = start(&injector->children[i], job, varlink_string(spec, "id", ""), err);
	json_decref(spec);
	return r;
}

void injector_tick(struct injector *injector)
{
	for (size_t i = 0; i < INJECTOR_AT_ONCE; i++)
		spawned_check(&injector->children[i].spawned, LIMIT_S);
}

int injector_new(struct daemon *daemon, struct injector **ret, struct error *err)
{
	struct injector *injector = calloc(1, sizeof(*injector));

	if (!injector)
		return error_set(err, -ENOMEM, "prepare nvinject");
	injector->daemon = daemon;
	for (size_t i = 0; i < INJECTOR_AT_ONCE; i++)
		injector->children[i] =
			(struct child){ .owner = injector, .spawned.ended = on_end, .out = -1 };
	*ret = injector;
	return 0;
}

void injector_free(struct injector *injector)
{
	for (size_t i = 0; injector && i < INJECTOR_AT_ONCE; i++) {
		spawned_kill(&injector->children[i].spawned);
		cleanup_close(&injector->children[i].out);
	}
	free(injector);
}
