/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of a driver tree:
 *
 *   bin/  lib64/ (lib -> lib64)  lib32/  firmware/nvidia/VERSION/
 *   etc/ld.so.cache  proc/driver/nvidia/  .nvfs/manifest.json
 *
 * Libraries stand under their file names; the names that programs ask for, the
 * soname and the ".so" name, are links that are made here and found nowhere on
 * the host: no ldconfig runs in a container.
 */
#include "fs/compose.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/ldcache.h"
#include "fs/compat_verdict.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/select.h"

#define PATH_SIZE 512

struct composer {
	struct store *store;
	const struct generation *generation;
	const struct compose_spec *spec;
	struct layout_builder *builder;
	json_t *manifest; /* array of files */
	struct error *err;
};

static bool is_wanted(const struct driver_file *file, unsigned int caps)
{
	if (file->kind == DRIVER_LIBRARY && file->elf_class == 32 && !(caps & DRIVER_CAP_COMPAT32))
		return false;
	return (file->caps & caps) != 0;
}

size_t compose_dev_name(const char *name)
{
	const char *so = strstr(name, ".so.");

	return so ? (size_t)(so - name) + strlen(".so") : 0;
}

static int add_link(struct composer *c, const char *path, const char *target)
{
	uint32_t link = store_link_put(c->store, target);
	int r;

	if (link == STORE_NONE)
		return error_set(c->err, -ENOMEM, "link '%s'", path);
	r = layout_add(c->builder, path, LAYOUT_LINK, link, 0777, c->err);
	return r == -EEXIST ? 0 : r; /* the first library that claims a name has it */
}

static int add_text(struct composer *c, const char *path, const char *text, size_t size)
{
	uint32_t blob = store_blob_put(c->store, text, size);
	int r;

	if (blob == STORE_NONE)
		return error_set(c->err, -ENOMEM, "file '%s'", path);
	r = layout_add(c->builder, path, LAYOUT_TEXT, blob, 0444, c->err);
	if (r < 0)
		store_blob_unref(c->store, blob);
	return r;
}

static void add_to_manifest(struct composer *c, const char *path, const struct driver_file *file)
{
	char caps[DRIVER_CAPS_TEXT_MAX];
	json_t *entry;

	driver_caps_print(file->caps, caps, sizeof(caps));
	entry = json_pack("{s:s, s:s, s:I, s:s}", "path", path, "kind",
			  driver_file_kind_name(file->kind), "size",
			  (json_int_t)file->st.st_size, "driver_capabilities", caps);
	if (file->soname)
		(void)json_object_set_new(entry, "soname", json_string(file->soname));
	(void)json_array_append_new(c->manifest, entry);
}

static const char *library_dir(const struct driver_file *file)
{
	return file->elf_class == 32 ? "lib32" : "lib64";
}

static int add_library_links(struct composer *c, const struct driver_file *file)
{
	size_t dev_name = compose_dev_name(file->name);
	const char *soname = file->soname ? file->soname : file->name;
	char path[PATH_SIZE];
	int r = 0;

	if (strcmp(soname, file->name) != 0) {
		(void)snprintf(path, sizeof(path), "%s/%s", library_dir(file), soname);
		r = add_link(c, path, file->name);
	}
	if (r < 0 || !dev_name)
		return r;
	(void)snprintf(path, sizeof(path), "%s/%.*s", library_dir(file), (int)dev_name, file->name);
	return add_link(c, path, soname);
}

/* Is this library's soname one that the image has the file for? */
static bool is_images(const struct compat_verdict *compat, const struct driver_file *file)
{
	return compat && file->kind == DRIVER_LIBRARY && file->elf_class != 32 &&
	       compat_verdict_has(compat, file->soname ? file->soname : file->name);
}

static int add_compat_links(struct composer *c)
{
	const struct compat_verdict *compat = c->spec->compat;
	char path[PATH_SIZE], target[PATH_SIZE];
	int r = 0;

	for (size_t i = 0; compat && i < compat->n && r == 0; i++) {
		(void)snprintf(path, sizeof(path), "lib64/%s", compat->links[i].name);
		(void)snprintf(target, sizeof(target), COMPATLIST_ROOT "%s", compat->links[i].file);
		r = add_link(c, path, target);
	}
	return r;
}

static int add_file(struct composer *c, size_t i)
{
	const struct driver *driver = c->generation->driver;
	const struct driver_file *file = &driver->files[i];
	char path[PATH_SIZE];
	int r;

	if (is_images(c->spec->compat, file))
		return add_library_links(c, file); /* "libcuda.so", where the image has none */
	if (file->kind == DRIVER_FIRMWARE)
		(void)snprintf(path, sizeof(path), "firmware/nvidia/%s/%s", driver->version, file->name);
	else
		(void)snprintf(path, sizeof(path), "%s/%s",
			       file->kind == DRIVER_PROGRAM ? "bin" : library_dir(file), file->name);
	r = layout_add(c->builder, path, LAYOUT_HOST, c->generation->objects[i],
		       file->st.st_mode & 0555, c->err);
	if (r < 0)
		return r;
	add_to_manifest(c, path, file);
	return file->kind == DRIVER_LIBRARY ? add_library_links(c, file) : 0;
}

