/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawntime FILE COMMAND...: runs the command, appends its wall time to FILE as
 * one line of microseconds, and passes its exit status on. What is measured is a
 * whole process as a runtime starts one: posix_spawn (vfork and exec) to waitpid.
 *
 * spawntime --first-output FILE COMMAND...: to its first byte on stdout instead, which
 * is passed on with the rest. A command that fails leaves no time.
 *
 * LINK: -static
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Passes on what comes; when the first of it came. */
static long long first_output(int fd)
{
	long long at = 0;
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (!at)
			at = now_ns();
		if (write(STDOUT_FILENO, buf, (size_t)n) != n)
			return 0;
	}
	return at;
}

static int run(char *argv[], bool first, long long *ret_ns)
{
	posix_spawn_file_actions_t actions;
	int out[2] = { -1, -1 }, status, r;
	long long start, end = 0;
	pid_t pid;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return 126;
	if (first && (pipe2(out, O_CLOEXEC) < 0 ||
		      posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO) != 0))
		return 126;
	start = now_ns();
	r = posix_spawnp(&pid, argv[0], first ? &actions : NULL, NULL, argv, environ);
	if (first)
		(void)close(out[1]);
	if (r == 0 && first)
		end = first_output(out[0]);
	if (r != 0 || waitpid(pid, &status, 0) < 0)
		return 126;
	if (!first)
		end = now_ns();
	*ret_ns = end - start;
	if (first && (end == 0 || status != 0))
		return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char *argv[])
{
	bool first = argc > 1 && strcmp(argv[1], "--first-output") == 0;
	long long ns = 0;
	int status;
	FILE *f;

	argv += first;
	if (argc - first < 3)
		return 2;
	status = run(argv + 2, first, &ns);
	if (status == 126 || (first && status != 0))
		return status;
	f = fopen(argv[1], "a");
	if (!f)
		return 126;
	fprintf(f, "%lld.%03lld\n", ns / 1000, ns % 1000);
	return fclose(f) == 0 ? status : 126;
}
