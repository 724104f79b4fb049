/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the control socket. All sockets are non-blocking; what a
 * client does not read at once waits in a queue of its own, and no further
 * call of that client is taken before it is empty.
 */
#include "fs/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "fs/loop.h"

#define CLIENTS_MAX 512
#define CLIENTS_PER_UID 32 /* but root */
#define SILENCE_S 60
#define FDS_RESERVED 64

/* A reply on its way out. */
struct outgoing {
	struct outgoing *next;
	char *buf;
	size_t len, sent;
	int fds[VARLINK_FDS_MAX];
	size_t n_fds;
};

struct client {
	struct loop_source source; /* first: cast back in on_ready */
	struct server *server;
	struct client *next;
	struct peer peer;
	struct varlink_reader reader;
	struct outgoing *out, **out_end;
	unsigned int n_out;
	bool listens; /* its call is answered by event after event */
	bool ending;  /* and has had the last one, which it may not have read yet */
	client_piece *next_piece; /* its call is answered in pieces, and this makes the next one */
	void *pieces_data;
	uint32_t piece_at;
	time_t last; /* CLOCK_MONOTONIC, of the last byte either way */
	bool gone;   /* a rule was broken or the end was seen: free at the next chance */
};

struct server {
	struct loop_source source; /* first: cast back in on_ready */
	struct loop *loop;
	struct server_handler handler;
	struct client *clients;
	unsigned int n_clients;
	struct process self;
	bool paused; /* out of descriptors: no accept(2) until the next server_expire() */
};

static time_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

const struct peer *client_peer(const struct client *client)
{
	return &client->peer;
}

