/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon from start to end. What is set up is taken down in reverse; the
 * ready line comes last, when every promise can be kept. A daemon that goes on
 * with the work of another one serves the filesystem first: callers wait.
 */
#include "fs/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/cachebox.h"
#include "fs/cdi_file.h"
#include "fs/closer.h"
#include "fs/config.h"
#include "fs/daemon.h"
#include "fs/derive.h"
#include "fs/donor.h"
#include "fs/events.h"
#include "fs/facts.h"
#include "fs/features.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/handover.h"
#include "fs/injector.h"
#include "fs/ipc_looker.h"
#include "fs/keeper.h"
#include "fs/link.h"
#include "fs/methods.h"
#include "fs/permit.h"
#include "fs/process.h"
#include "fs/reinject.h"
#include "fs/renewal.h"
#include "fs/sandbox.h"
#include "fs/server.h"
#include "fs/statefile.h"
#include "fs/store.h"

#define TICK_S 2
#define DESCRIPTORS 16384 /* what we make room for at once: 8 bytes each */

/* An event source with the daemon beside it. */
struct watch {
	struct loop_source source; /* first: cast back in on_ready */
	struct daemon *daemon;
};

struct serving {
	struct daemon daemon;
	struct watch signals, timer, ended, link;
	const struct keeper_fds *fds;
	bool failed;
};

/*
 * While there is one thread: in a table that threads share each growth waits for an RCU grace
 * period, which is 25 ms of somebody's container start on a machine with 16 processors.
 * Source: expand_fdtable(), fs/file.c.
 */
static void grow_descriptor_table(rlim_t limit)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, (limit < DESCRIPTORS ? limit : DESCRIPTORS) - 1);

	cleanup_close(&fd);
}

static int raise_nofile(struct error *err)
{
	struct rlimit limit;

	/* A pidfd for each container, a descriptor for each of the driver's files. */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_set(err, -errno, "read RLIMIT_NOFILE");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_set(err, -errno, "raise RLIMIT_NOFILE");
	grow_descriptor_table(limit.rlim_cur);
	return 0;
}

/* events */

/* No container is left. Who else has something of the mount open must not keep us from going. */
static void end(struct daemon *daemon)
{
	struct error err = { 0 };

	if (filesystem_unmount(daemon->fs, 1, &err) < 0)
		log_error("%s", err.text);
	loop_stop(daemon->loop);
}

static void on_signal(struct loop_source *source, uint32_t events)
{
	struct daemon *daemon = ((struct watch *)source)->daemon;
	struct signalfd_siginfo info;
	uint32_t n = daemon_trees_alive(daemon);

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	daemon->ends = true;
	if (!n) {
		end(daemon);
		return;
	}
	log_warning("%s: %u container%s a driver tree, going on until the last one ends; "
		    "nvfs shutdown --force ends it now",
		    strsignal((int)info.ssi_signo), n, n == 1 ? " uses" : "s use");
	if (daemon->link >= 0)
		(void)link_send(daemon->link, LINK_BUSY, 0, -1);
}

