/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/compose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/error.h"
#include "common/ldcache.h"
#include "fs/compat_verdict.h"
#include "fs/generation.h"
#include "fs/store.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/select.h"
#include "tests/unit/unit.h"

static struct store *store;

static struct driver_file files[] = {
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libcuda.so.535.1" },
	  .path = (char[]){ "/l/libcuda.so.535.1" },
	  .soname = (char[]){ "libcuda.so.1" },
	  .caps = DRIVER_CAP_COMPUTE,
	  .elf_class = 64,
	  .st.st_mode = 0644,
	  .st.st_size = 11 },
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libnvidia-glcore.so.535.1" },
	  .path = (char[]){ "/l/gl" },
	  .soname = (char[]){ "libnvidia-glcore.so.535.1" },
	  .caps = DRIVER_CAP_GRAPHICS,
	  .elf_class = 64,
	  .st.st_mode = 0644 },
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libnvidia-ml.so.535.1" },
	  .path = (char[]){ "/l/ml" },
	  .soname = (char[]){ "libnvidia-ml.so.1" },
	  .caps = DRIVER_CAP_UTILITY,
	  .elf_class = 64,
	  .st.st_mode = 0755 },
	{ .kind = DRIVER_PROGRAM,
	  .name = (char[]){ "nvidia-smi" },
	  .path = (char[]){ "/b/nvidia-smi" },
	  .caps = DRIVER_CAP_UTILITY,
	  .elf_class = 64,
	  .st.st_mode = 0755 },
	{ .kind = DRIVER_FIRMWARE,
	  .name = (char[]){ "gsp_tu10x.bin" },
	  .path = (char[]){ "/f/gsp" },
	  .caps = DRIVER_CAP_ALL,
	  .st.st_mode = 0644 },
};

static struct gpu gpus[2] = { { .bus_id = "0000:00:06.0" }, { .bus_id = "0000:00:07.0" } };
static struct gpu_list gpu_list = { .gpus = gpus, .n = 2 };
static struct generation_gpu gpu_texts[2] = { { .information = (char[]){ "six" } },
					      { .information = (char[]){ "seven" } } };
static struct driver driver = { .version = "535.1", .files = files, .n_files = 5 };
static uint32_t objects[5];
static struct generation generation = { .number = 3, .driver = &driver, .gpus = &gpu_list,
					.objects = objects, .proc_version = (char[]){ "NVRM" },
					.proc_params = (char[]){ "ModifyDeviceFiles: 0\n" },
					.gpu_texts = gpu_texts };

static void open_sample(void)
{
	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	for (size_t i = 0; i < 5; i++) {
		struct store_object object = { .mode = files[i].st.st_mode };

		object.path = store_blob_put(store, files[i].path, strlen(files[i].path));
		objects[i] = store_object_add(store, &object);
	}
}

static uint32_t compose(const struct compose_spec *spec)
{
	uint32_t layout = STORE_NONE;

	store_write_lock(store);
	ck_assert_int_eq(compose_tree(store, &generation, spec, &layout, NULL), 0);
	store_unlock(store);
	return layout;
}

/* Without the manifest's line, whose size is not the point. */
static char *printed(const struct compose_spec *spec)
{
	char *text = compose_print(store, compose(spec));
	char *line = strstr(text, "text 0444 .nvfs/manifest.json");
	char *end = strchr(line, '\n') + 1;

	memmove(line, end, strlen(end) + 1);
	return text;
}

