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
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"
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

static int add_file(struct composer *c, size_t i)
{
	const struct driver *driver = c->generation->driver;
	const struct driver_file *file = &driver->files[i];
	char path[PATH_SIZE];
	int r;

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

static bool is_gpu_selected(const struct composer *c, unsigned int gpu_minor)
{
	const struct gpu_selection *selection = c->spec->selection;

	for (size_t i = 0; i < selection->n; i++) {
		if (c->generation->gpus->gpus[selection->at[i]].minor == gpu_minor)
			return true;
	}
	return false;
}

static bool is_mig_selected(const struct composer *c, const struct nvcap *cap)
{
	const struct gpu_selection *selection = c->spec->selection;
	const struct gpu_list *gpus = c->generation->gpus;

	for (size_t i = 0; i < selection->n_migs; i++) {
		const struct mig_device *mig = &gpus->migs[selection->migs[i]];

		if (gpus->gpus[mig->gpu].minor == cap->gpu && mig->gi == cap->gi &&
		    (cap->kind == NVCAP_GI || mig->ci == cap->ci))
			return true;
	}
	return false;
}

/* Those that the container has nodes of: see devnode_list(). The reference tree shows all. */
static bool has_nvcap(const struct composer *c, const struct nvcap *cap)
{
	const struct compose_spec *spec = c->spec;

	if (!spec->selection)
		return true;
	switch (cap->kind) {
	case NVCAP_CONFIG:
		return spec->mig_config;
	case NVCAP_MONITOR:
		return spec->mig_monitor;
	case NVCAP_GI:
	case NVCAP_CI:
		return is_mig_selected(c, cap) ||
		       ((spec->mig_config || spec->mig_monitor) && is_gpu_selected(c, cap->gpu));
	default:
		return spec->imex_mgmt;
	}
}

/* As the module writes it, but for the last line: a library in a container is to make no nodes. */
static int add_nvcap(struct composer *c, const struct nvcap *cap)
{
	char name[NVCAP_NAME_MAX], text[128];

	nvcap_file_name(cap, name);
	(void)snprintf(text, sizeof(text), "DeviceFileMinor: %u\nDeviceFileMode: %u\nDeviceFileModify: 0\n",
		       cap->minor, cap->mode);
	return add_proc_text(c, "capabilities/", name, text);
}

static int add_nvcaps(struct composer *c)
{
	const struct nvcap_list *nvcaps = &c->generation->nvcaps;
	int r = 0;

	for (size_t i = 0; i < nvcaps->n && r == 0; i++) {
		if (has_nvcap(c, &nvcaps->caps[i]))
			r = add_nvcap(c, &nvcaps->caps[i]);
	}
	return r;
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
	return r ? r : add_nvcaps(c);
}

static int add_manifest(struct composer *c)
{
	char caps[DRIVER_CAPS_TEXT_MAX];
	auto_free char *text = NULL;
	json_t *manifest;

	driver_caps_print(c->spec->caps, caps, sizeof(caps));
	manifest = json_pack("{s:s, s:i, s:s, s:O}", "driver_version", c->generation->driver->version,
			     "generation", (int)c->generation->number, "driver_capabilities", caps,
			     "files", c->manifest);
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

static int entries_fill(const struct generation *generation, unsigned int caps, const char *lib_dir,
			struct ldcache_add *entries, size_t *n)
{
	const struct driver *driver = generation->driver;
	int r = 0;

	for (size_t i = 0; i < driver->n_files && r == 0; i++) {
		const struct driver_file *file = &driver->files[i];
		const char *soname = file->soname ? file->soname : file->name;
		size_t dev_name = compose_dev_name(file->name);

		if (file->kind != DRIVER_LIBRARY || file->elf_class == 32 || !is_wanted(file, caps))
			continue;
		r = entry_set(&entries[*n], lib_dir, soname, strlen(soname), ldcache_native_flags());
		*n += r == 0;
		if (r < 0 || !dev_name || strlen(soname) == dev_name)
			continue;
		r = entry_set(&entries[*n], lib_dir, file->name, dev_name, ldcache_native_flags());
		*n += r == 0;
	}
	return r;
}

int compose_cache_entries(const struct generation *generation, unsigned int caps,
			  const char *lib_dir, struct ldcache_add **ret, size_t *ret_n)
{
	struct ldcache_add *entries = calloc(generation->driver->n_files * 2 + 1, sizeof(*entries));
	size_t n = 0;
	int r = entries ? entries_fill(generation, caps, lib_dir, entries, &n) : -ENOMEM;

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

const char *compose_cache(const struct store *store, uint32_t index, size_t *ret_size)
{
	const struct layout *layout = store_layout(store, index);
	int slot = layout_lookup(layout, 0, "etc");

	slot = slot < 0 ? slot : layout_lookup(layout, (uint32_t)slot, "ld.so.cache");
	return slot < 0 ? NULL : store_blob(store, layout->nodes[slot].ref, ret_size);
}
