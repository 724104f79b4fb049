/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one generation to the next, in this order: record the files and hand
 * them to the kernel, save what there is, derive every tree's next layout,
 * switch them all in one moment. Killed anywhere in between, the next daemon
 * finds generations and trees whole, and changeover_resume() does what is left.
 */
#include "fs/changeover.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/varlink.h"
#include "fs/closer.h"
#include "fs/compose.h"
#include "fs/daemon.h"
#include "fs/derive.h"
#include "fs/events.h"
#include "fs/facts.h"
#include "fs/filesystem.h"
#include "fs/given.h"
#include "fs/link.h"
#include "fs/nodemaker.h"
#include "fs/nodes.h"
#include "fs/reinject.h"
#include "fs/store.h"
#include "fs/tree.h"
#include "nvml/compat.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"
#include "nvml/select.h"

#define FORGET_AGAIN_MS 60000

#define HOST_TARGET "/run/nvfs/host"

/* files */

/*
 * Hand new files to the kernel, before any tree shows them. What it takes is
 * open in the kernel from now on, and needs no descriptor of ours. What we
 * still read by ourselves, a later daemon must be able to read too, unlinked or
 * not: the keeper gets it.
 */
void changeover_back_file(struct daemon *daemon, uint32_t object, const char *path)
{
	int fd = store_object_fd(daemon->store, object), id;

	if (fd < 0)
		return; /* of a generation before */
	id = filesystem_features(daemon->fs)->passthrough ? filesystem_backing_open(daemon->fs, fd)
							  : 0;
	if (id > 0) {
		store_write_lock(daemon->store);
		store_object_set_backing(daemon->store, object, id);
		fd = store_object_take_fd(daemon->store, object);
		store_unlock(daemon->store);
		closer_close(daemon->closer, fd);
		return;
	}
	if (id < 0)
		log_warning("'%s': %s, serving it by reads", path, strerror(-id));
	if (daemon->link >= 0 && link_send(daemon->link, LINK_FILE, object, fd) < 0)
		log_warning("give '%s' to the keeper: it will not outlive this daemon, ignoring",
			    path);
}

static int record(struct daemon *daemon, struct generation *g, struct error *err)
{
	int r = g->objects ? 0 : generation_record(g, daemon->generation, daemon->store, err);

	for (size_t i = 0; r == 0 && i < g->driver->n_files; i++) {
		if (store_object(daemon->store, g->objects[i])->generation == g->number)
			changeover_back_file(daemon, g->objects[i], g->driver->files[i].path);
	}
	return r;
}

/* trees */

static uint32_t layout_of(const struct store *store, const struct store_tree *tree)
{
	return store_snapshot(store, tree->snapshot)->layout;
}

/* Another driver, another choice: what the image has is in the record. */
static void request_compat(struct derive_request *request, const json_t *spec)
{
	const json_t *compat = json_object_get(spec, "compat");

	if (compat_mode_parse(varlink_string(spec, "cuda_compat_mode", ""), &request->compat_mode,
			      NULL) < 0)
		request->compat_mode = COMPAT_DISABLED; /* of a daemon before there was a choice */
	request->compat = json_string_value(compat);
	request->compat_size = json_string_length(compat);
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
		request_compat(&request, spec);
		request.image = compose_cache(daemon->store, layout_of(daemon->store, tree),
					      &request.image_size);
		r = driver_caps_parse(varlink_string(spec, "driver_capabilities", ""),
				      &request.caps, err);
		r = r ? r : given_select(spec, daemon->generation->gpus, &selection);
		request.mig_config = given_flag(spec, "mig_config");
		request.mig_monitor = given_flag(spec, "mig_monitor");
		request.imex_mgmt = given_flag(spec, "imex_mgmt");
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
	const struct generation *g = generation_find(
		daemon->generation, store_snapshot(daemon->store, tree->snapshot)->generation);

	return !g || g->damaged;
}

