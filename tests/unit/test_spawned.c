/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/spawned.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/unit.h"

static struct loop *loop;
static int told, status;

static void ended(struct spawned *child, int how)
{
	told++;
	status = how;
	ck_assert_int_eq(child->pid, 0); /* the place is free again */
	loop_stop(loop);
}

/* sh -c SCRIPT, with its standard output on @out */
static int start(struct spawned *child, const char *script, int out)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct spawn spawn = {
		.program = "/bin/sh", .argv = argv, .out = out, .silent = true
	};

	told = 0;
	if (!loop)
		ck_assert_int_eq(loop_new(&loop, NULL), 0);
	*child = (struct spawned){ .ended = ended };
	return spawned_start(child, loop, &spawn, NULL);
}

START_TEST(an_end_is_told_once_with_its_status)
{
	struct spawned child;

	ck_assert_int_eq(start(&child, "exit 7", -1), 0);
	ck_assert_int_gt(child.pid, 0);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	ck_assert_int_eq(told, 1);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	spawned_kill(&child); /* nothing runs */
	spawned_check(&child, 0);
	ck_assert_int_eq(told, 1);
	loop_free(loop);
}
END_TEST

START_TEST(a_program_has_no_environment_and_its_output_is_heard)
{
	char text[256] = "";
	struct spawned child;
	int ends[2];
	ssize_t n;

	ck_assert_int_eq(setenv("NVFS_TEST_SECRET", "1", 1), 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(
		start(&child, "echo \"<$NVFS_TEST_SECRET>\"; readlink /proc/self/fd/0", ends[1]),
		0);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	(void)close(ends[1]);
	n = read(ends[0], text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	ck_assert_str_eq(text, "<>\n/dev/null\n");
	loop_free(loop);
}
END_TEST

START_TEST(one_that_runs_too_long_is_ended_and_that_is_told)
{
	struct spawned child;

	ck_assert_int_eq(start(&child, "while :; do sleep 1000; done", -1), 0);
	spawned_check(&child, 3600);
	child.started -= 2;
	spawned_check(&child, 1);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	loop_free(loop);
}
END_TEST

START_TEST(of_one_that_we_end_ourselves_nobody_is_told)
{
	struct spawned child;
	pid_t pid;

	ck_assert_int_eq(start(&child, "sleep 1000", -1), 0);
	pid = child.pid;
	spawned_kill(&child);
	ck_assert_int_eq(child.pid, 0);
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
	ck_assert_int_eq(told, 0);
	loop_free(loop);
}
END_TEST

START_TEST(what_cannot_be_run_is_an_error_and_no_child)
{
	const char *const argv[] = { "nothing", NULL };
	const struct spawn spawn = { .program = "/nonexistent/nothing", .argv = argv, .out = -1 };
	struct spawned child = { .ended = ended };
	struct error err = { 0 };

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	ck_assert_int_eq(spawned_start(&child, loop, &spawn, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "run '/nonexistent/nothing'"));
	ck_assert_int_eq(child.pid, 0);
	loop_free(loop);
}
END_TEST

UNIT_MAIN("spawned", an_end_is_told_once_with_its_status,
	  a_program_has_no_environment_and_its_output_is_heard,
	  one_that_runs_too_long_is_ended_and_that_is_told,
	  of_one_that_we_end_ourselves_nobody_is_told, what_cannot_be_run_is_an_error_and_no_child)
