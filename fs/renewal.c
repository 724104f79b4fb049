/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one generation to the next. The order of a change: look (nothing is
 * changed), record the files and hand them to the kernel, save what there is,
 * derive every tree's next layout, switch them all in one moment. Looking is
 * another process's work (look.h), since it may never come to an end. Killed
 * anywhere in between, the next daemon finds generations and trees whole, and
 * renewal_resume() does what is left.
 */
#include "fs/renewal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/compose.h"
#include "fs/daemon.h"
#include "fs/derive.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/link.h"
#include "fs/look.h"
#include "fs/store.h"
#include "fs/tree.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/select.h"

#define HOST_TARGET "/run/nvfs/host"
#define RETRY_MS 10000 /* between two looks for a driver that fits the module */
#define STALL_MS 2000  /* a path that has not answered for so long is left out */
#define WAIT_MS 1500   /* so long a caller may wait for a look: the keeper wants to hear from us */
#define AGAIN_MS 60000 /* what did not answer is asked again */
#define LEFT_OUT_MAX 8 /* with more it is the driver root that does not answer */

struct renewal {
	struct loop_source source; /* inotify; first: cast back in on_change() */
	struct daemon *daemon;
	bool changed;      /* in the driver's directories, since the last look */
	int64_t change_ms; /* the last one, CLOCK_MONOTONIC; 0: none yet */
	int64_t look_ms;   /* the last look began */
	struct look *look; /* under way; NULL: none */
	struct loop_source look_source;
	int result;        /* of the last look: 0 or a negative errno, with */
	enum generation_change change;
	struct error error;
	char *left_out[LEFT_OUT_MAX]; /* paths that did not answer */
	size_t n_left_out;
	struct finding_list findings;
	char note[400];
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A long change must not look like silence: the keeper would end it. */
static void say_alive(const struct daemon *daemon)
{
	if (daemon->link >= 0)
		(void)link_send(daemon->link, LINK_PONG, 0, -1);
}

/* What is wrong is said once. */
static void note(struct renewal *renewal, const char *text)
{
	if (*text && strcmp(renewal->note, text) != 0)
		log_warning("%s", text);
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
	renewal->change_ms = now_ms();
}

static bool is_quiet(const struct renewal *renewal)
{
	return !renewal->change_ms ||
	       now_ms() - renewal->change_ms >= (int64_t)renewal->daemon->config.settle_s * 1000;
}

/* files */

/*
 * Hand new files to the kernel, before any tree shows them. What it takes is
 * open in the kernel from now on, and needs no descriptor of ours. What we
 * still read by ourselves, a later daemon must be able to read too, unlinked or
 * not: the keeper gets it.
 */
void renewal_back_file(struct daemon *daemon, uint32_t object, const char *path)
{
	int fd = store_object_fd(daemon->store, object), id;

	if (fd < 0)
		return; /* of a generation before */
	id = filesystem_features(daemon->fs)->passthrough ? filesystem_backing_open(daemon->fs, fd) : 0;
	if (id > 0) {
		store_write_lock(daemon->store);
		store_object_set_backing(daemon->store, object, id);
		(void)store_object_set_fd(daemon->store, object, -1);
		store_unlock(daemon->store);
		return;
	}
	if (id < 0)
		log_warning("'%s': %s, serving it by reads", path, strerror(-id));
	if (daemon->link >= 0 && link_send(daemon->link, LINK_FILE, object, fd) < 0)
		log_warning("give '%s' to the keeper: it will not outlive this daemon, ignoring", path);
}

static int record(struct daemon *daemon, struct generation *g, struct error *err)
{
	int r = generation_record(g, daemon->generation, daemon->store, err);

	for (size_t i = 0; r == 0 && i < g->driver->n_files; i++) {
		if (store_object(daemon->store, g->objects[i])->generation == g->number)
			renewal_back_file(daemon, g->objects[i], g->driver->files[i].path);
	}
	return r;
}

/* trees */

/* GPUs that a tree was given, as far as they are still there: never others. */
static int select_given(const json_t *spec, const struct gpu_list *gpus, struct gpu_selection *ret)
{
	const json_t *given = json_object_get(spec, "gpus"), *uuid;
	size_t i;

	*ret = (struct gpu_selection){ .wanted = true };
	ret->at = calloc(json_array_size(given) + 1, sizeof(*ret->at));
	if (!ret->at)
		return -ENOMEM;
	json_array_foreach(given, i, uuid) {
		for (size_t g = 0; g < gpus->n; g++) {
			if (strcmp(gpus->gpus[g].uuid, json_string_value(uuid)) == 0)
				ret->at[ret->n++] = g;
		}
	}
	return 0;
}

static uint32_t layout_of(const struct store *store, const struct store_tree *tree)
{
	return store_snapshot(store, tree->snapshot)->layout;
}

/* The same request, of the present generation. */
static int derive_next(struct daemon *daemon, uint32_t index, uint32_t *ret, struct error *err)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	json_t *spec = json_loads(store_blob(daemon->store, tree->spec, NULL), 0, NULL);
	struct derive_request request = { .caps = DRIVER_CAP_ALL, .target = HOST_TARGET };
	struct gpu_selection selection = { 0 };
	struct derived derived;
	int r = 0;

