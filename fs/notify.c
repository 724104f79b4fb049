/* SPDX-License-Identifier: Apache-2.0 */
/* The notification protocol of sd_notify(3). */
#include "fs/notify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/parse.h"
#include "fs/rights.h"

bool notify_is_there(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && *path;
}

void notify_systemd(const char *state)
{
	notify_systemd_fd(state, -1);
}

void notify_systemd_fd(const char *state, int fd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)state, .iov_len = strlen(state) };
	union rights rights;
	struct msghdr msg = { .msg_name = &addr, .msg_iov = &iov, .msg_iovlen = 1 };
	auto_close int sock = -1;
	size_t len = path ? strlen(path) : 0;

	if (!len || len >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(addr.sun_path, path, len);
	if (addr.sun_path[0] == '@') /* the abstract namespace, unix(7) */
		addr.sun_path[0] = '\0';
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	rights_put(&msg, &rights, fd);
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock >= 0)
		(void)sendmsg(sock, &msg, MSG_NOSIGNAL);
}

int64_t notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *whose = getenv("WATCHDOG_PID");
	uint64_t interval, pid;

	if (!usec || parse_u64(usec, INT64_MAX, &interval) < 0)
		return 0;
	if (whose && (parse_u64(whose, INT32_MAX, &pid) < 0 || (pid_t)pid != getpid()))
		return 0;
	return (int64_t)(interval / 1000);
}
