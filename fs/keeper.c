/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping a daemon alive. One loop over three descriptors: the child's pidfd,
 * the link to it, and signals. Everything that the child needs is inherited by
 * number; host files that a kernel without passthrough makes the daemon read
 * are given back over the link.
 */
#include "fs/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/config.h"
#include "fs/features.h"
#include "fs/link.h"
#include "fs/mountpoint.h"
#include "fs/notify.h"
#include "fs/sandbox.h"
#include "fs/server.h"

#define PING_MS 500
#define SILENCE_MS 2000
#define START_MS 60000  /* a daemon on its way up answers no ping */
#define QUICK_MS 1000   /* one that lived no longer died of itself */
#define QUICK_MAX 20    /* so often in a row, and we wait between two */
#define DYING_MS 500    /* a killed one that takes longer is held up in the kernel */
#define ENDING_MS 3000  /* one that has said that it is done likewise */
#define LEFT_MAX 64
#define ARGS_MAX 64
#define NICE (-10)

struct kept_file {
	uint32_t object;
	int fd;
};

struct keeper {
	char **argv; /* of `nvfs serve` */
	int fuse, state, listen, signals;
	int link, pidfd;
	pid_t pid;
	bool was_ready;  /* some daemon has been */
	bool done, failed;
	int status;      /* of the daemon that could not begin */
	int64_t started_ms, heard_ms, pinged_ms;
	int64_t dying_ms; /* since then it is on its way out; 0: it is not */
	pid_t left[LEFT_MAX]; /* daemons that were killed and have not ended yet */
	bool ready; /* the present one is */
	unsigned int quick_deaths;
	struct kept_file *files;
	size_t n_files;
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* the child */

static void fd_argument(char *buf, size_t size, int fd)
{
	(void)snprintf(buf, size, "%d", fd);
	(void)fcntl(fd, F_SETFD, 0); /* inherited */
}

static void exec_daemon(struct keeper *k, int link)
{
	char fuse[12], state[12], listener[12], linked[12];
	char *argv[ARGS_MAX + 8] = { (char[]){ "nvfs" }, (char[]){ "daemon" }, fuse, state, listener, linked,
				     k->was_ready ? (char[]){ KEEPER_GO_ON } : (char[]){ KEEPER_FIRST } };
	sigset_t none;

	fd_argument(fuse, sizeof(fuse), k->fuse);
	fd_argument(state, sizeof(state), k->state);
	fd_argument(listener, sizeof(listener), k->listen);
	fd_argument(linked, sizeof(linked), link);
	for (int i = 0; k->argv[i] && i < ARGS_MAX; i++)
		argv[7 + i] = k->argv[i];
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ctrl-C is for the keeper, which tells the daemon. */
	(void)setpgid(0, 0);
	(void)execv("/proc/self/exe", argv);
	log_error("execute '/proc/self/exe': %s", strerror(errno));
	_exit(ERROR_OTHER);
}

static int give_files_back(const struct keeper *k)
{
	int r = 0;

	for (size_t i = 0; i < k->n_files && r == 0; i++)
		r = link_send(k->link, LINK_FILE, k->files[i].object, k->files[i].fd);
	return r < 0 ? r : link_send(k->link, LINK_GO, 0, -1);
}

static int start_daemon(struct keeper *k, struct error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, -errno, "make a socket pair");
	k->pid = fork(); /* one thread, nothing locked */
	if (k->pid < 0) {
		(void)close(pair[0]);
		(void)close(pair[1]);
		return error_set(err, -errno, "start the daemon");
	}
	if (k->pid == 0)
		exec_daemon(k, pair[1]);
	(void)close(pair[1]);
	k->link = pair[0];
	k->pidfd = sys_pidfd_open(k->pid, 0);
	k->ready = false;
	k->started_ms = k->heard_ms = k->pinged_ms = now_ms();
	k->dying_ms = 0;
	(void)give_files_back(k); /* a daemon that is dead already is noticed by its pidfd */
	return 0;
}

/*
 * A killed process of which a thread waits for a filesystem that does not
 * answer is not gone, but no thread of it will ever run our code again: it can be
 * replaced, and taken in when it ends.
 */
