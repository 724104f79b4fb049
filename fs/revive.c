/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a generation after the end of everybody who had them open. This is the one place where the
 * daemon itself opens the driver's files: nobody is served yet, and a host's filesystem that does not
 * answer lets the keeper replace it, again and again, until it does. Where the connection goes on every
 * file is held by somebody, and nothing of the host is touched.
 */
#include "fs/revive.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "fs/changeover.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/driver_root.h"

static bool is_held(const struct store *store, uint32_t object)
{
	return store_object(store, object)->backing_id > 0 || store_object_fd(store, object) >= 0;
}

static bool is_same(const struct store_object *object, const struct stat *st)
{
	return object->dev == st->st_dev && object->ino == st->st_ino &&
	       object->size == (uint64_t)st->st_size && object->mtime_sec == st->st_mtim.tv_sec &&
	       object->mtime_nsec == (uint32_t)st->st_mtim.tv_nsec;
}

static bool revive_file(struct daemon *daemon, const struct driver_root *root, uint32_t object,
			const char *path)
{
	auto_free char *resolved = NULL;
	struct stat st;
	auto_close int fd = driver_root_open_file(root, path, &resolved, &st);
	int r;

	if (fd < 0 || !is_same(store_object(daemon->store, object), &st))
		return false;
	store_write_lock(daemon->store);
	r = store_object_set_fd(daemon->store, object, take_fd(&fd));
	store_unlock(daemon->store);
	if (r == 0)
		changeover_back_file(daemon, object, path);
	return r == 0;
}

static void revive(struct daemon *daemon, struct generation *g)
{
	struct driver_root root = { .fd = -1 };
	bool tried = false, have_root = false;
	const char *lost = NULL;
	size_t n_lost = 0;

	for (size_t i = 0; i < g->driver->n_files; i++) {
		const char *path = g->driver->files[i].path;

		if (is_held(daemon->store, g->objects[i]))
			continue;
		have_root = tried ? have_root : driver_root_open(g->driver->root, &root, NULL) == 0;
		tried = true;
		if (have_root && revive_file(daemon, &root, g->objects[i], path))
			continue;
		lost = path;
		n_lost++;
	}
	if (have_root)
		driver_root_done(&root);
	g->damaged = n_lost > 0;
	if (n_lost)
		log_error("driver %s (generation %u): %zu of %zu files were replaced or unlinked while no daemon "
			  "had them open, '%s' is one: they cannot come back, and containers get what the driver is now",
			  g->driver->version, g->number, n_lost, g->driver->n_files, lost);
}

void revive_generations(struct daemon *daemon)
{
	for (struct generation *g = daemon->generation; g; g = g->older)
		revive(daemon, g);
}
