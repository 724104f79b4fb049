/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of a driver tree:
 *
 *   bin/  lib64/ (lib -> lib64)  lib32/  firmware/nvidia/VERSION/  share/  etc/
 *   etc/ld.so.cache  proc/driver/nvidia/  .nvfs/manifest.json
 *
 * Libraries stand under their file names; the names that programs ask for, the
 * soname and the ".so" name, are links that are made here and found nowhere on
 * the host: no ldconfig runs in a container. Files come first, so that no link
 * takes a file's name.
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
#include "nvml/elf.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"
#include "nvml/select.h"

#define PATH_SIZE 512
#define PROFILE_PATH "etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf"
#define PROFILE_MINORS 64 /* bits of the mask */

struct composer {
	struct store *store;
	const struct generation *generation;
	const struct compose_spec *spec;
	struct layout_builder *builder;
	json_t *manifest; /* array of files */
	struct error *err;
};

/* For 32-bit programs, on a host of 64 bits. */
static bool is_compat32(const struct driver_file *file)
{
	return file->kind == DRIVER_LIBRARY && file->elf_class == 32 && elf_native_class() == 64;
}

static bool is_wanted(const struct driver_file *file, unsigned int caps)
{
	if (is_compat32(file) && !(caps & DRIVER_CAP_COMPAT32))
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

/* Other names under which a library is looked for, where one of this soname is in the tree. */
static const struct alias {
	const char *soname, *path, *target;
	unsigned int caps; /* the library may be there for others */
	bool in_cache;
} aliases[] = {
	/* libglvnd: what renders for a client of another machine's X server (src/GLX/libglxmapping.c) */
	{ "libGLX_nvidia.so.0", "libGLX_indirect.so.0", "libGLX_nvidia.so.0", DRIVER_CAP_GRAPHICS,
	  true },
	/* Mesa's libgbm: the backend of a DRM driver, by the driver's name (src/gbm/main/backend.c) */
	{ "libnvidia-allocator.so.1", "gbm/nvidia-drm_gbm.so", "../libnvidia-allocator.so.1",
	  DRIVER_CAP_GRAPHICS, false },
};

/* What a loader reads for a library, where the host has none: the packages' own files say no more. */
static const struct made {
	const char *soname, *dir, *name, *text;
	unsigned int caps;
} made[] = {
	{ "libnvidia-opencl.so.1", "etc/OpenCL/vendors", "nvidia.icd", "libnvidia-opencl.so.1\n",
	  DRIVER_CAP_COMPUTE | DRIVER_CAP_VIDEO },
	{ "libEGL_nvidia.so.0", "share/glvnd/egl_vendor.d", "10_nvidia.json",
	  "{\n    \"file_format_version\": \"1.0.0\",\n    \"ICD\": {\n"
	  "        \"library_path\": \"libEGL_nvidia.so.0\"\n    }\n}\n",
	  DRIVER_CAP_GRAPHICS },
};

static const char *library_dir(const struct driver_file *file)
{
	return is_compat32(file) ? "lib32" : "lib64";
}

/* The file's directory in the tree. */
static void file_dir(const struct driver *driver, const struct driver_file *file,
		     char buf[PATH_SIZE])
{
	if (file->dir)
		(void)snprintf(buf, PATH_SIZE, "%s", file->dir);
	else if (file->kind == DRIVER_FIRMWARE)
		(void)snprintf(buf, PATH_SIZE, "firmware/nvidia/%s", driver->version);
	else
		(void)snprintf(buf, PATH_SIZE, "%s",
			       file->kind == DRIVER_PROGRAM ? "bin" : library_dir(file));
}

static int add_aliases(struct composer *c, const struct driver_file *file)
{
	char path[PATH_SIZE];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(aliases) && file->soname && r == 0; i++) {
		if (strcmp(aliases[i].soname, file->soname) != 0 ||
		    !(aliases[i].caps & c->spec->caps))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", library_dir(file), aliases[i].path);
		r = add_link(c, path, aliases[i].target);
	}
	return r;
}

