/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are changed as somebody else, and what becomes of who changes them. */
#include "inject/name.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/error.h"
#include "inject/privilege.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define SOMEBODY 12345

/* Done in a child, which is what privilege_stay_hidden() makes of a caller. */
static int hidden_after(int dirfd, int (*change)(int dirfd))
{
	int status, signal = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (privilege_stay_hidden() < 0 || change(dirfd) < 0)
			_exit(99);
		if (prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0) < 0 || signal != SIGKILL)
			_exit(1);
		/* It would be what fs.suid_dumpable says, which is 0 on many machines, this one perhaps. */
		_exit(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int make_link(int dirfd)
{
	return name_make(NULL, dirfd, "link", S_IFLNK, "nowhere", NULL);
}

/* As its owner: nobody else may, in a directory with the sticky bit, without CAP_FOWNER. */
static int unlink_link(int dirfd)
{
	return name_unlink(NULL, dirfd, "link", 0);
}

static int give_up_fowner(int dirfd)
{
	struct error err = { 0 };

	return privilege_enter(PRIVILEGE_INSIDE, &err) < 0 ? -1 : unlink_link(dirfd);
}

START_TEST(who_becomes_a_directorys_owner_stays_hidden)
{
	char root[64], link[128];
	struct stat st;
	int dirfd;

	if (geteuid() != 0) {
		(void)fprintf(stderr, "# not root: nothing checked\n");
		return;
	}
	scratch_new(root);
	(void)snprintf(link, sizeof(link), "%s/link", root);
	ck_assert_int_eq(chown(root, SOMEBODY, SOMEBODY), 0);
	ck_assert_int_eq(chmod(root, 01755), 0);
	dirfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd, 0);
	ck_assert_int_eq(hidden_after(dirfd, make_link), 0);
	ck_assert_int_eq(lstat(link, &st), 0);
	ck_assert_uint_eq(st.st_uid, SOMEBODY);
	ck_assert_int_eq(hidden_after(dirfd, give_up_fowner), 0);
	ck_assert_int_eq(lstat(link, &st), -1);
	(void)close(dirfd);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("name", who_becomes_a_directorys_owner_stays_hidden)