	if (tree->mnt_ns) {
		request.selection = &selection;
		request.target = varlink_string(spec, "target", HOST_TARGET);
		request.image = compose_cache(daemon->store, layout_of(daemon->store, tree),
					      &request.image_size);
		r = driver_caps_parse(varlink_string(spec, "driver_capabilities", ""), &request.caps, err);
		r = r ? r : select_given(spec, daemon->generation->gpus, &selection);
	}
	r = r ? r : deriver_get(daemon->deriver, daemon->generation, &request, &derived, err);
	if (r == 0)
		*ret = derived.layout;
	gpu_selection_done(&selection);
	json_decref(spec);
	return r;
}

/* Does it show a generation of which files are lost? Those are gone whatever the configuration says. */
static bool is_damaged(const struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const struct generation *g = generation_find(daemon->generation,
						     store_snapshot(daemon->store, tree->snapshot)->generation);

	return !g || g->damaged;
}

static bool wants_next(const struct daemon *daemon, uint32_t index, bool all)
{
	const struct store_tree *tree = store_tree(daemon->store, index);

	if (!tree || store_snapshot(daemon->store, tree->snapshot)->generation == daemon->generation->number)
		return false;
	return !tree->mnt_ns || (all && !daemon->config.pin) || is_damaged(daemon, index);
}

/* Trees of older generations; without @all only the reference tree. */
static void switch_trees(struct daemon *daemon, bool all)
{
	auto_free struct daemon_next *next =
		calloc(store_trees_end(daemon->store) + 1, sizeof(*next));
	struct error err = { 0 };
	size_t n = 0;

	/* What was planned with the driver before, and is not committed, must be planned again. */
	while (all && daemon->injections)
		daemon_injection_end(daemon, daemon->injections, false);
	for (uint32_t i = 0; next && i < store_trees_end(daemon->store); i++) {
		if (!wants_next(daemon, i, all))
			continue;
		next[n].tree = i;
		next[n].old_layout = layout_of(daemon->store, store_tree(daemon->store, i));
		if (derive_next(daemon, i, &next[n].layout, &err) == 0)
			n++;
		else
			log_error("tree '%s' keeps the driver before: %s",
				  store_blob(daemon->store, store_tree(daemon->store, i)->name, NULL), err.text);
		say_alive(daemon);
	}
	if (n)
		daemon_trees_switch(daemon, next, n, daemon->generation->number);
}

