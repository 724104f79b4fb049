/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/loop.h"
#include "tests/unit/unit.h"

/* The server in a thread of its own, the test is its client. */
static struct loop *loop;
static struct server *server;
static struct loop_source stop;
static pthread_t thread;
static int listener;
static char dir[] = "/tmp/nvfs-server-XXXXXX", path[64];
static unsigned int n_gone, n_sent;
static bool listened; /* all events have been sent, or refused */
static char pad[8192]; /* so that a socket's buffer is soon full */

#define PIECES 1000 /* more than any socket's buffer holds */

static unsigned int n_pieces; /* made */

static json_t *next_piece(void *data, struct client *client, uint32_t *at, bool *last)
{
	(void)data;
	(void)client;
	*last = *at + 1 == PIECES;
	__atomic_add_fetch(&n_pieces, 1, __ATOMIC_RELAXED);
	return json_pack("{s:i, s:s}", "i", (int)(*at)++, "pad", pad);
}

static void on_call(void *data, struct client *client, const char *method, json_t *params,
		    struct varlink_message *message)
{
	struct error err = { 0 };

	(void)data;
	(void)message;
	if (strcmp(method, "t.Fail") == 0) {
		(void)error_setc(&err, ERROR_DEVICE, -ENODEV, "no such thing");
		client_error(client, &err, "abc123");
	} else if (strcmp(method, "t.Fd") == 0) {
		client_reply(client, NULL, (const int[]){ eventfd(7, EFD_CLOEXEC) }, 1);
	} else if (strcmp(method, "t.Listen") == 0) {
		client_listen(client);
		for (json_int_t n = json_integer_value(json_object_get(params, "n")), i = 0; i < n;
		     i++)
			n_sent += client_event(client,
					       json_pack("{s:i, s:s}", "i", (int)i, "pad", pad));
		__atomic_store_n(&listened, true, __ATOMIC_RELEASE);
	} else if (strcmp(method, "t.Pieces") == 0) {
		client_answer_in_pieces(client, next_piece, NULL);
	} else if (strcmp(method, "t.Uid") == 0) {
		client_reply(client, json_pack("{s:i}", "uid", (int)client_peer(client)->uid), NULL,
			     0);
	} else {
		client_reply(client, json_incref(params), NULL, 0);
	}
}

static void on_gone(void *data, struct client *client)
{
	(void)data;
	(void)client;
	n_gone++;
}

static void on_stop(struct loop_source *source, uint32_t events)
{
	(void)source;
	(void)events;
	loop_stop(loop);
}

static void *run(void *data)
{
	(void)loop_run(loop, NULL);
	return data;
}

