/* SPDX-License-Identifier: Apache-2.0 */
/* nvinject as a child: which, with which arguments, and what it had to say. */
#include "cli/dropin_inject.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/varlink.h"

#define OUTPUT_MAX (8 * 1024 * 1024) /* bytes */
#define ARGS_MAX 128                 /* two for each of 32 requirements, and some 25 */

struct command {
	char program[PATH_MAX], id[256];
	const char *argv[ARGS_MAX];
	size_t n;
};

/* What the child writes, in memory: however much it is, nobody waits for anybody. */
struct output {
	int out, err;
};

static void add(struct command *command, const char *option, const char *value)
{
	if (command->n + 3 > ARGS_MAX)
		abort();
	command->argv[command->n++] = option;
	if (value)
		command->argv[command->n++] = value;
}

static void add_list(struct command *command, const char *option, const char *value)
{
	if (value && *value)
		add(command, option, value);
}

static int find_program(char ret[PATH_MAX], struct error *err)
{
	static const char *const places[] = { "/nvinject", "/../../bin/nvinject" };
	char dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	char *slash;

	if (n <= 0)
		return error_set(err, n < 0 ? -errno : -ENOENT, "read '/proc/self/exe'");
	dir[n] = '\0';
	slash = strrchr(dir, '/');
	*slash = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (snprintf(ret, PATH_MAX, "%s%s", dir, places[i]) < PATH_MAX && access(ret, X_OK) == 0)
			return 0;
	}
	return error_remedy(err, error_set(err, -ENOENT, "find nvinject from '%.80s'", dir),
			    "install it beside nvidia-container-cli");
}

void dropin_id(const char *rootfs, unsigned long long mnt_ns, char *buf, size_t size)
{
	uint32_t hash = 2166136261U; /* FNV-1a */
	char name[65];
	size_t end = strlen(rootfs), start, n = 0;

	while (end > 0 && rootfs[end - 1] == '/')
		end--;
	for (start = end; start > 0 && rootfs[start - 1] != '/';)
		start--;
	for (size_t i = 0; i < end; i++)
		hash = (hash ^ (unsigned char)rootfs[i]) * 16777619U;
	for (; start < end && n + 1 < sizeof(name); start++)
		name[n++] = isalnum((unsigned char)rootfs[start]) || rootfs[start] == '-' ? rootfs[start] : '_';
	name[n] = '\0';
	(void)snprintf(buf, size, "%s-%08x-%llu", name, hash, mnt_ns);
}

static int add_container(struct command *command, const struct dropin_container *container, struct error *err)
{
	struct stat st;

	add(command, "--rootfs", container->rootfs);
	if (container->pid) {
		add(command, "--pid", container->pid);
		return 0;
	}
	if (stat("/proc/self/ns/mnt", &st) < 0)
		return error_set(err, -errno, "stat our mount namespace");
	dropin_id(container->rootfs, st.st_ino, command->id, sizeof(command->id));
	add(command, "--standalone", NULL);
	add(command, "--id", command->id);
	return 0;
}

static int build(const struct dropin *dropin, const struct dropin_container *container, struct command *ret,
		 struct error *err)
{
	const char *devices = container->devices.list;
	int r = find_program(ret->program, err);

	if (r < 0)
		return r;
	add(ret, "nvinject", NULL);
	add(ret, "--json", NULL);
	add(ret, "--classic-paths", NULL);
	add(ret, "--socket", dropin->socket);
	r = add_container(ret, container, err);
	add(ret, "--devices", devices && *devices ? devices : "none");
	add(ret, "--driver-capabilities", container->caps ? container->caps : "none");
	add_list(ret, "--mig-config", container->devices.mig_config);
	add_list(ret, "--mig-monitor", container->devices.mig_monitor);
	add_list(ret, "--imex-channel", container->devices.imex);
	add_list(ret, "--without", container->without);
	add_list(ret, "--cuda-compat-mode", container->compat_mode);
	if (container->no_cgroups || !container->pid)
		add(ret, "--no-cgroup", NULL);
	for (size_t i = 0; i < container->n_requirements; i++)
		add(ret, "--require", container->requirements[i]);
	return r;
}

