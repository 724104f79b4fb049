/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping a daemon alive. One loop over a few descriptors: the child's pidfd,
 * the link to it, signals, and the same of a successor. Host files that a kernel
 * without passthrough makes the daemon read are given back over the link.
 */
#include "fs/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/sys.h"
#include "fs/adopt.h"
#include "fs/features.h"
#include "fs/keeper_impl.h"
#include "fs/notify.h"
#include "fs/sandbox.h"

#define PING_MS 500
#define SILENCE_MS 2000 /* since it was last heard, and half of it since it was asked in vain */
#define STARVED_MS 1000 /* we had no turn for so long: nor had it, perhaps */
#define BUSY_MS 10000   /* of silence, for one that computes: a long list on a slow machine */
#define BUSY_SHARE 4    /* of a processor's time, one part at least */
#define START_MS 60000  /* a daemon on its way up answers no ping */
#define QUICK_MS 1000   /* one that lived no longer died of itself */
#define QUICK_MAX 20    /* so often in a row, and we wait between two */
#define DYING_MS 500    /* a killed one that takes longer is held up in the kernel */
#define ENDING_MS 3000  /* one that has said that it is done likewise */
#define NICE (-10)

/* the child */

static const char *mode_of(const struct keeper *k)
{
	if (k->was_ready)
		return KEEPER_GO_ON;
	return k->left ? KEEPER_RECOVER : KEEPER_FIRST;
}

static void watch_begins(struct keeper *k, bool ready)
{
	k->ready = ready;
	k->heard_ms = k->pinged_ms = k->turn_ms = clock_ms();
	k->dying_ms = k->asked_ms = 0;
}

static int start_daemon(struct keeper *k, struct error *err)
{
	int r = keeper_child_start(k, k->program, mode_of(k), &k->daemon, err);

	if (r < 0)
		return r;
	watch_begins(k, false);
	(void)keeper_give_files(k, k->daemon.link); /* one that is dead already is noticed by its pidfd */
	return 0;
}

/* Daemons that did not end when they were killed, and have by now. */
static void reap_left(const struct keeper *k)
{
	siginfo_t info = { 0 };

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid &&
	       info.si_pid != k->daemon.pid && info.si_pid != k->successor.pid) {
		(void)waitpid(info.si_pid, NULL, WNOHANG);
		info.si_pid = 0;
	}
}

static void reap_daemon(struct keeper *k)
{
	pid_t pid = k->daemon.pid;
	int64_t lived_ms = clock_ms() - k->daemon.started_ms;
	int status = keeper_child_reap(&k->daemon);

	reap_left(k);
	k->quick_deaths = lived_ms < QUICK_MS ? k->quick_deaths + 1 : 0;
	if (handover_finish(k)) {
		watch_begins(k, false);
		return;
	}
	if (!k->was_ready && !k->done) {
		k->failed = true;
		k->status = WIFEXITED(status) ? WEXITSTATUS(status) : ERROR_OTHER;
	}
	if (!k->done && (k->was_ready || WIFSIGNALED(status)))
		log_warning("the daemon (pid %d) %s %d, %s", pid,
			    WIFSIGNALED(status) ? "was killed by signal" : "exited with status",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
			    k->was_ready ? "starting another one" : "before it served anything");
}

