/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fixed.h"

#include <stdio.h>
#include <string.h>

#include "fs/layout.h"
#include "nvml/finding.h"
#include "tests/unit/unit.h"

/* The links of a tree with these files, as "path -> to" lines. */
static char *links_of(const char *const *files, size_t n)
{
	struct layout_builder *builder = layout_builder_new();
	struct fixed_links links = { 0 };
	struct layout *layout;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(layout_add(builder, files[i], LAYOUT_HOST, 1, 0444, NULL), 0);
	layout = layout_finish(builder);
	ck_assert_int_eq(fixed_links_list(layout, "/dev/nvfs", &links, NULL, NULL), 0);
	for (size_t i = 0; i < links.n; i++)
		fprintf(out, "%s -> %s%s%s%s\n", links.items[i].path, links.items[i].to,
			links.items[i].where ? " (" : "",
			links.items[i].where ? links.items[i].where : "",
			links.items[i].where ? ")" : "");
	fixed_links_done(&links);
	layout_builder_free(builder);
	free(layout);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}
#define LINKS_OF(...)                                                             \
	links_of((const char *const[]){ __VA_ARGS__ },                            \
		 sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

START_TEST(every_program_of_the_tree_has_a_link)
{
	char *text = LINKS_OF("bin/nvidia-smi", "bin/nvidia-cuda-mps-control",
			      "lib64/libcuda.so.1");

	ck_assert_str_eq(
		text, "/usr/bin/nvidia-cuda-mps-control -> /dev/nvfs/bin/nvidia-cuda-mps-control\n"
		      "/usr/bin/nvidia-smi -> /dev/nvfs/bin/nvidia-smi\n");
	free(text);
}
END_TEST

START_TEST(configuration_is_linked_where_loaders_look_for_it)
{
	char *text = LINKS_OF("etc/OpenCL/vendors/nvidia.icd",
			      "etc/nvidia/nvidia-application-profiles-rc.d/10.json",
			      "share/nvidia/nvidia-application-profiles-535.1-rc",
			      "share/nvidia/nvoptix.bin", "share/vulkan/icd.d/nvidia_icd.json",
			      "share/vulkan/implicit_layer.d/nvidia_layers.json",
			      "share/glvnd/egl_vendor.d/10_nvidia.json",
			      "share/egl/egl_external_platform.d/15_nvidia_gbm.json");

	ck_assert_str_eq(
		text, "/etc/OpenCL/vendors/nvidia.icd -> /dev/nvfs/etc/OpenCL/vendors/nvidia.icd\n"
		      "/etc/nvidia/nvidia-application-profiles-rc.d/10.json -> "
		      "/dev/nvfs/etc/nvidia/nvidia-application-profiles-rc.d/10.json\n"
		      "/usr/share/nvidia/nvidia-application-profiles-535.1-rc -> "
		      "/dev/nvfs/share/nvidia/nvidia-application-profiles-535.1-rc\n"
		      "/usr/share/nvidia/nvoptix.bin -> /dev/nvfs/share/nvidia/nvoptix.bin\n"
		      "/etc/vulkan/icd.d/nvidia_icd.json -> "
		      "/dev/nvfs/share/vulkan/icd.d/nvidia_icd.json\n"
		      "/etc/vulkan/implicit_layer.d/nvidia_layers.json -> "
		      "/dev/nvfs/share/vulkan/implicit_layer.d/nvidia_layers.json\n"
		      "/usr/share/glvnd/egl_vendor.d/10_nvidia.json -> "
		      "/dev/nvfs/share/glvnd/egl_vendor.d/10_nvidia.json\n"
		      "/usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json -> "
		      "/dev/nvfs/share/egl/egl_external_platform.d/15_nvidia_gbm.json\n");
	free(text);
}
END_TEST

START_TEST(some_links_want_a_place_that_not_every_image_has)
{
	char *text = LINKS_OF("lib64/gbm/nvidia-drm_gbm.so",
			      "lib64/xorg/modules/drivers/nvidia_drv.so");

	ck_assert_ptr_nonnull(strstr(
		text, "-linux-gnu/gbm/nvidia-drm_gbm.so -> /dev/nvfs/lib64/gbm/nvidia-drm_gbm.so "
		      "(/usr/lib/"));
	ck_assert_ptr_nonnull(strstr(
		text, "/usr/lib64/gbm/nvidia-drm_gbm.so -> /dev/nvfs/lib64/gbm/nvidia-drm_gbm.so "
		      "(/usr/lib64/libc.so.6)\n"));
	ck_assert_ptr_nonnull(strstr(text, "/usr/lib/xorg/modules/drivers/nvidia_drv.so -> "
					   "/dev/nvfs/lib64/xorg/modules/drivers/nvidia_drv.so "
					   "(/usr/lib/xorg/modules)\n"));
	free(text);
}
END_TEST

START_TEST(the_store_of_wsl_is_linked_as_a_whole)
{
	char *text = LINKS_OF("wsl/drivers/nv/libcuda.so.1.1", "wsl/lib");

	ck_assert_str_eq(text, "/usr/lib/wsl -> /dev/nvfs/wsl\n");
	free(text);
}
END_TEST

START_TEST(nothing_else_of_a_tree_is_linked)
{
	char *text = LINKS_OF("etc/ld.so.cache", "proc/driver/nvidia/version",
			      ".nvfs/manifest.json", "firmware/nvidia/535.1/gsp.bin",
			      "bin/inner/file");

	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

START_TEST(a_file_in_the_place_of_a_directory_gives_no_link)
{
	char *text = LINKS_OF("bin", "etc/nvidia", "share/vulkan");

	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

START_TEST(more_links_than_a_plan_has_room_for_are_cut)
{
	struct layout_builder *builder = layout_builder_new();
	struct fixed_links links = { 0 };
	struct finding_list findings = { 0 };
	struct layout *layout;
	char path[64];

	for (int i = 0; i < FIXED_LINKS_MAX + 1; i++) {
		(void)snprintf(path, sizeof(path), "bin/program-%03d", i);
		ck_assert_int_eq(layout_add(builder, path, LAYOUT_HOST, 1, 0555, NULL), 0);
	}
	layout = layout_finish(builder);
	ck_assert_int_eq(fixed_links_list(layout, "/t", &links, &findings, NULL), 0);
	ck_assert_str_eq(findings.items[0].text,
			 "more than 96 links at fixed paths, ignoring the rest");
	ck_assert_uint_eq(links.n, FIXED_LINKS_MAX);
	ck_assert_str_eq(links.items[FIXED_LINKS_MAX - 1].to, "/t/bin/program-095");
	fixed_links_done(&links);
	finding_list_done(&findings);
	layout_builder_free(builder);
	free(layout);
}
END_TEST

START_TEST(libraries_are_linked_where_the_container_has_its_own)
{
	struct layout_builder *builder = layout_builder_new();
	struct fixed_links links = { 0 };
	struct finding_list findings = { 0 };
	struct layout *layout;
	char path[64];

	ck_assert_int_eq(layout_add(builder, "bin/nvidia-smi", LAYOUT_HOST, 1, 0555, NULL), 0);
	ck_assert_int_eq(layout_add(builder, "lib64/other/x.so", LAYOUT_LINK, 1, 0777, NULL), 0);
	ck_assert_int_eq(layout_add(builder, "lib64/libcuda.so.1", LAYOUT_LINK, 1, 0777, NULL), 0);
	for (int i = 0; i < FIXED_LIBRARIES_MAX + FIXED_LINKS_MAX; i++) {
		(void)snprintf(path, sizeof(path), "lib32/lib-%03d.so", i);
		ck_assert_int_eq(layout_add(builder, path, LAYOUT_HOST, 1, 0555, NULL), 0);
	}
	layout = layout_finish(builder);
	ck_assert_int_eq(fixed_links_list(layout, "/t", &links, NULL, NULL), 0);
	ck_assert_uint_eq(links.n, 1);
	ck_assert_int_eq(
		fixed_links_libraries(layout, "lib64", "/usr/lib64", "/t", &links, &findings, NULL),
		0);
	ck_assert_uint_eq(links.n, 2);
	ck_assert_str_eq(links.items[1].path, "/usr/lib64/libcuda.so.1");
	ck_assert_str_eq(links.items[1].to, "/t/lib64/libcuda.so.1");
	ck_assert_ptr_null(links.items[1].where);
	ck_assert_int_eq(
		fixed_links_libraries(layout, "libnone", "/usr/lib", "/t", &links, &findings, NULL),
		0);
	ck_assert_uint_eq(findings.n, 0);
	ck_assert_int_eq(
		fixed_links_libraries(layout, "lib32", "/usr/lib", "/t", &links, &findings, NULL),
		0);
	ck_assert_uint_eq(links.n, FIXED_LIBRARIES_MAX + FIXED_LINKS_MAX);
	ck_assert_str_eq(findings.items[0].text,
			 "more than 256 libraries for '/usr/lib', ignoring the rest");
	fixed_links_done(&links);
	finding_list_done(&findings);
	layout_builder_free(builder);
	free(layout);
}
END_TEST

UNIT_MAIN("fixed", the_store_of_wsl_is_linked_as_a_whole,
	  some_links_want_a_place_that_not_every_image_has, every_program_of_the_tree_has_a_link,
	  configuration_is_linked_where_loaders_look_for_it, nothing_else_of_a_tree_is_linked,
	  a_file_in_the_place_of_a_directory_gives_no_link,
	  more_links_than_a_plan_has_room_for_are_cut,
	  libraries_are_linked_where_the_container_has_its_own)