bool client_is_in_group(const struct client *client, gid_t gid)
{
	struct ucred cred = { .gid = (gid_t)-1 };
	socklen_t size = sizeof(cred);
	auto_free gid_t *groups = NULL;
	int r = -ERANGE;

	if (getsockopt(client->source.fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0 &&
	    cred.gid == gid)
		return true;
	/* The kernel tells how much room it takes. */
	for (size = 0; r == -ERANGE && !groups;) {
		groups = size ? malloc(size) : NULL;
		if (size && !groups)
			return false;
		r = getsockopt(client->source.fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0
			    ? -errno
			    : 0;
	}
	for (size_t i = 0; r == 0 && groups && i < size / sizeof(*groups); i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

/* sending */

static void outgoing_free(struct outgoing *out)
{
	for (size_t i = 0; i < out->n_fds; i++)
		(void)close(out->fds[i]);
	free(out->buf);
	free(out);
}

static void client_flush(struct client *client)
{
	while (client->out && !client->gone) {
		struct outgoing *out = client->out;
		int n = varlink_write(client->source.fd, out->buf + out->sent, out->len - out->sent,
				      out->fds, out->n_fds);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			client->gone = true;
			break;
		}
		for (size_t i = 0; i < out->n_fds; i++)
			(void)close(out->fds[i]);
		out->n_fds = 0;
		out->sent += (size_t)n;
		client->last = now_s();
		if (out->sent < out->len)
			continue;
		client->out = out->next;
		client->n_out--;
		outgoing_free(out);
	}
	if (client->out)
		return;
	client->out_end = &client->out;
	client->gone = client->gone || client->ending;
}

static void client_queue(struct client *client, json_t *message, const int *fds, size_t n_fds)
{
	struct outgoing *out = calloc(1, sizeof(*out));

	if (out) {
		out->buf = message ? varlink_pack(message, &out->len) : NULL;
		memcpy(out->fds, fds, n_fds * sizeof(*fds));
		out->n_fds = n_fds;
	} else {
		for (size_t i = 0; i < n_fds; i++)
			(void)close(fds[i]);
	}
	json_decref(message);
	if (!out || !out->buf) {
		if (out)
			outgoing_free(out);
		client->gone = true;
		return;
	}
	if (client->listens && !client->out)
		client->last = now_s(); /* it has been silent by right until now */
	*client->out_end = out;
	client->out_end = &out->next;
	client->n_out++;
	client_flush(client);
	/* Nobody may be in client_ready() for it. */
	if (client->out)
		(void)loop_modify(client->server->loop, &client->source, EPOLLOUT);
}

void client_reply(struct client *client, json_t *params, const int *fds, size_t n_fds)
{
	json_t *body = params ? params : json_object();

	if (n_fds)
		(void)json_object_set_new(body, "fds", json_integer((json_int_t)n_fds));
	client_queue(client, json_pack("{s:o}", "parameters", body),
		     n_fds ? fds : (const int[]){ -1 }, n_fds);
}

void client_error(struct client *client, const struct error *err, const char *trace)
{
	json_t *params = varlink_error_parameters(err);

	if (trace)
		(void)json_object_set_new(params, "trace", json_string(trace));
	client_queue(client, json_pack("{s:s, s:o}", "error", VARLINK_ERROR, "parameters", params),
		     (const int[]){ -1 }, 0);
}

void client_listen(struct client *client)
{
	client->listens = true;
}

bool client_event(struct client *client, json_t *params)
{
	struct error err = { 0 };

	if (client->gone || client->ending) {
		json_decref(params);
		return false;
	}
	if (client->n_out < CLIENT_EVENTS_MAX) {
		client_queue(client,
			     json_pack("{s:b, s:o}", "continues", true, "parameters", params),
			     (const int[]){ -1 }, 0);
		return !client->gone;
	}
	json_decref(params);
	(void)error_setc(&err, ERROR_AGAIN, -ENOBUFS,
			 "%u events wait to be read: no more are kept for this listener",
			 client->n_out);
	(void)error_remedy(&err, -ENOBUFS,
			   "listen again, and read faster; nvfs ls tells how it is now");
	log_info("a listener of uid %u does not read its events, disconnecting", client->peer.uid);
	client->ending = true;
	client_error(client, &err, NULL);
	return false;
}

void client_answer_in_pieces(struct client *client, client_piece *next, void *data)
{
	client->next_piece = next;
	client->pieces_data = data;
	client->piece_at = 0;
}

static void client_send_piece(struct client *client)
{
	bool last = true;
	json_t *piece = client->next_piece(client->pieces_data, client, &client->piece_at, &last);

	if (last)
		client->next_piece = NULL;
	client_queue(client, json_pack("{s:b, s:o}", "continues", !last, "parameters", piece),
		     (const int[]){ -1 }, 0);
}

/* receiving */

static void client_free(struct client *client)
{
	struct server *server = client->server;
	struct client **at = &server->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	server->n_clients--;
	server->handler.on_gone(server->handler.data, client);
	loop_remove(server->loop, &client->source);
	(void)close(client->source.fd);
	varlink_reader_done(&client->reader);
	while (client->out) {
		struct outgoing *next = client->out->next;

		outgoing_free(client->out);
		client->out = next;
	}
	free(client);
}

static void client_dispatch(struct client *client, struct varlink_message *message)
{
	const struct server_handler *handler = &client->server->handler;
	const char *method = varlink_string(message->json, "method", NULL);
	json_t *params = json_object_get(message->json, "parameters");
	struct error err = { 0 };

	if (!method || (params && !json_is_object(params))) {
		(void)error_setc(&err, ERROR_USAGE, -EBADMSG, "message is not a method call");
		client_error(client, &err, NULL);
		client->gone = true;
		return;
	}
	handler->on_call(handler->data, client, method, params, message);
}

/* One call after the other, and none while an answer waits to be read. */
static void client_process(struct client *client)
{
	struct varlink_message message = { 0 };
	struct error err = { 0 };
	int r = 0;

	while (!client->gone && !client->out && !client->listens && !client->next_piece) {
		r = varlink_reader_next(&client->reader, &message, &err);
		if (r <= 0)
			break;
		client_dispatch(client, &message);
		varlink_message_done(&message);
	}
	if (r < 0) {
		log_info("client of uid %u: %s, disconnecting", client->peer.uid, err.text);
		client_error(client, &err, NULL);
		client->gone = true;
	}
}

/* The last descriptors are for containers and for root. */
static bool is_scarce(int fd)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd + FDS_RESERVED >= limit.rlim_cur;
}

/* Descriptors of a message that does not end are held until it does: not the last ones. */
static bool takes_the_last(const struct client *client)
{
	const struct varlink_reader *reader = &client->reader;

	return reader->n_fds && is_scarce(reader->fds[reader->n_fds - 1]) &&
	       !peer_is_root(&client->peer, &client->server->self);
}

static void client_ready(struct loop_source *source, uint32_t events)
{
	struct client *client = (struct client *)source;

	if (events & EPOLLOUT)
		client_flush(client);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !client->out) {
		int n = varlink_reader_fill(&client->reader, source->fd);

		if (n > 0)
			client->last = now_s();
		else if (n != -EAGAIN)
			client->gone = true;
		client->gone = client->gone || takes_the_last(client);
	}
	if (client->next_piece && !client->out && !client->gone)
		client_send_piece(client);
	client_process(client);
	if (client->gone)
		client_free(client);
	else
		(void)loop_modify(client->server->loop, source,
				  client->out || client->next_piece ? EPOLLOUT : EPOLLIN);
}

/* accepting */

/*
 * The number is of who called connect(2), and may be another's by now: that of a process of root's, if
 * the connection waited long enough to be taken. Only before Linux 6.5 there is nothing but the number.
 */
static int peer_pidfd(int sock, pid_t pid)
{
	int fd = sys_peer_pidfd(sock);

	return fd == -ENOPROTOOPT && pid > 0 ? sys_pidfd_open(pid, 0) : fd;
}

bool peer_is_root(const struct peer *peer, const struct process *self)
{
	return peer->uid == 0 && peer->process.user_ns == self->user_ns &&
	       (peer->process.mnt_ns == self->mnt_ns || peer->could_enter);
}

/* What root's nvinject is asked for at every start of a container: is it in the namespaces that we are in? */
static bool is_beside_us(int pidfd, const struct peer *peer, const struct process *self,
			 struct process *ret)
{
	struct process process;

	if (peer->uid != 0 || process_namespaces(pidfd, peer->pid, &process) < 0)
		return false;
	if (process.mnt_ns != self->mnt_ns || process.user_ns != self->user_ns ||
	    process.pid_ns != self->pid_ns)
		return false;
	*ret = process;
	return true;
}

static void peer_read(int sock, const struct process *self, struct peer *ret)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(cred);
	auto_close int pidfd = -1;

	memset(ret, 0, sizeof(*ret));
	(void)getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &size);
	ret->uid = cred.uid;
	ret->pid = cred.pid;
	pidfd = peer_pidfd(sock, cred.pid);
	if (pidfd < 0 || is_beside_us(pidfd, ret, self, &ret->process) ||
	    process_from_pidfd(pidfd, &ret->process, NULL) < 0)
		return;
	if (ret->uid == 0 && ret->process.mnt_ns != self->mnt_ns)
		ret->could_enter = process_could_enter(&ret->process, self) &&
				   !process_pidfd_is_dead(pidfd);
}

