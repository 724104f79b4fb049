/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/error.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define V "535.261.03"
#define OTHER "550.163.01"
#define LIB "usr/lib64/"
#define GPU "driver/nvidia/gpus/0000:00:06.0/"
#define INFORMATION                                                                        \
	"Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-5a3d1e00-0000-0000-0000-000000000001\n" \
	"Bus Location: \t 0000:00:06.0\nDevice Minor: \t 3\n"

/* A host, whose driver root and proc root are the same scratch directory, and a store for it. */
static char root[64];
static struct store *store;
static struct error err;

static void load_module(const char *version, int major)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  Thu\n", version);
	scratch_text(root, "driver/nvidia/version", text);
	(void)snprintf(text, sizeof(text),
		       "Character devices:\n  1 mem\n195 nvidia\n%d nvidia-uvm\n", major);
	scratch_text(root, "devices", text);
}

static void add_libraries(const char *version)
{
	char name[128];

	(void)snprintf(name, sizeof(name), LIB "libcuda.so.%s", version);
	scratch_library(root, name, "libcuda.so.1");
	(void)snprintf(name, sizeof(name), LIB "libnvidia-ml.so.%s", version);
	scratch_library(root, name, "libnvidia-ml.so.1");
}

static void host_new(void)
{
	scratch_new(root);
	err = (struct error){ 0 };
	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	load_module(V, 510);
	add_libraries(V);
	scratch_text(root, "driver/nvidia/params",
		     "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\n");
	scratch_text(root, "driver/nvidia/registry", "Binary: \"\"\n");
	scratch_text(root, GPU "information", INFORMATION);
	scratch_text(root, GPU "registry", "Binary: \"\"\n");
}

static void host_done(void)
{
	store_free(store);
	scratch_remove(root);
}

static void remove_file(const char *name)
{
	char path[512];

	scratch_path(path, root, name);
	ck_assert_int_eq(unlink(path), 0);
}

/* The same file again by another inode, as a package manager does it. */
static void replace_library(const char *name, const char *soname)
{
	char from[512], to[512];

	scratch_library(root, "new", soname);
	scratch_path(from, root, "new");
	scratch_path(to, root, name);
	ck_assert_int_eq(rename(from, to), 0);
}

/* A look at the host that is not recorded yet. */
static struct generation *look(uint32_t number)
{
	const struct driver_config config = { .driver_root = root, .proc_root = root };
	struct generation *g = NULL;

	ck_assert_int_eq(generation_discover(&config, number, &g, &err), 0);
	return g;
}

static struct generation *recorded(uint32_t number, const struct generation *before)
{
	struct generation *g = look(number);

	ck_assert_int_eq(generation_record(g, before, store, &err), 0);
	return g;
}

/* What a new look at the host means, beside the generation before. */
static enum generation_change change(const struct generation *before)
{
	struct generation *now = look(before->number + 1);
	enum generation_change result = generation_compare(store, before, now);

	generation_free(now);
	return result;
}

static size_t at(const struct generation *g, const char *name)
{
	for (size_t i = 0; i < g->driver->n_files; i++) {
		if (strcmp(g->driver->files[i].name, name) == 0)
			return i;
	}
	ck_abort_msg("no file %s", name);
}

static uint32_t object(const struct generation *g, const char *name)
{
	return g->objects[at(g, name)];
}

/* discovering */

START_TEST(a_generation_holds_copies_of_the_texts_of_proc)
{
	struct generation *g;

	host_new();
	g = look(1);
	load_module(OTHER, 511);
	ck_assert_uint_eq(g->number, 1);
	ck_assert_str_eq(g->driver->version, V);
	ck_assert_ptr_nonnull(strstr(g->proc_version, V));
	ck_assert_ptr_nonnull(strstr(g->proc_params, "ModifyDeviceFiles: 0\n"));
	ck_assert_str_eq(g->proc_registry, "Binary: \"\"\n");
	ck_assert_uint_eq(g->gpus->n, 1);
	ck_assert_str_eq(g->gpu_texts[0].information, INFORMATION);
	ck_assert_str_eq(g->gpu_texts[0].registry, "Binary: \"\"\n");
	generation_free(g);
	host_done();
}
END_TEST