static int leave_daemon(struct keeper *k)
{
	log_warning("the daemon (pid %d) is killed and does not end: a filesystem of the host does not answer, "
		    "going on without it", k->pid);
	for (size_t i = 0; i < LEFT_MAX; i++) {
		if (!k->left[i]) {
			k->left[i] = k->pid;
			break;
		}
	}
	return SIGKILL; /* what its status will say */
}

static void reap_left(struct keeper *k)
{
	for (size_t i = 0; i < LEFT_MAX; i++) {
		if (k->left[i] && waitpid(k->left[i], NULL, WNOHANG) != 0)
			k->left[i] = 0;
	}
}

static void reap_daemon(struct keeper *k)
{
	int status = 0;

	reap_left(k);
	if (waitpid(k->pid, &status, WNOHANG) == 0)
		status = leave_daemon(k);
	if (!k->was_ready && !k->done) {
		k->failed = true;
		k->status = WIFEXITED(status) ? WEXITSTATUS(status) : ERROR_OTHER;
	} else if (!k->done) {
		log_warning("the daemon (pid %d) %s %d, starting another one", k->pid,
			    WIFSIGNALED(status) ? "was killed by signal" : "exited with status",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	cleanup_close(&k->link);
	cleanup_close(&k->pidfd);
	k->link = k->pidfd = -1;
}

/* One that dies at once, again and again, must not eat the machine. */
static void wait_after_quick_deaths(struct keeper *k)
{
	struct timespec pause = { .tv_nsec = 200 * 1000000L };

	k->quick_deaths = now_ms() - k->started_ms < QUICK_MS ? k->quick_deaths + 1 : 0;
	if (k->quick_deaths > QUICK_MAX)
		(void)nanosleep(&pause, NULL);
}

/* events */

static int keep_file(struct keeper *k, const struct link_message *message)
{
	struct kept_file *bigger = realloc(k->files, (k->n_files + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	k->files = bigger;
	k->files[k->n_files++] = (struct kept_file){ .object = message->object, .fd = message->fd };
	return 0;
}

static void drop_file(struct keeper *k, uint32_t object)
{
	for (size_t i = 0; i < k->n_files; i++) {
		if (k->files[i].object != object)
			continue;
		cleanup_close(&k->files[i].fd);
		k->files[i] = k->files[--k->n_files];
		return;
	}
}

static void on_message(struct keeper *k, const struct link_message *message)
{
	k->heard_ms = now_ms();
	switch (message->type) {
	case LINK_READY:
		k->ready = k->was_ready = true;
		notify_systemd("READY=1");
		return;
	case LINK_DONE:
		k->done = true;
		k->dying_ms = now_ms();
		k->status = (int)message->object;
		notify_systemd("STOPPING=1");
		return;
	case LINK_DROP:
		drop_file(k, message->object);
		break;
	case LINK_FILE:
		if (message->fd >= 0 && keep_file(k, message) == 0)
			return;
		break;
	default:
		break;
	}
	if (message->fd >= 0)
		(void)close(message->fd);
}

static void on_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGCHLD)
		(void)sys_pidfd_send_signal(k->pidfd, SIGTERM);
}

/* A daemon that is stopped or stuck is as bad as a dead one, and worse to look at. */
static void check_silence(struct keeper *k)
{
	int64_t now = now_ms(), limit = k->ready ? SILENCE_MS : START_MS;

	if (now - k->heard_ms > limit) {
		log_warning("the daemon (pid %d) has been silent for %lld ms, replacing it", k->pid,
			    (long long)(now - k->heard_ms));
		(void)sys_pidfd_send_signal(k->pidfd, SIGKILL);
		k->heard_ms = now;
		k->dying_ms = k->dying_ms ? k->dying_ms : now;
	}
	if (k->ready && now - k->pinged_ms >= PING_MS) {
		k->pinged_ms = now;
		(void)link_send(k->link, LINK_PING, 0, -1);
	}
}

/* Its end of the link is gone, or it was killed by us: that should not take long. */
static bool is_held_up(struct keeper *k)
{
	int64_t since_ms = k->dying_ms ? now_ms() - k->dying_ms : 0;

	if (since_ms < (k->done ? ENDING_MS : DYING_MS))
		return false;
	(void)sys_pidfd_send_signal(k->pidfd, SIGKILL); /* not by us, if it has closed the link itself */
	return since_ms >= (k->done ? ENDING_MS : DYING_MS) + DYING_MS;
}

/* Until the present daemon is gone, or as good as gone. */
static void watch_daemon(struct keeper *k)
{
	struct pollfd fds[3] = { { .fd = k->pidfd, .events = POLLIN },
				 { .fd = k->link, .events = POLLIN },
				 { .fd = k->signals, .events = POLLIN } };
	struct link_message message;

	for (;;) {
		if (poll(fds, 3, PING_MS / 2) < 0 && errno != EINTR)
			return;
		if (fds[2].revents)
			on_signal(k);
		if (fds[1].revents) {
			if (link_receive(k->link, &message) > 0) {
				on_message(k, &message);
			} else {
				fds[1].fd = -1; /* its pidfd will tell */
				k->dying_ms = k->dying_ms ? k->dying_ms : now_ms();
			}
			continue; /* take what it said before its death */
		}
		if (fds[0].revents || is_held_up(k))
			return;
		check_silence(k);
		sandbox_report();
	}
}

/* up and down */

static int open_all(struct keeper *k, const struct config *config, struct error *err)
{
	sigset_t signals;
	int r = features_require(err);

	if (r == 0)
		r = mountpoint_prepare(config->mountpoint, err);
	if (r < 0)
		return r;
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	k->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	k->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (k->fuse < 0) {
		r = error_set(err, -errno, "open '/dev/fuse'");
		return error_remedy(err, error_classify(err, r, ERROR_MOUNT), "modprobe fuse");
	}
	k->state = memfd_create("nvfs-state", MFD_CLOEXEC);
	if (k->state < 0 || k->signals < 0)
		return error_set(err, -errno, "make the state");
	k->listen = server_listen(config->socket, err);
	return k->listen < 0 ? k->listen : 0;
}

static void close_all(struct keeper *k, const struct config *config)
{
	if (k->listen >= 0)
		(void)unlink(config->socket);
	cleanup_close(&k->listen);
	cleanup_close(&k->fuse);
	cleanup_close(&k->state);
	cleanup_close(&k->signals);
	for (size_t i = 0; i < k->n_files; i++)
		cleanup_close(&k->files[i].fd);
	free(k->files);
}

/* Who waits for us may be anybody on this machine, and a busy one must not keep a new daemon from it. */
static void go_first(void)
{
	if (setpriority(PRIO_PROCESS, 0, NICE) < 0)
		log_info("nice %d: %s, ignoring", NICE, strerror(errno));
}

int keeper_run(const struct config *config, char **argv, struct error *err)
{
	struct keeper k = { .argv = argv, .fuse = -1, .state = -1, .listen = -1, .signals = -1,
			    .link = -1, .pidfd = -1 };
	int r = open_all(&k, config, err);

	if (r == 0)
		go_first();
	r = r ? r : sandbox_limit(SANDBOX_KEEPER, err);
	r = r ? r : sandbox_filter(SANDBOX_KEEPER, err);
	while (r == 0 && !k.done && !k.failed) {
		r = start_daemon(&k, err);
		if (r < 0)
			break;
		watch_daemon(&k);
		reap_daemon(&k);
		wait_after_quick_deaths(&k);
	}
	close_all(&k, config);
	if (r == 0 && k.status)
		r = error_setc(err, (enum error_class)k.status, -ECANCELED, "the daemon failed");
	return r;
}

int keeper_fds_parse(char **argv, struct keeper_fds *ret)
{
	int *fds[] = { &ret->fuse, &ret->state, &ret->listen, &ret->link };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		uint64_t number;

		if (!argv[i] || parse_u64(argv[i], 65535, &number) < 0)
			return -EINVAL;
		*fds[i] = (int)number;
		(void)fcntl(*fds[i], F_SETFD, FD_CLOEXEC);
	}
	if (!argv[4] || (strcmp(argv[4], KEEPER_FIRST) != 0 && strcmp(argv[4], KEEPER_GO_ON) != 0))
		return -EINVAL;
	ret->go_on = strcmp(argv[4], KEEPER_GO_ON) == 0;
	return 0;
}
