/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to look at the driver, and what is made of a look. Looking is another
 * process's work (look.h), since it may never come to an end; what follows from
 * a change is changeover.h's.
 */
#include "fs/renewal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/changeover.h"
#include "fs/daemon.h"
#include "fs/events.h"
#include "fs/generation.h"
#include "fs/link.h"
#include "fs/look.h"
#include "fs/renewal_judge.h"
#include "fs/store.h"
#include "nvml/driver.h"

#define SLICE_MS 200
#define WAIT_MS 1500   /* so long a caller may wait for a look: the keeper wants to hear from us */
#define AGAIN_MS 60000 /* what did not answer is asked again */

struct renewal {
	struct loop_source source; /* inotify; first: cast back in on_change() */
	struct daemon *daemon;
	bool changed;      /* in the driver's directories, since the last look */
	bool is_loaded;    /* there was a module when renewal_check() last compared it */
	int64_t change_ms; /* the last one, CLOCK_MONOTONIC; 0: none yet */
	int64_t look_ms;   /* the last look began */
	struct look *look; /* under way; NULL: none */
	struct loop_source look_source;
	uint64_t looks;    /* that came to an end */
	time_t last_s;     /* the last of them, CLOCK_REALTIME */
	int result;        /* of the last look: 0 or a negative errno, with */
	enum generation_change change;
	struct error error;
	char *left_out[LOOK_LEFT_OUT_MAX]; /* paths that did not answer */
	size_t n_left_out;
	struct finding_list looked;   /* what the last look has found */
	struct finding_list findings; /* that, and what containers still have of before */
	char note[400];
};

/* What is wrong is said once. */
static void note(struct renewal *renewal, const char *text)
{
	if (*text && strcmp(renewal->note, text) != 0) {
		log_warning("%s", text);
		events_finding(renewal->daemon, text);
	}
	(void)snprintf(renewal->note, sizeof(renewal->note), "%s", text);
}

/* directories */

static void on_change(struct loop_source *source, uint32_t events)
{
	struct renewal *renewal = (struct renewal *)source;
	_Alignas(struct inotify_event) char buf[4096];

	(void)events;
	while (read(source->fd, buf, sizeof(buf)) > 0)
		;
	renewal->changed = true;
	renewal->change_ms = clock_ms();
}

void renewal_poke(struct renewal *renewal)
{
	renewal->changed = true;
	renewal->change_ms = clock_ms();
}

static bool is_quiet(const struct renewal *renewal)
{
	return !renewal->change_ms ||
	       clock_ms() - renewal->change_ms >= (int64_t)renewal->daemon->config.settle_s * 1000;
}

/* looking */

static bool has_generation(const struct daemon *daemon)
{
	return daemon->generation && !daemon->generation->damaged;
}

/* Without a module the files say what the driver is, and whether they are whole nobody knows. */
static enum generation_change change_of(const struct daemon *daemon, const struct generation *g)
{
	enum generation_change change;

	if (!has_generation(daemon))
		return GENERATION_OTHER;
	change = generation_compare(daemon->store, daemon->generation, g);
	if (change == GENERATION_OTHER && !g->driver->version_from_module)
		return daemon->generation->driver->version_from_module ? GENERATION_LESS
								       : GENERATION_MORE;
	return change;
}

static void forget_left_out(struct renewal *renewal)
{
	while (renewal->n_left_out)
		free(renewal->left_out[--renewal->n_left_out]);
}

static int begin_look(struct renewal *renewal)
{
	const struct daemon *daemon = renewal->daemon;
	const struct look_request request = {
		.driver_root = daemon->config.driver_root,
		.proc_root = daemon->config.proc_root,
		.sys_root = daemon->config.sys_root,
		.rules_dir = daemon->config.rules_dir,
		.number = daemon->generations + 1,
		.known = daemon->generation,
		.store = daemon->store,
		.left_out = renewal->left_out,
		.n_left_out = renewal->n_left_out,
		.inotify_fd = renewal->source.fd,
	};
	int r;

	if (renewal->look)
		return 0;
	renewal->changed = false;
	renewal->look_ms = clock_ms();
	renewal->error = (struct error){ 0 };
	r = look_start(&request, &renewal->look, &renewal->error);
	if (r < 0)
		return renewal->result = r;
	renewal->look_source.fd = look_fd(renewal->look);
	r = loop_add(daemon->loop, &renewal->look_source, EPOLLIN);
	return r < 0 ? error_set(&renewal->error, r, "wait for a look at the driver") : 0;
}

