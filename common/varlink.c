/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing of varlink messages with descriptors beside them.
 *
 * Descriptors belong to bytes only loosely: the kernel hands over those of a
 * send together with the last bytes that one recvmsg() returns, which may also
 * hold earlier messages. They are therefore kept in a queue, and each complete
 * message takes as many as it announces. What is left when no byte is left
 * was announced by nobody.
 */
#include "common/varlink.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

#define READ_SIZE 16384
#define PACK_SIZE 16384 /* at first: the plan for a container with links to each library is half of it */

static void close_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
}

void varlink_message_done(struct varlink_message *msg)
{
	close_fds(msg->fds, msg->n_fds);
	msg->n_fds = 0;
	json_decref(msg->json);
	msg->json = NULL;
}

int varlink_message_take_fd(struct varlink_message *msg, json_int_t i)
{
	int fd;

	if (i < 0 || (size_t)i >= msg->n_fds || msg->fds[i] < 0)
		return -EBADMSG;
	fd = msg->fds[i];
	msg->fds[i] = -1;
	return fd;
}

void varlink_reader_done(struct varlink_reader *reader)
{
	close_fds(reader->fds, reader->n_fds);
	reader->n_fds = 0;
	free(reader->buf);
	reader->buf = NULL;
	reader->len = reader->room = 0;
}

static int reader_take_fds(struct varlink_reader *reader, struct msghdr *msg)
{
	int r = msg->msg_flags & MSG_CTRUNC ? -EMSGSIZE : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		int *fds = (int *)(void *)CMSG_DATA(c);
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (n > VARLINK_FDS_MAX - reader->n_fds) {
			close_fds(fds, n);
			r = -EMSGSIZE;
			continue;
		}
		memcpy(reader->fds + reader->n_fds, fds, n * sizeof(int));
		reader->n_fds += n;
	}
	return r;
}

int varlink_reader_fill(struct varlink_reader *reader, int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VARLINK_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	struct iovec iov;
	ssize_t n;
	int r;

	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (reader->len >= reader->max)
		return -EMSGSIZE;
	if (reader->room - reader->len < READ_SIZE) {
		size_t room = (reader->room ? reader->room * 2 : READ_SIZE) + READ_SIZE;
		char *bigger = realloc(reader->buf, room);

		if (!bigger)
			return -ENOMEM;
		reader->buf = bigger;
		reader->room = room;
	}
	iov.iov_base = reader->buf + reader->len;
	iov.iov_len = reader->room - reader->len;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r = reader_take_fds(reader, &msg);
	if (r < 0)
		return r;
	reader->len += (size_t)n;
	return (int)n;
}

/* jansson recurses up to 2048 levels; a peer does not get to choose our stack. */
static bool depth_ok(const char *text)
{
	bool in_string = false;
	int depth = 0;

	for (; *text; text++) {
		if (in_string) {
			if (*text == '\\' && text[1])
				text++;
			else if (*text == '"')
				in_string = false;
		} else if (*text == '"') {
			in_string = true;
		} else if (*text == '{' || *text == '[') {
			if (++depth > VARLINK_DEPTH_MAX)
				return false;
		} else if (*text == '}' || *text == ']') {
			depth--;
		}
	}
	return true;
}

static int message_take_fds(struct varlink_reader *reader, struct varlink_message *msg,
			    struct error *err)
{
	json_t *announced = json_object_get(json_object_get(msg->json, "parameters"), "fds");
	json_int_t n = json_integer_value(announced);

	if (announced && (!json_is_integer(announced) || n < 0 || (size_t)n > reader->n_fds))
		return error_setc(err, ERROR_USAGE, -EBADMSG,
				  "message announces fds that did not come");
	memcpy(msg->fds, reader->fds, (size_t)n * sizeof(int));
	msg->n_fds = (size_t)n;
	reader->n_fds -= (size_t)n;
	memmove(reader->fds, reader->fds + n, reader->n_fds * sizeof(int));
	return 0;
}

static int message_parse(struct varlink_reader *reader, struct varlink_message *ret,
			 struct error *err)
{
	struct varlink_message msg = { 0 };
	json_error_t why;
	int r;

