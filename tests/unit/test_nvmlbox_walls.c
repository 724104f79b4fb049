/* SPDX-License-Identifier: Apache-2.0 */
/* The walls themselves. As another user, and around NVML's own code: tests/e2e/60-nvml.sh. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/asan.h"
#include "fs/nvmlbox.h"
#include "tests/unit/unit.h"

#define LIMIT_S 30

/* Each in a child: there is no way back. Its exit status names the first thing that was not as it should be. */
static int status_of(int (*body)(void))
{
	int status = 0;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)unsetenv("NVFS_DISABLE");
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
				      nvmlbox_wall_in(LIMIT_S, NULL) < 0
			      ? 100
			      : body());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool is_refused(long result)
{
	return result == -1 && errno == EPERM;
}

static int try_forbidden(void)
{
	char *const argv[] = { (char[]){ "true" }, NULL };

	if (!is_refused(fork()))
		return 1;
	if (!is_refused(execv("/bin/true", argv)))
		return 2;
	if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)) ||
	    !is_refused(socket(AF_UNIX, SOCK_STREAM, 0)))
		return 3;
	if (!is_refused(mknod("/tmp/nvfs-unit-node", S_IFCHR | 0600, 0)))
		return 4;
	if (!is_refused(unlink("/tmp/nvfs-unit-nothing")) || !is_refused(chdir("/")))
		return 5;
	if (!is_refused(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1, 1 })))
		return 6;
	if (!is_refused(kill(getppid(), 0)))
		return 7;
	return is_refused(ioctl(0, TIOCSTI, "x")) ? 0 : 8;
}

START_TEST(no_program_no_process_no_network_no_node)
{
	ck_assert_int_eq(status_of(try_forbidden), 0);
}
END_TEST

static void *thread(void *arg)
{
	return arg;
}

static int try_needed(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), answer;
	struct timespec moment = { .tv_nsec = 1000 };
	pthread_t other;
	void *result = NULL;

	if (fd < 0 || write(fd, "x", 1) != 1)
		return 1;
	/* _IOWR('F', 0, int), as the module's are: the device knows none, and is asked */
	if (ioctl(fd, _IOWR('F', 0, int), &answer) != -1 || errno != ENOTTY)
		return 2;
	if (pthread_create(&other, NULL, thread, &fd) != 0 || pthread_join(other, &result) != 0 ||
	    result != &fd)
		return 3;
	return nanosleep(&moment, NULL) == 0 ? 0 : 4;
}

START_TEST(devices_their_ioctls_and_threads_are_to_be_had)
{
	ck_assert_int_eq(status_of(try_needed), 0);
}
END_TEST

static bool is_limited(int resource, rlim_t value)
{
	struct rlimit limit;

	return getrlimit(resource, &limit) == 0 && limit.rlim_cur == limit.rlim_max &&
	       limit.rlim_max <= value;
}

static int try_limits(void)
{
	if (!is_limited(RLIMIT_AS, ASAN_MEMORY_MAX(16ULL << 30)))
		return 1;
	if (!is_limited(RLIMIT_CPU, LIMIT_S) || !is_limited(RLIMIT_FSIZE, 0) ||
	    !is_limited(RLIMIT_CORE, 0) || !is_limited(RLIMIT_NOFILE, 4096))
		return 2;
	return 0;
}

START_TEST(memory_time_files_and_descriptors_have_an_end)
{
	ck_assert_int_eq(status_of(try_limits), 0);
}
END_TEST

static int stay(void)
{
	return nanosleep(&(struct timespec){ .tv_sec = 3600 }, NULL);
}

START_TEST(who_stays_longer_is_ended)
{
	int status = 0;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)signal(SIGALRM, SIG_DFL); /* check(3)'s, which an exec would have reset */
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || nvmlbox_wall_in(1, NULL) < 0
			      ? 100
			      : stay());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}
END_TEST

UNIT_MAIN("nvmlbox_walls", no_program_no_process_no_network_no_node,
	  devices_their_ioctls_and_threads_are_to_be_had,
	  memory_time_files_and_descriptors_have_an_end, who_stays_longer_is_ended)
