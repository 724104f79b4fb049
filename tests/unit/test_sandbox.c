/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/sandbox.h"
#include "tests/unit/unit.h"

/* What is tried has no way back: each in a child, whose exit status is what we hear. */
static int status_of(int (*body)(void))
{
	pid_t pid = fork();
	int status = 0;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(body());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int filter(enum sandbox_process process)
{
	(void)unsetenv("NVFS_DISABLE");
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : sandbox_filter(process, NULL);
}

static int is_refused(long result)
{
	return result == -1 && errno == ENOSYS;
}

static int try_forbidden(void)
{
	if (filter(SANDBOX_DAEMON) < 0)
		return 1;
	if (!is_refused(ptrace(PTRACE_TRACEME, 0, 0, 0)))
		return 2;
	if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)))
		return 3;
	if (!is_refused(ioctl(0, TIOCSTI, "x")))
		return 4;
	if (!is_refused(unshare(CLONE_NEWUSER)))
		return 5;
	return 0;
}

START_TEST(a_call_that_is_not_listed_fails_and_the_process_goes_on)
{
	ck_assert_int_eq(status_of(try_forbidden), 0);
}
END_TEST

static int try_counting(void)
{
	struct sandbox_refusal refused[SANDBOX_REFUSALS_MAX];

	if (filter(SANDBOX_DAEMON) < 0 || !sandbox_is_filtered())
		return 1;
	(void)ptrace(PTRACE_TRACEME, 0, 0, 0);
	(void)ptrace(PTRACE_TRACEME, 0, 0, 0);
	(void)unshare(CLONE_NEWUSER);
	if (sandbox_refusals(refused) != 2)
		return 2;
	if (strcmp(refused[0].call, "ptrace") != 0 || refused[0].count != 2)
		return 3;
	return strcmp(refused[1].call, "unshare") == 0 && refused[1].count == 1 ? 0 : 4;
}

START_TEST(what_was_refused_is_told_by_name_and_number)
{
	ck_assert_int_eq(status_of(try_counting), 0);
}
END_TEST

static int go[2];

static void *trace_when_told(void *data)
{
	char byte;
	int *refused = data;

	*refused = read(go[0], &byte, 1) == 1 && is_refused(ptrace(PTRACE_TRACEME, 0, 0, 0));
	return NULL;
}

static int try_thread(void)
{
	pthread_t thread;
	int refused = 0;

	if (pipe(go) < 0 || pthread_create(&thread, NULL, trace_when_told, &refused) != 0)
		return 1;
	if (filter(SANDBOX_DAEMON) < 0 || write(go[1], "x", 1) != 1)
		return 2;
	(void)pthread_join(thread, NULL);
	return refused ? 0 : 3;
}

START_TEST(threads_that_were_there_before_are_limited_too)
{
	ck_assert_int_eq(status_of(try_thread), 0);
}
END_TEST

static void *do_nothing(void *data)
{
	return data;
}

static int try_allowed(void)
{
	pthread_t thread;
	int status = 1;
	pid_t pid;

	if (filter(SANDBOX_KEEPER) < 0 || filter(SANDBOX_DAEMON) < 0)
		return 1;
	if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
		return 2;
	pid = fork();
	if (pid == 0)
		(void)execl("/bin/true", "true", NULL);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return 3;
	return 0;
}

START_TEST(threads_and_programs_can_be_started_under_both_lists)
{
	ck_assert_int_eq(status_of(try_allowed), 0);
}
END_TEST

static int try_exec_of_forbidden(void)
{
	static const char *const command = "exec unshare --user true";

	if (filter(SANDBOX_DAEMON) < 0)
		return 1;
	(void)execl("/bin/sh", "sh", "-c", command, NULL);
	return 2;
}

START_TEST(another_program_dies_of_a_call_that_is_not_listed)
{
	ck_assert_int_eq(status_of(try_exec_of_forbidden), 128 + SIGSYS);
}
END_TEST

static int try_disabled(void)
{
	(void)setenv("NVFS_DISABLE", "resend,seccomp", 1);
	if (sandbox_filter(SANDBOX_DAEMON, NULL) < 0 || sandbox_is_filtered())
		return 1;
	return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 ? 0 : 2;
}

START_TEST(the_list_can_be_turned_off)
{
	ck_assert_int_eq(status_of(try_disabled), 0);
}
END_TEST

static unsigned long long capabilities(const char *key)
{
	char text[8192] = "";
	int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
	const char *line;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return ~0ULL;
	(void)close(fd);
	line = strstr(text, key);
	return line ? strtoull(line + strlen(key), NULL, 16) : ~0ULL;
}

static int try_limits(void)
{
	unsigned long long before = capabilities("\nCapPrm:"), daemon;

	if (sandbox_limit(SANDBOX_DAEMON, NULL) < 0)
		return 1;
	daemon = capabilities("\nCapEff:");
	if (daemon & ~before ||
	    daemon & (1ULL << CAP_SYS_MODULE | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_SETUID))
		return 2;
	if (capabilities("\nCapPrm:") & ~before || prctl(PR_GET_DUMPABLE) != 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	if (sandbox_limit(SANDBOX_KEEPER, NULL) < 0 || capabilities("\nCapEff:"))
		return 4;
	if (sandbox_limit_thread(SANDBOX_FUSE_THREAD) < 0 ||
	    capabilities("\nCapPrm:") & ~(1ULL << CAP_SYS_PTRACE))
		return 5;
	/* no way back */
	return sandbox_limit(SANDBOX_DAEMON, NULL) == 0 &&
	       !(capabilities("\nCapEff:") & ~(1ULL << CAP_SYS_PTRACE)) ? 0 : 6;
}

START_TEST(capabilities_only_shrink)
{
	ck_assert_int_eq(status_of(try_limits), 0);
}
END_TEST

UNIT_MAIN("sandbox", a_call_that_is_not_listed_fails_and_the_process_goes_on,
	  what_was_refused_is_told_by_name_and_number,
	  threads_that_were_there_before_are_limited_too,
	  threads_and_programs_can_be_started_under_both_lists,
	  another_program_dies_of_a_call_that_is_not_listed, the_list_can_be_turned_off,
	  capabilities_only_shrink)
