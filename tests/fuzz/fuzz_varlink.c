/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stranger at the control socket: the real server, over a real socket, with a
 * handler that reads each call as io.nvfs.Inject would. However the bytes are
 * cut and whatever descriptors come along: each call is answered once, what a
 * claim says is within its bounds, and no descriptor stays.
 *
 * Input: how many descriptors (bits 0-1 of the first byte) go with which piece
 * (bits 2-3), the length of a piece, then the bytes on the wire.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "fs/claim.h"
#include "fs/loop.h"
#include "fs/server.h"
#include "nvml/driver_cap.h"
#include "tests/fuzz/fuzz.h"

#define PIECES_MAX 64

static struct {
	struct loop *loop;
	int listener;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int fds[3]; /* a pidfd, a sealed memfd, a device */
} world;

static void check_claim(const struct claim *claim, const struct varlink_message *message)
{
	require(claim->name[0] && claim->name[0] != '.' && !strchr(claim->name, '/'));
	require(strcmp(claim->name, "host") && strncmp(claim->name, "by-", 3));
	require(claim_target_is_valid(claim->target));
	require((claim->caps & ~DRIVER_CAP_ALL) == 0 && claim->process.pid > 0);
	require(claim->pidfd >= 0 ? message->n_fds > 0 : claim->standalone);
}

static json_t *no_fds(json_t *params)
{
	json_t *copy = json_copy(params);

	(void)json_object_del(copy, "fds");
	return copy;
}

static void on_call(void *data, struct client *client, const char *method, json_t *params,
		    struct varlink_message *message)
{
	struct claim claim;
	struct error err = { 0 };
	int r = claim_parse(params, message, client_peer(client), &claim, &err);

	(void)data;
	require(method && (!params || json_is_object(params)));
	require((size_t)json_integer_value(json_object_get(params, "fds")) == message->n_fds);
	require(r == 0 || err.text[0]);
	if (r == 0)
		check_claim(&claim, message);
	if (r < 0)
		client_error(client, &err, "abc123");
	else
		client_reply(client, no_fds(params), NULL, 0);
}

static void on_gone(void *data, struct client *client)
{
	(void)data;
	(void)client;
}

/* Our end: what is answered is read and dropped, until the server has closed. */
static void on_reply(struct loop_source *source, uint32_t events)
{
	char buf[4096];
	ssize_t n = read(source->fd, buf, sizeof(buf));

	(void)events;
	if (n == 0 || (n < 0 && errno != EAGAIN))
		loop_stop(world.loop);
}

static void set_up(void)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	log_open("fuzz", LOG_LEVEL_ERROR);
	world.addr.sun_family = AF_UNIX;
	require(bind(listener, (struct sockaddr *)&world.addr, sizeof(sa_family_t)) == 0); /* autobind */
	world.addr_len = sizeof(world.addr);
	require(getsockname(listener, (struct sockaddr *)&world.addr, &world.addr_len) == 0);
	require(listen(listener, 1) == 0);
	world.listener = listener;
	world.fds[0] = sys_pidfd_open(getpid(), 0);
	world.fds[1] = file_memfd("cache", "not a cache", 11);
	world.fds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	require(world.fds[0] >= 0 && world.fds[1] >= 0 && world.fds[2] >= 0);
}

static void send_pieces(int sock, const uint8_t *data, size_t size, size_t n_fds, size_t with,
			size_t piece)
{
	size_t least = size / PIECES_MAX + 1;

	piece = piece < least ? least : piece;
	for (size_t at = 0, i = 0; at < size; at += piece, i++) {
		size_t len = piece < size - at ? piece : size - at;
		int n = varlink_write(sock, (const char *)data + at, len, world.fds,
				      i == with ? n_fds : 0);

		require(n == (int)len);
	}
}

/* Serve until the client has seen the end of its connection. */
static void serve(int sock)
{
	static const struct server_handler handler = { .on_call = on_call, .on_gone = on_gone };
	struct loop_source end = { .fd = sock, .on_ready = on_reply };
	struct server *server;

	require(loop_new(&world.loop, NULL) == 0);
	require(server_new(world.listener, world.loop, &handler, &server, NULL) == 0);
	require(loop_add(world.loop, &end, EPOLLIN) == 0);
	require(loop_run(world.loop, NULL) == 0);
	server_free(server);
	loop_free(world.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int sock, before;

	if (!world.addr_len)
		set_up();
	if (size < 2 || size > 65536)
		return 0;
	before = fuzz_lowest_fd();
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(connect(sock, (struct sockaddr *)&world.addr, world.addr_len) == 0);
	send_pieces(sock, data + 2, size - 2, data[0] & 3, data[0] >> 2 & 3, data[1]);
	require(shutdown(sock, SHUT_WR) == 0 && fcntl(sock, F_SETFL, O_NONBLOCK) == 0);
	serve(sock);
	(void)close(sock);
	require(fuzz_lowest_fd() == before);
	return 0;
}