START_TEST(a_compute_and_utility_tree_with_one_gpu)
{
	size_t second[] = { 1 };
	struct gpu_selection selection = { .wanted = true, .at = second, .n = 1 };
	struct compose_spec spec = { .caps = DRIVER_CAP_COMPUTE | DRIVER_CAP_UTILITY,
				     .selection = &selection, .cache = "cache", .cache_size = 5 };
	char *text;

	open_sample();
	text = printed(&spec);
	ck_assert_str_eq(text,
			 "dir 0555 .nvfs/\n"
			 "dir 0555 bin/\n"
			 "host 0555 bin/nvidia-smi <- /b/nvidia-smi\n"
			 "dir 0555 etc/\n"
			 "text 0444 etc/ld.so.cache 5 bytes\n"
			 "dir 0555 firmware/\n"
			 "dir 0555 firmware/nvidia/\n"
			 "dir 0555 firmware/nvidia/535.1/\n"
			 "host 0444 firmware/nvidia/535.1/gsp_tu10x.bin <- /f/gsp\n"
			 "link 0777 lib -> lib64\n"
			 "dir 0555 lib64/\n"
			 "link 0777 lib64/libcuda.so -> libcuda.so.1\n"
			 "link 0777 lib64/libcuda.so.1 -> libcuda.so.535.1\n"
			 "host 0444 lib64/libcuda.so.535.1 <- /l/libcuda.so.535.1\n"
			 "link 0777 lib64/libnvidia-ml.so -> libnvidia-ml.so.1\n"
			 "link 0777 lib64/libnvidia-ml.so.1 -> libnvidia-ml.so.535.1\n"
			 "host 0555 lib64/libnvidia-ml.so.535.1 <- /l/ml\n"
			 "dir 0555 proc/\n"
			 "dir 0555 proc/driver/\n"
			 "dir 0555 proc/driver/nvidia/\n"
			 "dir 0555 proc/driver/nvidia/gpus/\n"
			 "dir 0555 proc/driver/nvidia/gpus/0000:00:07.0/\n"
			 "text 0444 proc/driver/nvidia/gpus/0000:00:07.0/information 5 bytes\n"
			 "text 0444 proc/driver/nvidia/params 21 bytes\n"
			 "text 0444 proc/driver/nvidia/version 4 bytes\n");
	free(text);
	store_free(store);
}
END_TEST

START_TEST(a_library_whose_soname_is_its_file_name_gets_the_so_link_alone)
{
	struct compose_spec spec = { .caps = DRIVER_CAP_GRAPHICS };
	char *text;

	open_sample();
	text = printed(&spec);
	ck_assert_ptr_nonnull(
		strstr(text, "link 0777 lib64/libnvidia-glcore.so -> libnvidia-glcore.so.535.1\n"
			     "host 0444 lib64/libnvidia-glcore.so.535.1 <- /l/gl\n"));
	ck_assert_ptr_null(strstr(text, "libcuda"));
	ck_assert_ptr_null(strstr(text, "nvidia-smi"));
	free(text);
	store_free(store);
}
END_TEST

/* Domains of 16 bits and of 32: the driver looks for the name that the module gave. */
START_TEST(gpus_have_the_names_that_the_module_gave_them)
{
	size_t both[] = { 0, 1 };
	struct gpu_selection selection = { .wanted = true, .at = both, .n = 2 };
	struct compose_spec spec = { .caps = DRIVER_CAP_UTILITY, .selection = &selection };
	struct gpu before[2] = { gpus[0], gpus[1] };
	char *text;

	(void)strcpy(gpus[0].bus_id, "ffff:01:00.0");
	(void)strcpy(gpus[1].bus_id, "00010000:01:00.0");
	open_sample();
	text = printed(&spec);
	ck_assert_ptr_nonnull(
		strstr(text, "proc/driver/nvidia/gpus/ffff:01:00.0/information 3 bytes\n"));
	ck_assert_ptr_nonnull(
		strstr(text, "proc/driver/nvidia/gpus/00010000:01:00.0/information 5 bytes\n"));
	free(text);
	selection.n = 1;
	text = printed(&spec);
	ck_assert_ptr_null(strstr(text, "00010000:01:00.0"));
	free(text);
	memcpy(gpus, before, sizeof(gpus));
	store_free(store);
}
END_TEST

START_TEST(no_gpu_chosen_means_an_empty_gpus_directory)
{
	struct gpu_selection none = { .wanted = true };
	struct compose_spec spec = { .caps = DRIVER_CAP_UTILITY, .selection = &none };
	char *text;

	open_sample();
	text = printed(&spec);
	ck_assert_ptr_nonnull(strstr(text, "proc/driver/nvidia/gpus/\n"));
	ck_assert_ptr_null(strstr(text, "gpus/0"));
	free(text);
	store_free(store);
}
END_TEST

