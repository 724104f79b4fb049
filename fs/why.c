/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reasons, from the tables that trees are made of. A path is brought to a node
 * of the tree's layout, links followed; what is no node is looked for among the
 * files and GPUs of the tree's generation, to say which rule kept it out.
 */
#include "fs/why.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/compose.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/driver_table.h"
#include "nvml/explain.h"
#include "nvml/gpu.h"

#define LINKS_MAX 8
#define WHY_MAX 400
#define PROC_DIR "proc/driver/nvidia"

struct why {
	const struct store *store;
	const struct store_tree *tree;
	const struct layout *layout;
	const struct generation *generation; /* of the tree; NULL where it is not held any more */
	json_t *spec;  /* what the tree was made for; {} for the reference tree */
	json_t *links; /* "name -> target" */
	json_t *reply;
};

int why_kind_by_name(const char *name, enum why_kind *ret)
{
	static const char *const names[] = { [WHY_TREE] = "tree", [WHY_CONTAINER] = "container",
					     [WHY_NAME] = "name", [WHY_HOST] = "host" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum why_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void set(struct why *why, const char *key, const char *value)
{
	(void)json_object_set_new(why->reply, key, json_string(value));
}

static void answer(struct why *why, bool in_tree, const char *rule, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void answer(struct why *why, bool in_tree, const char *rule, const char *fmt, ...)
{
	char text[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)json_object_set_new(why->reply, "in_tree", json_boolean(in_tree));
	set(why, "rule", rule);
	set(why, "why", text);
}

static const char *spec_text(const struct why *why, const char *key)
{
	return varlink_string(why->spec, key, "");
}

static bool is_reference(const struct why *why)
{
	return !why->tree->mnt_ns;
}

/* finding a node */

/* Does it lead out of the tree, to a file of the image? */
static bool is_compat(const struct why *why, int slot)
{
	const struct layout_node *node = &why->layout->nodes[slot];
	const char *target = node->kind == LAYOUT_LINK ? store_link(why->store, node->ref) : NULL;

	return target && *target == '/';
}

/* From a directory by a link's relative target, which stays in the tree. */
static int go(const struct layout *layout, uint32_t dir, const char *target)
{
	const char *part;
	int slot = (int)dir;
	size_t len;

	while (slot >= 0 && (part = parse_field(&target, '/', &len))) {
		char name[LAYOUT_NAME_MAX + 1];

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, part);
		slot = strcmp(name, "..") == 0 ? (int)layout->nodes[slot].parent :
						 layout_lookup(layout, (uint32_t)slot, name);
	}
	return slot;
}

/* A link that leads out of the tree is an end. */
static int follow(struct why *why, int slot)
{
	for (int i = 0; slot >= 0 && why->layout->nodes[slot].kind == LAYOUT_LINK; i++) {
		const char *target = store_link(why->store, why->layout->nodes[slot].ref);
		char text[2 * LAYOUT_NAME_MAX + 8];

		if (!target || i == LINKS_MAX)
			return -ENOENT;
		(void)snprintf(text, sizeof(text), "%s -> %s",
			       layout_name(why->layout, (uint32_t)slot), target);
		(void)json_array_append_new(why->links, json_string(text));
		if (*target == '/')
			return slot;
		slot = go(why->layout, why->layout->nodes[slot].parent, target);
	}
	return slot;
}

static int find_path(struct why *why, const char *path)
{
	size_t len;
	int slot = 0;

	for (const char *part; slot >= 0 && (part = parse_field(&path, '/', &len));) {
		char name[LAYOUT_NAME_MAX + 1];

		if (len > LAYOUT_NAME_MAX)
			return -ENOENT;
		memcpy(name, part, len);
		name[len] = '\0';
		if (len)
			slot = follow(why, layout_lookup(why->layout, (uint32_t)slot, name));
	}
	return slot;
}

static int find_object(const struct why *why, uint32_t object)
{
	for (uint32_t i = 0; i < why->layout->n_nodes; i++) {
		if (why->layout->nodes[i].kind == LAYOUT_HOST &&
		    why->layout->nodes[i].ref == object)
			return (int)i;
	}
	return -ENOENT;
}

/* By its last part: a link says what programs ask for. */
static int find_name(struct why *why, const char *name)
{
	for (uint32_t i = 1; i < why->layout->n_nodes; i++) {
		if (why->layout->nodes[i].kind != LAYOUT_DIR &&
		    strcmp(layout_name(why->layout, i), name) == 0)
			return follow(why, (int)i);
	}
	return -ENOENT;
}

static const struct driver_file *file_of_object(const struct why *why, uint32_t object)
{
	const struct generation *g = why->generation;

	for (size_t i = 0; g && i < g->driver->n_files; i++) {
		if (g->objects[i] == object)
			return &g->driver->files[i];
	}
	return NULL;
}

/* A file of the tree's generation by path or name; its object in *@ret. */
static const struct driver_file *find_file(const struct why *why, const char *what, uint32_t *ret)
{
	const struct generation *g = why->generation;

	for (size_t i = 0; g && i < g->driver->n_files; i++) {
		const struct driver_file *file = &g->driver->files[i];

		if (what[0] == '/' ? strcmp(file->path, what) != 0
				   : !driver_file_is_called(file, what))
			continue;
		*ret = g->objects[i];
		return file;
	}
	return NULL;
}

/* why it is there */

static void tell_host_path(struct why *why, const struct store_object *object)
{
	const char *root = why->generation ? why->generation->driver->root : "";
	const char *path = store_blob(why->store, object->path, NULL);
	char text[PATH_MAX];

	(void)snprintf(text, sizeof(text), "%s%s", strcmp(root, "/") == 0 ? "" : root,
		       path ? path : "?");
	set(why, "host_path", text);
}

static const char *source_of(const struct driver_file *file)
{
	if (file->kind != DRIVER_LIBRARY || driver_table_find(file->kind, file->name))
		return "the table of driver files";
	return "its name, which the table of driver files does not have,";
}

static void explain_host(struct why *why, const struct layout_node *node)
{
	const struct store_object *object = store_object(why->store, node->ref);
	const struct driver_file *file = file_of_object(why, node->ref);
	char caps[DRIVER_CAPS_TEXT_MAX];

	if (object)
		tell_host_path(why, object);
	if (!file) {
		answer(why, true, "driver-capability",
		       "a file of a driver that is not held any more");
		return;
	}
	driver_caps_print(file->caps, caps, sizeof(caps));
	set(why, "file_capabilities", caps);
	if (is_reference(why))
		answer(why, true, "driver-capability",
		       "%s says %s; the reference tree has everything", source_of(file), caps);
	else if (file->caps == DRIVER_CAP_ALL)
		answer(why, true, "driver-capability", "%s says that every container gets it",
		       source_of(file));
	else
		answer(why, true, "driver-capability", "%s says %s, and the container asked for %s",
		       source_of(file), caps, spec_text(why, "driver_capabilities"));
}

/* A host's file whose text was rewritten, by its place in the tree. */
static const struct driver_file *file_at(const struct why *why, const char *path)
{
	const struct generation *g = why->generation;

	for (size_t i = 0; g && i < g->driver->n_files; i++) {
		const struct driver_file *file = &g->driver->files[i];
		size_t len = file->text ? strlen(file->dir) : 0;

		if (len && strncmp(path, file->dir, len) == 0 && path[len] == '/' &&
		    strcmp(path + len + 1, file->name) == 0)
			return file;
	}
	return NULL;
}

static void explain_rewritten(struct why *why, const struct driver_file *file)
{
	const char *root = why->generation->driver->root;
	char caps[DRIVER_CAPS_TEXT_MAX], text[PATH_MAX];

	(void)snprintf(text, sizeof(text), "%s%s", strcmp(root, "/") == 0 ? "" : root, file->path);
	set(why, "host_path", text);
	driver_caps_print(file->caps, caps, sizeof(caps));
	set(why, "file_capabilities", caps);
	answer(why, true, "made",
	       "the host's, with its library named by soname; the table of driver files says %s",
	       caps);
}

static void explain_text(struct why *why, const char *path)
{
	const struct driver_file *file = file_at(why, path);

	if (file)
		explain_rewritten(why, file);
	else if (strncmp(path, "share/", 6) == 0 || strncmp(path, "etc/OpenCL/", 11) == 0)
		answer(why, true, "made", "for a library of the tree: the host has no such file");
	else if (strncmp(path, "etc/nvidia/", 11) == 0)
		answer(why, true, "made", "tells EGL which GPUs the container was given");
	else if (strcmp(path, "etc/ld.so.cache") == 0)
		answer(why, true, "made",
		       "merged from the image's own ld.so.cache and the tree's libraries");
	else if (strncmp(path, PROC_DIR "/gpus/", strlen(PROC_DIR "/gpus/")) == 0)
		answer(why, true, "gpu", "the GPU is among the devices asked for: %s",
		       is_reference(why) ? "all" : spec_text(why, "devices"));
	else if (strncmp(path, PROC_DIR "/capabilities/", strlen(PROC_DIR "/capabilities/")) == 0)
		answer(why, true, "mig", "a capability of the devices asked for: %s",
		       is_reference(why) ? "all" : spec_text(why, "devices"));
	else if (strcmp(path, PROC_DIR "/params") == 0)
		answer(why, true, "made",
		       "the host's, with ModifyDeviceFiles: 0, so that libraries make no nodes");
	else if (strncmp(path, PROC_DIR "/", strlen(PROC_DIR "/")) == 0)
		answer(why, true, "made",
		       "a copy of the host's, as it was when the generation was made");
	else
		answer(why, true, "made", "the list of the tree's files");
}

static void explain_compat(struct why *why, bool in_tree, const char *what)
{
	uint32_t index = store_snapshot(why->store, why->tree->snapshot)->layout;
	json_t *compat = compose_compat(why->store, index);

	answer(why, in_tree, "cuda-compat", "%s: %s (%s)", what, varlink_string(compat, "why", ""),
	       varlink_string(compat, "mode", "?"));
	json_decref(compat);
}

static void explain_node(struct why *why, int slot)
{
	const struct layout_node *node = &why->layout->nodes[slot];
	char path[PATH_MAX];

	if (layout_path(why->layout, (uint32_t)slot, path, sizeof(path)) < 0)
		path[0] = '\0';
	set(why, "path", path);
	if (node->kind == LAYOUT_HOST)
		explain_host(why, node);
	else if (node->kind == LAYOUT_TEXT)
		explain_text(why, path);
	else if (is_compat(why, slot))
		explain_compat(why, true, "a link to the image's own library");
	else if (strncmp(path, PROC_DIR "/gpus/", strlen(PROC_DIR "/gpus/")) == 0)
		explain_text(why, path);
	else
		answer(why, true, "structure", "a directory that trees have");
}

/* why it is not */

/* Is its soname the image's, in this tree? */
static bool is_images(const struct why *why, const struct driver_file *file)
{
	int dir = layout_lookup(why->layout, 0, "lib64");
	int slot = dir < 0 || !file->soname
			   ? -ENOENT
			   : layout_lookup(why->layout, (uint32_t)dir, file->soname);

	return slot >= 0 && file->elf_class != 32 && is_compat(why, slot);
}

static void explain_absent_file(struct why *why, const struct driver_file *file, uint32_t object)
{
	char caps[DRIVER_CAPS_TEXT_MAX];

	if (is_images(why, file)) {
		explain_compat(why, false, "the image has a library of this soname");
		return;
	}
	tell_host_path(why, store_object(why->store, object));
	driver_caps_print(file->caps, caps, sizeof(caps));
	set(why, "file_capabilities", caps);
	answer(why, false, "driver-capability", "%s says %s, and the container asked for %s",
	       source_of(file), caps, spec_text(why, "driver_capabilities"));
}

static bool is_given(const struct why *why, const struct gpu *gpu)
{
	const json_t *uuids = json_object_get(why->spec, "gpus"), *uuid;
	size_t i;

	json_array_foreach(uuids, i, uuid) {
		if (strcmp(json_string_value(uuid), gpu->uuid) == 0)
			return true;
	}
	return is_reference(why);
}

static void explain_gpu(struct why *why, const struct gpu *gpu)
{
	const char *devices = is_reference(why) ? "all" : spec_text(why, "devices");
	const char *name = gpu->uuid[0] ? gpu->uuid : gpu->bus_id;

	if (is_given(why, gpu))
		answer(why, true, "gpu", "%s is among the devices asked for: %s", name, devices);
	else if (!gpu->usable)
		answer(why, false, "gpu", "%s is never given: %s", name, gpu->note);
	else
		answer(why, false, "gpu", "%s is not among the devices asked for: %s", name,
		       devices);
}

/* "gpus/0000:00:06.0/..." below proc/driver/nvidia, or "/dev/nvidia3" */
static bool is_of_gpu(const struct gpu *gpu, enum why_kind kind, const char *path)
{
	static const char gpus[] = PROC_DIR "/gpus/";
	char node[32];
	size_t len = strlen(gpu->bus_id);

	(void)snprintf(node, sizeof(node), "/dev/nvidia%u", gpu->minor);
	if (kind == WHY_CONTAINER)
		return gpu->usable && strcmp(path, node) == 0;
	return kind == WHY_TREE && strncmp(path, gpus, strlen(gpus)) == 0 &&
	       strncmp(path + strlen(gpus), gpu->bus_id, len) == 0 &&
	       (!path[strlen(gpus) + len] || path[strlen(gpus) + len] == '/');
}

static bool explain_as_gpu(struct why *why, enum why_kind kind, const char *path)
{
	const struct generation *g = why->generation;

	for (size_t i = 0; g && i < g->gpus->n; i++) {
		if (is_of_gpu(&g->gpus->gpus[i], kind, path)) {
			explain_gpu(why, &g->gpus->gpus[i]);
			return true;
		}
	}
	return false;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void explain_absent(struct why *why, enum why_kind kind, const char *path)
{
	uint32_t object;
	const struct driver_file *file =
		find_file(why, kind == WHY_HOST ? path : last_part(path), &object);

	if (file)
		explain_absent_file(why, file, object);
	else if (!explain_as_gpu(why, kind, path))
		answer(why, false, "absent", "generation %u of the driver has no such file",
		       why->generation ? why->generation->number : 0);
}

/* by kind of path */

static void explain_in_tree(struct why *why, const char *path)
{
	int slot = find_path(why, path);

	if (slot >= 0)
		explain_node(why, slot);
	else
		explain_absent(why, WHY_TREE, path);
}

static void explain_file(struct why *why, enum why_kind kind, const char *what)
{
	uint32_t object;
	int slot = kind == WHY_NAME ? find_name(why, what) : -ENOENT;

	if (slot < 0 && find_file(why, what, &object))
		slot = find_object(why, object);
	if (slot >= 0)
		explain_node(why, slot);
	else
		explain_absent(why, kind, what);
}

/* Part of @path below @dir, "" for @dir itself, NULL where it is elsewhere. */
static const char *below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (!len || strncmp(path, dir, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path[len] ? path + len + 1 : path + len;
}

/* What an injection put there; NULL for nothing. */
static const json_t *find_step(const json_t *done, const char *path)
{
	json_t *step;
	size_t i;

	json_array_foreach(done, i, step) {
		if (strcmp(varlink_string(step, "target", ""), path) == 0)
			return step;
	}
	return NULL;
}

static bool explain_as_step(struct why *why, const char *path)
{
	const char *text = store_blob(why->store, why->tree->done, NULL);
	json_t *done = text ? json_loads(text, 0, NULL) : NULL;
	const json_t *step = find_step(done, path);

	if (step)
		answer(why, true, "injection", "put there by the injection: %s, %s",
		       varlink_string(step, "step", "?"), varlink_string(step, "result", "?"));
	json_decref(done);
	return step != NULL;
}

static void explain_in_container(struct why *why, const char *path)
{
	const char *rest = below(path, spec_text(why, "target"));
	const char *proc = below(path, "/" PROC_DIR);
	char inside[PATH_MAX];

	(void)snprintf(inside, sizeof(inside), "%s/%s", PROC_DIR, proc ? proc : "");
	if (rest || proc)
		explain_in_tree(why, rest ? rest : inside);
	else if (!explain_as_gpu(why, WHY_CONTAINER, path) && !explain_as_step(why, path))
		answer(why, false, "image",
		       "the container's own: nvfs put nothing there; its files are below %s",
		       spec_text(why, "target"));
}

static int why_init(struct why *why, const struct daemon *daemon, uint32_t tree)
{
	const struct store_tree *t = store_tree(daemon->store, tree);
	const struct store_snapshot *snapshot = store_snapshot(daemon->store, t->snapshot);
	const char *spec = store_blob(daemon->store, t->spec, NULL);

	*why = (struct why){
		.store = daemon->store,
		.tree = t,
		.layout = store_layout(daemon->store, snapshot->layout),
		.generation = generation_find(daemon->generation, snapshot->generation),
		.spec = spec ? json_loads(spec, 0, NULL) : NULL,
		.links = json_array(),
		.reply = json_object(),
	};
	if (!why->spec)
		why->spec = json_object();
	if (!why->spec || !why->links || !why->reply || !why->layout)
		return -ENOMEM;
	set(why, "id", varlink_string(why->spec, "id", store_blob(daemon->store, t->name, NULL)));
	(void)json_object_set_new(why->reply, "generation", json_integer(snapshot->generation));
	(void)json_object_set_new(
		why->reply, "current",
		json_boolean(daemon->generation && why->generation == daemon->generation));
	(void)json_object_set(why->reply, "links", why->links);
	if (why->generation)
		set(why, "driver_version", why->generation->driver->version);
	if (is_reference(why))
		return 0;
	set(why, "devices", spec_text(why, "devices"));
	set(why, "driver_capabilities", spec_text(why, "driver_capabilities"));
	return 0;
}

int why_explain(const struct daemon *daemon, uint32_t tree, enum why_kind kind, const char *path,
		json_t **ret, struct error *err)
{
	struct why why;
	int r = why_init(&why, daemon, tree);

	if (r < 0)
		r = error_set(err, r, "explain '%.64s'", path);
	else if (kind == WHY_CONTAINER && is_reference(&why))
		r = error_setc(err, ERROR_USAGE, -EINVAL, "the reference tree is in no container");
	else if (kind == WHY_TREE)
		explain_in_tree(&why, path);
	else if (kind == WHY_CONTAINER)
		explain_in_container(&why, path);
	else
		explain_file(&why, kind, path);
	if (r == 0)
		*ret = json_incref(why.reply);
	json_decref(why.reply);
	json_decref(why.links);
	json_decref(why.spec);
	return r;
}
