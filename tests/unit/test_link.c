/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static int daemon_end, keeper_end;

static void open_pair(void)
{
	int ends[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	daemon_end = ends[0];
	keeper_end = ends[1];
}

static void close_pair(void)
{
	(void)close(daemon_end);
	(void)close(keeper_end);
}

static int lowest_free_fd(void)
{
	int fd = fcntl(0, F_DUPFD, 0);

	(void)close(fd);
	return fd;
}

START_TEST(a_message_arrives_as_it_was_sent)
{
	struct link_message message;

	open_pair();
	ck_assert_int_eq(link_send(daemon_end, LINK_DROP, 4711, -1), 0);
	ck_assert_int_eq(link_receive(keeper_end, &message), 1);
	ck_assert_uint_eq(message.type, LINK_DROP);
	ck_assert_uint_eq(message.object, 4711);
	ck_assert_int_eq(message.fd, -1);
	close_pair();
}
END_TEST

START_TEST(messages_keep_their_order_and_their_bounds)
{
	struct link_message message;

	open_pair();
	for (uint32_t i = 0; i < 10; i++)
		ck_assert_int_eq(link_send(keeper_end, LINK_PING, i, -1), 0);
	for (uint32_t i = 0; i < 10; i++) {
		ck_assert_int_eq(link_receive(daemon_end, &message), 1);
		ck_assert_uint_eq(message.object, i);
	}
	ck_assert_int_eq(link_receive(daemon_end, &message), -EAGAIN);
	close_pair();
}
END_TEST

START_TEST(a_descriptor_comes_with_its_message_and_is_not_inherited)
{
	struct link_message message;
	struct stat sent, received;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	open_pair();
	ck_assert_int_eq(link_send(daemon_end, LINK_FILE, 7, fd), 0);
	ck_assert_int_eq(link_send(daemon_end, LINK_PONG, 0, -1), 0);
	ck_assert_int_eq(link_receive(keeper_end, &message), 1);
	ck_assert_int_ge(message.fd, 0);
	ck_assert_int_ne(message.fd, fd);
	ck_assert_int_eq(fstat(fd, &sent), 0);
	ck_assert_int_eq(fstat(message.fd, &received), 0);
	ck_assert_uint_eq(received.st_rdev, sent.st_rdev);
	ck_assert_int_eq(fcntl(message.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	(void)close(message.fd);
	ck_assert_int_eq(link_receive(keeper_end, &message), 1);
	ck_assert_int_eq(message.fd, -1);
	(void)close(fd);
	close_pair();
}
END_TEST

START_TEST(sending_does_not_close_the_senders_descriptor)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	open_pair();
	ck_assert_int_eq(link_send(daemon_end, LINK_FILE, 7, fd), 0);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	(void)close(fd);
	close_pair();
}
END_TEST

START_TEST(the_other_ends_death_is_told_and_raises_no_signal)
{
	struct link_message message;

	open_pair();
	(void)signal(SIGPIPE, SIG_DFL);
	(void)close(daemon_end);
	ck_assert_int_eq(link_send(keeper_end, LINK_PING, 0, -1), -EPIPE);
	ck_assert_int_eq(link_receive(keeper_end, &message), 0);
	(void)close(keeper_end);
}
END_TEST

START_TEST(what_was_sent_before_death_is_still_received)
{
	struct link_message message;

	open_pair();
	ck_assert_int_eq(link_send(daemon_end, LINK_DONE, 0, -1), 0);
	(void)close(daemon_end);
	ck_assert_int_eq(link_receive(keeper_end, &message), 1);
	ck_assert_uint_eq(message.type, LINK_DONE);
	ck_assert_int_eq(link_receive(keeper_end, &message), 0);
	(void)close(keeper_end);
}
END_TEST

/* Bytes as they come, with a descriptor beside them. */
static void send_raw(const void *bytes, size_t size, int fd)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(daemon_end, &msg, 0), (ssize_t)size);
}

/* A connection that is closed with something unread is reset, which is told before what lies there. */
START_TEST(a_ping_that_nobody_read_hides_no_last_word)
{
	struct link_message message;

	open_pair();
	ck_assert_int_eq(link_send(keeper_end, LINK_PING, 0, -1), 0);
	ck_assert_int_eq(link_send(daemon_end, LINK_DONE, 3, -1), 0);
	ck_assert_int_eq(close(daemon_end), 0);
	daemon_end = -1;
	ck_assert_int_eq(link_receive(keeper_end, &message), 1);
	ck_assert_uint_eq(message.type, LINK_DONE);
	ck_assert_uint_eq(message.object, 3);
	ck_assert_int_eq(link_receive(keeper_end, &message), 0);
	close_pair();
}
END_TEST

START_TEST(a_message_of_another_size_is_refused_and_its_descriptor_closed)
{
	struct link_message message;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), free_fd;

	open_pair();
	free_fd = lowest_free_fd();
	send_raw("short", 5, fd);
	ck_assert_int_eq(link_receive(keeper_end, &message), -EBADMSG);
	ck_assert_int_eq(lowest_free_fd(), free_fd);
	send_raw("longer than any", 15, fd);
	ck_assert_int_eq(link_receive(keeper_end, &message), -EBADMSG);
	ck_assert_int_eq(lowest_free_fd(), free_fd);
	(void)close(fd);
	close_pair();
}
END_TEST

START_TEST(errors_of_the_socket_are_told)
{
	struct link_message message;

	ck_assert_int_eq(link_send(-1, LINK_PING, 0, -1), -EBADF);
	ck_assert_int_eq(link_receive(-1, &message), -EBADF);
}
END_TEST

START_TEST(signs_of_life_are_not_waited_with)
{
	int ends[2], r = 0;
	size_t n = 0;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0); /* it would block */
	while (r == 0 && n++ < 1000000)
		r = link_send(ends[0], LINK_PONG, 0, -1);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_eq(link_send(ends[0], LINK_PING, 0, -1), -EAGAIN);
	ck_assert_int_eq(link_send(ends[0], LINK_CLOSE, 1, ends[1]), -EAGAIN);
	(void)close(ends[0]);
	(void)close(ends[1]);
}
END_TEST

UNIT_MAIN("link", signs_of_life_are_not_waited_with, a_message_arrives_as_it_was_sent,
	  messages_keep_their_order_and_their_bounds,
	  a_descriptor_comes_with_its_message_and_is_not_inherited,
	  sending_does_not_close_the_senders_descriptor,
	  the_other_ends_death_is_told_and_raises_no_signal,
	  what_was_sent_before_death_is_still_received, a_ping_that_nobody_read_hides_no_last_word,
	  a_message_of_another_size_is_refused_and_its_descriptor_closed,
	  errors_of_the_socket_are_told)