/* Root of the host is always let in; root of a container is anybody. */
static bool may_connect(const struct server *server, const struct peer *peer, int sock)
{
	unsigned int n = 0;

	if (peer_is_root(peer, &server->self))
		return true;
	if (is_scarce(sock))
		return false;
	for (const struct client *c = server->clients; c; c = c->next)
		n += c->peer.uid == peer->uid;
	return n < CLIENTS_PER_UID && server->n_clients < CLIENTS_MAX;
}

static int client_add(struct server *server, int sock)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	peer_read(sock, &server->self, &client->peer);
	if (!may_connect(server, &client->peer, sock)) {
		free(client);
		return -EUSERS;
	}
	client->server = server;
	client->source = (struct loop_source){ .fd = sock, .on_ready = client_ready };
	client->reader.max = VARLINK_REQUEST_MAX;
	client->out_end = &client->out;
	client->last = now_s();
	r = loop_add(server->loop, &client->source, EPOLLIN);
	if (r < 0) {
		free(client);
		return r;
	}
	client->next = server->clients;
	server->clients = client;
	server->n_clients++;
	return 0;
}

static void server_ready(struct loop_source *source, uint32_t events)
{
	struct server *server = (struct server *)source;
	int sock = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (sock < 0 && (errno == EMFILE || errno == ENFILE)) {
		log_warning("out of descriptors, taking no connection for a while");
		server->paused = true;
		(void)loop_modify(server->loop, source, 0);
	}
	if (sock >= 0 && client_add(server, sock) < 0)
		(void)close(sock);
}