static struct mig_device migs[] = { { .gpu = 1, .gi = 2, .ci = 0 },
				    { .gpu = 1, .gi = 2, .ci = 1 } };

/* The lines below proc/driver/nvidia/capabilities, without what they begin with */
static void ck_capabilities(const struct compose_spec *spec, const char *expected)
{
	char *text, *lines, list[1024] = "";

	open_sample();
	text = lines = printed(spec);
	for (char *line; (line = strsep(&lines, "\n"));) {
		const char *at = strstr(line, "/capabilities/");

		if (at && strncmp(line, "text", 4) == 0)
			(void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s\n",
				       at + strlen("/capabilities/"));
	}
	ck_assert_str_eq(list, expected);
	free(text);
	store_free(store);
}

START_TEST(capabilities_are_those_of_what_was_chosen)
{
	const struct nvcap known[] = {
		{ NVCAP_CONFIG, 0, 0, 0, 1, 0400 },    { NVCAP_MONITOR, 0, 0, 0, 2, 0444 },
		{ NVCAP_FABRIC, 0, 0, 0, 4323, 0400 }, { NVCAP_GI, 7, 2, 0, 200, 0444 },
		{ NVCAP_CI, 7, 2, 0, 201, 0444 },      { NVCAP_CI, 7, 2, 1, 202, 0444 },
		{ NVCAP_GI, 7, 3, 0, 300, 0444 },      { NVCAP_GI, 6, 1, 0, 12, 0444 }
	};
	size_t second[] = { 1 }, one[] = { 1 };
	bool parent[] = { true };
	struct gpu_selection selection = {
		.wanted = true, .at = second, .n = 1, .migs = one, .n_migs = 1, .is_parent = parent
	};
	struct compose_spec spec = { .caps = DRIVER_CAP_UTILITY, .selection = &selection };

	gpus[0].minor = 6;
	gpus[1].minor = 7;
	gpu_list.migs = migs;
	gpu_list.n_migs = 2;
	ck_assert_int_eq(nvcap_list_copy(known, sizeof(known) / sizeof(*known), &generation.nvcaps),
			 0);
	ck_capabilities(&spec, "gpu7/mig/gi2/access 61 bytes\ngpu7/mig/gi2/ci1/access 61 bytes\n");
	selection.n_migs = 0;
	ck_capabilities(&spec, "");
	spec.mig_config = true;
	ck_capabilities(&spec, "gpu7/mig/gi2/access 61 bytes\ngpu7/mig/gi2/ci0/access 61 bytes\n"
			       "gpu7/mig/gi2/ci1/access 61 bytes\ngpu7/mig/gi3/access 61 bytes\n"
			       "mig/config 59 bytes\n");
	selection.n = 0;
	spec.mig_monitor = true;
	ck_capabilities(&spec, "mig/config 59 bytes\nmig/monitor 59 bytes\n");
	spec.selection = NULL;
	ck_capabilities(&spec, "fabric-imex-mgmt 62 bytes\ngpu6/mig/gi1/access 60 bytes\n"
			       "gpu7/mig/gi2/access 61 bytes\ngpu7/mig/gi2/ci0/access 61 bytes\n"
			       "gpu7/mig/gi2/ci1/access 61 bytes\ngpu7/mig/gi3/access 61 bytes\n"
			       "mig/config 59 bytes\nmig/monitor 59 bytes\n");
	nvcap_list_done(&generation.nvcaps);
	gpu_list.migs = NULL;
	gpu_list.n_migs = 0;
}
END_TEST

START_TEST(the_same_request_twice_is_one_layout)
{
	struct compose_spec spec = { .caps = DRIVER_CAP_COMPUTE };
	uint32_t first;

	open_sample();
	first = compose(&spec);
	ck_assert_uint_eq(compose(&spec), first);
	spec.caps = DRIVER_CAP_UTILITY;
	ck_assert_uint_ne(compose(&spec), first);
	store_free(store);
}
END_TEST