static int add_links_of(struct composer *c, const struct driver_file *file)
{
	const char *soname = file->soname && !file->dir ? file->soname : file->name;
	size_t dev_name = compose_dev_name(file->name);
	char dir[PATH_SIZE], path[2 * PATH_SIZE];
	int r = 0;

	if (file->kind != DRIVER_LIBRARY && file->kind != DRIVER_MODULE)
		return 0;
	file_dir(c->generation->driver, file, dir);
	if (strcmp(soname, file->name) != 0) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, soname);
		r = add_link(c, path, file->name);
	}
	if (r == 0 && dev_name) {
		(void)snprintf(path, sizeof(path), "%s/%.*s", dir, (int)dev_name, file->name);
		r = add_link(c, path, soname);
	}
	return r == 0 && file->kind == DRIVER_LIBRARY ? add_aliases(c, file) : r;
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
	char dir[PATH_SIZE], path[2 * PATH_SIZE];
	int r;

	if (is_images(c->spec->compat, file))
		return 0;
	file_dir(driver, file, dir);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, file->name);
	if (file->text)
		r = add_text(c, path, file->text, strlen(file->text));
	else
		r = layout_add(c->builder, path, LAYOUT_HOST, c->generation->objects[i],
			       file->st.st_mode & 0555, c->err);
	if (r < 0)
		return r;
	add_to_manifest(c, path, file);
	return 0;
}

/* Is a file of this directory among the driver's, for whomever? */
static bool has_dir(const struct driver *driver, const char *dir)
{
	for (size_t i = 0; i < driver->n_files; i++) {
		if (driver->files[i].dir && strcmp(driver->files[i].dir, dir) == 0)
			return true;
	}
	return false;
}

/* The store of WSL2's driver: a container has it at /usr/lib/wsl, and libraries beside it. */
static bool has_wsl(const struct driver *driver)
{
	for (size_t i = 0; i < driver->n_files; i++) {
		if (driver->files[i].dir && strncmp(driver->files[i].dir, "wsl/", 4) == 0)
			return true;
	}
	return false;
}

static int add_made(struct composer *c)
{
	const struct driver *driver = c->generation->driver;
	char path[PATH_SIZE];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(made) && r == 0; i++) {
		if (!(made[i].caps & c->spec->caps) ||
		    !driver_find_soname(driver, made[i].soname) || has_dir(driver, made[i].dir))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", made[i].dir, made[i].name);
		r = add_text(c, path, made[i].text, strlen(made[i].text));
	}
	return r;
}

static int add_files(struct composer *c)
{
	static const char *const dirs[] = { "bin", "lib64", "etc", ".nvfs" };
	const struct driver *driver = c->generation->driver;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++)
		r = layout_add(c->builder, dirs[i], LAYOUT_DIR, 0, 0555, c->err);
	for (size_t i = 0; i < driver->n_files && r == 0; i++) {
		if (is_wanted(&driver->files[i], c->spec->caps))
			r = add_file(c, i);
	}
	if (r == 0)
		r = add_link(c, "lib", "lib64");
	if (r == 0)
		r = add_compat_links(c); /* before the driver's: the first that claims a name has it */
	for (size_t i = 0; i < driver->n_files && r == 0; i++) {
		if (is_wanted(&driver->files[i], c->spec->caps))
			r = add_links_of(c, &driver->files[i]);
	}
	if (r == 0 && has_wsl(driver))
		r = add_link(c, "wsl/lib", "../lib64");
	return r ? r : add_made(c);
}

/*
 * EGL enumerates the GPUs of the kernel module, whatever nodes there are: this tells it those of the
 * container. The reference tree has all. In the container a link leads here (fixed.c), which the driver follows
 * [580.159.04: libcuda and libGLX_nvidia, each at its start]. Source: the driver's README, "Application Profiles";
 * libnvidia-container 1.0 and later write the same.
 */
static int add_profile(struct composer *c)
{
	const struct gpu_selection *selection = c->spec->selection;
	unsigned long long mask = 0;
	char text[256];

	if (!selection || !(c->spec->caps & (DRIVER_CAP_GRAPHICS | DRIVER_CAP_DISPLAY)))
		return 0;
	for (size_t i = 0; i < selection->n; i++) {
		const struct gpu *gpu = &c->generation->gpus->gpus[selection->at[i]];

		if (gpu->minor >= PROFILE_MINORS)
			return error_setc(
				c->err, ERROR_DEVICE, -ERANGE,
				"GPU %u has minor %u, EGL can be told of minors below %d: "
				"ask for it without graphics",
				gpu->index, gpu->minor, PROFILE_MINORS);
		mask |= 1ULL << gpu->minor;
	}
	(void)snprintf(text, sizeof(text),
		       "{\"profiles\": [{\"name\": \"_container_\", \"settings\": "
		       "[\"EGLVisibleDGPUDevices\", 0x%llx]}],\n\"rules\": [{\"pattern\": [], "
		       "\"profile\": \"_container_\"}]}\n", mask);
	return add_text(c, PROFILE_PATH, text, strlen(text));
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
	(void)snprintf(text, sizeof(text),
		       "DeviceFileMinor: %u\nDeviceFileMode: %u\nDeviceFileModify: 0\n", cap->minor,
		       cap->mode);
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
	return json_pack("{s:s, s:s, s:o}", "mode", c->spec->compat_mode, "why", compat->why,
			 "libraries", names);
}

