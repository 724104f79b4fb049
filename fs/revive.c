/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a generation after the end of everybody who had them open. They are opened by a looker, as
 * discovery does, and waited for: nothing can be served before. Where the connection goes on every file
 * is held by somebody, and nothing of the host is touched.
 */
#include "fs/revive.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/changeover.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/look.h"
#include "fs/store.h"
#include "nvml/driver.h"

#define POLL_MS 100

/* Files of one generation that nobody holds. */
struct lost {
	struct generation *g;
	struct look_file *files;
	uint32_t *objects;
	size_t n;
	char *left_out[LOOK_LEFT_OUT_MAX]; /* paths that did not answer */
	size_t n_left_out;
};

static void lost_done(struct lost *lost)
{
	while (lost->n_left_out)
		free(lost->left_out[--lost->n_left_out]);
	free(lost->files);
	free(lost->objects);
}

static int lost_find(const struct daemon *daemon, struct generation *g, struct lost *ret)
{
	*ret = (struct lost){ .g = g };
	ret->files = calloc(g->driver->n_files + 1, sizeof(*ret->files));
	ret->objects = calloc(g->driver->n_files + 1, sizeof(*ret->objects));
	if (!ret->files || !ret->objects)
		return -ENOMEM;
	for (size_t i = 0; i < g->driver->n_files; i++) {
		if (store_object_is_held(daemon->store, g->objects[i]))
			continue;
		look_file_of(g, daemon->store, i, &ret->files[ret->n]);
		ret->objects[ret->n++] = g->objects[i];
	}
	return 0;
}

/* Takes in what comes. 1: done; 0: it hangs, at a path that is left out from now on; -errno */
static int hear(struct lost *lost, struct look *look, struct look_result *result, struct error *err)
{
	for (;;) {
		struct pollfd p = { .fd = look_fd(look), .events = POLLIN };
		int64_t since_ms;
		const char *path;
		int r;

		(void)poll(&p, 1, POLL_MS);
		r = p.revents ? look_receive(look, result, err) : 0;
		if (r != 0)
			return r;
		path = look_path(look, &since_ms);
		if (since_ms < LOOK_STALL_MS)
			continue;
		log_warning("'%s' below '%s' does not answer, going on without it", path,
			    lost->g->driver->root);
		if (lost->n_left_out == LOOK_LEFT_OUT_MAX)
			return error_setc(err, ERROR_DRIVER, -ETIMEDOUT,
					  "driver root '%s' does not answer",
					  lost->g->driver->root);
		lost->left_out[lost->n_left_out] = strdup(path);
		if (!lost->left_out[lost->n_left_out])
			return error_set(err, -ENOMEM, "leave a path out");
		lost->n_left_out++;
		return 0;
	}
}

static int reopen(struct lost *lost, struct look_result *result, struct error *err)
{
	int r = 0;

	while (r == 0) {
		const struct look_request request = {
			.driver_root = lost->g->driver->root,
			.left_out = lost->left_out,
			.n_left_out = lost->n_left_out,
			.inotify_fd = -1,
			.reopen = lost->files,
			.n_reopen = lost->n,
		};
		struct look *look = NULL;

		r = look_start(&request, &look, err);
		r = r < 0 ? r : hear(lost, look, result, err);
		look_free(look);
	}
	return r;
}

/* @fd is taken over. */
static bool revive_file(struct daemon *daemon, uint32_t object, const char *path, int fd)
{
	int r;

	if (fd < 0)
		return false;
	store_write_lock(daemon->store);
	r = store_object_set_fd(daemon->store, object, fd);
	store_unlock(daemon->store);
	if (r == 0)
		changeover_back_file(daemon, object, path);
	return r == 0;
}

static void say_lost(const struct lost *lost, size_t n, const char *example)
{
	const struct driver *driver = lost->g->driver;

	if (n)
		log_error("driver %s (generation %u): %zu of %zu files were replaced or unlinked "
			  "while no daemon "
			  "had them open%s, '%s' is one: they cannot come back, and containers get "
			  "what the driver is now",
			  driver->version, lost->g->number, n, driver->n_files,
			  lost->n_left_out ? ", or do not answer" : "", example);
}

static void revive_all(struct daemon *daemon, const struct lost *lost, const int *fds)
{
	const char *example = NULL;
	size_t n = 0;

	for (size_t i = 0; i < lost->n; i++) {
		const char *path = lost->files[i].path;

		if (revive_file(daemon, lost->objects[i], path, fds ? fds[i] : -1))
			continue;
		example = path;
		n++;
	}
	lost->g->damaged = n > 0;
	say_lost(lost, n, example);
}

static void revive(struct daemon *daemon, struct generation *g)
{
	struct look_result result = { 0 };
	struct error err = { 0 };
	struct lost lost;
	int r = lost_find(daemon, g, &lost);

	if (r == 0 && lost.n) {
		if (reopen(&lost, &result, &err) < 0)
			log_error("open the files of driver %s again: %s", g->driver->version,
				  err.text);
		revive_all(daemon, &lost, result.reopened);
	}
	g->damaged = g->damaged || r < 0;
	free(result.reopened);
	lost_done(&lost);
}

void revive_generations(struct daemon *daemon)
{
	for (struct generation *g = daemon->generation; g; g = g->older)
		revive(daemon, g);
}
