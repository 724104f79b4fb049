/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a generation: discovery, then objects for its files. The descriptors
 * move from the driver's list to the store, which serves them.
 */
#include "fs/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"

#define PROC_TEXT_MAX (256UL * 1024)

char *generation_params(const char *host_params)
{
	static const char key[] = "ModifyDeviceFiles: ";
	char *copy = strdup(host_params);
	char *at = copy ? strstr(copy, key) : NULL;

	if (at && (at == copy || at[-1] == '\n')) {
		at += strlen(key);
		for (; *at >= '0' && *at <= '9'; at++)
			*at = '0';
	}
	return copy;
}

/* A text of /proc/driver/nvidia, or NULL: no module, no such file. */
static char *proc_text(const char *proc_root, const char *name)
{
	auto_free char *path = NULL;
	char *text = NULL;

	if (asprintf(&path, "%s/driver/nvidia/%s", proc_root ? proc_root : "/proc", name) < 0)
		path = NULL;
	if (path)
		(void)file_read_at(AT_FDCWD, path, PROC_TEXT_MAX, &text, NULL, NULL);
	return text;
}

static char *gpu_text(const char *proc_root, const struct gpu *gpu, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "gpus/%s/%s", gpu->bus_id, name);
	return proc_text(proc_root, path);
}

static int generation_read_proc(struct generation *g, const char *proc_root, struct error *err)
{
	auto_free char *params = proc_text(proc_root, "params");

	g->proc_version = proc_text(proc_root, "version");
	g->proc_registry = proc_text(proc_root, "registry");
	g->proc_params = params ? generation_params(params) : NULL;
	g->gpu_texts = calloc(g->gpus->n + 1, sizeof(*g->gpu_texts));
	if (!g->gpu_texts || (params && !g->proc_params))
		return error_set(err, -ENOMEM, "read /proc/driver/nvidia");
	for (size_t i = 0; i < g->gpus->n; i++) {
		g->gpu_texts[i].information = gpu_text(proc_root, &g->gpus->gpus[i], "information");
		g->gpu_texts[i].registry = gpu_text(proc_root, &g->gpus->gpus[i], "registry");
	}
	return 0;
}

static int object_add(struct generation *g, struct store *store, size_t i)
{
	struct driver_file *file = &g->driver->files[i];
	struct store_object object = {
		.dev = file->st.st_dev,
		.ino = file->st.st_ino,
		.size = (uint64_t)file->st.st_size,
		.mtime_sec = file->st.st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)file->st.st_mtim.tv_nsec,
		.mode = file->st.st_mode,
		.path = store_blob_put(store, file->path, strlen(file->path)),
		.generation = g->number,
	};

	g->objects[i] = store_object_add(store, &object);
	if (g->objects[i] == STORE_NONE)
		return -ENOMEM;
	return store_object_set_fd(store, g->objects[i], take_fd(&file->fd));
}

static int generation_add_objects(struct generation *g, struct store *store, struct error *err)
{
	int r = 0;

	g->objects = calloc(g->driver->n_files + 1, sizeof(*g->objects));
	if (!g->objects)
		return error_set(err, -ENOMEM, "record the driver's files");
	store_write_lock(store);
	for (size_t i = 0; i < g->driver->n_files && r == 0; i++)
		r = object_add(g, store, i);
	store_unlock(store);
	return r < 0 ? error_set(err, r, "record the driver's files") : 0;
}

int generation_new(const struct driver_config *config, struct store *store, uint32_t number,
		   struct generation **ret, struct error *err)
{
	struct generation *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return error_set(err, -ENOMEM, "make a generation");
	g->number = number;
	r = driver_discover(config, &g->driver, err);
	if (r == 0)
		r = gpu_list_new(config->proc_root, &g->gpus, err);
	if (r == 0)
		r = generation_read_proc(g, config->proc_root, err);
	if (r == 0)
		r = generation_add_objects(g, store, err);
	if (r < 0) {
		generation_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

void generation_free(struct generation *g)
{
	if (!g)
		return;
	for (size_t i = 0; g->gpus && g->gpu_texts && i < g->gpus->n; i++) {
		free(g->gpu_texts[i].information);
		free(g->gpu_texts[i].registry);
	}
	free(g->gpu_texts);
	free(g->proc_version);
	free(g->proc_params);
	free(g->proc_registry);
	free(g->objects);
	gpu_list_free(g->gpus);
	driver_free(g->driver);
	free(g);
}