static int add_manifest(struct composer *c)
{
	char caps[DRIVER_CAPS_TEXT_MAX];
	auto_free char *text = NULL;
	json_t *manifest;

	driver_caps_print(c->spec->caps, caps, sizeof(caps));
	manifest = json_pack("{s:s, s:s, s:i, s:s, s:O, s:o*}", "mode",
			     store_session(c->store)->passthrough ? "passthrough" : "fallback",
			     "driver_version",
			     c->generation->driver->version, "generation",
			     (int)c->generation->number, "driver_capabilities", caps, "files",
			     c->manifest, "cuda_compat", compat_json(c));
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
		r = add_profile(&c);
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

struct entries {
	struct ldcache_add *all;
	size_t n;
	const char *target; /* of the tree */
};

static int entry_add(struct entries *entries, const char *dir, const char *name, size_t len,
		     int32_t flags)
{
	char *soname = strndup(name, len), *path = NULL;

	if (!soname || asprintf(&path, "%s/%s/%s", entries->target, dir, soname) < 0) {
		free(soname);
		return -ENOMEM;
	}
	entries->all[entries->n++] = (struct ldcache_add){
		.soname = soname,
		.path = path,
		.flags = flags,
	};
	return 0;
}

static int entry_add_name(struct entries *entries, const struct driver_file *file, const char *name,
			  size_t len)
{
	return entry_add(entries, library_dir(file), name, len,
			 is_compat32(file) ? LDCACHE_FLAGS_I386 : ldcache_native_flags());
}

/* Where the driver has the name too, this entry is for both; the ".so" names come with the driver's. */
static int entries_of_compat(struct entries *entries, const struct compat_verdict *compat)
{
	int r = 0;

	for (size_t i = 0; compat && i < compat->n && r == 0; i++) {
		const char *name = compat->links[i].name;

		if (compose_dev_name(name))
			r = entry_add(entries, "lib64", name, strlen(name), ldcache_native_flags());
	}
	return r;
}

/* A library has at most one alias. */
static int entry_add_alias(struct entries *entries, const struct driver_file *file)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases) && file->soname; i++) {
		if (aliases[i].in_cache && strcmp(aliases[i].soname, file->soname) == 0)
			return entry_add_name(entries, file, aliases[i].path,
					      strlen(aliases[i].path));
	}
	return 0;
}

static int entries_of(struct entries *entries, const struct compat_verdict *compat,
		      const struct driver_file *file)
{
	const char *soname = file->soname ? file->soname : file->name;
	size_t dev_name = compose_dev_name(file->name);
	int r = is_images(compat, file) ? 0 : entry_add_name(entries, file, soname, strlen(soname));

	if (r == 0 && dev_name && strlen(soname) != dev_name)
		r = entry_add_name(entries, file, file->name, dev_name);
	return r ? r : entry_add_alias(entries, file);
}

int compose_cache_entries(const struct generation *generation, unsigned int caps,
			  const char *target, const struct compat_verdict *compat,
			  struct ldcache_add **ret, size_t *ret_n)
{
	const struct driver *driver = generation->driver;
	struct entries entries = { .target = target };
	int r;

	entries.all = calloc(driver->n_files * 3 + (compat ? compat->n : 0) + 1,
			     sizeof(*entries.all));
	r = entries.all ? entries_of_compat(&entries, compat) : -ENOMEM;
	for (size_t i = 0; i < driver->n_files && r == 0; i++) {
		if (driver->files[i].kind == DRIVER_LIBRARY && is_wanted(&driver->files[i], caps))
			r = entries_of(&entries, compat, &driver->files[i]);
	}
	if (r < 0) {
		compose_cache_entries_free(entries.all, entries.n);
		return r;
	}
	*ret = entries.all;
	*ret_n = entries.n;
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

static const char *text_of(const struct store *store, uint32_t index, const char *dir,
			   const char *name, size_t *ret_size)
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
