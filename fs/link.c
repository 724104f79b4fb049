/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between keeper and daemon: see link.h. */
#include "fs/link.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/rights.h"

struct wire {
	uint32_t type, object;
};

static bool can_wait(enum link_type type)
{
	return type != LINK_PING && type != LINK_PONG && type != LINK_CLOSE;
}

int link_send(int sock, enum link_type type, uint32_t object, int fd)
{
	struct wire wire = { .type = type, .object = object };
	struct iovec iov = { .iov_base = &wire, .iov_len = sizeof(wire) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union rights rights;
	ssize_t n;

	rights_put(&msg, &rights, fd);
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | (can_wait(type) ? 0 : MSG_DONTWAIT));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int link_receive(int sock, struct link_message *ret)
{
	struct wire wire;
	struct iovec iov = { .iov_base = &wire, .iov_len = sizeof(wire) };
	union rights rights;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = rights.buf,
			      .msg_controllen = sizeof(rights.buf) };
	struct cmsghdr *c;
	ssize_t n;

	/* The other end may be gone, and has not read our last word: once told, its own comes. unix(7) */
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n <= 0)
		return n < 0 ? -errno : 0;
	ret->fd = -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&ret->fd, CMSG_DATA(c), sizeof(ret->fd));
	if (n != sizeof(wire) || msg.msg_flags & MSG_TRUNC) {
		if (ret->fd >= 0)
			(void)close(ret->fd);
		return -EBADMSG;
	}
	ret->type = wire.type;
	ret->object = wire.object;
	return 1;
}