static void end_look(struct renewal *renewal)
{
	if (!renewal->look)
		return;
	loop_remove(renewal->daemon->loop, &renewal->look_source);
	look_free(renewal->look);
	renewal->look = NULL;
}

/* @ret_loaded: whether there is a module; may be NULL */
static bool module_has_changed(const struct daemon *daemon, bool *ret_loaded)
{
	struct generation_module module = { 0 };
	bool changed;

	generation_module_read(daemon->config.proc_root, &module);
	if (ret_loaded)
		*ret_loaded = module.version != NULL;
	/* Unloaded: it will come back, the same one or another. */
	changed = module.version && !generation_module_is(daemon->generation, &module);
	generation_module_done(&module);
	return changed;
}

static struct renewal_facts facts_of(const struct renewal *renewal)
{
	const struct daemon *daemon = renewal->daemon;
	bool is_there = has_generation(daemon);

	return (struct renewal_facts){
		.version = is_there ? daemon->generation->driver->version : NULL,
		.module_changed = is_there && module_has_changed(daemon, NULL),
		.result = renewal->result,
		.error = renewal->error.text,
		.change = renewal->change,
		.is_quiet = is_quiet(renewal),
		.is_changed = renewal->changed,
		.is_noted = *renewal->note,
		.since_look_ms = clock_ms() - renewal->look_ms,
	};
}

static void judge(struct renewal *renewal)
{
	const struct renewal_facts facts = facts_of(renewal);
	char text[sizeof(renewal->note)];

	renewal_verdict(&facts, renewal->left_out, renewal->n_left_out, text, sizeof(text));
	note(renewal, text);
}

/* The file that it was when a container got it, and is not what it was then. */
static bool is_rewritten(const struct store_object *before, const struct store_object *now)
{
	return before->dev == now->dev && before->ino == now->ino &&
	       (before->size != now->size || before->mtime_sec != now->mtime_sec ||
		before->mtime_nsec != now->mtime_nsec);
}

/* Where nobody has the file before open, its inode number may have come to be another's. */
static void add_if_rewritten(const struct renewal *renewal, uint32_t object,
			     struct finding_list *ret)
{
	const struct store *store = renewal->daemon->store;
	const struct store_object *before =
		store_object_is_held(store, object) ? store_object(store, object) : NULL;
	const struct generation *newest = renewal->daemon->generation;

	for (size_t i = 0; before && i < newest->driver->n_files; i++) {
		const struct store_object *now = store_object(store, newest->objects[i]);

		if (!now || !is_rewritten(before, now))
			continue;
		look_add_rewritten(ret, store_blob(store, before->path, NULL));
		return;
	}
}

/* As long as an older generation is there, also when another daemon has seen it. */
static void gather_findings(struct renewal *renewal)
{
	const struct generation *newest = renewal->daemon->generation;
	struct finding_list all = { 0 };

	for (const struct generation *g = newest ? newest->older : NULL; g; g = g->older) {
		for (size_t i = 0; i < g->driver->n_files; i++)
			add_if_rewritten(renewal, g->objects[i], &all);
	}
	for (size_t i = 0; i < renewal->looked.n; i++) {
		if (!finding_has(&all, renewal->looked.items[i].text))
			(void)finding_add(&all, true, "%s", renewal->looked.items[i].text);
	}
	finding_list_done(&renewal->findings);
	renewal->findings = all;
}

static void take_findings(struct renewal *renewal, const struct finding_list *now)
{
	for (size_t i = 0; i < now->n; i++) {
		if (finding_has(&renewal->findings, now->items[i].text))
			continue;
		log_error("%s", now->items[i].text);
		events_finding(renewal->daemon, now->items[i].text);
	}
	finding_list_done(&renewal->looked);
	renewal->looked = *now;
}