static int make_host_tree(struct daemon *daemon, struct error *err)
{
	struct derive_request request = { .caps = DRIVER_CAP_ALL, .target = HOST_TARGET };
	struct daemon_tree tree = { .name = IDENT_HOST, .pidfd = -1, .by_root = true };
	struct derived derived;
	bool is_new, switched;
	int r = deriver_get(daemon->deriver, daemon->generation, &request, &derived, err);

	if (r < 0)
		return r;
	tree.layout = derived.layout;
	store_write_lock(daemon->store);
	tree.spec = store_blob_put(daemon->store, "{}", 2);
	store_unlock(daemon->store);
	if (daemon_tree_set(daemon, &tree, &is_new, &switched, err) < 0)
		return -ENOMEM;
	daemon_listings_changed(daemon);
	return 0;
}

unsigned int renewal_trees_of(const struct daemon *daemon, const struct generation *g)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < store_trees_end(daemon->store); i++) {
		const struct store_tree *tree = store_tree(daemon->store, i);

		n += tree && store_snapshot(daemon->store, tree->snapshot)->generation == g->number;
	}
	return n;
}

/* the end of a generation */

static bool is_shared(const struct generation *first, const struct generation *but, uint32_t object)
{
	for (const struct generation *g = first; g; g = g->older) {
		for (size_t i = 0; g != but && i < g->driver->n_files; i++) {
			if (g->objects[i] == object)
				return true;
		}
	}
	return false;
}

static void release_object(struct daemon *daemon, uint32_t index)
{
	const struct store_object *object = store_object(daemon->store, index);
	int32_t backing_id = object->backing_id;

	store_write_lock(daemon->store);
	store_object_release(daemon->store, index);
	store_unlock(daemon->store);
	if (backing_id > 0)
		filesystem_backing_close(daemon->fs, backing_id);
	else if (daemon->link >= 0)
		(void)link_send(daemon->link, LINK_DROP, index, -1);
}

/* Its files are closed, so that their filesystem can be unmounted. What is mapped or open stays. */
static void release(struct daemon *daemon, struct generation *g)
{
	store_write_lock(daemon->store);
	for (uint32_t i = 0; i < store_trees_end(daemon->store); i++) {
		if (store_tree(daemon->store, i))
			store_tree_forget_old(daemon->store, i, g->number);
	}
	store_unlock(daemon->store);
	for (size_t i = 0; i < g->driver->n_files; i++) {
		if (is_shared(daemon->generation, g, g->objects[i]))
			continue;
		/* The last close of a file that was unlinked frees its blocks: a slow disk's time. */
		say_alive(daemon);
		release_object(daemon, g->objects[i]);
	}
	log_info("driver %s (generation %u) is not used any more", g->driver->version, g->number);
	generation_free(g);
}

/* Not at once: an open that was under way at the switch still asks for its files. */
static bool is_over(const struct daemon *daemon, struct generation *g)
{
	if (renewal_trees_of(daemon, g)) {
		g->unused_ms = 0;
		return false;
	}
	if (!g->unused_ms) {
		g->unused_ms = now_ms();
		return false;
	}
	return now_ms() - g->unused_ms >= (int64_t)daemon->config.grace_s * 1000;
}

static void release_unused(struct daemon *daemon)
{
	struct generation **at = daemon->generation ? &daemon->generation->older : NULL, *g;
	bool any = false;

	while (at && (g = *at)) {
		if (!is_over(daemon, g)) {
			at = &g->older;
			continue;
		}
		*at = g->older;
		release(daemon, g);
		any = true;
	}
	if (any)
		(void)generation_save(daemon->generation, daemon->store, NULL);
}

/* looking */

static int accept(struct renewal *renewal, struct generation *g, enum generation_change change,
		  struct error *err)
{
	struct daemon *daemon = renewal->daemon;
	bool is_first = !daemon->generation;
	int r = record(daemon, g, err);