START_TEST(the_manifest_names_no_path_of_the_host)
{
	struct compose_spec spec = { .caps = DRIVER_CAP_ALL };
	const struct layout *layout;
	const char *text;
	int dir, file;

	open_sample();
	layout = store_layout(store, compose(&spec));
	dir = layout_lookup(layout, 0, ".nvfs");
	file = layout_lookup(layout, (uint32_t)dir, "manifest.json");
	ck_assert_int_gt(file, 0);
	text = store_blob(store, layout->nodes[file].ref, NULL);
	ck_assert_ptr_nonnull(strstr(text, "lib64/libcuda.so.535.1"));
	ck_assert_ptr_nonnull(strstr(text, "\"generation\": 3"));
	ck_assert_ptr_null(strstr(text, "/l/"));
	ck_assert_ptr_null(strstr(text, "/b/"));
	store_free(store);
}
END_TEST

START_TEST(the_cache_gets_the_soname_and_the_so_name_of_each_library)
{
	struct ldcache_add *entries;
	size_t n;

	open_sample();
	ck_assert_int_eq(compose_cache_entries(&generation,
					       DRIVER_CAP_COMPUTE | DRIVER_CAP_GRAPHICS,
					       "/usr/local/nvidia", NULL, &entries, &n),
			 0);
	ck_assert_uint_eq(n, 4);
	ck_assert_str_eq(entries[0].soname, "libcuda.so.1");
	ck_assert_str_eq(entries[0].path, "/usr/local/nvidia/lib64/libcuda.so.1");
	ck_assert_str_eq(entries[1].soname, "libcuda.so");
	ck_assert_str_eq(entries[2].soname, "libnvidia-glcore.so.535.1");
	ck_assert_str_eq(entries[3].path, "/usr/local/nvidia/lib64/libnvidia-glcore.so");
	compose_cache_entries_free(entries, n);
	store_free(store);
}
END_TEST

/* A driver of its own for what stands beside the core. */
static struct driver_file more[] = {
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libGLX_nvidia.so.535.1" },
	  .path = (char[]){ "/l/glx" },
	  .soname = (char[]){ "libGLX_nvidia.so.0" },
	  .caps = DRIVER_CAP_GRAPHICS,
	  .elf_class = 64,
	  .st.st_mode = 0644 },
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libnvidia-allocator.so.535.1" },
	  .path = (char[]){ "/l/a" },
	  .soname = (char[]){ "libnvidia-allocator.so.1" },
	  .caps = DRIVER_CAP_GRAPHICS | DRIVER_CAP_COMPUTE,
	  .elf_class = 64,
	  .st.st_mode = 0644 },
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libGLX_nvidia.so.535.1" },
	  .path = (char[]){ "/l32/glx" },
	  .soname = (char[]){ "libGLX_nvidia.so.0" },
	  .caps = DRIVER_CAP_GRAPHICS,
	  .elf_class = 32,
	  .st.st_mode = 0644 },
	{ .kind = DRIVER_MODULE,
	  .name = (char[]){ "libglxserver_nvidia.so.535.1" },
	  .path = (char[]){ "/x/glx" },
	  .dir = (char[]){ "lib64/xorg/modules/extensions" },
	  .caps = DRIVER_CAP_DISPLAY,
	  .elf_class = 64,
	  .st.st_mode = 0644 },
	{ .kind = DRIVER_DATA,
	  .name = (char[]){ "nvoptix.bin" },
	  .path = (char[]){ "/s/nvoptix.bin" },
	  .dir = (char[]){ "share/nvidia" },
	  .caps = DRIVER_CAP_GRAPHICS,
	  .st.st_mode = 0644 },
	{ .kind = DRIVER_CONFIG,
	  .name = (char[]){ "nvidia_icd.json" },
	  .path = (char[]){ "/s/nvidia_icd.json" },
	  .dir = (char[]){ "share/vulkan/icd.d" },
	  .caps = DRIVER_CAP_GRAPHICS,
	  .text = (char[]){ "rewritten" },
	  .st.st_mode = 0644 },
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libEGL_nvidia.so.535.1" },
	  .path = (char[]){ "/l/egl" },
	  .soname = (char[]){ "libEGL_nvidia.so.0" },
	  .caps = DRIVER_CAP_GRAPHICS,
	  .elf_class = 64,
	  .st.st_mode = 0644 },
};
#define N_MORE (sizeof(more) / sizeof(more[0]))
static struct driver more_driver = { .version = "535.1", .files = more, .n_files = N_MORE };
static uint32_t more_objects[N_MORE];
static struct gpu more_gpus[3] = { { .bus_id = "0000:00:06.0", .minor = 0 },
				   { .bus_id = "0000:00:07.0", .minor = 5 },
				   { .bus_id = "0000:00:08.0", .minor = 64, .index = 2 } };