/* One that dies at once, again and again, must not eat the machine, nor keep it from stopping. */
static void wait_after_quick_deaths(struct keeper *k)
{
	struct timespec pause = { .tv_nsec = 200 * 1000000L };

	if (k->quick_deaths <= QUICK_MAX)
		return;
	if (k->stopping) {
		log_error("no daemon lives long enough to stop, cutting containers off");
		k->failed = true;
		k->status = ERROR_OTHER;
	}
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

/* The daemon has closed its own, and is to be the last one again: that may take long. */
static void drop_file(struct keeper *k, uint32_t object)
{
	for (size_t i = 0; i < k->n_files; i++) {
		if (k->files[i].object != object)
			continue;
		(void)link_send(k->daemon.link, LINK_CLOSE, object, k->files[i].fd);
		cleanup_close(&k->files[i].fd);
		k->files[i] = k->files[--k->n_files];
		return;
	}
}

static void tell_to_stop(const struct keeper *k)
{
	(void)sys_pidfd_send_signal(k->daemon.pidfd, SIGTERM);
}

static void on_ready(struct keeper *k)
{
	k->ready = k->was_ready = true;
	adopt_store(&(struct adopted){ .fuse = k->fuse, .state = k->state, .listen = k->listen });
	notify_systemd("READY=1");
	if (k->stopping)
		tell_to_stop(k); /* the one that was told first has died of it, or was stuck */
	if (k->renewed)
		keeper_become(k);
}

static void on_message(struct keeper *k, const struct link_message *message)
{
	k->heard_ms = clock_ms();
	k->asked_ms = 0;
	switch (message->type) {
	case LINK_READY:
		on_ready(k);
		break;
	case LINK_DONE:
		k->done = true;
		k->dying_ms = clock_ms();
		k->status = (int)message->object;
		notify_systemd("STOPPING=1");
		break;
	case LINK_BUSY:
		/* A service manager would wait, and then kill: it starts us again, or never. */
		k->leave = k->stopping && notify_is_there();
		break;
	case LINK_HANDOVER:
		handover_begin(k);
		break;
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

	if (read(k->signals, &info, sizeof(info)) != sizeof(info))
		return;
	k->stopping = true;
	tell_to_stop(k);
}

/* Of all its threads; 0 where that cannot be found out. */
static int64_t cpu_ms_of(pid_t pid)
{
	/* As clock_getcpuclockid(3), which makes one call more: MAKE_PROCESS_CPUCLOCK() of linux/posix-timers.h. */
	const clockid_t clock = (clockid_t)(~(unsigned int)pid << 3 | 2);
	struct timespec used = { 0 };

	if (clock_gettime(clock, &used) < 0)
		return 0;
	return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* One that is stopped, or waits for what does not come, uses no processor. */
static bool is_busy(const struct keeper *k, int64_t now)
{
	return now - k->heard_ms < BUSY_MS &&
	       (cpu_ms_of(k->daemon.pid) - k->asked_cpu_ms) * BUSY_SHARE > now - k->asked_ms;
}

static void begin_asking(struct keeper *k, int64_t now)
{
	k->asked_ms = now;
	k->asked_cpu_ms = cpu_ms_of(k->daemon.pid);
}

static void ask(struct keeper *k, int64_t now)
{
	k->pinged_ms = now;
	if (!k->asked_ms)
		begin_asking(k, now);
	(void)link_send(k->daemon.link, LINK_PING, 0, -1);
}

/*
 * A daemon that is serving is silent only if it was asked. After a time in which we did not run
 * ourselves, on a machine that stood still or had no time for us, it gets its time once more.
 */
static bool is_silent(struct keeper *k, int64_t now)
{
	bool starved = now - k->turn_ms > STARVED_MS;

	k->turn_ms = now;
	if (!k->ready || k->done)
		return now - k->heard_ms > (k->ready ? SILENCE_MS : START_MS);
	if (starved && k->asked_ms)
		begin_asking(k, now);
	return k->asked_ms && now - k->heard_ms > SILENCE_MS && now - k->asked_ms > SILENCE_MS / 2 &&
	       !is_busy(k, now);
}

/* A daemon that is stopped or stuck is as bad as a dead one, and worse to look at. */
static void check_silence(struct keeper *k)
{
	int64_t now = clock_ms();

	if (is_silent(k, now)) {
		log_warning("the daemon (pid %d) has been silent for %lld ms, %s it", k->daemon.pid,
			    (long long)(now - k->heard_ms), k->done ? "ending" : "replacing");
		(void)sys_pidfd_send_signal(k->daemon.pidfd, SIGKILL);
		k->heard_ms = now;
		k->dying_ms = k->dying_ms ? k->dying_ms : now;
	}
	if (k->ready && !k->done && now - k->pinged_ms >= PING_MS)
		ask(k, now);
}

/*
 * systemd's watchdog: a keeper that has no turn, or whose daemons die one after the other, is killed, and a new
 * one goes on with what it has left. A daemon that hangs or comes up slowly is the keeper's business alone.
 */
static void feed_watchdog(struct keeper *k)
{
	int64_t now = clock_ms();

	if (!k->watchdog_ms || now - k->fed_ms < k->watchdog_ms / 2 || k->quick_deaths > QUICK_MAX)
		return;
	k->fed_ms = now;
	notify_systemd("WATCHDOG=1");
}

/* Its end of the link is gone, or it was killed by us: that should not take long. */
static bool is_held_up(struct keeper *k)
{
	int64_t since_ms = k->dying_ms ? clock_ms() - k->dying_ms : 0;

	if (since_ms < (k->done ? ENDING_MS : DYING_MS))
		return false;
	(void)sys_pidfd_send_signal(k->daemon.pidfd, SIGKILL); /* not by us, if it has closed the link itself */
	return since_ms >= (k->done ? ENDING_MS : DYING_MS) + DYING_MS;
}

static void on_successor(struct keeper *k)
{
	struct link_message message = { .fd = -1 };
	int r = link_receive(k->successor.link, &message);

	handover_message(k, &message, r);
}

/* Until the present daemon is gone, or as good as gone. */
static void watch_daemon(struct keeper *k)
{
	bool deaf = false; /* nothing more comes over its link: its pidfd will tell */
	struct link_message message;

	for (;;) {
		struct pollfd fds[] = { { .fd = k->daemon.pidfd, .events = POLLIN },
					{ .fd = deaf ? -1 : k->daemon.link, .events = POLLIN },
					{ .fd = k->signals, .events = POLLIN },
					{ .fd = k->successor.link, .events = POLLIN } };

		if (poll(fds, ARRAY_SIZE(fds), PING_MS / 2) < 0 && errno != EINTR)
			return;
		feed_watchdog(k);
		if (fds[2].revents)
			on_signal(k);
		if (fds[3].revents)
			on_successor(k);
		if (fds[1].revents) {
			deaf = link_receive(k->daemon.link, &message) <= 0;
			if (!deaf)
				on_message(k, &message);
			else
				k->dying_ms = k->dying_ms ? k->dying_ms : clock_ms();
			if (k->leave)
				return;
			continue; /* take what it said before its death */
		}
		if (fds[0].revents || is_held_up(k))
			return;
		check_silence(k);
		handover_check(k);
		sandbox_report();
	}
}

static int keep(struct keeper *k, struct error *err)
{
	int r = 0;

	k->watchdog_ms = notify_watchdog_ms();
	while (r == 0 && !k->done && !k->failed) {
		if (!k->daemon.pid)
			r = start_daemon(k, err);
		if (r < 0)
			break;
		watch_daemon(k);
		if (k->leave)
			break;
		reap_daemon(k);
		wait_after_quick_deaths(k);
	}
	keeper_close(k);
	if (r == 0 && k->status)
		r = error_setc(err, (enum error_class)k->status, -ECANCELED, "the daemon failed");
	return r;
}

#define KEEPER_EMPTY                                                                        \
	{ .fuse = -1, .state = -1, .listen = -1, .signals = -1, .program = -1,                \
	  .next_program = -1, .daemon = KEEPER_NO_CHILD, .successor = KEEPER_NO_CHILD }

/* Who waits for us may be anybody on this machine, and a busy one must not keep a new daemon from it. */
static void go_first(void)
{
	if (setpriority(PRIO_PROCESS, 0, NICE) < 0)
		log_info("nice %d: %s, ignoring", NICE, strerror(errno));
}

int keeper_run(const struct config *config, char **argv, struct error *err)
{
	struct keeper k = KEEPER_EMPTY;
	int r;

	k.config = config;
	k.argv = argv;
	r = features_require(err);
	if (r == 0)
		r = keeper_open_own(&k, err);
	if (r == 0)
		r = keeper_open(&k, err);
	if (r == 0)
		go_first();
	r = r ? r : sandbox_limit(SANDBOX_KEEPER, err);
	r = r ? r : sandbox_filter(SANDBOX_KEEPER, err);
	if (r == 0)
		return keep(&k, err);
	keeper_close(&k);
	return r;
}

int keeper_resume(const struct config *config, char **numbers, char **argv, struct error *err)
{
	struct keeper k = KEEPER_EMPTY;
	int r;

	(void)prctl(PR_SET_NAME, "nvfs"); /* it would be the number of a descriptor */
	k.config = config;
	k.argv = argv;
	k.was_ready = true;
	r = keeper_become_parse(&k, numbers, err);
	if (r == 0)
		r = keeper_open_own(&k, err);
	r = r ? r : sandbox_limit(SANDBOX_KEEPER, err);
	r = r ? r : sandbox_filter_inherited(err);
	if (r < 0)
		return r;
	k.daemon.started_ms = clock_ms();
	watch_begins(&k, true);
	log_info("the keeper is nvfs " NVFS_VERSION " now");
	return keep(&k, err);
}

int keeper_fds_parse(char **argv, struct keeper_fds *ret)
{
	static const char *const modes[] = { [KEEPER_MODE_FIRST] = KEEPER_FIRST,
					     [KEEPER_MODE_GO_ON] = KEEPER_GO_ON,
					     [KEEPER_MODE_RECOVER] = KEEPER_RECOVER,
					     [KEEPER_MODE_HAND_OVER] = KEEPER_HAND_OVER };
	int *fds[] = { &ret->fuse, &ret->state, &ret->listen, &ret->link };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		uint64_t number;

		if (!argv[i] || parse_u64(argv[i], 65535, &number) < 0)
			return -EINVAL;
		*fds[i] = (int)number;
		(void)fcntl(*fds[i], F_SETFD, FD_CLOEXEC);
	}
	for (size_t i = 0; argv[4] && i < ARRAY_SIZE(modes); i++) {
		ret->mode = (enum keeper_mode)i;
		if (strcmp(argv[4], modes[i]) == 0)
			return 0;
	}
	return -EINVAL;
}