void server_expire(struct server *server)
{
	time_t limit = now_s() - SILENCE_S;

	for (struct client *client = server->clients, *next; client; client = next) {
		next = client->next;
		if (client->gone || (client->last < limit && !(client->listens && !client->out)))
			client_free(client);
	}
	if (server->paused) {
		server->paused = false;
		(void)loop_modify(server->loop, &server->source, EPOLLIN);
	}
}

/* listening */

static int make_directory(const char *path, struct error *err)
{
	auto_free char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return error_set(err, -errno, "make '%s'", dir);
	return 0;
}

/* A socket file without a listener is left from a daemon that died. */
static int replace_dead(const char *path, const struct sockaddr_un *addr, struct error *err)
{
	auto_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_setc(err, ERROR_USAGE, -EEXIST, "'%s' is there and not a socket",
				  path);
	if (connect(sock, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
	    errno != ECONNREFUSED)
		return error_setc(err, ERROR_OTHER, -EADDRINUSE, "another daemon listens on '%s'",
				  path);
	return unlink(path) < 0 ? error_set(err, -errno, "remove '%s'", path) : 0;
}

static int listen_on(const char *path, struct error *err)
{
	auto_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	if (sock < 0)
		return error_set(err, -errno, "socket");
	if (strlen(path) >= sizeof(addr.sun_path))
		return error_setc(err, ERROR_USAGE, -ENAMETOOLONG,
				  "socket path '%.80s' is too long", path);
	strcpy(addr.sun_path, path);
	r = make_directory(path, err);
	if (r == 0)
		r = replace_dead(path, &addr, err);
	if (r < 0)
		return r;
	if (bind(sock, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_set(err, -errno, "bind '%s'", addr.sun_path);
	/* Anybody may connect; SO_PEERCRED and policy decide what he may do. */
	if (chmod(path, 0666) < 0 || listen(sock, 128) < 0) {
		r = error_set(err, -errno, "listen on '%s'", addr.sun_path);
		(void)unlink(path);
		return r;
	}
	return take_fd(&sock);
}

int server_listen(const char *path, struct error *err)
{
	int r = listen_on(path, err);

	return r < 0 ? error_wrap(err, r, "control socket") : r;
}

int server_new(int listener, struct loop *loop, const struct server_handler *handler,
	       struct server **ret, struct error *err)
{
	struct server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return error_set(err, -ENOMEM, "open the control socket");
	server->loop = loop;
	server->handler = *handler;
	server->source = (struct loop_source){ .fd = listener, .on_ready = server_ready };
	r = process_self(&server->self, err);
	if (r == 0) {
		r = loop_add(loop, &server->source, EPOLLIN);
		if (r < 0)
			(void)error_set(err, r, "watch the control socket");
	}
	if (r < 0) {
		free(server);
		return r;
	}
	*ret = server;
	return 0;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	while (server->clients)
		client_free(server->clients);
	loop_remove(server->loop, &server->source);
	free(server);
}
