/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations as a JSON text in the store. A process that goes on with the
 * state must not look at the host's files again: they may be another version's
 * by now, while the objects in the store stand for what was found then.
 */
#include "fs/generation.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "fs/layout.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/fact.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"

static json_t *file_json(const struct driver_file *file, uint32_t object)
{
	return json_pack("{s:i, s:s, s:s, s:s*, s:s*, s:s*, s:i, s:i, s:i, s:I, s:i, s:I}", "kind",
			 (int)file->kind, "name", file->name, "path", file->path, "soname",
			 file->soname, "dir", file->dir, "text", file->text, "caps",
			 (int)file->caps, "class", file->elf_class, "machine", file->elf_machine,
			 "size", (json_int_t)file->st.st_size, "mode", (int)file->st.st_mode,
			 "object", (json_int_t)object);
}

static json_t *gpu_json(const struct gpu *gpu, const struct generation_gpu *texts)
{
	return json_pack("{s:I, s:I, s:i, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s*, s:s*}", "index",
			 (json_int_t)gpu->index, "device_id", (int)gpu->device_id, "minor",
			 (json_int_t)gpu->minor, "uuid", gpu->uuid, "bus_id", gpu->bus_id, "model",
			 gpu->model, "firmware", gpu->firmware, "excluded", gpu->excluded, "usable",
			 gpu->usable, "note", gpu->note, "information", texts->information,
			 "registry", texts->registry);
}

/* What only NVML tells: the rest is derived anew. */
static void add_fact(json_t *json, const char *key, const char *value, enum fact_source source)
{
	if (source == FACT_NVML && *value)
		(void)json_object_set_new(json, key, json_string(value));
}

static json_t *gpu_with_facts(const struct gpu *gpu, const struct generation_gpu *texts)
{
	json_t *json = gpu_json(gpu, texts);

	add_fact(json, "arch", gpu->arch, gpu->arch_source);
	add_fact(json, "brand", gpu->brand, gpu->brand_source);
	add_fact(json, "fabric", gpu->fabric, FACT_NVML);
	(void)json_object_set_new(json, "mig_mode", json_integer(gpu->mig_mode));
	(void)json_object_set_new(json, "mig_source", json_integer(gpu->mig_source));
	(void)json_object_set_new(json, "uuid_source", json_integer(gpu->uuid_source));
	return json;
}

static json_t *migs_json(const struct gpu_list *gpus)
{
	json_t *list = json_array();

	for (size_t i = 0; i < gpus->n_migs; i++) {
		const struct mig_device *mig = &gpus->migs[i];

		(void)json_array_append_new(
			list, json_pack("{s:I, s:I, s:I, s:I, s:s, s:i}", "gpu",
					(json_int_t)mig->gpu, "index", (json_int_t)mig->index, "gi",
					(json_int_t)mig->gi, "ci", (json_int_t)mig->ci, "uuid",
					mig->uuid, "source", (int)mig->source));
	}
	return list;
}

/* There may be many: numbers without names. */
static json_t *nvcaps_json(const struct nvcap_list *nvcaps)
{
	json_t *list = json_array();

	for (size_t i = 0; i < nvcaps->n; i++) {
		const struct nvcap *cap = &nvcaps->caps[i];

		(void)json_array_append_new(list,
					    json_pack("[i, i, i, i, i, i]", (int)cap->kind,
						      (int)cap->gpu, (int)cap->gi, (int)cap->ci,
						      (int)cap->minor, (int)cap->mode));
	}
	return list;
}

static json_t *findings_json(const struct driver_finding *findings, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(
			list, json_pack("{s:b, s:i, s:s}", "problem", findings[i].problem, "rule",
					(int)findings[i].rule, "text", findings[i].text));
	return list;
}

static json_t *nvml_json(const struct generation *g)
{
	json_t *json = json_pack("{s:i, s:I, s:I, s:I, s:b, s:b, s:o}", "state", (int)g->nvml.state,
				 "took_ms", (json_int_t)g->nvml.took_ms, "print_gpus",
				 (json_int_t)g->nvml.print.gpus, "print_migs",
				 (json_int_t)g->nvml.print.migs, "has_nvcaps", g->gpus->has_nvcaps,
				 "provisional", g->gpus->provisional, "findings",
				 findings_json(g->nvml.findings.items, g->nvml.findings.n));

	add_fact(json, "cuda", g->driver->cuda, g->driver->cuda_source);
	return json;
}