static void open_server(void)
{
	struct server_handler handler = { .on_call = on_call, .on_gone = on_gone };

	log_open("test", 0);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/run/sock", dir);
	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	listener = server_listen(path, NULL);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(server_new(listener, loop, &handler, &server, NULL), 0);
	stop = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC), .on_ready = on_stop };
	ck_assert_int_eq(loop_add(loop, &stop, POLLIN), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static void close_server(void)
{
	ck_assert_int_eq(eventfd_write(stop.fd, 1), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	server_free(server);
	loop_free(loop);
	(void)close(stop.fd);
	(void)close(listener);
	ck_assert_int_eq(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static int connect_raw(void)
{
	int sock = varlink_connect(path, 5000, NULL);

	ck_assert_int_ge(sock, 0);
	return sock;
}

/* The other end closes: what is read last is the end. */
static void wait_until_closed(int sock)
{
	char buf[4096];
	ssize_t n;

	do {
		n = recv(sock, buf, sizeof(buf), 0);
	} while (n > 0);
	ck_assert_msg(n == 0 || errno == ECONNRESET, "%zd %m", n);
	(void)close(sock);
}

START_TEST(calls_are_answered_with_replies_errors_and_fds)
{
	struct varlink_message reply;
	struct error err = { 0 };
	eventfd_t value;
	json_t *params = json_pack("{s:s}", "a", "b");
	int sock;

	open_server();
	sock = connect_raw();
	ck_assert_int_eq(varlink_call(sock, "t.Echo", params, NULL, 0, &reply, NULL), 0);
	ck_assert_str_eq(varlink_string(reply.json, "a", ""), "b");
	varlink_message_done(&reply);
	ck_assert_int_eq(varlink_call(sock, "t.Fail", NULL, NULL, 0, &reply, &err), -ENODEV);
	ck_assert_int_eq(err.class, ERROR_DEVICE);
	ck_assert_str_eq(varlink_string(reply.json, "trace", ""), "abc123");
	varlink_message_done(&reply);
	ck_assert_int_eq(varlink_call(sock, "t.Fd", NULL, NULL, 0, &reply, NULL), 0);
	ck_assert_uint_eq(reply.n_fds, 1);
	ck_assert_int_eq(eventfd_read(reply.fds[0], &value), 0);
	ck_assert_uint_eq(value, 7);
	varlink_message_done(&reply);
	ck_assert_int_eq(varlink_call(sock, "t.Uid", NULL, NULL, 0, &reply, NULL), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(reply.json, "uid")), (int)geteuid());
	varlink_message_done(&reply);
	json_decref(params);
	(void)close(sock);
	close_server();
	ck_assert_uint_eq(n_gone, 1);
}
END_TEST

START_TEST(a_client_that_breaks_the_rules_is_cut_off_and_others_go_on)
{
	static const char *const texts[] = { "garbage", "{\"parameters\":{}}", "[]",
					     "{\"method\":\"t.Echo\",\"parameters\":[]}",
					     "{\"method\":\"t.Echo\",\"parameters\":{\"fds\":3}}" };
	struct varlink_message reply;
	int good, bad;

	open_server();
	good = connect_raw();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		bad = connect_raw();
		ck_assert_int_gt(varlink_write(bad, texts[i], strlen(texts[i]) + 1, NULL, 0), 0);
		wait_until_closed(bad);
	}
	bad = connect_raw();
	ck_assert_int_gt(
		varlink_write(bad, "{\"method\":\"t.Echo\"}", 20, (const int[]){ 0, 1 }, 2), 0);
	wait_until_closed(bad);
	ck_assert_int_eq(varlink_call(good, "t.Echo", NULL, NULL, 0, &reply, NULL), 0);
	varlink_message_done(&reply);
	(void)close(good);
	close_server();
}
END_TEST

START_TEST(a_reply_larger_than_a_socket_buffer_arrives_whole)
{
	struct varlink_message reply;
	char *big = malloc(900001);
	json_t *params;
	int sock;

	memset(big, 'x', 900000);
	big[900000] = '\0';
	params = json_pack("{s:s}", "a", big);
	open_server();
	sock = connect_raw();
	ck_assert_int_eq(varlink_call(sock, "t.Echo", params, NULL, 0, &reply, NULL), 0);
	ck_assert_uint_eq(strlen(varlink_string(reply.json, "a", "")), 900000);
	varlink_message_done(&reply);
	json_decref(params);
	free(big);
	(void)close(sock);
	close_server();
}
END_TEST

START_TEST(a_living_daemons_socket_is_not_taken_and_a_dead_ones_is)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct error err = { 0 };
	int sock;

	open_server();
	ck_assert_int_eq(server_listen(path, &err), -EADDRINUSE);
	close_server();

	/* bound and never listened to: what a dead daemon leaves */
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/nvfs-dead-%d", getpid());
	sock = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	(void)close(sock);
	sock = server_listen(addr.sun_path, &err);
	ck_assert_int_ge(sock, 0);
	(void)close(sock);
	ck_assert_int_eq(unlink(addr.sun_path), 0);
}
END_TEST

struct heard {
	unsigned int n, enough;
};

static bool on_event(void *data, json_t *params)
{
	struct heard *heard = data;

	ck_assert_int_eq(json_integer_value(json_object_get(params, "i")), heard->n);
	heard->n++;
	return heard->n != heard->enough;
}

START_TEST(a_listener_hears_event_after_event)
{
	struct heard heard = { .enough = 3 };
	json_t *params = json_pack("{s:i}", "n", 3);
	int sock;

	open_server();
	sock = connect_raw();
	ck_assert_int_eq(varlink_call_more(sock, "t.Listen", params, on_event, &heard, NULL), 0);
	ck_assert_uint_eq(heard.n, 3);
	/* A second call of it would never be answered: it is not taken. */
	ck_assert_int_gt(varlink_write(sock, "{\"method\":\"t.Fail\"}", 20, NULL, 0), 0);
	(void)close(sock);
	sock = connect_raw();
	heard = (struct heard){ 0 };
	ck_assert_int_eq(varlink_call_more(sock, "t.Fail", NULL, on_event, &heard, NULL), -ENODEV);
	ck_assert_uint_eq(heard.n, 0);
	(void)close(sock);
	json_decref(params);
	close_server();
	ck_assert_uint_eq(n_gone, 2);
}
END_TEST

START_TEST(an_answer_in_pieces_is_made_as_it_is_read_and_keeps_nobody_waiting)
{
	struct heard heard = { 0 };
	struct varlink_message reply;
	int slow, other;

	memset(pad, 'x', sizeof(pad) - 1);
	open_server();
	slow = connect_raw();
	other = connect_raw();
	ck_assert_int_gt(varlink_write(slow, "{\"method\":\"t.Pieces\"}", 22, NULL, 0), 0);
	while (__atomic_load_n(&n_pieces, __ATOMIC_RELAXED) < 2)
		(void)usleep(1000);
	/* It reads nothing: the others are answered, and no more is made than its socket holds. */
	for (unsigned int i = 0; i < 20; i++) {
		ck_assert_int_eq(varlink_call(other, "t.Uid", NULL, NULL, 0, &reply, NULL), 0);
		varlink_message_done(&reply);
	}
	ck_assert_uint_lt(__atomic_load_n(&n_pieces, __ATOMIC_RELAXED), PIECES);
	(void)close(slow);
	/* Every piece in its order, the last one ends it, and the next call is answered. */
	ck_assert_int_eq(varlink_call_more(other, "t.Pieces", NULL, on_event, &heard, NULL), 0);
	ck_assert_uint_eq(heard.n, PIECES);
	ck_assert_int_eq(varlink_call(other, "t.Uid", NULL, NULL, 0, &reply, NULL), 0);
	varlink_message_done(&reply);
	(void)close(other);
	close_server();
}
END_TEST

START_TEST(who_calls_for_more_waits_no_longer_than_its_limit_for_each)
{
	struct heard heard = { 0 };
	json_t *params = json_pack("{s:i}", "n", 1);
	int sock;

	open_server();
	sock = varlink_connect(path, 1000, NULL);
	ck_assert_int_ge(sock, 0);
	ck_assert_int_eq(varlink_call_more(sock, "t.Listen", params, on_event, &heard, NULL), -ETIME);
	ck_assert_uint_eq(heard.n, 1);
	(void)close(sock);
	json_decref(params);
	close_server();
}
END_TEST

START_TEST(one_that_does_not_read_is_told_and_dropped)
{
	static const char call[] = "{\"method\":\"t.Listen\",\"parameters\":{\"n\":1000}}";
	struct varlink_reader reader = { .max = VARLINK_REPLY_MAX };
	struct varlink_message message = { 0 };
	json_t *params;
	unsigned int n = 0;
	int sock;

	memset(pad, 'x', sizeof(pad) - 1);
	open_server();
	sock = connect_raw();
	ck_assert_int_gt(varlink_write(sock, call, sizeof(call), NULL, 0), 0);
	while (!__atomic_load_n(&listened, __ATOMIC_ACQUIRE))
		(void)usleep(1000);
	ck_assert_uint_lt(n_sent, 1000);
	ck_assert_uint_ge(n_sent, CLIENT_EVENTS_MAX);
	for (;;) {
		while (varlink_reader_next(&reader, &message, NULL) == 0)
			ck_assert_int_gt(varlink_reader_fill(&reader, sock), 0);
		if (json_object_get(message.json, "error"))
			break;
		ck_assert(json_is_true(json_object_get(message.json, "continues")));
		n++;
		varlink_message_done(&message);
	}
	ck_assert_uint_eq(n, n_sent); /* all that it was promised, and then the word */
	params = json_object_get(message.json, "parameters");
	ck_assert_str_eq(varlink_string(params, "class", ""), "again");
	varlink_message_done(&message);
	varlink_reader_done(&reader);
	wait_until_closed(sock);
	close_server();
}
END_TEST

UNIT_MAIN("server", an_answer_in_pieces_is_made_as_it_is_read_and_keeps_nobody_waiting,
	  who_calls_for_more_waits_no_longer_than_its_limit_for_each,
	  a_listener_hears_event_after_event, one_that_does_not_read_is_told_and_dropped,
	  calls_are_answered_with_replies_errors_and_fds,
	  a_client_that_breaks_the_rules_is_cut_off_and_others_go_on,
	  a_reply_larger_than_a_socket_buffer_arrives_whole,
	  a_living_daemons_socket_is_not_taken_and_a_dead_ones_is)