static struct gpu_list more_gpu_list = { .gpus = more_gpus, .n = 3 };
static struct generation_gpu more_texts[3];
static struct generation more_generation = { .number = 1,
					     .driver = &more_driver,
					     .gpus = &more_gpu_list,
					     .objects = more_objects,
					     .gpu_texts = more_texts };

static void open_more(void)
{
	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	for (size_t i = 0; i < N_MORE; i++) {
		struct store_object object = { .mode = more[i].st.st_mode };

		object.path = store_blob_put(store, more[i].path, strlen(more[i].path));
		more_objects[i] = store_object_add(store, &object);
	}
}

static int compose_more(const struct compose_spec *spec, uint32_t *ret, struct error *err)
{
	int r;

	store_write_lock(store);
	r = compose_tree(store, &more_generation, spec, ret, err);
	store_unlock(store);
	return r;
}

static char *printed_more(unsigned int caps)
{
	struct compose_spec spec = { .caps = caps };
	uint32_t layout = STORE_NONE;

	ck_assert_int_eq(compose_more(&spec, &layout, NULL), 0);
	return compose_print(store, layout);
}

/* Each line of a tree names what it comes from. */
static const struct {
	const char *rule, *line;
	unsigned int caps;
	bool there;
} lines[] = {
	{ "data stands in its directory", "host 0444 share/nvidia/nvoptix.bin <- /s/nvoptix.bin\n",
	  DRIVER_CAP_GRAPHICS, true },
	{ "a rewritten file is a text", "text 0444 share/vulkan/icd.d/nvidia_icd.json 9 bytes\n",
	  DRIVER_CAP_GRAPHICS, true },
	{ "none of it without graphics", "share/", DRIVER_CAP_COMPUTE, false },
	{ "GBM's backend leads to the allocator",
	  "link 0777 lib64/gbm/nvidia-drm_gbm.so -> ../libnvidia-allocator.so.1\n",
	  DRIVER_CAP_GRAPHICS, true },
	{ "the allocator is for compute too", "lib64/libnvidia-allocator.so.535.1",
	  DRIVER_CAP_COMPUTE, true },
	{ "GBM is not", "gbm", DRIVER_CAP_COMPUTE, false },
	{ "indirect rendering", "link 0777 lib64/libGLX_indirect.so.0 -> libGLX_nvidia.so.0\n",
	  DRIVER_CAP_GRAPHICS, true },
	{ "modules of X need display", "xorg", DRIVER_CAP_GRAPHICS, false },
	{ "a module of X",
	  "host 0444 lib64/xorg/modules/extensions/libglxserver_nvidia.so.535.1 <- /x/glx\n",
	  DRIVER_CAP_DISPLAY, true },
	{ "a module's name without version",
	  "link 0777 lib64/xorg/modules/extensions/libglxserver_nvidia.so -> "
	  "libglxserver_nvidia.so.535.1\n",
	  DRIVER_CAP_DISPLAY, true },
	{ "32 bits need compat32", "lib32", DRIVER_CAP_GRAPHICS, false },
	{ "compat32 alone has no libraries", "lib32", DRIVER_CAP_COMPAT32, false },
	{ "32 bits have a directory of their own",
	  "host 0444 lib32/libGLX_nvidia.so.535.1 <- /l32/glx\n",
	  DRIVER_CAP_GRAPHICS | DRIVER_CAP_COMPAT32, true },
	{ "and links", "link 0777 lib32/libGLX_nvidia.so.0 -> libGLX_nvidia.so.535.1\n",
	  DRIVER_CAP_GRAPHICS | DRIVER_CAP_COMPAT32, true },
	{ "a vendor's file is made where there is none",
	  "text 0444 share/glvnd/egl_vendor.d/10_nvidia.json", DRIVER_CAP_GRAPHICS, true },
	{ "none without its library", "nvidia.icd", DRIVER_CAP_ALL, false },
	{ "the reference tree has no profile", "10-container.conf", DRIVER_CAP_ALL, false },
};