static void on_timer(struct loop_source *source, uint32_t events)
{
	struct daemon *daemon = ((struct watch *)source)->daemon;
	uint64_t expirations;

	(void)events;
	if (read(source->fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		return;
	daemon_tick(daemon);
	sandbox_report();
	if (daemon->ends && !daemon->gives_way && !daemon_has_live_tree(daemon))
		end(daemon);
}

static void on_ended(struct loop_source *source, uint32_t events)
{
	struct serving *s = (struct serving *)((char *)source - offsetof(struct serving, ended));

	(void)events;
	log_error("'%s' was unmounted by somebody else", s->daemon.config.mountpoint);
	s->failed = true;
	loop_stop(s->daemon.loop);
}

static void on_link(struct loop_source *source, uint32_t events)
{
	struct daemon *daemon = ((struct watch *)source)->daemon;
	struct link_message message;
	int r = link_receive(source->fd, &message);

	(void)events;
	if (r > 0 && message.type == LINK_PING) {
		(void)link_send(source->fd, LINK_PONG, 0, -1);
	} else if (r > 0 && message.type == LINK_STOP) {
		handover_stop(daemon);
	} else if (r > 0 && message.type == LINK_FAILED) {
		handover_failed(daemon, message.object);
	} else if (r > 0 && message.type == LINK_CLOSE) {
		closer_close(daemon->closer, message.fd);
	} else if (r <= 0) {
		log_warning("the keeper is gone: nobody replaces this daemon until nvfs serve is "
			    "started again, ignoring");
		loop_remove(daemon->loop, source);
		daemon->link = -1;
	}
}

static void after_each_event(void *daemon)
{
	daemon_say_alive(daemon);
}

static int watch_add(struct watch *watch, struct daemon *daemon, int fd,
		     void (*on_ready)(struct loop_source *, uint32_t), struct error *err)
{
	int r;

	if (fd < 0)
		return error_set(err, -errno, "make an event source");
	watch->daemon = daemon;
	watch->source = (struct loop_source){ .fd = fd, .on_ready = on_ready };
	r = loop_add(daemon->loop, &watch->source, EPOLLIN);
	return r < 0 ? error_set(err, r, "watch an event source") : 0;
}

static int watch_all(struct serving *s, struct error *err)
{
	struct itimerspec every = { .it_interval.tv_sec = TICK_S, .it_value.tv_sec = TICK_S };
	sigset_t signals;
	int r;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	r = watch_add(&s->signals, &s->daemon, signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK),
		      on_signal, err);
	if (r == 0)
		r = watch_add(&s->timer, &s->daemon,
			      timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), on_timer,
			      err);
	if (r == 0 && timerfd_settime(s->timer.source.fd, 0, &every, NULL) < 0)
		r = error_set(err, -errno, "set the timer");
	if (r == 0)
		r = watch_add(&s->ended, &s->daemon, filesystem_ended_fd(s->daemon.fs), on_ended,
			      err);
	if (r == 0)
		r = watch_add(&s->link, &s->daemon, s->fds->link, on_link, err);
	return r;
}

/* up and down */

/* What the daemon before gave the keeper: host files that it read by itself, and what it watched with. */
static void receive_file(struct daemon *daemon, const struct link_message *message)
{
	if (message->fd < 0)
		return;
	if (message->type == LINK_FILE && message->object == LINK_WATCH && daemon->watch_fd < 0)
		daemon->watch_fd = message->fd;
	else if (message->type == LINK_FILE && store_object(daemon->store, message->object))
		(void)store_object_set_fd(daemon->store, message->object, message->fd);
	else
		(void)close(message->fd);
}

/* Until the keeper's word to begin. */
static int receive_files(struct daemon *daemon, struct error *err)
{
	struct link_message message;
	int r;

	while ((r = link_receive(daemon->link, &message)) > 0 && message.type != LINK_GO)
		receive_file(daemon, &message);
	return r > 0 ? 0 : error_set(err, r < 0 ? r : -EPIPE, "hear from the keeper");
}

/* The one before serves still: say that we could, and wait until it has gone. */
static int stand_by(const struct keeper_fds *fds, struct error *err)
{
	struct pollfd link = { .fd = fds->link, .events = POLLIN };
	int r = handover_rehearse(fds->state, err);

	if (r < 0)
		return r;
	r = link_send(fds->link, LINK_STANDBY, 0, -1);
	return r < 0 || poll(&link, 1, -1) < 0 ? error_set(err, r < 0 ? r : -errno, "stand by") : 0;
}

static int open_store(struct serving *s, struct error *err)
{
	int r = s->fds->mode == KEEPER_MODE_FIRST
			? store_new(s->fds->state, &s->daemon.store, err)
			: store_open(s->fds->state, &s->daemon.store, err);

	if (r == 0 && s->fds->mode == KEEPER_MODE_RECOVER)
		store_disconnect(s->daemon.store);
	return r < 0 ? r : receive_files(&s->daemon, err);
}

