/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawntime FILE COMMAND...: runs the command, appends its wall time to FILE as
 * one line of microseconds, and passes its exit status on. What is measured is a
 * whole process as a runtime starts one: posix_spawn (vfork and exec) to waitpid.
 *
 * LINK: -static
 */
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char *argv[])
{
	long long start;
	int status, r;
	pid_t pid;
	FILE *f;

	if (argc < 3)
		return 2;
	start = now_ns();
	r = posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ);
	if (r != 0 || waitpid(pid, &status, 0) < 0)
		return 126;
	start = now_ns() - start;
	f = fopen(argv[1], "a");
	if (!f)
		return 126;
	fprintf(f, "%lld.%03lld\n", start / 1000, start % 1000);
	if (fclose(f) != 0)
		return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