/* Which trees get a snapshot of the present generation. The reference tree always does. */
enum reach {
	REFERENCE_ALONE,
	OF_SAME_FILES, /* of a generation before that has the same files: they see nothing but other texts */
	OF_PRESENT,    /* which itself has changed */
	ALL_TREES,     /* but pinned ones */
};

static enum reach reach_of(enum generation_change change)
{
	return change == GENERATION_OTHER     ? ALL_TREES :
	       change == GENERATION_DEVICES ? OF_SAME_FILES :
					      REFERENCE_ALONE;
}

static json_t *spec_of(const struct daemon *daemon, uint32_t index)
{
	return json_loads(store_blob(daemon->store, store_tree(daemon->store, index)->spec, NULL),
			  0, NULL);
}

/* Does it show anything of MIG? */
static bool has_migs(const struct daemon *daemon, uint32_t index)
{
	json_t *spec = spec_of(daemon, index);
	bool has = !store_tree(daemon->store, index)->mnt_ns || given_has_mig_control(spec) ||
		   json_array_size(json_object_get(spec, "migs")) > 0;

	json_decref(spec);
	return has;
}

static bool wants_next(const struct daemon *daemon, uint32_t index, enum reach reach)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	uint32_t number = tree ? store_snapshot(daemon->store, tree->snapshot)->generation : 0;

	if (!tree || number == daemon->generation->number)
		return tree && reach == OF_PRESENT && has_migs(daemon, index);
	if (!tree->mnt_ns || is_damaged(daemon, index))
		return true;
	if (reach == ALL_TREES)
		return !daemon->config.pin;
	return reach == OF_SAME_FILES &&
	       generation_has_files_of(generation_find(daemon->generation, number),
				       daemon->generation);
}

/* Else the layout goes back. */
static bool is_other(struct daemon *daemon, const struct daemon_next *next, enum reach reach)
{
	if (next->layout != next->old_layout || reach != OF_PRESENT)
		return true;
	store_write_lock(daemon->store);
	store_layout_unref(daemon->store, next->layout);
	store_unlock(daemon->store);
	return false;
}

/* What was planned with the driver before, and is not committed, must be planned again. */
static void end_injections(struct daemon *daemon)
{
	while (daemon->injections)
		daemon_injection_end(daemon, daemon->injections, false);
}

static void switch_trees(struct daemon *daemon, enum reach reach)
{
	auto_free struct daemon_next *next =
		calloc(store_trees_end(daemon->store) + 1, sizeof(*next));
	struct error err = { 0 };
	size_t n = 0;

	if (reach == OF_SAME_FILES || reach == ALL_TREES)
		end_injections(daemon);
	for (uint32_t i = 0; next && i < store_trees_end(daemon->store); i++) {
		if (!wants_next(daemon, i, reach))
			continue;
		next[n].tree = i;
		next[n].old_layout = layout_of(daemon->store, store_tree(daemon->store, i));
		if (derive_next(daemon, i, &next[n].layout, &err) == 0)
			n += is_other(daemon, &next[n], reach);
		else
			log_error(
				"tree '%s' keeps the driver before: %s",
				store_blob(daemon->store, store_tree(daemon->store, i)->name, NULL),
				err.text);
		daemon_say_alive(daemon);
	}
	if (n)
		daemon_trees_switch(daemon, next, n, daemon->generation->number);
}

/* nodes */

/* Since any generation that there is: who has been injected anew already has no stale nodes. */
static bool majors_moved(const struct generation *g)
{
	for (const struct generation *before = g->older; g->majors && before;
	     before = before->older) {
		if (before->majors && strcmp(g->majors, before->majors) != 0)
			return true;
	}
	return false;
}

/* A pinned container has the driver of a module that is gone, for which no node is of use. */
static bool is_pinned(const struct daemon *daemon, uint32_t index)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const struct generation *its = generation_find(
		daemon->generation, store_snapshot(daemon->store, tree->snapshot)->generation);

	return daemon->config.pin && its &&
	       strcmp(its->driver->version, daemon->generation->driver->version) != 0;
}