/* Whoever asks for one of these in a container is told that it is not there, or what could be read. */
START_TEST(texts_that_are_huge_or_have_nul_bytes_do_no_harm)
{
	static const char params[] = "A: 1\nModifyDeviceFiles: 1\n\0B: 2\n";
	static char huge[1 << 20];
	struct generation *g;

	host_new();
	memset(huge, 'x', sizeof(huge));
	scratch_write(root, "driver/nvidia/registry", huge, sizeof(huge));
	scratch_write(root, GPU "registry", huge, sizeof(huge));
	scratch_write(root, "driver/nvidia/params", params, sizeof(params));
	g = look(1);
	ck_assert_ptr_null(g->proc_registry);
	ck_assert_ptr_null(g->gpu_texts[0].registry);
	ck_assert_ptr_nonnull(g->gpu_texts[0].information);
	ck_assert_str_eq(g->proc_params, "A: 1\nModifyDeviceFiles: 0\n");
	generation_free(g);
	scratch_write(root, "devices", huge, sizeof(huge));
	g = look(1);
	ck_assert_ptr_null(g->majors);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(majors_are_the_drivers_lines_alone)
{
	struct generation *g;

	host_new();
	g = look(1);
	ck_assert_str_eq(g->majors, "195 nvidia\n510 nvidia-uvm\n");
	generation_free(g);
	remove_file("driver/nvidia/version");
	g = look(2);
	ck_assert_ptr_null(g->majors);
	ck_assert_ptr_null(g->proc_version);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(no_driver_is_an_error_by_name_and_no_generation)
{
	const struct driver_config config = { .driver_root = root, .proc_root = root };
	struct generation *g = NULL;

	host_new();
	remove_file(LIB "libcuda.so." V);
	remove_file(LIB "libnvidia-ml.so." V);
	ck_assert_int_eq(generation_discover(&config, 1, &g, &err), -ENOENT);
	ck_assert_int_eq(err.class, ERROR_DRIVER);
	ck_assert_ptr_null(g);
	host_done();
}
END_TEST

START_TEST(only_the_modify_parameter_is_changed_for_a_container)
{
	static const struct {
		const char *host, *container;
	} cases[] = {
		{ "ModifyDeviceFiles: 1\n", "ModifyDeviceFiles: 0\n" },
		{ "A: 1\nModifyDeviceFiles: 1\nB: 1\n", "A: 1\nModifyDeviceFiles: 0\nB: 1\n" },
		{ "A: 1\nModifyDeviceFiles: 12", "A: 1\nModifyDeviceFiles: 00" },
		{ "ModifyDeviceFiles: ", "ModifyDeviceFiles: " },
		{ "NoModifyDeviceFiles: 1\n", "NoModifyDeviceFiles: 1\n" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *text = generation_params(cases[i].host);

		ck_assert_str_eq(text, cases[i].container);
		free(text);
	}
}
END_TEST

/* recording */

START_TEST(recorded_files_are_objects_and_the_store_has_their_descriptors)
{
	const struct store_object *cuda;
	struct generation *g;
	uint32_t index;

	host_new();
	g = recorded(3, NULL);
	index = object(g, "libcuda.so." V);
	cuda = store_object(store, index);
	ck_assert_uint_eq(cuda->size, sizeof(struct scratch_elf));
	ck_assert_uint_eq(cuda->generation, 3);
	ck_assert_str_eq(store_blob(store, cuda->path, NULL), "/" LIB "libcuda.so." V);
	ck_assert_int_ge(store_object_fd(store, index), 0);
	ck_assert_int_eq(g->driver->files[at(g, "libcuda.so." V)].fd, -1);
	generation_free(g);
	ck_assert_int_ge(fcntl(store_object_fd(store, index), F_GETFD), 0);
	host_done();
}
END_TEST

START_TEST(a_file_that_is_still_the_same_one_keeps_its_object)
{
	struct generation *one, *two;

	host_new();
	one = recorded(1, NULL);
	replace_library(LIB "libnvidia-ml.so." V, "libnvidia-ml.so.1");
	scratch_library(root, LIB "libnvidia-cfg.so." V, "libnvidia-cfg.so.1");
	two = recorded(2, one);
	ck_assert_uint_eq(object(one, "libcuda.so." V), object(two, "libcuda.so." V));
	ck_assert_uint_eq(store_object(store, object(two, "libcuda.so." V))->generation, 1);
	ck_assert_uint_ne(object(two, "libnvidia-cfg.so." V), STORE_NONE);
	ck_assert_uint_eq(store_object(store, object(two, "libnvidia-cfg.so." V))->generation, 2);
	ck_assert_uint_ne(object(one, "libnvidia-ml.so." V), object(two, "libnvidia-ml.so." V));
	ck_assert_ptr_nonnull(store_object(store, object(one, "libnvidia-ml.so." V)));
	generation_free(one);
	generation_free(two);
	host_done();
}
END_TEST

/* comparing */

START_TEST(nothing_changed_is_the_same_generation)
{
	struct generation *g;

	host_new();
	g = recorded(1, NULL);
	ck_assert_int_eq(change(g), GENERATION_SAME);
	scratch_text(root, "etc/unrelated", "x");
	ck_assert_int_eq(change(g), GENERATION_SAME);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(a_library_more_is_more)
{
	struct generation *g;

	host_new();
	g = recorded(1, NULL);
	scratch_library(root, LIB "libnvidia-cfg.so." V, "libnvidia-cfg.so.1");
	ck_assert_int_eq(change(g), GENERATION_MORE);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(a_library_that_was_written_anew_is_more)
{
	struct generation *g;

	host_new();
	g = recorded(1, NULL);
	replace_library(LIB "libnvidia-ml.so." V, "libnvidia-ml.so.1");
	ck_assert_int_eq(change(g), GENERATION_MORE);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(a_library_that_was_written_in_place_is_more)
{
	const struct timeval later[2] = { { .tv_sec = 2000000000 }, { .tv_sec = 2000000000 } };
	struct generation *g;
	char path[512];

	host_new();
	g = recorded(1, NULL);
	scratch_path(path, root, LIB "libcuda.so." V);
	ck_assert_int_eq(utimes(path, later), 0);
	ck_assert_int_eq(change(g), GENERATION_MORE);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(a_library_less_is_less_whatever_came)
{
	struct generation *g;

	host_new();
	g = recorded(1, NULL);
	remove_file(LIB "libnvidia-ml.so." V);
	ck_assert_int_eq(change(g), GENERATION_LESS);
	scratch_library(root, LIB "libnvidia-cfg.so." V, "libnvidia-cfg.so.1");
	scratch_library(root, LIB "libnvidia-ptxjitcompiler.so." V,
			"libnvidia-ptxjitcompiler.so.1");
	ck_assert_int_eq(change(g), GENERATION_LESS);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(a_library_that_the_admin_leaves_out_is_no_loss)
{
	struct generation *before, *now;
	static char rules[128];
	struct driver_config config = { .driver_root = root,
					.proc_root = root,
					.rules_dir = rules };

	host_new();
	before = recorded(1, NULL);
	(void)snprintf(rules, sizeof(rules), "%s/rules", root);
	scratch_text(root, "rules/x.conf", "[x]\nexclude = libnvidia-ml.so.*\n");
	ck_assert_int_eq(generation_discover(&config, 2, &now, &err), 0);
	ck_assert_uint_eq(now->driver->n_files, before->driver->n_files - 1);
	ck_assert_int_eq(generation_compare(store, before, now), GENERATION_MORE);
	generation_free(now);
	generation_free(before);
	host_done();
}
END_TEST

START_TEST(another_version_is_other)
{
	struct generation *g;

	host_new();
	g = recorded(1, NULL);
	load_module(OTHER, 510);
	add_libraries(OTHER);
	ck_assert_int_eq(change(g), GENERATION_OTHER);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(packages_of_another_version_beside_the_loaded_module_change_nothing)
{
	struct generation *g;

	host_new();
	g = recorded(1, NULL);
	add_libraries(OTHER);
	ck_assert_int_eq(change(g), GENERATION_SAME);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(gpus_capabilities_majors_and_parameters_that_changed_are_other_devices)
{
	static const struct {
		const char *name, *text;
	} changes[] = {
		{ GPU "information", INFORMATION "Extra: x\n" },
		{ GPU "registry", "Binary: \"x\"\n" },
		{ "driver/nvidia/params", "ModifyDeviceFiles: 1\nOther: 2\n" },
		{ "driver/nvidia/registry", "x" },
		{ "driver/nvidia/gpus/0000:00:07.0/information",
		  "GPU UUID: \t GPU-5a3d1e00-0000-0000-0000-000000000002\nDevice Minor: \t 4\n" },
		{ "devices", "195 nvidia\n511 nvidia-uvm\n" },
		{ "driver/nvidia/capabilities/gpu3/mig/gi1/access", "DeviceFileMinor: 3\n" },
		{ "driver/nvidia/capabilities/mig/config",
		  "DeviceFileMinor: 1\nDeviceFileMode: 256\n" },
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct generation *g;

		host_new();
		g = recorded(1, NULL);
		scratch_text(root, changes[i].name, changes[i].text);
		ck_assert_msg(change(g) == GENERATION_DEVICES, "%s", changes[i].name);
		generation_free(g);
		host_done();
	}
}
END_TEST

START_TEST(what_nvml_tells_of_mig_devices_is_no_change)
{
	struct generation *g;

	host_new();
	scratch_text(root, "driver/nvidia/capabilities/gpu3/mig/gi1/ci0/access",
		     "DeviceFileMinor: 3\n");
	g = recorded(1, NULL);
	ck_assert_uint_eq(g->gpus->n_migs, 1);
	(void)snprintf(g->gpus->migs[0].uuid, sizeof(g->gpus->migs[0].uuid), "MIG-1");
	ck_assert_int_eq(change(g), GENERATION_SAME);
	generation_free(g);
	host_done();
}
END_TEST

START_TEST(files_are_the_same_or_not)
{
	struct generation *a, *b, *c;

	host_new();
	a = recorded(1, NULL);
	scratch_text(root, "driver/nvidia/capabilities/gpu3/mig/gi1/access",
		     "DeviceFileMinor: 3\n");
	b = recorded(2, a);
	replace_library(LIB "libnvidia-ml.so." V, "libnvidia-ml.so.1");
	c = recorded(3, b);
	ck_assert(generation_has_files_of(a, b));
	ck_assert(!generation_has_files_of(a, c) && !generation_has_files_of(c, b));
	generation_free(a);
	generation_free(b);
	generation_free(c);
	host_done();
}
END_TEST

/* the module */

static bool module_is(const struct generation *g)
{
	struct generation_module module;
	bool is;

	generation_module_read(root, &module);
	is = generation_module_is(g, &module);
	generation_module_done(&module);
	ck_assert_ptr_null(module.version);
	return is;
}

START_TEST(a_module_is_known_by_its_version_and_majors)
{
	struct generation *g;

	host_new();
	g = look(1);
	ck_assert(module_is(g));
	scratch_text(root, "devices", "195 nvidia\n510 nvidia-uvm\n  7 unrelated\n");
	ck_assert(module_is(g));
	load_module(V, 511);
	ck_assert(!module_is(g));
	load_module(OTHER, 510);
	ck_assert(!module_is(g));
	load_module(V, 510);
	ck_assert(module_is(g));
	remove_file("driver/nvidia/version");
	ck_assert(!module_is(g));
	generation_free(g);
	g = look(2);
	ck_assert(module_is(g));
	generation_free(g);
	host_done();
}
END_TEST

/* saving and loading */

static bool equal(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static void check_files(const struct generation *a, const struct generation *b)
{
	ck_assert_uint_eq(a->driver->n_files, b->driver->n_files);
	for (size_t i = 0; i < a->driver->n_files; i++) {
		const struct driver_file *x = &a->driver->files[i], *y = &b->driver->files[i];

		ck_assert_str_eq(x->name, y->name);
		ck_assert_str_eq(x->path, y->path);
		ck_assert(equal(x->soname, y->soname));
		ck_assert_int_eq(x->kind, y->kind);
		ck_assert_uint_eq(x->caps, y->caps);
		ck_assert_int_eq(x->elf_class, y->elf_class);
		ck_assert_int_eq(x->elf_machine, y->elf_machine);
		ck_assert_int_eq(x->st.st_size, y->st.st_size);
		ck_assert_uint_eq(x->st.st_mode, y->st.st_mode);
		ck_assert_uint_eq(a->objects[i], b->objects[i]);
		ck_assert_int_eq(y->fd, -1);
	}
}

static void check_equal(const struct generation *a, const struct generation *b)
{
	ck_assert_uint_eq(a->number, b->number);
	ck_assert_int_eq(a->made_s, b->made_s);
	ck_assert_str_eq(a->driver->root, b->driver->root);
	ck_assert_str_eq(a->driver->version, b->driver->version);
	ck_assert_int_eq(a->driver->version_from_module, b->driver->version_from_module);
	ck_assert(equal(a->proc_version, b->proc_version) && equal(a->proc_params, b->proc_params));
	ck_assert(equal(a->proc_registry, b->proc_registry) && equal(a->majors, b->majors));
	check_files(a, b);
	ck_assert_uint_eq(a->gpus->n, b->gpus->n);
	for (size_t i = 0; i < a->gpus->n; i++) {
		ck_assert_mem_eq(&a->gpus->gpus[i], &b->gpus->gpus[i], offsetof(struct gpu, uuid));
		ck_assert_str_eq(a->gpus->gpus[i].uuid, b->gpus->gpus[i].uuid);
		ck_assert_str_eq(a->gpus->gpus[i].bus_id, b->gpus->gpus[i].bus_id);
		ck_assert_str_eq(a->gpus->gpus[i].model, b->gpus->gpus[i].model);
		ck_assert_str_eq(a->gpus->gpus[i].note, b->gpus->gpus[i].note);
		ck_assert_int_eq(a->gpus->gpus[i].usable, b->gpus->gpus[i].usable);
		ck_assert(equal(a->gpu_texts[i].information, b->gpu_texts[i].information));
		ck_assert(equal(a->gpu_texts[i].registry, b->gpu_texts[i].registry));
	}
}

static void free_all(struct generation *first)
{
	while (first) {
		struct generation *older = first->older;

		generation_free(first);
		first = older;
	}
}

START_TEST(generations_are_loaded_as_they_were_saved_older_ones_too)
{
	struct generation *old, *now, *loaded = NULL;

	host_new();
	scratch_text(root, "usr/lib/firmware/nvidia/" V "/gsp_ga10x.bin", "firmware");
	old = recorded(1, NULL);
	load_module(OTHER, 511);
	add_libraries(OTHER);
	remove_file("driver/nvidia/registry");
	now = recorded(2, old);
	now->older = old;
	ck_assert_int_eq(generation_save(now, store, &err), 0);
	scratch_remove(root); /* the host is not asked again */
	ck_assert_int_eq(generation_load(store, &loaded, &err), 0);
	check_equal(now, loaded);
	ck_assert_ptr_nonnull(loaded->older);
	check_equal(old, loaded->older);
	ck_assert_ptr_null(loaded->older->older);
	ck_assert_ptr_eq(generation_find(loaded, 1), loaded->older);
	ck_assert_ptr_eq(generation_find(loaded, 2), loaded);
	ck_assert_ptr_null(generation_find(loaded, 3));
	ck_assert_ptr_null(generation_find(NULL, 1));
	free_all(now);
	free_all(loaded);
	host_done();
}
END_TEST

START_TEST(a_loaded_generation_compares_as_the_saved_one_did)
{
	struct generation *g, *loaded = NULL;

	host_new();
	g = recorded(1, NULL);
	ck_assert_int_eq(generation_save(g, store, &err), 0);
	ck_assert_int_eq(generation_load(store, &loaded, &err), 0);
	ck_assert_int_eq(change(loaded), GENERATION_SAME);
	ck_assert(module_is(loaded));
	remove_file(LIB "libcuda.so." V);
	ck_assert_int_eq(change(loaded), GENERATION_LESS);
	generation_free(g);
	generation_free(loaded);
	host_done();
}
END_TEST

START_TEST(what_is_saved_last_is_loaded)
{
	struct generation *one, *two, *loaded = NULL;

	host_new();
	one = recorded(1, NULL);
	two = recorded(2, one);
	ck_assert_int_eq(generation_save(one, store, &err), 0);
	ck_assert_int_eq(generation_save(two, store, &err), 0);
	ck_assert_int_eq(generation_load(store, &loaded, &err), 0);
	ck_assert_uint_eq(loaded->number, 2);
	ck_assert_ptr_null(loaded->older);
	generation_free(one);
	generation_free(two);
	generation_free(loaded);
	host_done();
}
END_TEST

static int load_text(const char *text)
{
	struct generation *g = NULL;
	int r;

	store_set_generation(store, store_blob_put(store, text, strlen(text)));
	r = generation_load(store, &g, &err);
	ck_assert_ptr_null(g);
	return r;
}

START_TEST(what_is_no_generation_is_refused)
{
	struct generation *g = NULL;

	host_new();
	ck_assert_int_eq(generation_load(store, &g, &err), -ENOENT);
	ck_assert_ptr_null(g);
	ck_assert_int_eq(load_text("no JSON"), -EBADMSG);
	ck_assert_int_eq(load_text("[]"), -EBADMSG);
	ck_assert_int_eq(load_text("{}"), -EBADMSG);
	ck_assert_int_eq(load_text("[1]"), -EBADMSG);
	ck_assert_int_eq(load_text("[{\"files\":[{}]}]"), -EBADMSG);
	ck_assert_int_eq(
		load_text("[{\"files\":[{\"name\":\"x\",\"path\":\"/x\",\"object\":99}]}]"),
		-EBADMSG);
	ck_assert_int_eq(load_text("[{},{\"files\":[{}]}]"), -EBADMSG);
	host_done();
}
END_TEST

UNIT_MAIN("generation", texts_that_are_huge_or_have_nul_bytes_do_no_harm,
	  a_generation_holds_copies_of_the_texts_of_proc, majors_are_the_drivers_lines_alone,
	  no_driver_is_an_error_by_name_and_no_generation,
	  only_the_modify_parameter_is_changed_for_a_container,
	  recorded_files_are_objects_and_the_store_has_their_descriptors,
	  a_file_that_is_still_the_same_one_keeps_its_object,
	  nothing_changed_is_the_same_generation, a_library_more_is_more,
	  a_library_that_was_written_anew_is_more, a_library_that_was_written_in_place_is_more,
	  a_library_less_is_less_whatever_came, a_library_that_the_admin_leaves_out_is_no_loss,
	  another_version_is_other,
	  packages_of_another_version_beside_the_loaded_module_change_nothing,
	  gpus_capabilities_majors_and_parameters_that_changed_are_other_devices,
	  what_nvml_tells_of_mig_devices_is_no_change, files_are_the_same_or_not,
	  a_module_is_known_by_its_version_and_majors,
	  generations_are_loaded_as_they_were_saved_older_ones_too,
	  a_loaded_generation_compares_as_the_saved_one_did, what_is_saved_last_is_loaded,
	  what_is_no_generation_is_refused)
