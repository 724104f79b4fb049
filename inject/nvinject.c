/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvinject: give one container its view of the NVIDIA driver.
 *
 * The daemon decides (what to mount where, which devices), this program does
 * it: it is static, has no threads, no configuration (but one word for when there
 * is no daemon) and no dlopen(), enters the container in a short-lived child, and
 * leaves everything or nothing. Read main(), then privilege.c (what may be done
 * when), inject.c (the order of an injection), apply.c (the steps) and effect.c
 * (each change beside its undo).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "common/seed.h"
#include "common/sys.h"
#include "inject/enter.h"
#include "inject/hook.h"
#include "inject/privilege.h"
#include "inject/session.h"
#include "inject/warm.h"

static int run_hook(struct session *session, struct error *err)
{
	char *why = NULL;
	int r;

	session->hook = true;
	if (session->request.nvidias_config)
		log_warning("'%s' configures NVIDIA's own hook, and nvfs.conf this one, ignoring",
			    session->request.nvidias_config);
	r = privilege_enter(PRIVILEGE_BUNDLE, err);
	r = r ? r : hook_request(&session->request, STDIN_FILENO, &why, err);
	r = r ? r : privilege_enter(PRIVILEGE_START, err);
	if (r < 0)
		return r;
	if (!why)
		return session_inject_or_skip(session, err);
	session->result = "nothing";
	session->report = json_pack("{s:o}", "why", json_string(why)); /* NULL where a path in it is no UTF-8 */
	if (!session->report)
		session->report = json_pack("{s:s}", "why", "it has the driver from elsewhere");
	free(why);
	return 0;
}

static int run(struct session *session, struct error *err)
{
	/* An injection by arguments has nothing of others to read yet: session_pin() puts it on. */
	int r = session->request.action == REQUEST_INJECT ? 0 : privilege_filter(err);

	if (r < 0)
		return r;
	switch (session->request.action) {
	case REQUEST_INJECT:
		return session_inject_or_skip(session, err);
	case REQUEST_REMOVE:
		return session_remove(session, err);
	case REQUEST_HEAL:
		return session_heal(session, err);
	case REQUEST_HOOK:
		return run_hook(session, err);
	case REQUEST_NONE:
		return 0;
	case REQUEST_HELP:
		return fputs(request_usage(), stdout) < 0 ? -1 : 0;
	case REQUEST_VERSION:
		return puts("nvinject " NVFS_VERSION) < 0 ? -1 : 0;
	}
	return -1;
}

static void print_json(const struct session *session, const struct error *err, const char *trace)
{
	json_t *json = session->report ? json_incref(session->report) : json_object();

	if (err)
		(void)json_object_set_new(json, "error",
					  json_pack("{s:s, s:s, s:s, s:i, s:s*}", "class",
						    error_class_name(err->class), "message",
						    err->text, "remedy", err->remedy, "errno",
						    -err->code, "trace", trace));
	else
		(void)json_object_set_new(json, "result", json_string(session->result));
	(void)json_dumpf(json, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(json);
}

/* Prints the result or the error, and returns the exit status. */
static int report(const struct session *session, int r, const struct error *err)
{
	const char *trace = *session->client.trace ? session->client.trace : NULL;
	char line[ERROR_LINE_MAX];
	bool flushed;

	if (session->request.json && (r < 0 || session->result))
		print_json(session, r < 0 ? err : NULL, trace);
	else if (r == 0 && session->result && strcmp(session->result, "nothing") == 0)
		log_info("no GPU for this container: %s",
			 json_string_value(json_object_get(session->report, "why")));
	/* main() leaves by _exit(2). */
	flushed = fflush(stdout) == 0;
	if (r < 0) {
		error_line(err, trace, line);
		(void)dprintf(STDERR_FILENO, "nvinject: %s\n", line);
		return error_exit_status(err);
	}
	return flushed ? 0 : ERROR_OTHER;
}

int main(int argc, char *argv[])
{
	struct session session = SESSION_EMPTY;
	struct error err = { 0 };
	int r;

	warm_code();
	(void)clock_gettime(CLOCK_MONOTONIC, &session.started);
	log_open("nvinject", LOG_LEVEL_INFO);
	seed_json();
	r = privilege_init(STDERR_FILENO + 1, &err);
	r = r ? r : request_parse(&session.request, argc, argv, &err);
	r = r ? r : run(&session, &err);
	if (privilege_enter(PRIVILEGE_REPORT, NULL) < 0)
		r = r ? r : error_set(&err, -EPERM, "give up privileges");
	r = report(&session, r, &err);
	enter_done(&session.enter);
	if (enter_left_behind()) /* its output, too: the caller need not wait for it */
		(void)sys_close_range(0, ~0U, 0);
	_exit(r); /* the kernel takes back what is open and allocated faster than we could */
}