	if (r < 0) {
		generation_free(g);
		return r;
	}
	daemon->generations++;
	g->older = daemon->generation;
	daemon->generation = g;
	r = generation_save(g, daemon->store, err);
	if (r == 0 && is_first)
		r = make_host_tree(daemon, err);
	deriver_forget(daemon->deriver);
	switch_trees(daemon, is_first || change == GENERATION_OTHER);
	log_info("driver %s (generation %u): %zu files below '%s', %zu GPU%s", g->driver->version, g->number,
		 g->driver->n_files, daemon->config.driver_root, g->gpus->n, g->gpus->n == 1 ? "" : "s");
	return r;
}

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
		return daemon->generation->driver->version_from_module ? GENERATION_LESS : GENERATION_MORE;
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
	renewal->look_ms = now_ms();
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

/* What the last look means to a person; "" when all is well. */
static void judge(struct renewal *renewal)
{
	const struct driver *driver = has_generation(renewal->daemon) ? renewal->daemon->generation->driver : NULL;
	struct generation_module module = { 0 };
	char text[sizeof(renewal->note)] = "";
	size_t len;

	generation_module_read(renewal->daemon->config.proc_root, &module);
	if (!driver || (renewal->result < 0 && module.version &&
			!generation_module_is(renewal->daemon->generation, &module)))
		(void)snprintf(text, sizeof(text), "%s", renewal->error.text);
	else if (module.version && !generation_module_is(renewal->daemon->generation, &module))
		(void)snprintf(text, sizeof(text),
			       "the loaded module is another one, and files of driver %s are missing", driver->version);
	else if (renewal->result < 0 || renewal->change == GENERATION_LESS)
		(void)snprintf(text, sizeof(text),
			       "driver files on the disk no longer fit the loaded module %s, using those that were there",
			       driver->version);
	generation_module_done(&module);
	for (size_t i = 0; i < renewal->n_left_out; i++) {
		len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len, "%s'%s' does not answer, left out",
			       len ? "; " : "", renewal->left_out[i]);
	}
	note(renewal, text);
}

static void take_findings(struct renewal *renewal, const struct finding_list *now)
{
	for (size_t i = 0; i < now->n && now->n != renewal->findings.n; i++)
		log_error("%s", now->items[i].text);
	finding_list_done(&renewal->findings);
	renewal->findings = *now;
}

static int take_generation(struct renewal *renewal, struct generation *g)
{
	renewal->change = change_of(renewal->daemon, g);
	if (renewal->change == GENERATION_MORE || renewal->change == GENERATION_OTHER)
		return accept(renewal, g, renewal->change, &renewal->error);
	generation_free(g);
	return 0;
}

static void on_look(struct loop_source *source, uint32_t events)
{
	struct renewal *renewal = (struct renewal *)((char *)source - offsetof(struct renewal, look_source));
	struct look_result result;
	int r = look_receive(renewal->look, &result, &renewal->error);

	(void)events;
	if (r == 0)
		return;
	end_look(renewal);
	renewal->result = r < 0 ? r : 0;
	if (r > 0) {
		take_findings(renewal, &result.rewritten);
		renewal->result = take_generation(renewal, result.generation);
	}
	judge(renewal);
}

