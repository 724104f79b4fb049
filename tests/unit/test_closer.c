/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/closer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* The other end of a pipe tells when all of its writers are closed. */
static bool is_closed(int reader, int timeout_ms)
{
	struct pollfd p = { .fd = reader, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 && p.revents & POLLHUP;
}

START_TEST(what_is_given_is_closed)
{
	static struct closer *closer; /* never freed: see closer.h */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), pipefd[2];

	ck_assert_int_eq(closer_new(null, &closer, NULL), 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(pipe(pipefd), 0);
		closer_close(closer, pipefd[1]);
		ck_assert(is_closed(pipefd[0], 10000));
		(void)close(pipefd[0]);
	}
	closer_close(closer, -1);
	closer_close_backing(closer, 0);
	(void)close(null);
}
END_TEST

START_TEST(many_at_once_are_closed_in_time)
{
	enum { N = 300 };
	static struct closer *closer; /* never freed: see closer.h */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), pipefd[2], fds[N];

	ck_assert_int_eq(closer_new(null, &closer, NULL), 0);
	ck_assert_int_eq(pipe(pipefd), 0);
	for (int i = 0; i < N; i++)
		fds[i] = fcntl(pipefd[1], F_DUPFD_CLOEXEC, 0);
	closer_close(closer, pipefd[1]);
	for (int i = 0; i < N; i++) {
		ck_assert_int_ge(fds[i], 0);
		closer_close(closer, fds[i]);
		closer_close_backing(closer, i + 1); /* refused by /dev/null, which stops nothing */
	}
	ck_assert(is_closed(pipefd[0], 10000));
	(void)close(pipefd[0]);
	(void)close(null);
}
END_TEST

UNIT_MAIN("closer", what_is_given_is_closed, many_at_once_are_closed_in_time)