static void renew_nodes_of(struct daemon *daemon, uint32_t index)
{
	const char *name = store_blob(daemon->store, store_tree(daemon->store, index)->name, NULL);

	if (!reinject_nodes(daemon, index).stale)
		return;
	if (is_pinned(daemon, index)) {
		log_warning("container '%s' is pinned to a driver that is not loaded any more, and "
			    "keeps the "
			    "device nodes of before, ignoring",
			    name);
		return;
	}
	log_info("majors have moved: injecting '%s' anew, for its device nodes", name);
	reinject_tree(daemon, index);
	daemon->containers[index]->nodes_moved = true;
}

/* Containers whose device nodes are of the majors before. Those that have ended are found out later. */
static void renew_nodes(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		if (!daemon->containers[i])
			continue;
		renew_nodes_of(daemon, i);
		daemon_say_alive(daemon);
	}
}

static bool has_mig_control(const struct daemon *daemon, uint32_t index)
{
	json_t *spec = spec_of(daemon, index);
	bool has = given_has_mig_control(spec);

	json_decref(spec);
	return has;
}

/* Containers that divide or watch GPUs have what is on them, and so what has come to be. */
static void renew_mig_control(struct daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		if (!daemon->containers[i] || !has_mig_control(daemon, i))
			continue;
		log_info("GPUs are divided otherwise: injecting '%s' anew, for its device nodes",
			 store_blob(daemon->store, store_tree(daemon->store, i)->name, NULL));
		reinject_tree(daemon, i);
		daemon_say_alive(daemon);
	}
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

unsigned int changeover_trees_of(const struct daemon *daemon, const struct generation *g)
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
	int fd;

	store_write_lock(daemon->store);
	fd = store_object_take_fd(daemon->store, index);
	store_object_release(daemon->store, index);
	store_unlock(daemon->store);
	/* The last close of a file that was unlinked frees its blocks: a slow disk's time. */
	closer_close(daemon->closer, fd);
	if (backing_id > 0)
		closer_close_backing(daemon->closer, backing_id);
	else if (daemon->link >= 0)
		(void)link_send(daemon->link, LINK_DROP, index, -1);
}

/* Its files are closed, so that their filesystem can be unmounted. What is mapped or open the kernel has itself. */
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
		daemon_say_alive(daemon);
		release_object(daemon, g->objects[i]);
	}
	log_info("driver %s (generation %u) is not used any more", g->driver->version, g->number);
	generation_free(g);
}

/*
 * Void names would count as use: the kernel drops them only when somebody looks for one. Again after a while:
 * who stands in a directory of before can look for names there.
 */
static void forget_names(struct daemon *daemon, struct generation *g)
{
	int64_t now_ms = clock_ms();

	if (g->forgotten_ms && now_ms - g->forgotten_ms < FORGET_AGAIN_MS)
		return;
	g->forgotten_ms = now_ms;
	daemon_forget_generation(daemon, g->number);
}

static bool is_known(const struct daemon *daemon, const struct generation *g, bool but_shared)
{
	for (size_t i = 0; i < g->driver->n_files; i++) {
		const struct store_object *object = store_object(daemon->store, g->objects[i]);

		if (object && object->backing_id <= 0 &&
		    !(but_shared && is_shared(daemon->generation, g, g->objects[i])) &&
		    filesystem_is_known(daemon->fs, tree_object_nodeid(g->objects[i])))
			return true;
	}
	return false;
}

/*
 * Is a file of it open or mapped? With passthrough that is the kernel's business; without, each page that is
 * not in memory is asked of us, as long as anybody may touch it. Names of files that it shares with others
 * are forgotten too: its directories cannot be told any more when they are gone.
 */
static bool is_held(struct daemon *daemon, struct generation *g)
{
	if (!is_known(daemon, g, false))
		return false;
	forget_names(daemon, g);
	return is_known(daemon, g, true);
}