/* The looker stays where it is, for good perhaps: another one goes on without that path. */
static void check_stall(struct renewal *renewal)
{
	int64_t since_ms;
	const char *path = look_path(renewal->look, &since_ms);
	char *copy;

	if (since_ms < STALL_MS)
		return;
	copy = strdup(path);
	if (copy && renewal->n_left_out < LEFT_OUT_MAX) {
		log_warning("'%s' below '%s' does not answer, looking on without it", path,
			    renewal->daemon->config.driver_root);
		renewal->left_out[renewal->n_left_out++] = copy;
		end_look(renewal);
		(void)begin_look(renewal);
		return;
	}
	free(copy);
	end_look(renewal);
	renewal->result = error_setc(&renewal->error, ERROR_DRIVER, -ETIMEDOUT, "driver root '%s' does not answer",
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
		int64_t left_ms = renewal->look_ms + WAIT_MS - now_ms(), since_ms;
		struct pollfd p = { .fd = look_fd(renewal->look), .events = POLLIN };

		say_alive(renewal->daemon);
		if (left_ms > 0 && poll(&p, 1, (int)left_ms) >= 0) {
			if (p.revents)
				on_look(&renewal->look_source, EPOLLIN);
			continue;
		}
		(void)error_setc(err, ERROR_AGAIN, -EAGAIN, "the driver is still being looked at, now at '%.256s'",
				 look_path(renewal->look, &since_ms));
		return error_remedy(err, -EAGAIN, "try again in some seconds");
	}
	if (renewal->result < 0 && err)
		*err = renewal->error;
	return renewal->result;
}

static bool module_has_changed(const struct daemon *daemon)
{
	struct generation_module module = { 0 };
	bool changed;

	generation_module_read(daemon->config.proc_root, &module);
	/* Unloaded: it will come back, the same one or another. */
	changed = module.version && !generation_module_is(daemon->generation, &module);
	generation_module_done(&module);
	return changed;
}

int renewal_check(struct renewal *renewal, struct error *err)
{
	const struct daemon *daemon = renewal->daemon;
	int r;

	if (has_generation(daemon) && !module_has_changed(daemon))
		return 0;
	if (has_generation(daemon) && !is_quiet(renewal)) {
		(void)error_setc(err, ERROR_AGAIN, -EAGAIN, "the driver is being changed");
		return error_remedy(err, -EAGAIN, "try again when its packages are installed");
	}
	r = wait_for_look(renewal, err);
	if (r == -EAGAIN || (r == 0 && has_generation(daemon) && !module_has_changed(daemon)))
		return r;
	r = r < 0 ? r : -ELIBBAD;
	if (err)
		*err = (struct error){ 0 };
	(void)error_setc(err, ERROR_DRIVER, r, "%s%s", has_generation(daemon) ? "" : "no driver yet: ",
			  renewal->note);
	return error_remedy(err, r, "load the kernel module; nvfs driver says what is missing");
}

static bool wants_look(struct renewal *renewal)
{
	const struct daemon *daemon = renewal->daemon;
	int64_t since_ms = now_ms() - renewal->look_ms;

	if (!has_generation(daemon))
		return true;
	if (!is_quiet(renewal))
		return false;
	if (module_has_changed(daemon))
		return renewal->changed || since_ms >= RETRY_MS || !*renewal->note;
	return renewal->changed;
}

void renewal_tick(struct renewal *renewal)
{
	bool stuck = look_reap() > 0;

	release_unused(renewal->daemon);
	if (renewal->look) {
		check_stall(renewal);
		return;
	}
	/* A looker that still hangs says that nothing has changed there. */
	if (renewal->n_left_out && !stuck && now_ms() - renewal->look_ms >= AGAIN_MS) {
		forget_left_out(renewal);
		(void)begin_look(renewal);
	} else if (wants_look(renewal)) {
		(void)begin_look(renewal);
	}
}

int renewal_rescan(struct renewal *renewal, const char **ret, struct error *err)
{
	static const char *const words[] = {
		[GENERATION_SAME] = "unchanged",
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
	struct daemon *daemon = renewal->daemon;
	const struct generation *g = daemon->generation;

	if (!g)
		return;
	renewal->changed = true; /* nobody has watched the directories meanwhile */
	/* A change to another version is for all, and the daemon before may have died in it. */
	if (!g->damaged)
		switch_trees(daemon, g->older && strcmp(g->older->driver->version, g->driver->version) != 0);
}

const char *renewal_note(const struct renewal *renewal)
{
	return renewal->note;
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
	finding_list_done(&renewal->findings);
	free(renewal);
}