	if (!depth_ok(reader->buf))
		return error_setc(err, ERROR_USAGE, -EBADMSG, "message nested too deeply");
	msg.json = json_loads(reader->buf, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(msg.json)) {
		r = error_setc(err, ERROR_USAGE, -EBADMSG, "message is not a JSON object: %.60s",
			       msg.json ? "other type" : why.text);
		json_decref(msg.json);
		return r;
	}
	r = message_take_fds(reader, &msg, err);
	if (r < 0) {
		json_decref(msg.json);
		return r;
	}
	*ret = msg;
	return 1;
}

int varlink_reader_next(struct varlink_reader *reader, struct varlink_message *ret,
			struct error *err)
{
	char *end = reader->len ? memchr(reader->buf, '\0', reader->len) : NULL;
	size_t used;
	int r;

	if (!end) {
		if (reader->len == 0 && reader->n_fds > 0)
			return error_setc(err, ERROR_USAGE, -EBADMSG,
					  "fds that no message announced");
		return 0;
	}
	used = (size_t)(end - reader->buf) + 1;
	if (used > reader->max)
		return error_setc(err, ERROR_USAGE, -EBADMSG, "message too long");
	r = message_parse(reader, ret, err);
	reader->len -= used;
	memmove(reader->buf, reader->buf + used, reader->len);
	return r;
}

char *varlink_pack(const json_t *json, size_t *ret_len)
{
	size_t room = PACK_SIZE, len;
	char *text = NULL;

	/* Not json_dumps(): what it returns is from jansson's own allocator, whatever that is. */
	for (;;) {
		char *bigger = realloc(text, room);

		if (bigger)
			text = bigger;
		len = bigger ? json_dumpb(json, text, room, JSON_COMPACT) : 0;
		if (len == 0) {
			free(text);
			return NULL;
		}
		if (len < room)
			break;
		room = len + 1;
	}
	text[len] = '\0';
	*ret_len = len + 1;
	return text;
}

int varlink_write(int sock, const char *buf, size_t len, const int *fds, size_t n_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VARLINK_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > VARLINK_FDS_MAX)
		return -EMSGSIZE;
	if (n_fds) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof(control));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

int varlink_connect(const char *path, unsigned int timeout_ms, struct error *err)
{
	auto_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = timeout_ms / 1000,
				 .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	if (sock < 0)
		return error_set(err, -errno, "socket");
	if (strlen(path) >= sizeof(addr.sun_path))
		return error_setc(err, ERROR_USAGE, -ENAMETOOLONG,
				  "socket path '%.80s' is too long", path);
	strcpy(addr.sun_path, path);
	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return error_set(err, -errno, "set the time limit of the socket");
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = error_set(err, -errno, "connect to '%s'", path);
		(void)error_remedy(err, r,
				   "start the daemon with 'nvfs serve' or 'systemctl start nvfs'");
		return error_classify(err, r, ERROR_DAEMON);
	}
	return take_fd(&sock);
}

static int call_send(int sock, const char *method, json_t *params, const int *fds, size_t n_fds,
		     bool more, struct error *err)
{
	json_t *args = params ? json_copy(params) : json_object();
	json_t *call = NULL;
	auto_free char *buf = NULL;
	size_t len = 0, sent = 0;

	if (args && n_fds)
		(void)json_object_set_new(args, "fds", json_integer((json_int_t)n_fds));
	call = json_pack("{s:s, s:o*}", "method", method, "parameters", args);
	if (call && more)
		(void)json_object_set_new(call, "more", json_true());
	buf = call ? varlink_pack(call, &len) : NULL;
	json_decref(call);
	if (!buf)
		return error_set(err, -ENOMEM, "pack '%s'", method);
	while (sent < len) {
		int n = varlink_write(sock, buf + sent, len - sent, sent ? NULL : fds,
				      sent ? 0 : n_fds);

		if (n < 0)
			return error_set(err, n == -EAGAIN ? -ETIME : n, "send '%s'", method);
		sent += (size_t)n;
	}
	return 0;
}