/* Not at once: an open that was under way at the switch still asks for its files. */
static bool is_over(struct daemon *daemon, struct generation *g)
{
	if (changeover_trees_of(daemon, g)) {
		g->unused_ms = 0;
		return false;
	}
	if (!g->unused_ms) {
		g->unused_ms = clock_ms();
		g->forgotten_ms = 0;
		return false;
	}
	return clock_ms() - g->unused_ms >= (int64_t)daemon->config.grace_s * 1000 &&
	       !is_held(daemon, g);
}

void changeover_tick(struct daemon *daemon)
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

/* the change */

int changeover_to(struct daemon *daemon, struct generation *g, enum generation_change change,
		  struct error *err)
{
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
	facts_of_generation(daemon->facts);
	events_of_host(daemon, EVENT_GENERATION,
		       json_pack("{s:i, s:s, s:i, s:i}", "number", (int)g->number, "driver_version",
				 g->driver->version, "gpus", (int)g->gpus->n, "files",
				 (int)g->driver->n_files));
	switch_trees(daemon, is_first ? ALL_TREES : reach_of(change));
	nodemaker_start(daemon);
	if (majors_moved(g))
		renew_nodes(daemon);
	if (!is_first && change != GENERATION_MORE)
		renew_mig_control(daemon);
	for (size_t i = 0; i < g->driver->n_findings; i++) {
		if (g->driver->findings[i].rule == FINDING_RULES)
			log_warning("%s", g->driver->findings[i].text);
	}
	log_info("driver %s (generation %u): %zu files below '%s', %zu GPU%s",
		 g->driver->version[0] ? g->driver->version : "of WSL2", g->number,
		 g->driver->n_files, daemon->config.driver_root, g->gpus->n,
		 g->gpus->n == 1 ? "" : "s");
	return r;
}

int changeover_migs(struct daemon *daemon, struct error *err)
{
	const char *proc_root = daemon->config.proc_root;
	struct generation *g;
	struct nvcap_list nvcaps;
	int r = generation_again(daemon->generation, daemon->generations + 1, &g);

	if (r < 0)
		return error_set(err, r, "make a generation");
	r = mig_print_read(proc_root, &g->nvml.print);
	r = r < 0 ? error_set(err, r, "list MIG devices") : mig_list_read(proc_root, g->gpus, err);
	r = r < 0 ? r : nvcap_list_read(proc_root, g->gpus, &nvcaps, err);
	if (r < 0) {
		generation_free(g);
		return r;
	}
	nvcap_list_done(&g->nvcaps);
	g->nvcaps = nvcaps;
	return changeover_to(daemon, g, GENERATION_DEVICES, err);
}

void changeover_told(struct daemon *daemon)
{
	struct generation *g = daemon->generation;
	struct nvcap_list nvcaps;
	bool same;

	deriver_forget(daemon->deriver);
	if (nvcap_list_read(daemon->config.proc_root, g->gpus, &nvcaps, NULL) < 0)
		return;
	same = nvcap_list_equal(&g->nvcaps, &nvcaps);
	nvcap_list_done(&g->nvcaps);
	g->nvcaps = nvcaps;
	if (!same)
		end_injections(daemon);
	switch_trees(daemon, OF_PRESENT);
	if (same)
		return;
	nodemaker_start(daemon);
	renew_mig_control(daemon);
}

/* One that no tree has was left behind whole: it may stay for long, see is_held(). */
static bool version_moved(const struct daemon *daemon, const struct generation *g)
{
	for (const struct generation *before = g->older; before; before = before->older) {
		if (strcmp(before->driver->version, g->driver->version) != 0 &&
		    changeover_trees_of(daemon, before))
			return true;
	}
	return false;
}

/* The daemon before may have died in any of the changes since the oldest generation that there is. */
void changeover_resume(struct daemon *daemon)
{
	const struct generation *g = daemon->generation;

	if (!g || g->damaged)
		return;
	/* A change to another version is for all. */
	switch_trees(daemon, version_moved(daemon, g) ? ALL_TREES : OF_SAME_FILES);
	if (!g->older)
		return;
	nodemaker_start(daemon);
	if (majors_moved(g))
		renew_nodes(daemon);
	renew_mig_control(daemon);
}
