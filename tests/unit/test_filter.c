/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of system calls, each put on in a child of its own. */
#include "inject/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* What @fn returns below the filter, or minus the signal that it dies of. */
static int filtered(enum filter_place place, int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_enter(place, NULL) < 0)
			_exit(99);
		_exit(fn());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int look_around(void)
{
	struct stat st;

	return fstatat(AT_FDCWD, "/", &st, 0) == 0 && chdir("/") == 0 &&
			       unlinkat(AT_FDCWD, "nowhere", AT_REMOVEDIR) < 0 && errno == ENOENT ?
		       0 :
		       1;
}

#ifndef __SANITIZE_ADDRESS__ /* its run time asks for more, so that there is no filter then */
static int make_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 0 : errno;
}

static int run_program(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int is_refused(long number)
{
	return syscall(number, -1, NULL, 0) < 0 && errno == EPERM;
}

static int call_beyond_the_list(void)
{
	for (long number = 448; number < 512; number++) {
		if (number != 457 /* statmount */ && !is_refused(number))
			return 1;
	}
	return is_refused(512) && is_refused(512 + SYS_read) && is_refused(0x40000000 + SYS_read) ? 0 : 1;
}

/* x32's read(2) */
static int call_of_other_abi(void)
{
	(void)syscall(0x40000000 + SYS_read, -1, NULL, 0);
	return 0;
}

static int call_far_away(void)
{
	(void)syscall(512 + SYS_read, -1, NULL, 0);
	return 0;
}

static int trace_parent(void)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0 ? 0 : errno;
}

#endif

START_TEST(inside_a_container_files_are_left_and_little_else)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(filtered(FILTER_INSIDE, make_socket), -SIGSYS);
	ck_assert_int_eq(filtered(FILTER_INSIDE, run_program), -SIGSYS);
	ck_assert_int_eq(filtered(FILTER_INSIDE, trace_parent), -SIGSYS);
#endif
}
END_TEST

START_TEST(on_the_host_no_program_is_run)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(filtered(FILTER_HOST, make_socket), 0);
	ck_assert_int_eq(filtered(FILTER_HOST, run_program), EPERM);
	ck_assert_int_eq(filtered(FILTER_HOST, trace_parent), EPERM);
#endif
}
END_TEST

START_TEST(numbers_that_are_no_call_of_ours_are_refused)
{
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(filtered(FILTER_HOST, call_beyond_the_list), 0);
	ck_assert_int_eq(filtered(FILTER_INSIDE, call_of_other_abi), -SIGSYS);
	ck_assert_int_eq(filtered(FILTER_INSIDE, call_far_away), -SIGSYS);
#endif
}
END_TEST

START_TEST(files_may_be_looked_at_everywhere)
{
	ck_assert_int_eq(filtered(FILTER_INSIDE, look_around), 0);
	ck_assert_int_eq(filtered(FILTER_HOST, look_around), 0);
}
END_TEST

UNIT_MAIN("filter", inside_a_container_files_are_left_and_little_else, on_the_host_no_program_is_run,
	  numbers_that_are_no_call_of_ours_are_refused,
	  files_may_be_looked_at_everywhere)