/* After fork(2): nothing but system calls. */
__attribute__((noreturn)) static void run_child(const struct command *command, const struct output *output, pid_t parent)
{
	static char *const environment[] = { NULL };

	/* A hook whose time is up is killed: its container must not get anything after that. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent || dup2(output->out, STDOUT_FILENO) < 0 ||
	    dup2(output->err, STDERR_FILENO) < 0)
		_exit(ERROR_OTHER);
	(void)execve(command->program, (char *const *)(uintptr_t)command->argv, environment);
	_exit(ERROR_OTHER);
}

static int run(const struct command *command, const struct output *output, int *ret_status, struct error *err)
{
	pid_t self = getpid(), pid = fork();

	if (pid < 0)
		return error_set(err, -errno, "start '%s'", command->program);
	if (pid == 0)
		run_child(command, output, self);
	while (waitpid(pid, ret_status, 0) < 0) {
		if (errno != EINTR)
			return error_set(err, -errno, "wait for nvinject");
	}
	return 0;
}

static void log_command(const struct dropin *dropin, const struct command *command)
{
	if (!dropin->log)
		return;
	for (size_t i = 1; i < command->n; i++)
		dropin_log(dropin, 'I', "%s: %s", i == 1 ? command->program : "  ...", command->argv[i]);
}

static void log_warnings(const struct dropin *dropin, int fd)
{
	auto_free char *text = NULL;
	char *line, *rest;

	if (!dropin->log || lseek(fd, 0, SEEK_SET) < 0 || file_read_fd(fd, OUTPUT_MAX, &text, NULL, NULL) < 0)
		return;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		if (*line)
			dropin_log(dropin, 'W', "%s", line);
	}
}

static json_t *read_answer(int fd)
{
	auto_free char *text = NULL;
	size_t len = 0;

	if (lseek(fd, 0, SEEK_SET) < 0 || file_read_fd(fd, OUTPUT_MAX, &text, &len, NULL) < 0)
		return NULL;
	return json_loadb(text, len, 0, NULL);
}

/* As nvinject has told it: its class, text and remedy. */
static int take_error(const json_t *told, struct error *err)
{
	json_int_t number = json_integer_value(json_object_get(told, "errno"));
	const char *remedy = varlink_string(told, "remedy", "");
	int code = number > 0 && number < 4096 ? -(int)number : -EIO;

	(void)error_setc(err, error_class_by_name(varlink_string(told, "class", "")), code, "%s",
			 varlink_string(told, "message", "nvinject failed"));
	return *remedy ? error_remedy(err, code, "%s", remedy) : code;
}

static int judge(const struct dropin *dropin, const json_t *answer, int status, struct error *err)
{
	const json_t *told = json_object_get(answer, "error");

	if (json_is_object(told))
		return take_error(told, err);
	if (WIFSIGNALED(status))
		return error_setc(err, ERROR_OTHER, -EIO, "nvinject was ended by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return error_setc(err, ERROR_OTHER, -EIO, "nvinject ended with status %d", WEXITSTATUS(status));
	dropin_log(dropin, 'I', "%s", varlink_string(answer, "result", "done"));
	return 0;
}

int dropin_inject(const struct dropin *dropin, const struct dropin_container *container, struct error *err)
{
	auto_free struct command *command = calloc(1, sizeof(*command));
	auto_close int out = memfd_create("nvinject-out", MFD_CLOEXEC), errors = memfd_create("nvinject-err", MFD_CLOEXEC);
	const struct output output = { out, errors };
	json_t *answer;
	int status = 0, r;

	if (!command || out < 0 || errors < 0)
		return error_set(err, -ENOMEM, "start nvinject");
	r = build(dropin, container, command, err);
	if (r < 0)
		return r;
	log_command(dropin, command);
	r = run(command, &output, &status, err);
	if (r < 0)
		return r;
	log_warnings(dropin, errors);
	answer = read_answer(out);
	r = judge(dropin, answer, status, err);
	json_decref(answer);
	return r;
}