/* The next message; -ECONNRESET at the end of the stream, -ETIME when none has come in time. */
static int receive(int sock, struct varlink_reader *reader, struct varlink_message *message,
		   struct error *err)
{
	int r;

	while ((r = varlink_reader_next(reader, message, err)) == 0) {
		r = varlink_reader_fill(reader, sock);
		if (r <= 0) {
			r = r == 0 ? -ECONNRESET : r == -EAGAIN ? -ETIME : r;
			return error_set(err, r, "the daemon did not answer");
		}
	}
	return r < 0 ? r : 0;
}

/* Turn {"class", "message", "remedy", "errno"} back into an error. */
static int error_from_reply(const json_t *params, const char *name, struct error *err)
{
	json_int_t number = json_integer_value(json_object_get(params, "errno"));
	const char *remedy = varlink_string(params, "remedy", "");
	const char *text = varlink_string(params, "message", name);
	int r = number > 0 && number < 4096 ? -(int)number : -EREMOTEIO;

	(void)error_setc(err, error_class_by_name(varlink_string(params, "class", "")), r, "%s",
			 *text ? text : "the daemon names no reason");
	if (*remedy)
		(void)error_remedy(err, r, "%s", remedy);
	return r;
}

int varlink_ask(int sock, const char *method, json_t *params, const int *fds, size_t n_fds,
		struct error *err)
{
	int r = call_send(sock, method, params, fds, n_fds, false, err);

	return r < 0 ? error_classify(err, r, ERROR_DAEMON) : 0;
}

int varlink_answer(int sock, struct varlink_message *reply, struct error *err)
{
	struct varlink_reader reader = { .max = VARLINK_REPLY_MAX };
	const char *name;
	json_t *inner;
	int r;

	memset(reply, 0, sizeof(*reply));
	r = receive(sock, &reader, reply, err);
	varlink_reader_done(&reader);
	if (r < 0)
		return error_classify(err, r, ERROR_DAEMON);
	inner = json_incref(json_object_get(reply->json, "parameters"));
	name = varlink_string(reply->json, "error", NULL);
	if (name)
		r = error_from_reply(inner, name, err);
	json_decref(reply->json);
	reply->json = inner ? inner : json_object();
	return r;
}

int varlink_call(int sock, const char *method, json_t *params, const int *fds, size_t n_fds,
		 struct varlink_message *reply, struct error *err)
{
	int r = varlink_ask(sock, method, params, fds, n_fds, err);

	memset(reply, 0, sizeof(*reply));
	return r ? r : varlink_answer(sock, reply, err);
}

/* 1: go on; 0: that was the last one; or the errno of an error reply */
static int take_reply(const json_t *reply, bool (*on_reply)(void *data, json_t *params), void *data,
		      struct error *err)
{
	const char *name = varlink_string(reply, "error", NULL);
	json_t *params = json_object_get(reply, "parameters");

	if (name)
		return error_from_reply(params, name, err);
	return params && on_reply(data, params) &&
	       json_is_true(json_object_get(reply, "continues"));
}

int varlink_call_more(int sock, const char *method, json_t *params,
		      bool (*on_reply)(void *data, json_t *params), void *data, struct error *err)
{
	struct varlink_reader reader = { .max = VARLINK_REPLY_MAX };
	struct varlink_message message = { 0 };
	int r = call_send(sock, method, params, NULL, 0, true, err);

	r = r < 0 ? r : 1;
	while (r > 0) {
		r = receive(sock, &reader, &message, err);
		if (r == 0)
			r = take_reply(message.json, on_reply, data, err);
		varlink_message_done(&message);
	}
	varlink_reader_done(&reader);
	return r < 0 ? error_classify(err, r, ERROR_DAEMON) : 0;
}

json_t *varlink_error_parameters(const struct error *err)
{
	return json_pack("{s:s, s:s, s:s, s:i}", "class", error_class_name(err->class), "message",
			 err->text, "remedy", err->remedy, "errno", -err->code);
}

const char *varlink_string(const json_t *object, const char *key, const char *fallback)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : fallback;
}
