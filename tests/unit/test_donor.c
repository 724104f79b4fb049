/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/donor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/unit.h"

static struct donors *donors;

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

/* dev/null0, and hangs/, whose server reads no request. False, and said, where that is forbidden. */
static bool make_world(void)
{
	unsigned int uid = getuid(), gid = getgid();
	char text[64];
	int fuse;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		(void)fprintf(stderr,
			      "donor: no user namespace may be made here: nothing is checked\n");
		return false;
	}
	put("/proc/self/setgroups", "deny");
	(void)snprintf(text, sizeof(text), "0 %u 1", uid);
	put("/proc/self/uid_map", text);
	(void)snprintf(text, sizeof(text), "0 %u 1", gid);
	put("/proc/self/gid_map", text);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755"), 0);
	ck_assert_int_eq(mkdir("/tmp/dev", 0755) | mkdir("/tmp/hangs", 0755), 0);
	put("/tmp/dev/null0", "");
	ck_assert_int_eq(donors_new(&donors, NULL), 0);
	(void)signal(SIGALRM, SIG_DFL); /* Check has a handler of its own */
	(void)snprintf(text, sizeof(text), "fd=%d,rootmode=40755,user_id=0,group_id=0", fuse);
	if (fuse >= 0 && mount("hangs", "/tmp/hangs", "fuse", MS_NOSUID | MS_NODEV, text) == 0)
		return true;
	(void)fprintf(stderr, "donor: no FUSE may be mounted here: nothing is checked\n");
	return false;
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int take(const char *path, struct donor_clone *clone, struct error *err)
{
	*clone = (struct donor_clone){ .path = path, .fd = -1 };
	const struct donor_request request = {
		.dev_root = "/tmp/dev", .is_locked = true, .clones = clone, .n = 1
	};

	return donor_take(donors, &request, err);
}

START_TEST(a_clone_of_the_nodes_is_read_only)
{
	struct donor_clone clone;
	struct statvfs st;

	if (!make_world())
		return;
	ck_assert_int_eq(take("/tmp/dev/null0", &clone, NULL), 0);
	ck_assert_int_ge(clone.fd, 0);
	ck_assert_int_eq(fstatvfs(clone.fd, &st), 0);
	ck_assert_uint_ne(st.f_flag & ST_RDONLY, 0);
	(void)close(clone.fd);
	donors_free(donors);
}
END_TEST

START_TEST(a_path_that_is_not_there_is_named)
{
	struct donor_clone clone;
	struct error err = { 0 };

	if (!make_world())
		return;
	ck_assert_int_eq(take("/tmp/none", &clone, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "'/tmp/none'"));
	ck_assert_int_eq(clone.fd, -1);
	donors_free(donors);
}
END_TEST

static bool is_waited_for_again(void)
{
	double start = now(), before = start;
	struct donor_clone clone;

	while (now() - start < 15) {
		before = now();
		ck_assert_int_eq(take("/tmp/hangs/x", &clone, NULL), -ETIME);
		if (now() - before > DONOR_LIMIT_MS / 2000.0)
			return true;
		(void)usleep(100000);
	}
	return false;
}

START_TEST(a_path_that_does_not_answer_is_left_and_others_go_on)
{
	struct donor_clone clone;
	struct error err = { 0 };
	double start;

	if (!make_world())
		return;
	start = now();
	ck_assert_int_eq(take("/tmp/hangs/x", &clone, &err), -ETIME);
	ck_assert(now() - start < 1);
	ck_assert_int_eq(err.class, ERROR_AGAIN);
	ck_assert_ptr_nonnull(strstr(err.text, "'/tmp/hangs/x'"));
	ck_assert_int_eq(clone.fd, -1);
	start = now();
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(take("/tmp/hangs/x", &clone, NULL), -ETIME);
	ck_assert_msg(now() - start < DONOR_LIMIT_MS / 1000.0, "it is not waited for again");
	ck_assert_int_eq(take("/tmp/dev/null0", &clone, NULL), 0);
	(void)close(clone.fd);
	ck_assert_msg(is_waited_for_again(), "what hangs has a limit of its own");
}
END_TEST

UNIT_MAIN("donor", a_clone_of_the_nodes_is_read_only, a_path_that_is_not_there_is_named,
	  a_path_that_does_not_answer_is_left_and_others_go_on)
