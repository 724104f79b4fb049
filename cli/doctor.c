/* SPDX-License-Identifier: Apache-2.0 */
/* The command: groups of checks, each in a child that may be given up, and what they found, printed. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/local.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/status.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "fs/mountpoint.h"

#define USAGE "doctor [--pid PID] [--config FILE] [--socket PATH] [--json]"
#define CONNECT_MS 1000
#define ANSWER_MS 2000 /* a daemon that is silent for longer is replaced */
#define GROUP_MS 10000
#define TEXT_MAX (4 * 1024 * 1024)

static const struct {
	const char *name;
	void (*run)(const struct doctor *doctor, json_t *report);
} groups[] = {
	{ "kernel", doctor_kernel },	   { "config", doctor_config },
	{ "daemon", doctor_daemon },	   { "mount", doctor_mount },
	{ "driver", doctor_driver },	   { "nodes", doctor_nodes },
	{ "cgroup", doctor_cgroup },	   { "engines", doctor_engines },
	{ "container", doctor_container },
};

static const char *const state_names[] = { "ok", "warn", "fail" };

/* what groups share */

void doctor_say(json_t *report, const char *check, enum doctor_state state, const char *remedy,
		const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	json_t *what;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?'; /* much of it is strangers' names, and goes to root's terminal */
	}
	what = json_pack("{s:s, s:s, s:s, s:s?}", "check", check, "state", state_names[state],
			 "what", text, "remedy", remedy);
	(void)json_array_append_new(report, what);
}

char *doctor_read(const struct doctor *doctor, const char *path)
{
	auto_free char *whole = NULL;
	char *text = NULL;
	struct stat st;

	if (asprintf(&whole, "%s%s", doctor->root, path) < 0)
		whole = NULL;
	/* A FIFO would hold us. */
	if (whole && stat(whole, &st) == 0 && S_ISREG(st.st_mode))
		(void)file_read_at(AT_FDCWD, whole, TEXT_MAX, &text, NULL, NULL);
	return text;
}

/* one group */

/* One that is given up lives on: whoever reads our output is not to wait for its end. */
static void let_go_of_output(void)
{
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)(null < 0 ? close(fd) : dup2(null, fd));
}

static void run_child(const struct doctor *doctor, size_t group, int to)
{
	json_t *report = json_array();

	let_go_of_output();
	groups[group].run(doctor, report);
	(void)json_dumpfd(report, to, JSON_COMPACT);
	_exit(0);
}