/* MIG devices have come or gone since the look, and the present generation has them already. */
static bool is_overtaken(const struct renewal *renewal, const struct generation *g)
{
	struct mig_print now;

	return mig_print_read(renewal->daemon->config.proc_root, &now) == 0 &&
	       now.migs != g->nvml.print.migs &&
	       now.migs == renewal->daemon->generation->nvml.print.migs;
}

static int take_generation(struct renewal *renewal, struct generation *g)
{
	int r;

	g->number = renewal->daemon->generations + 1; /* there may be one more since the look began */
	renewal->change = change_of(renewal->daemon, g);
	if (renewal->change == GENERATION_DEVICES && is_overtaken(renewal, g)) {
		renewal->changed = true;
		renewal->change = GENERATION_SAME;
	}
	if (renewal->change == GENERATION_SAME || renewal->change == GENERATION_LESS) {
		generation_free(g);
		return 0;
	}
	r = changeover_to(renewal->daemon, g, renewal->change, &renewal->error);
	if (r == 0)
		finding_list_done(&renewal->looked); /* from now on the older generation tells */
	return r;
}

static void on_look(struct loop_source *source, uint32_t events)
{
	struct renewal *renewal = (struct renewal *)((char *)source -
						     offsetof(struct renewal, look_source));
	struct look_result result;
	int r = look_receive(renewal->look, &result, &renewal->error);

	(void)events;
	if (r == 0)
		return;
	end_look(renewal);
	renewal->looks++;
	renewal->last_s = time(NULL);
	renewal->result = r < 0 ? r : 0;
	if (r > 0) {
		take_findings(renewal, &result.rewritten);
		renewal->result = take_generation(renewal, result.generation);
	}
	gather_findings(renewal);
	judge(renewal);
}

/* The looker stays where it is, for good perhaps: another one goes on without that path. */
static void check_stall(struct renewal *renewal)
{
	int64_t since_ms;
	const char *path = look_path(renewal->look, &since_ms);
	char *copy;

	if (since_ms < LOOK_STALL_MS)
		return;
	copy = strdup(path);
	if (copy && renewal->n_left_out < LOOK_LEFT_OUT_MAX) {
		log_warning("'%s' below '%s' does not answer, looking on without it", path,
			    renewal->daemon->config.driver_root);
		renewal->left_out[renewal->n_left_out++] = copy;
		end_look(renewal);
		(void)begin_look(renewal);
		return;
	}
	free(copy);
	end_look(renewal);
	renewal->result = error_setc(&renewal->error, ERROR_DRIVER, -ETIMEDOUT,
				     "driver root '%s' does not answer",
				     renewal->daemon->config.driver_root);
	judge(renewal);
}

/*
 * For a caller who cannot go on without: for a moment, then he is told to try again. -EAGAIN, or the
 * look's result.
 */
static int wait_for_look(struct renewal *renewal, struct error *err)
{
	int r = begin_look(renewal);

	while (r == 0 && renewal->look) {
		int64_t left_ms = renewal->look_ms + WAIT_MS - clock_ms(), since_ms;
		struct pollfd p = { .fd = look_fd(renewal->look), .events = POLLIN };

		daemon_say_alive(renewal->daemon);
		if (left_ms > 0 && poll(&p, 1, left_ms < SLICE_MS ? (int)left_ms : SLICE_MS) >= 0) {
			if (p.revents)
				on_look(&renewal->look_source, EPOLLIN);
			continue;
		}
		(void)error_setc(err, ERROR_AGAIN, -EAGAIN,
				 "the driver is still being looked at, now at '%.256s'",
				 look_path(renewal->look, &since_ms));
		return error_remedy(err, -EAGAIN, "try again in some seconds");
	}
	if (renewal->result < 0 && err)
		*err = renewal->error;
	return renewal->result;
}

const char *renewal_majors(const struct renewal *renewal)
{
	return renewal->is_loaded ? renewal->daemon->generation->majors : NULL;
}

