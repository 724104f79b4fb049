/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
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

static bool same_text(const char *its, const char *ours)
{
	return process_labels_match(0, its, 0, ours);
}

START_TEST(a_label_is_the_same_only_where_nothing_differs)
{
	static const char selinux[] = "system_u:system_r:container_t:s0:c1,c2";

	ck_assert(same_text("unconfined\n", "unconfined\n"));
	ck_assert(same_text(selinux, selinux));
	ck_assert(!same_text("docker-default (enforce)\n", "unconfined\n"));
	ck_assert(!same_text("unconfined\n", "docker-default (enforce)\n"));
	ck_assert(!same_text("nvfs (enforce)\n", "nvfs (complain)\n"));
	ck_assert(!same_text("unconfined//&:lxd:unconfined\n", "unconfined\n")); /* stacked, in a namespace of its own */
	ck_assert(!same_text("system_u:system_r:container_t:s0:c1,c3", selinux));
	ck_assert(!same_text("system_u:system_r:container_t:s0", selinux)); /* the beginning of the other */
	ck_assert(!same_text("", "unconfined\n"));
}
END_TEST

START_TEST(a_label_that_cannot_be_read_is_the_same_only_where_nothing_labels)
{
	ck_assert(process_labels_match(-EINVAL, NULL, -EINVAL, NULL)); /* no module */
	ck_assert(process_labels_match(-ENOENT, NULL, -ENOENT, NULL)); /* nor the file */
	ck_assert(!process_labels_match(-EINVAL, NULL, -ENOENT, NULL));
	ck_assert(!process_labels_match(-EACCES, NULL, -EACCES, NULL));
	ck_assert(!process_labels_match(-ENOMEM, NULL, -ENOMEM, NULL));
	ck_assert(!process_labels_match(-EINVAL, NULL, 0, "unconfined\n"));
	ck_assert(!process_labels_match(0, "unconfined\n", -EINVAL, NULL));
	ck_assert(!process_labels_match(-ESRCH, NULL, 0, ""));
}
END_TEST

START_TEST(namespaces_are_told_without_proc)
{
	struct process me, self;
	int fd = sys_pidfd_open(getpid(), 0);
	int r = process_namespaces(fd, getpid(), &me);

	ck_assert_int_eq(process_self(&self, NULL), 0);
	if (r == 0) { /* Linux 6.11 */
		ck_assert_int_eq(me.pid, getpid());
		ck_assert_uint_eq(me.mnt_ns, self.mnt_ns);
		ck_assert_uint_eq(me.user_ns, self.user_ns);
		ck_assert_uint_eq(me.pid_ns, self.pid_ns);
		ck_assert_uint_eq(me.start_time, 0);
	}
	(void)close(fd);
	ck_assert_int_lt(process_namespaces(-1, getpid(), &me), 0);
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
	struct process_wanted wanted[] = { { .mnt_ns = 1 },
					   { .mnt_ns = 0 },
					   { .mnt_ns = 2, .pid = 7 },
					   { .mnt_ns = 0, .tree = "no such tree" } };

	ck_assert_int_eq(process_self(&self, NULL), 0);
	wanted[1].mnt_ns = wanted[3].mnt_ns = self.mnt_ns;
	/* Who is found may be one of the machine's that ends at that very moment. */
	for (int i = 0; i < 100 && !process_mnt_ns(wanted[1].pid); i++)
		process_find_each(wanted, 4);
	ck_assert_int_eq(wanted[0].pid, 0);
	ck_assert_int_gt(wanted[1].pid, 0);
	ck_assert_uint_eq(process_mnt_ns(wanted[1].pid), self.mnt_ns);
	ck_assert_int_eq(wanted[2].pid, 0);
	ck_assert_int_eq(wanted[3].pid, 0);
	ck_assert_int_gt(process_find(self.mnt_ns, NULL), 0);
	ck_assert_int_eq(process_find(1, NULL), 0);
}
END_TEST

START_TEST(a_mount_of_a_directory_is_found_in_any_namespace)
{
	void (*const ways[])(dev_t, struct process_mounted *,
			     size_t) = { process_mounts_each, process_mounts_in_proc };
	struct stat proc;

	ck_assert_int_eq(stat("/proc/self", &proc), 0);
	for (int i = 0; i < 2; i++) {
		struct process_mounted asked[] = { { "/no-such-directory", true },
						   { "", false },
						   { "/no", true },
						   { "", false } };

		ways[i](proc.st_dev, asked, ARRAY_SIZE(asked));
		ck_assert(!asked[0].is_mounted);
		ck_assert(asked[1].is_mounted);
		ck_assert(!asked[2].is_mounted);
		ck_assert(asked[3].is_mounted);
		ways[i](makedev(4095, 4095), asked, ARRAY_SIZE(asked));
		ck_assert(!asked[1].is_mounted && !asked[3].is_mounted);
	}
}
END_TEST