START_TEST(what_stands_beside_the_core_of_a_driver)
{
	open_more();
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char *text = printed_more(lines[i].caps);

		ck_assert_msg(!strstr(text, lines[i].line) == !lines[i].there, "%s:\n%s",
			      lines[i].rule, text);
		free(text);
	}
	store_free(store);
}
END_TEST

START_TEST(a_cache_with_compat32_has_entries_of_both_kinds)
{
	struct ldcache_add *entries;
	size_t n, of_i386 = 0;

	ck_assert_int_eq(compose_cache_entries(&more_generation,
					       DRIVER_CAP_GRAPHICS | DRIVER_CAP_COMPAT32, "/t",
					       NULL, &entries, &n),
			 0);
	for (size_t i = 0; i < n; i++) {
		bool lib32 = strncmp(entries[i].path, "/t/lib32/", 9) == 0;

		ck_assert_int_eq(entries[i].flags,
				 lib32 ? LDCACHE_FLAGS_I386 : ldcache_native_flags());
		of_i386 += lib32;
	}
	ck_assert_uint_eq(of_i386, 3); /* soname, ".so" and the alias */
	ck_assert_uint_eq(n, 3 + 3 + 2 + 2);
	compose_cache_entries_free(entries, n);
}
END_TEST

START_TEST(egl_is_told_of_the_gpus_that_were_given)
{
	size_t at[] = { 0, 1 };
	struct gpu_selection selection = { .wanted = true, .at = at, .n = 2 };
	struct compose_spec spec = { .caps = DRIVER_CAP_GRAPHICS, .selection = &selection };
	const struct layout *layout;
	uint32_t index;
	int slot;

	open_more();
	ck_assert_int_eq(compose_more(&spec, &index, NULL), 0);
	layout = store_layout(store, index);
	slot = layout_lookup(layout, 0, "etc");
	slot = layout_lookup(layout, (uint32_t)slot, "nvidia");
	slot = layout_lookup(layout, (uint32_t)slot, "nvidia-application-profiles-rc.d");
	slot = layout_lookup(layout, (uint32_t)slot, "10-container.conf");
	ck_assert_str_eq(store_blob(store, layout->nodes[slot].ref, NULL),
			 "{\"profiles\": [{\"name\": \"_container_\", \"settings\": "
			 "[\"EGLVisibleDGPUDevices\", 0x21]}],\n"
			 "\"rules\": [{\"pattern\": [], \"profile\": \"_container_\"}]}\n");
	spec.caps = DRIVER_CAP_COMPUTE;
	ck_assert_int_eq(compose_more(&spec, &index, NULL), 0);
	layout = store_layout(store, index);
	slot = layout_lookup(layout, 0, "etc");
	ck_assert_int_eq(layout_lookup(layout, (uint32_t)slot, "nvidia"), -ENOENT);
	store_free(store);
}
END_TEST

START_TEST(a_gpu_that_egl_cannot_be_told_of_is_an_error_by_name)
{
	size_t at[] = { 2 };
	struct gpu_selection selection = { .wanted = true, .at = at, .n = 1 };
	struct compose_spec spec = { .caps = DRIVER_CAP_GRAPHICS, .selection = &selection };
	struct error err = { 0 };
	uint32_t index;

	open_more();
	ck_assert_int_eq(compose_more(&spec, &index, &err), -ERANGE);
	ck_assert_int_eq(err.class, ERROR_DEVICE);
	ck_assert_ptr_nonnull(strstr(err.text, "GPU 2 has minor 64"));
	spec.caps = DRIVER_CAP_COMPUTE;
	ck_assert_int_eq(compose_more(&spec, &index, NULL), 0);
	store_free(store);
}
END_TEST

