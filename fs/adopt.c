/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors from those who hold them: a daemon without a keeper, or systemd. */
#include "fs/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/notify.h"
#include "fs/process.h"
#include "fs/statefile.h"
#include "fs/store.h"

#define END_MS 5000    /* that SIGKILL may take */
#define FD_FIRST 3     /* SD_LISTEN_FDS_START */
#define FDS_MAX 64
#define FUSE_MAJOR 10  /* /dev/fuse: admin-guide/devices.txt */
#define FUSE_MINOR 229

static const struct adopted nothing = { .fuse = -1, .state = -1, .listen = -1 };

static void adopted_close(struct adopted *fds)
{
	cleanup_close(&fds->fuse);
	cleanup_close(&fds->state);
	cleanup_close(&fds->listen);
	*fds = nothing;
}

static bool is_alive(pid_t pid, uint64_t start_time)
{
	struct process process;

	return pid > 0 && process_from_pid(pid, &process, NULL) == 0 &&
	       process.start_time == start_time;
}

/* The daemon that the state names, if it lives; -1 if not. */
static int open_server(const struct store_server *server)
{
	auto_close int pidfd = server->pid > 0 ? sys_pidfd_open(server->pid, 0) : -1;

	return pidfd >= 0 && is_alive(server->pid, server->start_time) ? take_fd(&pidfd) : -1;
}

static int end_server(int pidfd, pid_t pid, struct error *err)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	if (poll(&end, 1, END_MS) == 1)
		return 0;
	return error_setc(err, ERROR_OTHER, -EBUSY, "the daemon before (pid %d) does not end", pid);
}

static bool is_fuse(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(FUSE_MAJOR, FUSE_MINOR);
}

/* fuse_dev_poll(): an error where the connection has ended */
static bool is_connected(int fuse)
{
	struct pollfd p = { .fd = fuse, .events = POLLIN };

	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

static bool is_listening(int fd)
{
	int on = 0;
	socklen_t size = sizeof(on);

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
}

static bool is_usable(const struct adopted *fds)
{
	return is_fuse(fds->fuse) && is_connected(fds->fuse) && is_listening(fds->listen) &&
	       fds->state >= 0 && store_check(fds->state, NULL) == 0;
}

/* from a daemon */

static int take_from(int pidfd, const struct store_server *server, struct adopted *ret,
		     struct error *err)
{
	struct adopted fds = nothing;
	int r;

	r = fds.fuse = sys_pidfd_getfd(pidfd, server->fuse_fd, 0);
	if (r >= 0)
		r = fds.state = sys_pidfd_getfd(pidfd, server->state_fd, 0);
	if (r >= 0)
		r = fds.listen = sys_pidfd_getfd(pidfd, server->listen_fd, 0);
	if (r >= 0 && !is_usable(&fds))
		r = -EBADF;
	if (r < 0) {
		adopted_close(&fds);
		(void)error_set(err, r, "take over from daemon %d, which has lost its keeper",
				server->pid);
		return error_remedy(err, r, "kill -9 %d: then nvfs serve puts the trees back",
				    server->pid);
	}
	*ret = fds;
	return 0;
}

int adopt_orphan(const char *socket, struct adopted *ret, struct error *err)
{
	struct store_server server;
	auto_close int state = statefile_look(socket), pidfd = -1;
	int r;

	*ret = nothing;
	if (state < 0 || store_check(state, NULL) < 0 || store_read_server(state, &server) < 0 ||
	    is_alive(server.keeper_pid, server.keeper_start))
		return 0;
	pidfd = open_server(&server);
	if (pidfd < 0)
		return 0;
	r = take_from(pidfd, &server, ret, err);
	if (r == 0)
		r = end_server(pidfd, server.pid, err);
	if (r < 0) {
		adopted_close(ret);
		return r;
	}
	log_info("taking over from daemon %d, which has lost its keeper", server.pid);
	return 1;
}

/* from systemd */

static const char *const names[] = { "nvfs-fuse", "nvfs-state", "nvfs-listen" };

static int *place_of(struct adopted *fds, size_t i)
{
	int *const places[] = { &fds->fuse, &fds->state, &fds->listen };

	return places[i];
}

static void take_stored(struct adopted *fds, int fd, const char *name, size_t len)
{
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0 &&
		    *place_of(fds, i) < 0) {
			*place_of(fds, i) = fd;
			return;
		}
	}
	(void)close(fd);
}

/* sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, and LISTEN_FDNAMES with colons between */
static void collect_stored(struct adopted *fds)
{
	const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS"),
		   *name = getenv("LISTEN_FDNAMES");
	uint64_t owner, n;

	if (!pid || !number || !name || parse_u64(pid, INT32_MAX, &owner) < 0 ||
	    owner != (uint64_t)getpid() || parse_u64(number, FDS_MAX, &n) < 0)
		return;
	for (int i = 0; i < (int)n; i++) {
		size_t len = strcspn(name, ":");

		take_stored(fds, FD_FIRST + i, name, len);
		name += len + (name[len] == ':');
	}
}

static int end_stored_server(const struct adopted *fds, struct error *err)
{
	struct store_server server;
	auto_close int pidfd = -1;

	if (store_read_server(fds->state, &server) < 0)
		return 0;
	pidfd = open_server(&server);
	return pidfd < 0 ? 0 : end_server(pidfd, server.pid, err);
}

/* A state that only the program which wrote it can read: whoever opens its file waits in vain for its lock. */
static int check_layout(const struct adopted *fds, struct error *err)
{
	struct error why = { 0 };
	int r = fds->state < 0 ? 0 : store_check(fds->state, &why);

	if (r != -EPROTO)
		return 0;
	(void)error_setc(err, why.class, r, "what systemd has kept: %s", why.text);
	return error_remedy(err, r, "start the nvfs that wrote it; or systemctl stop nvfs, remove the "
				    "state, and restart containers");
}

int adopt_stored(struct adopted *ret, struct error *err)
{
	struct adopted fds = nothing;
	int r;

	collect_stored(&fds);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	r = check_layout(&fds, err);
	if (r == 0 && is_usable(&fds))
		r = end_stored_server(&fds, err) < 0 ? -EBUSY : 1;
	if (r <= 0)
		adopted_close(&fds);
	*ret = fds;
	if (r > 0)
		log_info("going on with what systemd has kept");
	return r;
}

void adopt_store(const struct adopted *fds)
{
	struct adopted copy = *fds;
	char text[80];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		/* FDPOLL=0: a connection that waits for us is no reason to close it */
		(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", names[i]);
		notify_systemd_fd(text, *place_of(&copy, i));
	}
}

void adopt_unstore(void)
{
	char text[80];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", names[i]);
		notify_systemd(text);
	}
}