/*
 * Two processes in a mount namespace of their own, of which one, the first in /proc, or both, are
 * chrooted out of sight of a tmpfs on @dir. Each writes the number of its device.
 */
static void chrooted_and_not(const char *dir, int out, bool both)
{
	struct stat st;

	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		_exit(1);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("x", dir, "tmpfs", 0, NULL) < 0 || stat(dir, &st) < 0 ||
	    ((fork() || both) && chroot("/proc") < 0) ||
	    write(out, &st.st_dev, sizeof(st.st_dev)) != sizeof(st.st_dev))
		_exit(1);
	for (;;)
		(void)pause();
}

static void end_all_in(uint64_t mnt_ns)
{
	pid_t pid;

	while ((pid = process_find(mnt_ns, NULL)) > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, WNOHANG);
		(void)usleep(1000);
	}
}

/* By the kernel's list alone: as root, on Linux 6.11 and later. */
static bool kernel_lists(void)
{
	int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	uint64_t ns_id, mnt_id;
	bool lists = sys_mnt_ns_id(fd, &ns_id) == 0 &&
		     sys_listmount_in(ns_id, LSMT_ROOT, 0, &mnt_id, 1) == 1;

	(void)close(fd);
	return lists && geteuid() == 0;
}

static bool is_mounted(void (*way)(dev_t, struct process_mounted *, size_t), dev_t dev)
{
	struct process_mounted asked = { .root = "" };

	way(dev, &asked, 1);
	return asked.is_mounted;
}

static void look_at_chrooted(bool both)
{
	char dir[] = "/tmp/nvfs-process-XXXXXX";
	int pipefd[2], ready = 0;
	uint64_t mnt_ns;
	dev_t dev;
	pid_t pid;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(pipe(pipefd), 0);
	pid = fork();
	if (pid == 0)
		chrooted_and_not(dir, pipefd[1], both);
	(void)close(pipefd[1]);
	while (ready < 2 && read(pipefd[0], &dev, sizeof(dev)) == sizeof(dev))
		ready++;
	if (ready == 0) {
		(void)fprintf(stderr, "# no mount namespace to be had: nothing checked\n");
	} else {
		ck_assert_int_eq(ready, 2);
		mnt_ns = process_mnt_ns(pid);
		ck_assert_int_eq(process_find(mnt_ns, NULL), pid);
		ck_assert(is_mounted(process_mounts_each, dev) == (!both || kernel_lists()));
		ck_assert(is_mounted(process_mounts_in_proc, dev) == !both);
		end_all_in(mnt_ns);
		ck_assert(!is_mounted(process_mounts_each, dev));
	}
	(void)waitpid(pid, NULL, 0);
	(void)rmdir(dir);
}

START_TEST(a_chrooted_process_does_not_hide_mounts_of_its_namespace)
{
	look_at_chrooted(false);
}
END_TEST

START_TEST(where_all_are_chrooted_the_kernel_knows)
{
	look_at_chrooted(true);
}
END_TEST

START_TEST(root_of_our_own_user_namespace_is_known)
{
	struct process_root process_root_of = { .uid = 4711, .gid = 4711 };
	char text[64] = "";
	FILE *map = fopen("/proc/self/uid_map", "re");
	unsigned int inside = 1, outside = 0;

	ck_assert_ptr_nonnull(map);
	while (inside != 0 && fgets(text, sizeof(text), map))
		ck_assert_int_eq(sscanf(text, "%u %u", &inside, &outside), 2);
	(void)fclose(map);
	if (inside == 0) {
		ck_assert_int_eq(process_root(getpid(), &process_root_of), 0);
		ck_assert_uint_eq(process_root_of.uid, outside);
	}
	ck_assert_int_eq(process_root(-1, &process_root_of), -ENOENT);
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

UNIT_MAIN("process", a_label_is_the_same_only_where_nothing_differs,
	  a_label_that_cannot_be_read_is_the_same_only_where_nothing_labels,
	  a_pidfd_tells_who_a_process_is, namespaces_are_told_without_proc,
	  a_dead_process_is_nobody, what_is_no_pidfd_is_refused,
	  our_own_mount_namespace_is_in_use_and_no_other_number,
	  a_mount_of_a_directory_is_found_in_any_namespace,
	  a_chrooted_process_does_not_hide_mounts_of_its_namespace,
	  where_all_are_chrooted_the_kernel_knows, root_of_our_own_user_namespace_is_known,
	  who_is_in_other_namespaces_could_not_enter_ours)