static int open_roots(struct daemon *daemon, struct error *err)
{
	daemon->dev_fd = open(daemon->config.dev_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (daemon->dev_fd < 0) {
		int r = error_set(err, -errno, "dev_root '%s'", daemon->config.dev_root);

		return error_classify(err, r, ERROR_USAGE);
	}
	return process_self(&daemon->self, err);
}

static int check_driver_root(const struct daemon *daemon, struct error *err)
{
	struct stat st;
	int r;

	if (stat(daemon->config.driver_root, &st) < 0)
		r = error_set(err, -errno, "driver_root '%s'", daemon->config.driver_root);
	else if (!S_ISDIR(st.st_mode))
		r = error_set(err, -ENOTDIR, "driver_root '%s'", daemon->config.driver_root);
	else
		return 0;
	return error_classify(err, r, ERROR_USAGE);
}

static bool is_on_overlay(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (unsigned long)st.f_type == OVERLAYFS_SUPER_MAGIC;
}

/* With the connection of another daemon, which is in use. */
static bool goes_on(const struct keeper_fds *fds)
{
	return fds->mode == KEEPER_MODE_GO_ON || fds->mode == KEEPER_MODE_HAND_OVER;
}

static int bring_up(struct serving *s, struct error *err)
{
	struct daemon *daemon = &s->daemon;
	struct filesystem_options options = {
		.mountpoint = daemon->config.mountpoint,
		.selinux_context = daemon->config.selinux_context,
		.n_workers = daemon->config.workers,
		/* Going on, the state knows; nothing of the host's files is asked then. */
		.overlay = !goes_on(s->fds) && is_on_overlay(daemon->config.driver_root),
	};
	struct server_handler handler = { .on_call = methods_call, .on_gone = methods_gone,
					  .data = daemon };
	bool go_on = goes_on(s->fds);
	int r = sandbox_limit(SANDBOX_DAEMON, err);

	r = r ? r : raise_nofile(err);
	features_allowed(getenv("NVFS_DISABLE"), &options.allowed);
	features_probe(&options.allowed);
	if (!options.allowed.pidfd_ns)
		process_use_proc();
	if (r == 0 && !go_on)
		r = check_driver_root(daemon, err);
	if (r == 0 && s->fds->mode == KEEPER_MODE_HAND_OVER)
		r = stand_by(s->fds, err);
	if (r == 0)
		r = open_store(s, err);
	if (r == 0)
		r = go_on ? filesystem_resume(&options, s->fds->fuse, daemon->store, &daemon->fs,
					      err)
			  : filesystem_mount(&options, s->fds->fuse, daemon->store, &daemon->fs,
					     err);
	if (r == 0)
		r = open_roots(daemon, err);
	if (r == 0)
		r = cachebox_new(&daemon->box, err);
	if (r == 0)
		r = loop_new(&daemon->loop, err);
	if (r == 0)
		r = closer_new(s->fds->fuse, &daemon->closer, err);
	if (r < 0)
		return r;
	loop_after_each(daemon->loop, after_each_event, daemon);
	daemon->deriver = deriver_new(daemon->store, daemon->box);
	if (!daemon->deriver)
		return error_set(err, -ENOMEM, "start");
	r = events_new(&daemon->events, err);
	if (r == 0)
		r = server_new(s->fds->listen, daemon->loop, &handler, &daemon->server, err);
	if (r == 0)
		r = watch_all(s, err);
	if (r == 0)
		r = renewal_new(daemon, &daemon->renewal, err);
	if (r == 0)
		r = facts_new(daemon, &daemon->facts, err);
	if (r == 0)
		r = reinjector_new(daemon, &daemon->reinjector, err);
	if (r == 0)
		r = injector_new(daemon, &daemon->injector, err);
	if (r == 0)
		r = permits_new(daemon, &daemon->permits, err);
	if (r == 0)
		r = donors_new(&daemon->donors, err);
	if (r == 0)
		r = ipc_looker_new(&daemon->ipc_looker, err);
	return r == 0 && s->fds->mode != KEEPER_MODE_FIRST ? daemon_resume(daemon, go_on, err) : r;
}

static void end_service(struct daemon *daemon)
{
	server_free(daemon->server);
	events_free(daemon->events);
	daemon->events = NULL;
	filesystem_free(daemon->fs);
	cachebox_free(daemon->box);
	reinjector_free(daemon->reinjector);
	injector_free(daemon->injector);
	permits_free(daemon->permits);
	daemon->permits = NULL;
	donors_free(daemon->donors);
	ipc_looker_free(daemon->ipc_looker);
	cdi_file_done(daemon);
	facts_free(daemon->facts);
}

/* Closing a host's file may take for ever: the keeper has heard by then that we are done. */
static void take_down(struct serving *s)
{
	struct daemon *daemon = &s->daemon;

	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		if (daemon->containers[i])
			cleanup_close(&daemon->containers[i]->source.fd);
		free(daemon->containers[i]);
	}
	free(daemon->containers);
	if (daemon->store)
		deriver_free(daemon->deriver);
	renewal_free(daemon->renewal);
	while (daemon->generation) {
		struct generation *next = daemon->generation->older;

		generation_free(daemon->generation);
		daemon->generation = next;
	}
	store_free(daemon->store);
	loop_free(daemon->loop);
	cleanup_close(&s->signals.source.fd);
	cleanup_close(&s->timer.source.fd);
	cleanup_close(&daemon->dev_fd);
	cleanup_close(&daemon->watch_fd);
}