static json_t *generation_json(const struct generation *g)
{
	json_t *files = json_array(), *gpus = json_array();

	for (size_t i = 0; i < g->driver->n_files; i++)
		(void)json_array_append_new(
			files,
			file_json(&g->driver->files[i], g->objects ? g->objects[i] : STORE_NONE));
	for (size_t i = 0; i < g->gpus->n; i++)
		(void)json_array_append_new(gpus,
					    gpu_with_facts(&g->gpus->gpus[i], &g->gpu_texts[i]));
	return json_pack(
		"{s:i, s:I, s:s, s:s, s:b, s:s*, s:s*, s:s*, s:s*, s:s*, s:o, s:o, s:o, s:o, s:o}",
		"number", (int)g->number, "made", (json_int_t)g->made_s, "root", g->driver->root,
		"version", g->driver->version, "version_from_module",
		g->driver->version_from_module, "cuda_note", g->driver->cuda_note, "proc_version",
		g->proc_version, "proc_params", g->proc_params, "proc_registry", g->proc_registry,
		"majors", g->majors, "files", files, "gpus", gpus, "migs", migs_json(g->gpus),
		"nvcaps", nvcaps_json(&g->nvcaps), "nvml", nvml_json(g));
}

/* Only until it is recorded: objects in the store have these. */
static void add_identity(json_t *json, const struct stat *st)
{
	(void)json_object_set_new(json, "dev", json_integer((json_int_t)st->st_dev));
	(void)json_object_set_new(json, "ino", json_integer((json_int_t)st->st_ino));
	(void)json_object_set_new(json, "mtime_sec", json_integer((json_int_t)st->st_mtim.tv_sec));
	(void)json_object_set_new(json, "mtime_nsec",
				  json_integer((json_int_t)st->st_mtim.tv_nsec));
}