START_TEST(params_are_rewritten_so_that_no_device_file_is_made)
{
	char *text = generation_params("DmaRemap: 1\nModifyDeviceFiles: 1\nDeviceFileUID: 0\n");

	ck_assert_str_eq(text, "DmaRemap: 1\nModifyDeviceFiles: 0\nDeviceFileUID: 0\n");
	free(text);
	text = generation_params("NotModifyDeviceFiles: 1\n");
	ck_assert_str_eq(text, "NotModifyDeviceFiles: 1\n");
	free(text);
}
END_TEST

/* The image's libcuda for the name that programs ask for, and nothing of the driver's under it. */
START_TEST(names_that_the_image_has_are_links_to_it)
{
	struct compat_link links[] = { { "libcuda.so.1", "libcuda.so.1" },
				       { "libcuda.so.550.1", "libcuda.so.550.1" },
				       { "libcudadebugger.so.1", "libcudadebugger.so.1" },
				       { "libcudadebugger.so", "libcudadebugger.so" } };
	struct compat_verdict verdict = { .links = links, .n = 4, .why = "it is newer" };
	struct compose_spec spec = { .caps = DRIVER_CAP_COMPUTE,
				     .compat = &verdict,
				     .compat_mode = "auto" };
	struct ldcache_add *entries;
	json_t *compat;
	uint32_t layout;
	char *text;
	size_t n;

	open_sample();
	layout = compose(&spec);
	text = compose_print(store, layout);
	ck_assert_ptr_nonnull(strstr(text, "link 0777 lib64/libcuda.so -> libcuda.so.1\n"));
	ck_assert_ptr_nonnull(strstr(
		text, "link 0777 lib64/libcuda.so.1 -> /usr/local/cuda/compat/libcuda.so.1\n"));
	ck_assert_ptr_nonnull(strstr(
		text, "lib64/libcudadebugger.so.1 -> /usr/local/cuda/compat/libcudadebugger"));
	ck_assert_ptr_null(strstr(text, "lib64/libcuda.so.535.1"));
	free(text);
	compat = compose_compat(store, layout);
	ck_assert_str_eq(json_string_value(json_object_get(compat, "why")), "it is newer");
	ck_assert_uint_eq(json_array_size(json_object_get(compat, "libraries")), 4);
	json_decref(compat);
	ck_assert_int_eq(compose_cache_entries(&generation, DRIVER_CAP_COMPUTE, "/n", &verdict,
					       &entries, &n),
			 0);
	ck_assert_uint_eq(n, 4);
	ck_assert_str_eq(entries[0].path, "/n/lib64/libcuda.so.1");
	ck_assert_str_eq(entries[2].path, "/n/lib64/libcudadebugger.so.1");
	ck_assert_str_eq(entries[3].path, "/n/lib64/libcuda.so");
	compose_cache_entries_free(entries, n);
	spec.compat = NULL;
	ck_assert_ptr_null(compose_compat(store, compose(&spec)));
	store_free(store);
}
END_TEST

UNIT_MAIN("compose", gpus_have_the_names_that_the_module_gave_them,
	  names_that_the_image_has_are_links_to_it, a_compute_and_utility_tree_with_one_gpu,
	  a_library_whose_soname_is_its_file_name_gets_the_so_link_alone,
	  no_gpu_chosen_means_an_empty_gpus_directory, capabilities_are_those_of_what_was_chosen,
	  the_same_request_twice_is_one_layout, the_manifest_names_no_path_of_the_host,
	  the_cache_gets_the_soname_and_the_so_name_of_each_library,
	  what_stands_beside_the_core_of_a_driver, a_cache_with_compat32_has_entries_of_both_kinds,
	  egl_is_told_of_the_gpus_that_were_given,
	  a_gpu_that_egl_cannot_be_told_of_is_an_error_by_name,
	  params_are_rewritten_so_that_no_device_file_is_made)
