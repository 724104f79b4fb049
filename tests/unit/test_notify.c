/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* A service manager's socket at this path; '@' is the abstract namespace. */
static int manager(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0';
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
	return sock;
}

static void check_told(int sock, const char *text)
{
	char buf[64] = "";

	ck_assert_int_eq(recv(sock, buf, sizeof(buf) - 1, 0), (ssize_t)strlen(text));
	ck_assert_str_eq(buf, text);
	(void)close(sock);
}

START_TEST(a_state_is_one_datagram)
{
	char root[64], path[512];
	int sock;

	scratch_new(root);
	scratch_path(path, root, "notify");
	sock = manager(path);
	notify_systemd("READY=1");
	check_told(sock, "READY=1");
	scratch_remove(root);
}
END_TEST

START_TEST(the_abstract_namespace_is_understood)
{
	char path[64];
	int sock;

	(void)snprintf(path, sizeof(path), "@nvfs-unit-%d", getpid());
	sock = manager(path);
	notify_systemd("READY=1\nSTATUS=x");
	check_told(sock, "READY=1\nSTATUS=x");
}
END_TEST

START_TEST(nobody_to_tell_is_no_error)
{
	char path[200];

	(void)unsetenv("NOTIFY_SOCKET");
	notify_systemd("READY=1");
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	for (const char *const *p =
		     (const char *const[]){ "", "relative", "/nowhere/at/all", path, NULL };
	     *p; p++) {
		ck_assert_int_eq(setenv("NOTIFY_SOCKET", *p, 1), 0);
		notify_systemd("READY=1");
	}
}
END_TEST

static int64_t watchdog(const char *usec, const char *pid)
{
	ck_assert_int_eq(usec ? setenv("WATCHDOG_USEC", usec, 1) : unsetenv("WATCHDOG_USEC"), 0);
	ck_assert_int_eq(pid ? setenv("WATCHDOG_PID", pid, 1) : unsetenv("WATCHDOG_PID"), 0);
	return notify_watchdog_ms();
}

START_TEST(a_watchdog_is_ours_or_anothers)
{
	char own[16];

	(void)snprintf(own, sizeof(own), "%d", getpid());
	ck_assert_int_eq(watchdog("30000000", own), 30000);
	ck_assert_int_eq(watchdog("30000000", NULL), 30000);
	ck_assert_int_eq(watchdog("30000000", "1"), 0);
	ck_assert_int_eq(watchdog("30000000", "x"), 0);
	ck_assert_int_eq(watchdog(NULL, own), 0);
	ck_assert_int_eq(watchdog("soon", own), 0);
	ck_assert_int_eq(watchdog("-1", own), 0);
	ck_assert_int_eq(watchdog("0", own), 0);
}
END_TEST

UNIT_MAIN("notify", a_watchdog_is_ours_or_anothers, a_state_is_one_datagram,
	  the_abstract_namespace_is_understood, nobody_to_tell_is_no_error)