json_t *generation_describe(const struct generation *g)
{
	json_t *json = generation_json(g),
	       *findings = findings_json(g->driver->findings, g->driver->n_findings);
	json_t *files = json_object_get(json, "files");

	for (size_t i = 0; i < json_array_size(files); i++)
		add_identity(json_array_get(files, i), &g->driver->files[i].st);
	if (json_object_set_new(json, "findings", findings) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

int generation_save(const struct generation *first, struct store *store, struct error *err)
{
	json_t *list = json_array();
	auto_free char *text = NULL;
	uint32_t blob = STORE_NONE;
	int r = 0;

	for (const struct generation *g = first; g && r == 0; g = g->older)
		r = json_array_append_new(list, generation_json(g));
	text = r == 0 ? json_dumps(list, JSON_COMPACT) : NULL;
	json_decref(list);
	store_write_lock(store);
	if (text)
		blob = store_blob_put(store, text, strlen(text));
	if (blob != STORE_NONE)
		store_set_generation(store, blob);
	store_unlock(store);
	return blob == STORE_NONE ? error_set(err, -ENOMEM, "save the generation") : 0;
}

/* loading */

/* A copy of a string member: absent is fine, out of memory is not. */
static int take_string(const json_t *json, const char *key, char **ret)
{
	const char *text = varlink_string(json, key, NULL);

	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

static void copy_string(const json_t *json, const char *key, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", varlink_string(json, key, ""));
}

static json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

/* Relative, and every part a name. */
static bool dir_is_sound(const char *dir)
{
	char name[LAYOUT_NAME_MAX + 2];
	const char *part;
	size_t len;

	if (strlen(dir) > LAYOUT_NAME_MAX)
		return false;
	while ((part = parse_field(&dir, '/', &len))) {
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, part);
		if (!layout_name_is_sound(name))
			return false;
	}
	return true;
}

/* Names and numbers that trees are composed from: they must be what discovery gives. */
static bool file_is_sound(const struct driver_file *file)
{
	if (file->dir && !dir_is_sound(file->dir))
		return false;
	if (!file->dir && (file->kind >= DRIVER_MODULE || file->text))
		return false;
	return file->name && layout_name_is_sound(file->name) && file->path &&
	       file->path[0] == '/' && (!file->soname || layout_name_is_sound(file->soname));
}

static int load_file(const json_t *json, const struct store *store, struct driver_file *file,
		     uint32_t *object)
{
	json_int_t kind = number(json, "kind");

	if (kind < DRIVER_LIBRARY || kind > DRIVER_KIND_LAST)
		return -EBADMSG;
	file->kind = (enum driver_file_kind)kind;
	file->caps = (unsigned int)number(json, "caps");
	file->elf_class = (int)number(json, "class");
	file->elf_machine = (int)number(json, "machine");
	file->st.st_size = (off_t)number(json, "size");
	file->st.st_mode = (mode_t)number(json, "mode");
	file->st.st_dev = (dev_t)number(json, "dev");
	file->st.st_ino = (ino_t)number(json, "ino");
	file->st.st_mtim.tv_sec = number(json, "mtime_sec");
	file->st.st_mtim.tv_nsec = number(json, "mtime_nsec");
	*object = (uint32_t)number(json, "object");
	if (take_string(json, "name", &file->name) < 0 ||
	    take_string(json, "path", &file->path) < 0 ||
	    take_string(json, "soname", &file->soname) < 0 ||
	    take_string(json, "dir", &file->dir) < 0 || take_string(json, "text", &file->text) < 0)
		return -ENOMEM;
	return file_is_sound(file) && (!store || store_object(store, *object)) ? 0 : -EBADMSG;
}

static int load_files(const json_t *json, const struct store *store, struct generation *g)
{
	const json_t *files = json_object_get(json, "files"), *file;
	size_t i, n = json_array_size(files);
	int r = 0;

	g->driver->files = calloc(n + 1, sizeof(*g->driver->files));
	g->objects = calloc(n + 1, sizeof(*g->objects));
	if (!g->driver->files || !g->objects)
		return -ENOMEM;
	json_array_foreach(files, i, file) {
		g->driver->files[i].fd = -1;
		if (r == 0)
			r = load_file(file, store, &g->driver->files[i], &g->objects[i]);
		g->driver->n_files = i + 1;
	}
	return r;
}

static void load_gpu(const json_t *json, struct gpu *gpu)
{
	gpu->index = (unsigned int)number(json, "index");
	gpu->minor = (unsigned int)number(json, "minor");
	gpu->device_id = (unsigned int)number(json, "device_id");
	gpu->excluded = json_is_true(json_object_get(json, "excluded"));
	gpu->usable = json_is_true(json_object_get(json, "usable"));
	copy_string(json, "uuid", gpu->uuid, sizeof(gpu->uuid));
	copy_string(json, "bus_id", gpu->bus_id, sizeof(gpu->bus_id));
	copy_string(json, "model", gpu->model, sizeof(gpu->model));
	copy_string(json, "firmware", gpu->firmware, sizeof(gpu->firmware));
	copy_string(json, "note", gpu->note, sizeof(gpu->note));
}

static enum fact_source source_of(const json_t *json, const char *key)
{
	json_int_t source = number(json, key);

	return source < FACT_UNKNOWN || source > FACT_NVML ? FACT_UNKNOWN
							   : (enum fact_source)source;
}

/* Where NVML told it. */
static void load_fact(const json_t *json, const char *key, char *buf, size_t size,
		      enum fact_source *source)
{
	if (!varlink_string(json, key, NULL))
		return;
	copy_string(json, key, buf, size);
	*source = FACT_NVML;
}

/* After fact_fill(). */
static void load_facts(const json_t *json, struct generation *g)
{
	const json_t *gpu;
	size_t i;

	load_fact(json_object_get(json, "nvml"), "cuda", g->driver->cuda, sizeof(g->driver->cuda),
		  &g->driver->cuda_source);
	json_array_foreach(json_object_get(json, "gpus"), i, gpu) {
		struct gpu *to = &g->gpus->gpus[i];
		json_int_t mode = number(gpu, "mig_mode");

		load_fact(gpu, "arch", to->arch, sizeof(to->arch), &to->arch_source);
		load_fact(gpu, "brand", to->brand, sizeof(to->brand), &to->brand_source);
		copy_string(gpu, "fabric", to->fabric, sizeof(to->fabric));
		to->mig_mode = mode < 0 || mode > GPU_MIG_ON ? GPU_MIG_UNKNOWN
							     : (enum gpu_mig_mode)mode;
		to->mig_source = source_of(gpu, "mig_source");
		to->uuid_source = source_of(gpu, "uuid_source");
	}
}

static int load_migs(const json_t *json, struct gpu_list *gpus)
{
	const json_t *mig;
	size_t i;

	gpus->migs = calloc(json_array_size(json) + 1, sizeof(*gpus->migs));
	if (!gpus->migs)
		return -ENOMEM;
	json_array_foreach(json, i, mig) {
		struct mig_device *to = &gpus->migs[i];

		if (number(mig, "gpu") < 0 || (size_t)number(mig, "gpu") >= gpus->n)
			return -EBADMSG;
		to->gpu = (size_t)number(mig, "gpu");
		to->index = (unsigned int)number(mig, "index");
		to->gi = (unsigned int)number(mig, "gi");
		to->ci = (unsigned int)number(mig, "ci");
		to->source = source_of(mig, "source");
		copy_string(mig, "uuid", to->uuid, sizeof(to->uuid));
		gpus->n_migs = i + 1;
	}
	return 0;
}

static int load_findings(const json_t *json, struct finding_list *list)
{
	const json_t *finding;
	size_t i;
	int r = 0;

	json_array_foreach(json, i, finding) {
		if (r == 0)
			r = finding_add_rule(list, (enum finding_rule)number(finding, "rule"),
					     json_is_true(json_object_get(finding, "problem")),
					     "%s", varlink_string(finding, "text", ""));
	}
	return r;
}

static int load_nvml(const json_t *json, struct generation *g)
{
	json_int_t state = number(json, "state");

	if (state < GENERATION_NVML_PENDING || state > GENERATION_NVML_OFF)
		return -EBADMSG;
	g->nvml.state = (enum generation_nvml_state)state;
	g->nvml.took_ms = (unsigned int)number(json, "took_ms");
	g->nvml.print.gpus = (uint64_t)number(json, "print_gpus");
	g->nvml.print.migs = (uint64_t)number(json, "print_migs");
	g->gpus->has_nvcaps = json_is_true(json_object_get(json, "has_nvcaps"));
	g->gpus->provisional = json_is_true(json_object_get(json, "provisional"));
	return load_findings(json_object_get(json, "findings"), &g->nvml.findings);
}

static int load_gpus(const json_t *json, struct generation *g)
{
	const json_t *gpus = json_object_get(json, "gpus"), *gpu;
	size_t i, n = json_array_size(gpus);

	g->gpus->gpus = calloc(n + 1, sizeof(*g->gpus->gpus));
	g->gpu_texts = calloc(n + 1, sizeof(*g->gpu_texts));
	if (!g->gpus->gpus || !g->gpu_texts)
		return -ENOMEM;
	g->gpus->n = n;
	json_array_foreach(gpus, i, gpu) {
		load_gpu(gpu, &g->gpus->gpus[i]);
		if (gpu_bus_id_parse(g->gpus->gpus[i].bus_id, &(unsigned long long){ 0 }) < 0)
			return -EBADMSG;
		if (take_string(gpu, "information", &g->gpu_texts[i].information) < 0 ||
		    take_string(gpu, "registry", &g->gpu_texts[i].registry) < 0)
			return -ENOMEM;
	}
	return 0;
}

static unsigned int number_at(const json_t *array, size_t i)
{
	return (unsigned int)json_integer_value(json_array_get(array, i));
}

static int load_nvcaps(const json_t *json, struct nvcap_list *ret)
{
	const json_t *list = json_object_get(json, "nvcaps"), *cap;
	auto_free struct nvcap *caps = calloc(json_array_size(list) + 1, sizeof(*caps));
	size_t i;

	if (!caps)
		return -ENOMEM;
	json_array_foreach(list, i, cap)
		caps[i] = (struct nvcap){ .kind = number_at(cap, 0), .gpu = number_at(cap, 1),
					  .gi = number_at(cap, 2), .ci = number_at(cap, 3),
					  .minor = number_at(cap, 4), .mode = number_at(cap, 5) };
	return nvcap_list_copy(caps, json_array_size(list), ret);
}

static int load(const json_t *json, const struct store *store, struct generation *g)
{
	int r;

	g->number = (uint32_t)number(json, "number");
	g->made_s = number(json, "made");
	g->driver = calloc(1, sizeof(*g->driver));
	g->gpus = calloc(1, sizeof(*g->gpus));
	if (!g->driver || !g->gpus)
		return -ENOMEM;
	copy_string(json, "version", g->driver->version, sizeof(g->driver->version));
	g->driver->version_from_module = json_is_true(json_object_get(json, "version_from_module"));
	if (take_string(json, "root", &g->driver->root) < 0 ||
	    take_string(json, "cuda_note", &g->driver->cuda_note) < 0 ||
	    take_string(json, "proc_version", &g->proc_version) < 0 ||
	    take_string(json, "proc_params", &g->proc_params) < 0 ||
	    take_string(json, "proc_registry", &g->proc_registry) < 0 ||
	    take_string(json, "majors", &g->majors) < 0)
		return -ENOMEM;
	if (!g->driver->root ||
	    (g->driver->version[0] && !driver_version_is_valid(g->driver->version)))
		return -EBADMSG;
	r = load_files(json, store, g);
	r = r < 0 ? r : load_gpus(json, g);
	r = r < 0 ? r : load_migs(json_object_get(json, "migs"), g->gpus);
	r = r < 0 ? r : load_nvcaps(json, &g->nvcaps);
	r = r < 0 ? r : load_nvml(json_object_get(json, "nvml"), g);
	if (r == 0) {
		fact_fill(g->driver, g->gpus);
		load_facts(json, g);
	}
	return r;
}

static int load_driver_findings(const json_t *json, struct driver *driver)
{
	struct finding_list list = { 0 };
	int r = load_findings(json, &list);

	driver->findings = list.items;
	driver->n_findings = list.n;
	return r;
}

/* As from discovery, but that its objects are the ones that stand there. */
static int from_description(const json_t *json, uint32_t number_of, struct generation **ret)
{
	struct generation *g = calloc(1, sizeof(*g));
	int r = g ? load(json, NULL, g) : -ENOMEM;

	r = r ? r : load_driver_findings(json_object_get(json, "findings"), g->driver);
	if (r < 0) {
		generation_free(g);
		return r;
	}
	g->number = number_of;
	*ret = g;
	return 0;
}

int generation_from_description(const json_t *json, uint32_t number_of, struct generation **ret)
{
	int r = from_description(json, number_of, ret);

	if (r < 0)
		return r;
	free((*ret)->objects);
	(*ret)->objects = NULL;
	return 0;
}

int generation_again(const struct generation *of, uint32_t number_of, struct generation **ret)
{
	json_t *json = generation_describe(of);
	int r = json ? from_description(json, number_of, ret) : -ENOMEM;

	json_decref(json);
	if (r < 0)
		return r;
	(*ret)->made_s = time(NULL);
	(*ret)->nvml.state = GENERATION_NVML_PENDING;
	return 0;
}

static int load_one(const json_t *json, const struct store *store, struct generation **ret)
{
	struct generation *g = calloc(1, sizeof(*g));
	int r = !g ? -ENOMEM : json_is_object(json) ? load(json, store, g) : -EBADMSG;

	if (r < 0)
		generation_free(g);
	else
		*ret = g;
	return r;
}

int generation_load(const struct store *store, struct generation **ret, struct error *err)
{
	const char *text = store_blob(store, store_generation(store), NULL);
	struct generation *first = NULL, **end = &first, *next;
	json_t *list, *json;
	size_t i;
	int r = 0;

	if (!text)
		return error_set(err, -ENOENT, "a saved generation");
	list = json_loads(text, 0, NULL);
	json_array_foreach(list, i, json) {
		r = load_one(json, store, end);
		if (r < 0)
			break;
		end = &(*end)->older;
	}
	json_decref(list);
	if (r == 0 && first) {
		*ret = first;
		return 0;
	}
	for (; first; first = next) {
		next = first->older;
		generation_free(first);
	}
	return error_set(err, r < 0 ? r : -EBADMSG, "load the saved generation");
}