static int add_files(struct composer *c)
{
	static const char *const dirs[] = { "bin", "lib64", "etc", ".nvfs" };
	const struct driver *driver = c->generation->driver;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++)
		r = layout_add(c->builder, dirs[i], LAYOUT_DIR, 0, 0555, c->err);
	if (r == 0)
		r = add_link(c, "lib", "lib64");
	if (r == 0)
		r = add_compat_links(c);
	for (size_t i = 0; i < driver->n_files && r == 0; i++) {
		if (is_wanted(&driver->files[i], c->spec->caps))
			r = add_file(c, i);
	}
	return r;
}

static int add_proc_text(struct composer *c, const char *dir, const char *name, const char *text)
{
	char path[PATH_SIZE];

	if (!text)
		return 0;
	(void)snprintf(path, sizeof(path), "proc/driver/nvidia/%s%s", dir, name);
	return add_text(c, path, text, strlen(text));
}

static int add_gpu(struct composer *c, size_t i)
{
	const struct generation_gpu *texts = &c->generation->gpu_texts[i];
	char dir[64];
	int r;

	(void)snprintf(dir, sizeof(dir), "gpus/%s/", c->generation->gpus->gpus[i].bus_id);
	r = add_proc_text(c, dir, "information", texts->information);
	return r < 0 ? r : add_proc_text(c, dir, "registry", texts->registry);
}

static int add_proc(struct composer *c)
{
	const struct generation *g = c->generation;
	const struct gpu_selection *selection = c->spec->selection;
	size_t n = selection ? selection->n : g->gpus->n;
	int r = layout_add(c->builder, "proc/driver/nvidia/gpus", LAYOUT_DIR, 0, 0555, c->err);

	if (r == 0)
		r = add_proc_text(c, "", "version", g->proc_version);
	if (r == 0)
		r = add_proc_text(c, "", "params", g->proc_params);
	if (r == 0)
		r = add_proc_text(c, "", "registry", g->proc_registry);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_gpu(c, selection ? selection->at[i] : i);
	return r;
}

/* {"mode", "why", "libraries"}; NULL where the image has nothing of the kind */
static json_t *compat_json(const struct composer *c)
{
	const struct compat_verdict *compat = c->spec->compat;
	json_t *names;

	if (!compat || !compat->why[0])
		return NULL;
	names = json_array();
	for (size_t i = 0; i < compat->n; i++)
		(void)json_array_append_new(names, json_string(compat->links[i].name));
	return json_pack("{s:s, s:s, s:o}", "mode", c->spec->compat_mode, "why", compat->why, "libraries", names);
}

static int add_manifest(struct composer *c)
{
	char caps[DRIVER_CAPS_TEXT_MAX];
	auto_free char *text = NULL;
	json_t *manifest;

	driver_caps_print(c->spec->caps, caps, sizeof(caps));
	manifest = json_pack("{s:s, s:i, s:s, s:O, s:o*}", "driver_version", c->generation->driver->version,
			     "generation", (int)c->generation->number, "driver_capabilities", caps,
			     "files", c->manifest, "cuda_compat", compat_json(c));
	text = manifest ? json_dumps(manifest, JSON_INDENT(1)) : NULL;
	json_decref(manifest);
	if (!text)
		return error_set(c->err, -ENOMEM, "write the manifest");
	return add_text(c, ".nvfs/manifest.json", text, strlen(text));
}

int compose_tree(struct store *store, const struct generation *generation,
		 const struct compose_spec *spec, uint32_t *ret, struct error *err)
{
	struct composer c = { .store = store, .generation = generation, .spec = spec, .err = err };
	struct layout *layout = NULL;
	int r;

	c.builder = layout_builder_new();
	c.manifest = json_array();
	r = c.builder && c.manifest ? 0 : error_set(err, -ENOMEM, "compose a tree");
	if (r == 0)
		r = add_files(&c);
	if (r == 0)
		r = add_proc(&c);
	if (r == 0 && spec->cache)
		r = add_text(&c, "etc/ld.so.cache", spec->cache, spec->cache_size);
	if (r == 0)
		r = add_manifest(&c);
	/* Also after a failure: the layout then gives the texts' references back. */
	layout = c.builder ? layout_finish(c.builder) : NULL;
	layout_builder_free(c.builder);
	json_decref(c.manifest);
	if (layout) {
		uint32_t index = store_layout_put(store, layout);

		if (index == STORE_NONE && r == 0)
			r = error_set(err, -ENOMEM, "store a tree");
		if (r == 0)
			*ret = index;
		else
			store_layout_unref(store, index);
	} else if (r == 0) {
		r = error_set(err, -ENOMEM, "compose a tree");
	}
	free(layout);
	return r;
}

/* entries for ld.so.cache */

