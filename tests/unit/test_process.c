/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/error.h"
#include "common/sys.h"
#include "tests/unit/unit.h"

START_TEST(a_pidfd_tells_who_a_process_is)
{
	struct process me, self;
	struct stat ns;
	int fd = sys_pidfd_open(getpid(), 0);

	ck_assert_int_eq(process_from_pidfd(fd, &me, NULL), 0);
	ck_assert_int_eq(process_self(&self, NULL), 0);
	ck_assert_int_eq(me.pid, getpid());
	ck_assert_uint_eq(me.uid, geteuid());
	ck_assert_int_eq(stat("/proc/self/ns/mnt", &ns), 0);
	ck_assert_uint_eq(me.mnt_ns, ns.st_ino);
	ck_assert_uint_eq(me.start_time, self.start_time);
	ck_assert_uint_gt(me.start_time, 0);
	ck_assert(!process_pidfd_is_dead(fd));
	(void)close(fd);
}
END_TEST

START_TEST(a_dead_process_is_nobody)
{
	struct process process;
	struct error err = { 0 };
	pid_t pid = fork();
	int fd;

	if (pid == 0)
		_exit(0);
	fd = sys_pidfd_open(pid, 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(process_pidfd_is_dead(fd));
	ck_assert_int_eq(process_from_pidfd(fd, &process, &err), -ESRCH);
	ck_assert_int_eq(error_exit_status(&err), 6);
	(void)close(fd);
}
END_TEST

START_TEST(what_is_no_pidfd_is_refused)
{
	struct process process;
	int pipefd[2];

	ck_assert_int_eq(pipe(pipefd), 0);
	ck_assert_int_eq(process_from_pidfd(pipefd[0], &process, NULL), -EBADF);
	ck_assert_int_eq(process_from_pidfd(-1, &process, NULL), -EBADF);
}
END_TEST

START_TEST(our_own_mount_namespace_is_in_use_and_no_other_number)
{
	struct process self;
	uint64_t ns[3] = { 1, 0, 2 };
	bool used[3] = { false };

	ck_assert_int_eq(process_self(&self, NULL), 0);
	ns[1] = self.mnt_ns;
	process_mnt_ns_used(ns, used, 3);
	ck_assert(!used[0] && used[1] && !used[2]);
}
END_TEST

START_TEST(a_mount_of_a_directory_is_found_in_any_namespace)
{
	struct stat proc;

	ck_assert_int_eq(stat("/proc/self", &proc), 0);
	ck_assert(process_mounts(proc.st_dev, ""));
	ck_assert(!process_mounts(proc.st_dev, "/no-such-directory"));
	ck_assert(!process_mounts(makedev(4095, 4095), ""));
}
END_TEST

START_TEST(who_is_in_other_namespaces_could_not_enter_ours)
{
	struct process self, other;

	ck_assert_int_eq(process_self(&self, NULL), 0);
	other = self;
	other.user_ns++;
	ck_assert(!process_could_enter(&other, &self));
	other = self;
	other.pid_ns++;
	ck_assert(!process_could_enter(&other, &self));
	other = self;
	other.pid = -1;
	ck_assert(!process_could_enter(&other, &self));
}
END_TEST

UNIT_MAIN("process", a_pidfd_tells_who_a_process_is, a_dead_process_is_nobody,
	  what_is_no_pidfd_is_refused, our_own_mount_namespace_is_in_use_and_no_other_number,
	  a_mount_of_a_directory_is_found_in_any_namespace,
	  who_is_in_other_namespaces_could_not_enter_ours)
