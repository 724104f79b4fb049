/* SPDX-License-Identifier: Apache-2.0 */
#include "common/seed.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

START_TEST(a_seed_is_another_one_each_time)
{
	ck_assert_uint_ne(seed_random(), 0);
	ck_assert_uint_ne(seed_random(), seed_random());
}
END_TEST

/* As a kernel that has just been started answers GRND_NONBLOCK. */
static int refuse_getrandom(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int without_random(void)
{
	size_t a, b;

	if (refuse_getrandom() || getrandom(&a, sizeof(a), GRND_NONBLOCK) >= 0 || errno != EAGAIN)
		return 1;
	a = seed_random();
	b = seed_random();
	return !a || !b || a == b;
}

START_TEST(there_is_one_when_the_kernel_has_none_yet)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(without_random());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

UNIT_MAIN("seed", a_seed_is_another_one_each_time, there_is_one_when_the_kernel_has_none_yet)