int renewal_check(struct renewal *renewal, struct error *err)
{
	const struct daemon *daemon = renewal->daemon;
	int r;

	renewal->is_loaded = false;
	if (has_generation(daemon) && !module_has_changed(daemon, &renewal->is_loaded))
		return 0;
	if (has_generation(daemon) && !is_quiet(renewal)) {
		(void)error_setc(err, ERROR_AGAIN, -EAGAIN, "the driver is being changed");
		return error_remedy(err, -EAGAIN, "try again when its packages are installed");
	}
	r = wait_for_look(renewal, err);
	if (r == -EAGAIN || (r == 0 && has_generation(daemon) &&
			     !module_has_changed(daemon, &renewal->is_loaded)))
		return r;
	r = r < 0 ? r : -ELIBBAD;
	if (err)
		*err = (struct error){ 0 };
	(void)error_setc(err, ERROR_DRIVER, r, "%s%s",
			 has_generation(daemon) ? "" : "no driver yet: ", renewal->note);
	return error_remedy(err, r, "load the kernel module; nvfs driver says what is missing");
}

void renewal_tick(struct renewal *renewal)
{
	bool stuck = look_reap() > 0;
	struct renewal_facts facts;

	changeover_tick(renewal->daemon);
	gather_findings(renewal);
	if (renewal->look) {
		check_stall(renewal);
		return;
	}
	/* A looker that still hangs says that nothing has changed there. */
	if (renewal->n_left_out && !stuck && clock_ms() - renewal->look_ms >= AGAIN_MS) {
		forget_left_out(renewal);
		(void)begin_look(renewal);
		return;
	}
	facts = facts_of(renewal);
	if (renewal_wants_look(&facts))
		(void)begin_look(renewal);
}

int renewal_rescan(struct renewal *renewal, const char **ret, struct error *err)
{
	static const char *const words[] = {
		[GENERATION_SAME] = "unchanged",
		[GENERATION_DEVICES] = "other GPUs or MIG devices, for all containers",
		[GENERATION_MORE] = "new files, for new containers",
		[GENERATION_LESS] = "files are missing, the ones that were there are kept",
		[GENERATION_OTHER] = "another driver, for all containers",
	};
	int r;

	end_look(renewal); /* may have been there already when something changed */
	forget_left_out(renewal);
	r = wait_for_look(renewal, err);
	*ret = words[renewal->change];
	return r;
}

void renewal_resume(struct renewal *renewal)
{
	if (!renewal->daemon->generation)
		return;
	renewal->changed = true; /* nobody has watched the directories meanwhile */
	changeover_resume(renewal->daemon);
}

const char *renewal_note(const struct renewal *renewal)
{
	return renewal->note;
}

json_t *renewal_status(const struct renewal *renewal)
{
	return json_pack("{s:I, s:I}", "count", (json_int_t)renewal->looks, "last",
			 (json_int_t)renewal->last_s);
}

const struct finding_list *renewal_findings(const struct renewal *renewal)
{
	return &renewal->findings;
}

/* The one of the daemon before, with its watches; or a new one, which the keeper is given too. */
static int open_watch(struct daemon *daemon)
{
	int fd = take_fd(&daemon->watch_fd);

	if (fd >= 0)
		return fd;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd >= 0 && daemon->link >= 0)
		(void)link_send(daemon->link, LINK_FILE, LINK_WATCH, fd);
	return fd < 0 ? -errno : fd;
}

int renewal_new(struct daemon *daemon, struct renewal **ret, struct error *err)
{
	struct renewal *renewal = calloc(1, sizeof(*renewal));
	int r;

	if (!renewal)
		return error_set(err, -ENOMEM, "watch the driver");
	renewal->daemon = daemon;
	renewal->source.on_ready = on_change;
	renewal->look_source.on_ready = on_look;
	r = renewal->source.fd = open_watch(daemon);
	if (r >= 0)
		r = loop_add(daemon->loop, &renewal->source, EPOLLIN);
	if (r < 0) {
		renewal_free(renewal);
		return error_set(err, r, "watch the driver's directories");
	}
	*ret = renewal;
	return 0;
}

void renewal_free(struct renewal *renewal)
{
	if (!renewal)
		return;
	end_look(renewal);
	forget_left_out(renewal);
	cleanup_close(&renewal->source.fd);
	finding_list_done(&renewal->looked);
	finding_list_done(&renewal->findings);
	free(renewal);
}