/* For a keeper that comes when ours is gone. */
static void tell_who_serves(const struct serving *s)
{
	struct store_server server = { .pid = getpid(),
				       .fuse_fd = s->fds->fuse,
				       .listen_fd = s->fds->listen };
	struct process keeper = { 0 };
	struct ucred cred = { 0 }; /* who made the pair; not getppid(), which may be another one by now */
	socklen_t size = sizeof(cred);

	(void)getsockopt(s->fds->link, SOL_SOCKET, SO_PEERCRED, &cred, &size);
	server.keeper_pid = cred.pid;
	if (cred.pid)
		(void)process_from_pid(cred.pid, &keeper, NULL);
	server.start_time = s->daemon.self.start_time;
	server.keeper_start = keeper.start_time;
	store_write_lock(s->daemon.store);
	store_set_server(s->daemon.store, &server);
	store_unlock(s->daemon.store);
}

/* With nobody to do it for us. */
static void remove_names(const struct config *config)
{
	(void)unlink(config->socket);
	statefile_remove(config->socket);
}

static void say_ready(const struct serving *s)
{
	const struct daemon *daemon = &s->daemon;

	if (goes_on(s->fds))
		log_info("going on with %u container%s", daemon_trees_in_use(daemon),
			 daemon_trees_in_use(daemon) == 1 ? "" : "s");
	else
		log_info("serving '%s', socket '%s'", daemon->config.mountpoint,
			 daemon->config.socket);
	(void)link_send(s->fds->link, LINK_READY, 0, -1);
}

int serve(const struct config *config, const struct keeper_fds *fds, struct error *err)
{
	struct serving s = { .daemon = { .config = *config,
					 .dev_fd = -1,
					 .watch_fd = -1,
					 .link = fds->link,
					 .started = time(NULL) },
			     .fds = fds,
			     .signals.source.fd = -1,
			     .timer.source.fd = -1 };
	int r = bring_up(&s, err);

	if (r < 0 && goes_on(fds))
		return r; /* the mount is in use: leave all to the next one */
	r = r ? r : sandbox_filter(SANDBOX_DAEMON, err);
	if (r == 0) {
		if (fds->mode == KEEPER_MODE_FIRST)
			(void)renewal_check(s.daemon.renewal, NULL); /* without a driver we serve too */
		else
			renewal_tick(s.daemon.renewal);
		reinject_tick(s.daemon.reinjector);
		tell_who_serves(&s);
		say_ready(&s);
		facts_ready(s.daemon.facts);
		cdi_file_tick(&s.daemon);
		r = loop_run(s.daemon.loop, err);
	}
	if (s.daemon.gives_way)
		return 0; /* likewise */
	if (r == 0 && s.failed)
		r = error_setc(err, ERROR_MOUNT, -EIO, "'%s' was unmounted by somebody else",
			       config->mountpoint);
	if (s.daemon.fs)
		(void)filesystem_unmount(s.daemon.fs, 1, NULL);
	if (r == 0 && s.daemon.link < 0)
		remove_names(config);
	/* Before what may take long, or for ever: the keeper then knows that nobody is to be started any more. */
	(void)link_send(fds->link, LINK_DONE, r < 0 ? (uint32_t)error_exit_status(err) : 0, -1);
	end_service(&s.daemon);
	sandbox_report();
	take_down(&s);
	return r;
}
