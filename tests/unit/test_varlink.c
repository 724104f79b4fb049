/* SPDX-License-Identifier: Apache-2.0 */
#include "common/varlink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/unit/unit.h"

static int pair[2];
static struct varlink_reader reader;

static void open_pair(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
	memset(&reader, 0, sizeof(reader));
	reader.max = VARLINK_REQUEST_MAX;
}

static void close_pair(void)
{
	varlink_reader_done(&reader);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void feed(const char *bytes, size_t len, const int *fds, size_t n_fds)
{
	ck_assert_int_eq(varlink_write(pair[0], bytes, len, fds, n_fds), (int)len);
	ck_assert_int_eq(varlink_reader_fill(&reader, pair[1]), (int)len);
}

START_TEST(a_message_in_single_bytes_arrives_whole)
{
	const char text[] = "{\"method\":\"a.b.C\"}";
	struct varlink_message msg = { 0 };

	open_pair();
	for (size_t i = 0; i < sizeof(text); i++) {
		ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), 0);
		feed(text + i, 1, NULL, 0);
	}
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), 1);
	ck_assert_str_eq(varlink_string(msg.json, "method", ""), "a.b.C");
	varlink_message_done(&msg);
	close_pair();
}
END_TEST

START_TEST(two_messages_in_one_read_each_take_their_fds)
{
	const char text[] = "{\"method\":\"one\"}\0{\"method\":\"two\",\"parameters\":{\"fds\":1}}";
	struct varlink_message msg = { 0 };

	open_pair();
	feed(text, sizeof(text), (const int[]){ 0 }, 1);
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), 1);
	ck_assert_uint_eq(msg.n_fds, 0);
	varlink_message_done(&msg);
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), 1);
	ck_assert_uint_eq(msg.n_fds, 1);
	ck_assert_int_eq(fcntl(msg.fds[0], F_GETFD), FD_CLOEXEC);
	varlink_message_done(&msg);
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), 0);
	close_pair();
}
END_TEST

START_TEST(surplus_fds_are_refused_and_closed)
{
	struct varlink_message msg = { 0 };
	int fd;

	open_pair();
	feed("{\"method\":\"one\"}", 17, (const int[]){ 0, 0 }, 2);
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), 1);
	varlink_message_done(&msg);
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), -EBADMSG);
	fd = reader.fds[0];
	varlink_reader_done(&reader);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	close_pair();
}
END_TEST

START_TEST(fds_that_were_announced_but_did_not_come_are_refused)
{
	const char text[] = "{\"parameters\":{\"fds\":2}}";
	struct varlink_message msg = { 0 };

	open_pair();
	feed(text, sizeof(text), (const int[]){ 0 }, 1);
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), -EBADMSG);
	close_pair();
}
END_TEST

START_TEST(garbage_depth_and_duplicate_keys_are_refused)
{
	static const char *const texts[] = { "garbage",
					     "[1]",
					     "\"x\"",
					     "{",
					     "{\"a\":1,\"a\":2}",
					     "{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}",
					     "{\"parameters\":{\"fds\":-1}}",
					     "{\"parameters\":{\"fds\":\"1\"}}" };
	struct varlink_message msg = { 0 };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		open_pair();
		feed(texts[i], strlen(texts[i]) + 1, NULL, 0);
		ck_assert_msg(varlink_reader_next(&reader, &msg, NULL) == -EBADMSG, "%s", texts[i]);
		close_pair();
	}
}
END_TEST

START_TEST(a_bracket_inside_a_string_is_no_depth)
{
	const char text[] = "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"}";
	struct varlink_message msg = { 0 };

	open_pair();
	feed(text, sizeof(text), NULL, 0);
	ck_assert_int_eq(varlink_reader_next(&reader, &msg, NULL), 1);
	varlink_message_done(&msg);
	close_pair();
}
END_TEST

START_TEST(a_message_over_the_limit_is_refused)
{
	char block[4096];
	int r = 0;

	open_pair();
	reader.max = 65536;
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 40 && r >= 0; i++) {
		if (varlink_write(pair[0], block, sizeof(block), NULL, 0) < 0)
			break;
		r = varlink_reader_fill(&reader, pair[1]);
	}
	ck_assert_int_eq(r, -EMSGSIZE);
	close_pair();
}
END_TEST

START_TEST(an_error_travels_with_class_message_and_remedy)
{
	struct varlink_message reply;
	struct error sent = { 0 }, got = { 0 };
	json_t *text;
	char *buf;
	size_t len;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	(void)error_setc(&sent, ERROR_DEVICE, -ENODEV, "7: unknown device");
	(void)error_remedy(&sent, -ENODEV, "nvfs devices lists them");
	text = json_pack("{s:s, s:o}", "error", VARLINK_ERROR, "parameters",
			 varlink_error_parameters(&sent));
	buf = varlink_pack(text, &len);
	ck_assert_int_eq(varlink_write(pair[0], buf, len, NULL, 0), (int)len);
	ck_assert_int_eq(varlink_call(pair[1], "io.nvfs.Inject", NULL, NULL, 0, &reply, &got),
			 -ENODEV);
	ck_assert_int_eq(got.class, ERROR_DEVICE);
	ck_assert_str_eq(got.text, "7: unknown device");
	ck_assert_str_eq(got.remedy, "nvfs devices lists them");
	varlink_message_done(&reply);
	json_decref(text);
	free(buf);
	(void)close(pair[0]);
	(void)close(pair[1]);
}
END_TEST

START_TEST(no_daemon_says_how_to_start_it)
{
	struct error err = { 0 };

	ck_assert_int_eq(varlink_connect("/nonexistent/nvfs.sock", 1000, &err), -ENOENT);
	ck_assert_int_eq(error_exit_status(&err), 7);
	ck_assert_ptr_nonnull(strstr(err.remedy, "nvfs serve"));
}
END_TEST

UNIT_MAIN("varlink", a_message_in_single_bytes_arrives_whole,
	  two_messages_in_one_read_each_take_their_fds, surplus_fds_are_refused_and_closed,
	  fds_that_were_announced_but_did_not_come_are_refused,
	  garbage_depth_and_duplicate_keys_are_refused, a_bracket_inside_a_string_is_no_depth,
	  a_message_over_the_limit_is_refused, an_error_travels_with_class_message_and_remedy,
	  no_daemon_says_how_to_start_it)