/* All that comes until the end, or the limit; -ETIME. */
static int read_all(int from, char **ret, size_t *ret_len)
{
	int64_t end_ms = clock_ms() + GROUP_MS;
	struct pollfd ready = { .fd = from, .events = POLLIN };
	auto_free char *buf = malloc(TEXT_MAX);
	size_t len = 0;

	while (buf && len < TEXT_MAX) {
		int64_t left_ms = end_ms - clock_ms();
		ssize_t n;

		if (left_ms <= 0 || poll(&ready, 1, (int)left_ms) == 0)
			return -ETIME;
		n = read(from, buf + len, TEXT_MAX - len);
		if (n == 0) {
			*ret_len = len;
			*ret = take_ptr(&buf);
			return 0;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	return -ENOMEM;
}

/* A child that waits for a filesystem may not end even when it is killed: nobody waits for it. */
static void let_go(pid_t pid, bool in_time)
{
	if (!in_time)
		(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, in_time ? 0 : WNOHANG);
}

static json_t *run_group(const struct doctor *doctor, size_t group)
{
	auto_free char *text = NULL;
	json_t *report;
	int ends[2];
	size_t len = 0;
	pid_t pid;
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	pid = fork();
	if (pid == 0)
		run_child(doctor, group, ends[1]);
	(void)close(ends[1]);
	r = pid < 0 ? -errno : read_all(ends[0], &text, &len);
	(void)close(ends[0]);
	if (pid > 0)
		let_go(pid, r == 0);
	report = r == 0 ? json_loadb(text, len, 0, NULL) : NULL;
	if (report)
		return report;
	report = json_array();
	if (r == -ETIME)
		doctor_say(report, groups[group].name, DOCTOR_FAIL,
			   "look for a filesystem that does not answer: dmesg, df",
			   "no answer within %d s", GROUP_MS / 1000);
	else
		doctor_say(report, groups[group].name, DOCTOR_FAIL, "report this, please",
			   "the check itself failed%s%s", r < 0 ? ": " : "",
			   r < 0 ? strerror(-r) : "");
	return report;
}

/* printing */

static bool wants_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM"); /* https://no-color.org */

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static size_t state_of(const json_t *finding)
{
	const char *state = varlink_string(finding, "state", "fail");
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(state_names) && strcmp(state, state_names[i]) != 0)
		i++;
	return i;
}

static void print_finding(const json_t *finding, bool colour)
{
	static const char *const words[] = { "ok", "warn", "FAIL" };
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[1;31m" };
	const char *remedy = varlink_string(finding, "remedy", NULL);
	size_t state = state_of(finding);

	printf("%s%-4s%s  %s: %s%s%s\n", colour ? colours[state] : "", words[state],
	       colour ? "\033[0m" : "", varlink_string(finding, "check", "?"),
	       varlink_string(finding, "what", "?"), remedy ? "  - " : "", remedy ? remedy : "");
}

static int print_all(json_t *report, bool json)
{
	size_t worst = DOCTOR_OK, i;
	bool colour = wants_colour();
	const json_t *finding;

	json_array_foreach(report, i, finding) {
		worst = state_of(finding) > worst ? state_of(finding) : worst;
		if (!json)
			print_finding(finding, colour);
	}
	if (json)
		(void)local_print_json(
			json_pack("{s:s, s:O}", "state", state_names[worst], "findings", report));
	return local_flush(0) ? (int)DOCTOR_FAIL : (int)worst;
}

/* the command */

struct arguments {
	const char *pid, *config, *socket;
	bool json, help;
};

static int parse_arguments(int argc, char **argv, struct arguments *args, pid_t *ret_pid,
			   struct error *err)
{
	const struct cli_option options[] = {
		{ "pid", 'p', &args->pid, NULL },       { "config", 'c', &args->config, NULL },
		{ "socket", 's', &args->socket, NULL }, { "json", 'j', NULL, &args->json },
		{ "help", 'h', NULL, &args->help },     { 0 },
	};
	int r = options_parse(argc, argv, options, NULL, err);
	uint64_t pid = 0;

	if (r == 0 && args->pid && !args->help &&
	    (parse_u64(args->pid, INT32_MAX, &pid) < 0 || !pid))
		r = error_setc(err, ERROR_USAGE, -EINVAL, "'%.20s' is no pid", args->pid);
	*ret_pid = (pid_t)pid;
	return r < 0 ? error_remedy(err, r, "usage: nvfs %s", USAGE) : 0;
}

/* What is wrong with the file is told by its group; what comes before that in the file counts. */
static int configure(struct doctor *doctor, const struct arguments *args)
{
	static const struct config_watcher nobody = { 0 };
	const char *socket_path = args->socket;

	if (config_init(&doctor->config) < 0)
		return -ENOMEM;
	doctor->config_path = args->config ? args->config : CONFIG_PATH;
	doctor->config_optional = !args->config;
	(void)config_read_watched(&doctor->config, doctor->config_path, !args->config, &nobody,
				  NULL);
	return socket_path ? config_set(&doctor->config, "socket", socket_path, NULL) : 0;
}

static json_t *ask(const struct doctor *doctor, const char *method, json_t *params)
{
	struct varlink_message reply = { 0 };
	struct error err = { 0 };
	auto_close int sock = varlink_connect(doctor->config.socket, ANSWER_MS, &err);
	json_t *json = NULL;

	if (sock >= 0 && varlink_call(sock, method, params, NULL, 0, &reply, &err) == 0)
		json = json_incref(reply.json);
	json_decref(params);
	varlink_message_done(&reply);
	return json;
}

/* Of the container's first process the daemon knows the pid; of another one its mounts tell the tree's name. */
static json_t *show_tree(const struct doctor *doctor)
{
	json_t *tree = ask(doctor, "io.nvfs.Show", json_pack("{s:i}", "pid", (int)doctor->pid));
	char name[sizeof(((struct mountpoint_mount *)0)->root)];

	if (!tree && doctor_tree_name(doctor->pid, name, sizeof(name)))
		tree = ask(doctor, "io.nvfs.Show", json_pack("{s:s}", "id", name));
	return tree;
}

static void ask_daemon(struct doctor *doctor)
{
	doctor->check = status_check(doctor->config.socket, CONNECT_MS, ANSWER_MS);
	if (strcmp(varlink_string(doctor->check, "state", "down"), "down") == 0)
		return;
	doctor->status = ask(doctor, "io.nvfs.Status", json_object());
	if (doctor->pid)
		doctor->tree = show_tree(doctor);
}

static json_t *run_all(const struct doctor *doctor)
{
	json_t *report = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		json_t *part = run_group(doctor, i);

		(void)json_array_extend(report, part);
		json_decref(part);
	}
	return report;
}

int cmd_doctor(int argc, char **argv)
{
	struct arguments args = { 0 };
	struct doctor doctor = { .root = "" };
	struct error err = { 0 };
	json_t *report;
	int r = parse_arguments(argc, argv, &args, &doctor.pid, &err), status;

	if (r == 0 && args.help) {
		printf("Usage: nvfs %s\n", USAGE);
		return 0;
	}
	if (r == 0 && configure(&doctor, &args) < 0)
		r = error_setc(&err, ERROR_USAGE, -EINVAL, "socket '%.80s' is not an absolute path",
			       args.socket);
	if (r < 0)
		return local_tell_error(&err, NULL, args.json);
	ask_daemon(&doctor);
	report = run_all(&doctor);
	status = print_all(report, args.json);
	json_decref(report);
	json_decref(doctor.check);
	json_decref(doctor.status);
	json_decref(doctor.tree);
	config_done(&doctor.config);
	return status;
}
