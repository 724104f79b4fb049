/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a generation: discovery, then objects for its files. The descriptors
 * move from the driver's list to the store, which serves them. And comparing
 * two: whether a change on the disk may be given to containers.
 */
#include "fs/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/driver_root.h"
#include "nvml/fact.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"

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

/* The lines of /proc/devices that are the driver's: majors move when a module is loaded anew. */
static char *read_majors(const char *proc_root)
{
	auto_free char *path = NULL, *text = NULL, *lines = NULL;
	size_t len = 0;
	FILE *out;

	if (asprintf(&path, "%s/devices", proc_root ? proc_root : "/proc") < 0)
		path = NULL;
	if (!path || file_read_at(AT_FDCWD, path, PROC_TEXT_MAX, &text, NULL, NULL) < 0)
		return NULL;
	out = open_memstream(&lines, &len);
	if (!out)
		return NULL;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strstr(line, " nvidia"))
			fprintf(out, "%s\n", line);
	}
	return fclose(out) == 0 && len ? take_ptr(&lines) : NULL;
}

static int generation_read_proc(struct generation *g, const char *proc_root, struct error *err)
{
	auto_free char *params = proc_text(proc_root, "params");

	g->proc_version = proc_text(proc_root, "version");
	g->proc_registry = proc_text(proc_root, "registry");
	g->majors = g->proc_version ? read_majors(proc_root) : NULL;
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

void generation_module_read(const char *proc_root, struct generation_module *ret)
{
	ret->version = proc_text(proc_root, "version");
	ret->majors = ret->version ? read_majors(proc_root) : NULL;
}

void generation_module_done(struct generation_module *module)
{
	free(module->version);
	free(module->majors);
	*module = (struct generation_module){ 0 };
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool generation_module_is(const struct generation *g, const struct generation_module *module)
{
	return same_text(g->proc_version, module->version) && same_text(g->majors, module->majors);
}

struct generation *generation_find(struct generation *first, uint32_t number)
{
	while (first && first->number != number)
		first = first->older;
	return first;
}

/* comparing */

static const struct driver_file *find_file(const struct driver *driver,
					   const struct driver_file *file, size_t *ret_at)
{
	for (size_t i = 0; i < driver->n_files; i++) {
		if (driver_file_same_place(&driver->files[i], file)) {
			*ret_at = i;
			return &driver->files[i];
		}
	}
	return NULL;
}

static bool is_same_file(const struct store_object *object, const struct stat *st)
{
	return object->dev == st->st_dev && object->ino == st->st_ino &&
	       object->size == (uint64_t)st->st_size && object->mtime_sec == st->st_mtim.tv_sec &&
	       object->mtime_nsec == (uint32_t)st->st_mtim.tv_nsec;
}

static bool same_gpus(const struct generation *a, const struct generation *b)
{
	if (a->gpus->n != b->gpus->n)
		return false;
	for (size_t i = 0; i < a->gpus->n; i++) {
		const struct gpu *x = &a->gpus->gpus[i], *y = &b->gpus->gpus[i];

		if (strcmp(x->uuid, y->uuid) != 0 || strcmp(x->bus_id, y->bus_id) != 0 ||
		    x->minor != y->minor || x->usable != y->usable ||
		    !same_text(a->gpu_texts[i].information, b->gpu_texts[i].information) ||
		    !same_text(a->gpu_texts[i].registry, b->gpu_texts[i].registry))
			return false;
	}
	return true;
}

static bool same_texts(const struct generation *a, const struct generation *b)
{
	return same_text(a->proc_version, b->proc_version) && same_text(a->majors, b->majors) &&
	       same_text(a->proc_params, b->proc_params) &&
	       same_text(a->proc_registry, b->proc_registry);
}

/* Whether trees would show it in the same way. */
static bool is_shown_same(const struct driver_file *a, const struct driver_file *b)
{
	return a->caps == b->caps && same_text(a->soname, b->soname) && same_text(a->text, b->text);
}

/* Left out since the admin says so, and not since packages are being changed? */
static bool is_excluded(const struct driver *driver, const struct driver_file *file)
{
	size_t len = strlen(file->path);

	for (size_t i = 0; i < driver->n_findings; i++) {
		const struct driver_finding *finding = &driver->findings[i];

		if (finding->rule == FINDING_EXCLUDED &&
		    strncmp(finding->text, file->path, len) == 0 && finding->text[len] == ':')
			return true;
	}
	return false;
}

enum generation_change generation_compare(const struct store *store,
					  const struct generation *before,
					  const struct generation *now)
{
	bool same = before->driver->n_files == now->driver->n_files;
	size_t at;

	if (strcmp(before->driver->version, now->driver->version) != 0)
		return GENERATION_OTHER;
	for (size_t i = 0; i < before->driver->n_files; i++) {
		const struct driver_file *file = find_file(now->driver, &before->driver->files[i],
							   &at);

		if (!file && !is_excluded(now->driver, &before->driver->files[i]))
			return GENERATION_LESS;
		same = same && file && is_shown_same(file, &before->driver->files[i]) &&
		       is_same_file(store_object(store, before->objects[i]), &file->st);
	}
	if (!same)
		return GENERATION_MORE;
	/* Not the MIG devices themselves: of these NVML may have told more by now. */
	return same_gpus(before, now) && nvcap_list_equal(&before->nvcaps, &now->nvcaps) &&
			       same_texts(before, now)
		       ? GENERATION_SAME
		       : GENERATION_DEVICES;
}

bool generation_has_files_of(const struct generation *a, const struct generation *b)
{
	size_t at;

	if (a->driver->n_files != b->driver->n_files ||
	    strcmp(a->driver->version, b->driver->version) != 0)
		return false;
	for (size_t i = 0; i < a->driver->n_files; i++) {
		const struct driver_file *file = find_file(b->driver, &a->driver->files[i], &at);

		if (!file || a->objects[i] != b->objects[at] ||
		    !is_shown_same(file, &a->driver->files[i]))
			return false;
	}
	return true;
}

/* making */

static uint32_t object_of(const struct generation *before, const struct store *store,
			  const struct driver_file *file)
{
	size_t at;

	/* What nobody holds any more stays lost, though the file is still there: see revive.h. */
	if (!before || !find_file(before->driver, file, &at) ||
	    !store_object_is_held(store, before->objects[at]) ||
	    !is_same_file(store_object(store, before->objects[at]), &file->st))
		return STORE_NONE;
	return before->objects[at];
}

static int object_add(struct generation *g, const struct generation *before, struct store *store,
		      size_t i)
{
	struct driver_file *file = &g->driver->files[i];
	struct store_object object = {
		.dev = file->st.st_dev,
		.ino = file->st.st_ino,
		.size = (uint64_t)file->st.st_size,
		.mtime_sec = file->st.st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)file->st.st_mtim.tv_nsec,
		.mode = file->st.st_mode,
		.generation = g->number,
	};

	g->objects[i] = object_of(before, store, file);
	if (g->objects[i] != STORE_NONE) {
		cleanup_close(&file->fd);
		file->fd = -1;
		return 0;
	}
	object.path = store_blob_put(store, file->path, strlen(file->path));
	g->objects[i] = store_object_add(store, &object);
	if (g->objects[i] == STORE_NONE)
		return -ENOMEM;
	return store_object_set_fd(store, g->objects[i], take_fd(&file->fd));
}

int generation_record(struct generation *g, const struct generation *before, struct store *store,
		      struct error *err)
{
	int r = 0;

	g->objects = calloc(g->driver->n_files + 1, sizeof(*g->objects));
	if (!g->objects)
		return error_set(err, -ENOMEM, "record the driver's files");
	store_write_lock(store);
	for (size_t i = 0; i < g->driver->n_files && r == 0; i++)
		r = object_add(g, before, store, i);
	store_unlock(store);
	return r < 0 ? error_set(err, r, "record the driver's files") : 0;
}

int generation_discover(const struct driver_config *config, uint32_t number,
			struct generation **ret, struct error *err)
{
	struct generation *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return error_set(err, -ENOMEM, "make a generation");
	g->number = number;
	g->made_s = time(NULL);
	r = driver_discover(config, &g->driver, err);
	if (r == 0) {
		r = driver_guard_enter(config->guard,
				       config->proc_root ? config->proc_root : "/proc");
		r = r < 0 ? error_set(err, r, "the driver's texts in /proc") : 0;
	}
	if (r == 0)
		r = gpu_list_new(config->proc_root, &g->gpus, err);
	if (r == 0)
		(void)mig_print_read(config->proc_root, &g->nvml.print);
	if (r == 0)
		r = mig_list_read(config->proc_root, g->gpus, err);
	if (r == 0)
		fact_fill(g->driver, g->gpus);
	if (r == 0)
		r = nvcap_list_read(config->proc_root, g->gpus, &g->nvcaps, err);
	if (r == 0)
		r = generation_read_proc(g, config->proc_root, err);
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
	free(g->majors);
	free(g->objects);
	finding_list_done(&g->nvml.findings);
	nvcap_list_done(&g->nvcaps);
	gpu_list_free(g->gpus);
	driver_free(g->driver);
	free(g);
}
