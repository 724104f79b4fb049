/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawnstorm FILE: reads commands from stdin, one a line, its words separated by single
 * blanks, and starts all of them as fast as it can, without waiting for any. Appends
 * the wall time of each, from its own start to its end, to FILE as one line of
 * microseconds; prints "FAILED ELAPSED_US": how many did not end with exit status 0, and
 * the time from the first start to the last end.
 *
 * LINK: -static
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 4096
#define WORDS_MAX 256

static struct command {
	char *line;
	pid_t pid;
	long long start;
} commands[COMMANDS_MAX];

static long long now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static size_t read_commands(void)
{
	size_t n = 0, room = 0;
	ssize_t len;

	while (n < COMMANDS_MAX && (len = getline(&commands[n].line, &room, stdin)) > 0) {
		commands[n].line[strcspn(commands[n].line, "\n")] = '\0';
		n++;
		room = 0;
	}
	return n;
}

static int start(struct command *command)
{
	char *words[WORDS_MAX + 1] = { NULL }, *rest;
	size_t n = 0;

	for (char *w = strtok_r(command->line, " ", &rest); w && n < WORDS_MAX;
	     w = strtok_r(NULL, " ", &rest))
		words[n++] = w;
	command->start = now_ns();
	return n ? posix_spawnp(&command->pid, words[0], NULL, NULL, words, environ) : -1;
}

/* Notes the end of one, if there is one: 1 noted, 0 none, -1 no child is left. */
static int note_end(size_t n, int flags, FILE *times, long *failed)
{
	long long end;
	int status;
	pid_t pid = waitpid(-1, &status, flags);

	if (pid <= 0)
		return (int)pid;
	end = now_ns();
	*failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	for (size_t i = 0; i < n; i++) {
		if (commands[i].pid == pid)
			fprintf(times, "%.3f\n", (double)(end - commands[i].start) / 1000);
	}
	return 1;
}

int main(int argc, char *argv[])
{
	FILE *times = argc == 2 ? fopen(argv[1], "a") : NULL;
	size_t n = read_commands();
	long long first = now_ns();
	long failed = 0;

	if (!times)
		return 2;
	for (size_t i = 0; i < n; i++) {
		failed += start(&commands[i]) != 0;
		while (note_end(n, WNOHANG, times, &failed) > 0)
			;
	}
	while (note_end(n, 0, times, &failed) > 0)
		;
	printf("%ld %.0f\n", failed, (double)(now_ns() - first) / 1000);
	return fclose(times) == 0 ? 0 : 1;
}