static int entry_set(struct ldcache_add *entry, const char *lib_dir, const char *name, size_t len,
		     int32_t flags)
{
	char *soname = strndup(name, len), *path = NULL;

	if (!soname || asprintf(&path, "%s/%s", lib_dir, soname) < 0) {
		free(soname);
		return -ENOMEM;
	}
	*entry = (struct ldcache_add){ .soname = soname, .path = path, .flags = flags };
	return 0;
}

/* Where the driver has the name too, this entry is for both; the ".so" names come with the driver's. */
static int compat_entries_fill(const struct compat_verdict *compat, const char *lib_dir,
			       struct ldcache_add *entries, size_t *n)
{
	int r = 0;

	for (size_t i = 0; compat && i < compat->n && r == 0; i++) {
		const char *name = compat->links[i].name;

		if (!compose_dev_name(name))
			continue;
		r = entry_set(&entries[*n], lib_dir, name, strlen(name), ldcache_native_flags());
		*n += r == 0;
	}
	return r;
}

static int entries_fill(const struct generation *generation, unsigned int caps, const char *lib_dir,
			const struct compat_verdict *compat, struct ldcache_add *entries, size_t *n)
{
	const struct driver *driver = generation->driver;
	int r = compat_entries_fill(compat, lib_dir, entries, n);

	for (size_t i = 0; i < driver->n_files && r == 0; i++) {
		const struct driver_file *file = &driver->files[i];
		const char *soname = file->soname ? file->soname : file->name;
		size_t dev_name = compose_dev_name(file->name);

		if (file->kind != DRIVER_LIBRARY || file->elf_class == 32 || !is_wanted(file, caps))
			continue;
		if (!is_images(compat, file)) {
			r = entry_set(&entries[*n], lib_dir, soname, strlen(soname), ldcache_native_flags());
			*n += r == 0;
		}
		if (r < 0 || !dev_name || strlen(soname) == dev_name)
			continue;
		r = entry_set(&entries[*n], lib_dir, file->name, dev_name, ldcache_native_flags());
		*n += r == 0;
	}
	return r;
}

int compose_cache_entries(const struct generation *generation, unsigned int caps,
			  const char *lib_dir, const struct compat_verdict *compat,
			  struct ldcache_add **ret, size_t *ret_n)
{
	size_t most = generation->driver->n_files * 2 + (compat ? compat->n : 0) + 1, n = 0;
	struct ldcache_add *entries = calloc(most, sizeof(*entries));
	int r = entries ? entries_fill(generation, caps, lib_dir, compat, entries, &n) : -ENOMEM;

	if (r < 0) {
		compose_cache_entries_free(entries, n);
		return r;
	}
	*ret = entries;
	*ret_n = n;
	return 0;
}

void compose_cache_entries_free(struct ldcache_add *entries, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((void *)(uintptr_t)entries[i].soname);
		free((void *)(uintptr_t)entries[i].path);
	}
	free(entries);
}

/* text */

struct describer {
	const struct store *store;
	char line[PATH_SIZE];
};

static const char *describe(void *data, enum layout_kind kind, uint32_t ref)
{
	struct describer *d = data;
	const struct store_object *object;
	const char *path;
	size_t size = 0;

	switch (kind) {
	case LAYOUT_HOST:
		object = store_object(d->store, ref);
		path = object ? store_blob(d->store, object->path, NULL) : NULL;
		(void)snprintf(d->line, sizeof(d->line), "<- %s", path ? path : "?");
		break;
	case LAYOUT_LINK:
		(void)snprintf(d->line, sizeof(d->line), "-> %s", store_link(d->store, ref));
		break;
	default:
		(void)store_blob(d->store, ref, &size);
		(void)snprintf(d->line, sizeof(d->line), "%zu bytes", size);
	}
	return d->line;
}

char *compose_print(const struct store *store, uint32_t layout)
{
	struct describer d = { .store = store };
	const struct layout *shape = store_layout(store, layout);

	return shape ? layout_print(shape, describe, &d) : NULL;
}

static const char *text_of(const struct store *store, uint32_t index, const char *dir, const char *name,
			   size_t *ret_size)
{
	const struct layout *layout = store_layout(store, index);
	int slot = layout_lookup(layout, 0, dir);

	slot = slot < 0 ? slot : layout_lookup(layout, (uint32_t)slot, name);
	return slot < 0 ? NULL : store_blob(store, layout->nodes[slot].ref, ret_size);
}

const char *compose_cache(const struct store *store, uint32_t index, size_t *ret_size)
{
	return text_of(store, index, "etc", "ld.so.cache", ret_size);
}

json_t *compose_compat(const struct store *store, uint32_t index)
{
	const char *text = text_of(store, index, ".nvfs", "manifest.json", NULL);
	json_t *manifest = text ? json_loads(text, 0, NULL) : NULL;
	json_t *compat = json_incref(json_object_get(manifest, "cuda_compat"));

	json_decref(manifest);
	return compat;
}
