/* SPDX-License-Identifier: Apache-2.0 */
/* Graphics, 32-bit libraries, firmware and the admin's rules: what stands beside the driver's core. */
#include "nvml/driver.h"

#include <elf.h>
#include <string.h>

#include "common/error.h"
#include "common/ldcache.h"
#include "nvml/elf.h"
#include "nvml/driver_table.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define V "550.163.01"
#define OTHER "535.261.03"
#define LIB "usr/lib64/"

static char root[64];
static struct driver *driver;
static struct driver_config config;

static void host_new(void)
{
	scratch_new(root);
	driver = NULL;
	config = (struct driver_config){ .driver_root = root, .proc_root = root, .sys_root = root };
	scratch_library(root, LIB "libcuda.so." V, "libcuda.so.1");
	scratch_library(root, LIB "libnvidia-ml.so." V, "libnvidia-ml.so.1");
	scratch_library(root, LIB "libGLX_nvidia.so." V, "libGLX_nvidia.so.0");
	scratch_library(root, LIB "libEGL_nvidia.so." V, "libEGL_nvidia.so.0");
	scratch_library(root, LIB "libnvidia-opencl.so." V, "libnvidia-opencl.so.1");
}

static void host_done(void)
{
	driver_free(driver);
	scratch_remove(root);
}

static void discover(void)
{
	struct error err = { 0 };

	driver_free(driver);
	driver = NULL;
	ck_assert_msg(driver_discover(&config, &driver, &err) == 0, "%s", err.text);
}

static const struct driver_file *file(const char *dir, const char *name)
{
	for (size_t i = 0; i < driver->n_files; i++)
		if (!strcmp(driver->files[i].name, name) &&
		    !strcmp(driver->files[i].dir ? driver->files[i].dir : "", dir))
			return &driver->files[i];
	return NULL;
}

static bool told(const char *what)
{
	for (size_t i = 0; i < driver->n_findings; i++)
		if (strstr(driver->findings[i].text, what))
			return true;
	return false;
}

#define GLX "{\"ICD\": {\"library_path\": \"libGLX_nvidia.so.0\"}}"

/* Where packages of several distributions put a file, and where it stands in a tree. */
static const struct {
	const char *rule, *path, *text, *dir, *name;
	unsigned int caps;
} found[] = {
	{ "Vulkan's ICD, Debian", "usr/share/vulkan/icd.d/nvidia_icd.json", GLX,
	  "share/vulkan/icd.d", "nvidia_icd.json", DRIVER_CAP_GRAPHICS },
	{ "Vulkan's ICD, the installer", "etc/vulkan/icd.d/nvidia_icd.json", GLX,
	  "share/vulkan/icd.d", "nvidia_icd.json", DRIVER_CAP_GRAPHICS },
	{ "Vulkan's ICD, Fedora", "usr/share/vulkan/icd.d/nvidia_icd.x86_64.json", GLX,
	  "share/vulkan/icd.d", "nvidia_icd.x86_64.json", DRIVER_CAP_GRAPHICS },
	{ "Vulkan's ICD, a bare image", "usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json", GLX,
	  "share/vulkan/icd.d", "nvidia_icd.json", DRIVER_CAP_GRAPHICS },
	{ "Vulkan's ICD, a driver container", "run/nvidia/driver/etc/vulkan/icd.d/nvidia_icd.json",
	  GLX, "share/vulkan/icd.d", "nvidia_icd.json", DRIVER_CAP_GRAPHICS },
	{ "Vulkan's layers", "usr/share/vulkan/implicit_layer.d/nvidia_layers.json",
	  "{\"layer\": {\"library_path\": \"libGLX_nvidia.so.0\"}}",
	  "share/vulkan/implicit_layer.d", "nvidia_layers.json", DRIVER_CAP_GRAPHICS },
	{ "Vulkan SC", "usr/share/vulkansc/icd.d/nvidia_icd_vksc.json", GLX, "share/vulkansc/icd.d",
	  "nvidia_icd_vksc.json", DRIVER_CAP_GRAPHICS },
	{ "EGL's vendor", "usr/share/glvnd/egl_vendor.d/10_nvidia.json",
	  "{\"ICD\": {\"library_path\": \"libEGL_nvidia.so.0\"}}", "share/glvnd/egl_vendor.d",
	  "10_nvidia.json", DRIVER_CAP_GRAPHICS },
	{ "EGL's external platform", "usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json",
	  "{\"ICD\": {\"library_path\": \"libEGL_nvidia.so.0\"}}",
	  "share/egl/egl_external_platform.d", "15_nvidia_gbm.json", DRIVER_CAP_GRAPHICS },
	{ "OpenCL's ICD", "etc/OpenCL/vendors/nvidia.icd", "libnvidia-opencl.so.1\n",
	  "etc/OpenCL/vendors", "nvidia.icd", DRIVER_CAP_COMPUTE | DRIVER_CAP_VIDEO },
	{ "OptiX's weights", "usr/share/nvidia/nvoptix.bin", "weights", "share/nvidia",
	  "nvoptix.bin", DRIVER_CAP_GRAPHICS },
#ifdef __x86_64__
	{ "OptiX's weights, Debian unpacked", "usr/lib/x86_64-linux-gnu/nvidia/current/nvoptix.bin",
	  "weights", "share/nvidia", "nvoptix.bin", DRIVER_CAP_GRAPHICS },
	{ "NGX for Wine", "usr/lib/x86_64-linux-gnu/nvidia/wine/_nvngx.dll", "MZ",
	  "lib64/nvidia/wine", "_nvngx.dll", DRIVER_CAP_NGX },
#endif
	{ "application profiles", "usr/share/nvidia/nvidia-application-profiles-" V "-rc", "{}",
	  "share/nvidia", "nvidia-application-profiles-" V "-rc", DRIVER_CAP_GRAPHICS },
	{ "files of sandboxes", "usr/share/nvidia/files.d/sandboxutils-filelist.json", "{}",
	  "share/nvidia/files.d", "sandboxutils-filelist.json", DRIVER_CAP_UTILITY },
};

START_TEST(each_file_is_found_where_distributions_put_it)
{
	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		const struct driver_file *f;

		host_new();
		scratch_text(root, found[i].path, found[i].text);
		discover();
		f = file(found[i].dir, found[i].name);
		ck_assert_msg(f, "%s", found[i].rule);
		ck_assert_msg(f->caps == found[i].caps, "%s: %x", found[i].rule, f->caps);
		ck_assert_msg(!strcmp(f->path + 1, found[i].path), "%s: %s", found[i].rule,
			      f->path);
		ck_assert_msg(!f->text, "%s", found[i].rule);
		host_done();
	}
}
END_TEST

/* What is left out, and the reason that is told. */
static const struct {
	const char *rule, *path, *text, *told;
} refused[] = {
	{ "a library that the driver has not", "etc/vulkan/icd.d/nvidia_icd.json",
	  "{\"ICD\": {\"library_path\": \"libGLX_other.so.0\"}}",
	  "nvidia_icd.json: it names 'libGLX_other.so.0', which the driver does not have, left "
	  "out" },
	{ "no JSON", "etc/vulkan/icd.d/nvidia_icd.json", "{",
	  "nvidia_icd.json: line 1 is no JSON, left out" },
	{ "an empty file", "etc/vulkan/icd.d/nvidia_icd.json", "",
	  "nvidia_icd.json: empty, left out" },
	{ "profiles of another version",
	  "usr/share/nvidia/nvidia-application-profiles-" OTHER "-rc", "{}",
	  "profiles-" OTHER "-rc: version differs from " V },
	{ "a module of X of another version",
	  "usr/lib/xorg/modules/extensions/libglxserver_nvidia.so." OTHER, "x",
	  "libglxserver_nvidia.so." OTHER ": version differs from " V },
	{ "a module that is none", "usr/lib/xorg/modules/drivers/nvidia_drv.so", "x",
	  "nvidia_drv.so: not an ELF file, left out" },
	{ "an ICD for 32 bits", "usr/share/vulkan/icd.d/nvidia_icd.i686.json", GLX, NULL },
	{ "somebody else's ICD", "usr/share/vulkan/icd.d/radeon_icd.json", GLX, NULL },
	{ "a key to profiles",
	  "usr/share/nvidia/nvidia-application-profiles-" V "-key-documentation", "x", NULL },
	{ "a loader of GL", LIB "libGL.so.1.7.0", "x", NULL },
};

START_TEST(what_would_be_of_no_use_is_left_out_and_told)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		host_new();
		scratch_text(root, refused[i].path, refused[i].text);
		discover();
		for (size_t k = 0; k < driver->n_files; k++)
			ck_assert_msg(driver->files[k].kind == DRIVER_LIBRARY, "%s",
				      refused[i].rule);
		if (refused[i].told)
			ck_assert_msg(told(refused[i].told), "%s", refused[i].rule);
		host_done();
	}
}
END_TEST

START_TEST(an_absolute_path_in_a_file_of_a_loader_is_rewritten)
{
	const struct driver_file *f;

	host_new();
	scratch_text(root, "etc/vulkan/icd.d/nvidia_icd.json",
		     "{\"ICD\": {\"library_path\": \"/usr/lib64/libGLX_nvidia.so.0\"}}");
	discover();
	f = file("share/vulkan/icd.d", "nvidia_icd.json");
	ck_assert_ptr_nonnull(strstr(f->text, "\"library_path\": \"libGLX_nvidia.so.0\""));
	ck_assert_int_eq(f->kind, DRIVER_CONFIG);
	host_done();
}
END_TEST

START_TEST(the_first_of_two_files_of_one_name_counts)
{
	host_new();
	scratch_text(root, "etc/vulkan/icd.d/nvidia_icd.json", GLX);
	scratch_text(root, "usr/share/vulkan/icd.d/nvidia_icd.json", GLX);
	scratch_link(root, "usr/local/share/vulkan/icd.d/nvidia_icd.json",
		     "/etc/vulkan/icd.d/nvidia_icd.json");
	discover();
	ck_assert_str_eq(file("share/vulkan/icd.d", "nvidia_icd.json")->path,
			 "/etc/vulkan/icd.d/nvidia_icd.json");
	ck_assert(told("/usr/share/vulkan/icd.d/nvidia_icd.json: /etc/vulkan/icd.d/nvidia_icd.json "
		       "comes first"));
	host_done();
}
END_TEST

START_TEST(modules_of_x_are_no_libraries)
{
	const struct driver_file *f;

	host_new();
	scratch_library(root, "usr/lib/nvidia/current/libglxserver_nvidia.so." V,
			"libglxserver_nvidia.so");
	scratch_link(root, "usr/lib/nvidia/current/libglxserver_nvidia.so",
		     "libglxserver_nvidia.so." V);
	scratch_library(root, LIB "libglxserver_nvidia.so." V, "libglxserver_nvidia.so");
	scratch_library(root, "usr/lib/xorg/modules/drivers/nvidia_drv.so", NULL);
	discover();
	ck_assert_ptr_null(file("", "libglxserver_nvidia.so." V));
	f = file("lib64/xorg/modules/extensions", "libglxserver_nvidia.so." V);
	ck_assert_int_eq(f->kind, DRIVER_MODULE);
	ck_assert_uint_eq(f->caps, DRIVER_CAP_DISPLAY);
	ck_assert_ptr_nonnull(file("lib64/xorg/modules/drivers", "nvidia_drv.so"));
	ck_assert_uint_eq(driver->n_files, 7);
	host_done();
}
END_TEST

/* compat32 */

/* Elsewhere there are none: such a library is left out as any other foreign one. */
static bool has_compat32(void)
{
	return elf_compat32_machine() == EM_386;
}

static const struct driver_file *library32(const char *name)
{
	for (size_t i = 0; i < driver->n_files; i++)
		if (driver->files[i].elf_class == 32 && !strcmp(driver->files[i].name, name))
			return &driver->files[i];
	return NULL;
}

START_TEST(libraries_of_32_bits_are_found_beside_the_native_ones)
{
	static const char *const places[] = { "usr/lib/i386-linux-gnu/",
					      "usr/lib/i386-linux-gnu/nvidia/current/",
					      "usr/lib32/",
					      "usr/lib/",
					      "lib32/",
					      "usr/local/nvidia/lib32/",
					      "run/nvidia/driver/usr/lib/i386-linux-gnu/" };

	for (size_t i = 0; has_compat32() && i < sizeof(places) / sizeof(places[0]); i++) {
		char path[256];

		host_new();
		(void)snprintf(path, sizeof(path), "%slibcuda.so." V, places[i]);
		scratch_library32(root, path, "libcuda.so.1");
		(void)snprintf(path, sizeof(path), "%slibcuda.so." OTHER, places[i]);
		scratch_library32(root, path, "libcuda.so.1");
		discover();
		ck_assert_msg(library32("libcuda.so." V), "%s", places[i]);
		ck_assert_ptr_null(library32("libcuda.so." OTHER));
		ck_assert_int_eq(library32("libcuda.so." V)->elf_machine, EM_386);
		ck_assert_int_eq(driver_find_soname(driver, "libcuda.so.1")->elf_class, 64);
		ck_assert_uint_eq(driver->n_files, 6);
		host_done();
	}
}
END_TEST

START_TEST(the_cache_leads_to_libraries_of_32_bits_too)
{
	const struct ldcache_add add = { "libcuda.so.1", "/opt/x/libcuda.so.1",
					 LDCACHE_FLAGS_I386 };
	void *image;
	size_t len;

	if (!has_compat32())
		return;
	host_new();
	scratch_library32(root, "opt/x/libcuda.so." V, "libcuda.so.1");
	scratch_link(root, "opt/x/libcuda.so.1", "libcuda.so." V);
	ck_assert_int_eq(ldcache_merge(NULL, &add, 1, NULL, &image, &len, NULL), 0);
	scratch_write(root, "etc/ld.so.cache", image, len);
	free(image);
	discover();
	ck_assert_str_eq(library32("libcuda.so." V)->path, "/opt/x/libcuda.so." V);
	host_done();
}
END_TEST

START_TEST(libraries_of_32_bits_alone_are_no_driver)
{
	struct error err = { 0 };

	host_new();
	scratch_remove(root);
	ck_assert_int_eq(mkdir(root, 0755), 0);
	scratch_library32(root, "usr/lib32/libcuda.so." V, "libcuda.so.1");
	ck_assert_int_lt(driver_discover(&config, &driver, &err), 0);
	ck_assert_int_eq(err.class, ERROR_DRIVER);
	host_done();
}
END_TEST

/* firmware */

#define RELEASE "6.12.1-test"

START_TEST(firmware_is_found_wherever_the_kernel_looks)
{
	static const char *const places[] = {
		"lib/firmware/updates/" RELEASE,
		"lib/firmware/updates",
		"lib/firmware/" RELEASE,
		"lib/firmware",
		"usr/lib/firmware/updates",
		"usr/lib/firmware/" RELEASE,
		"opt/fw",
		"usr/local/nvidia/firmware",
		"run/nvidia/driver/lib/firmware",
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char path[256];

		host_new();
		scratch_text(root, "sys/kernel/osrelease", RELEASE "\n");
		scratch_text(root, "module/firmware_class/parameters/path", "/opt/fw\n");
		(void)snprintf(path, sizeof(path), "%s/nvidia/" V "/gsp_ga10x.bin", places[i]);
		scratch_text(root, path, "firmware");
		discover();
		ck_assert_msg(file("", "gsp_ga10x.bin"), "%s", places[i]);
		ck_assert_str_eq(file("", "gsp_ga10x.bin")->path + 1, path);
		host_done();
	}
}
END_TEST

START_TEST(the_kernels_order_decides_between_two_of_one_name)
{
	host_new();
	scratch_text(root, "sys/kernel/osrelease", RELEASE "\n");
	scratch_text(root, "lib/firmware/nvidia/" V "/gsp_ga10x.bin", "old");
	scratch_text(root, "lib/firmware/updates/nvidia/" V "/gsp_ga10x.bin", "new");
	discover();
	ck_assert_str_eq(file("", "gsp_ga10x.bin")->path,
			 "/lib/firmware/updates/nvidia/" V "/gsp_ga10x.bin");
	scratch_text(root, "opt/fw/nvidia/" V "/gsp_ga10x.bin", "told");
	scratch_text(root, "module/firmware_class/parameters/path", "/opt/fw\n");
	discover();
	ck_assert_str_eq(file("", "gsp_ga10x.bin")->path, "/opt/fw/nvidia/" V "/gsp_ga10x.bin");
	host_done();
}
END_TEST

START_TEST(a_path_told_to_the_kernel_may_name_the_driver_root)
{
	char told_path[256];

	host_new();
	(void)snprintf(told_path, sizeof(told_path), "%s/opt/fw\n", root);
	scratch_text(root, "module/firmware_class/parameters/path", told_path);
	scratch_text(root, "opt/fw/nvidia/" V "/gsp_ga10x.bin", "told");
	discover();
	ck_assert_str_eq(file("", "gsp_ga10x.bin")->path, "/opt/fw/nvidia/" V "/gsp_ga10x.bin");
	host_done();
}
END_TEST

/* WSL2 */

#define STORE "usr/lib/wsl/drivers/nv_dispi.inf_amd64_1/"

static void wsl_new(void)
{
	scratch_new(root);
	driver = NULL;
	config = (struct driver_config){ .driver_root = root, .proc_root = root, .sys_root = root };
	scratch_library(root, "usr/lib/wsl/lib/libdxcore.so", NULL);
	scratch_library(root, "usr/lib/wsl/lib/libcuda.so", "libcuda.so.1");
	scratch_library(root, "usr/lib/wsl/lib/libcuda.so.1", "libcuda.so.1");
	scratch_library(root, "usr/lib/wsl/lib/libcuda.so.1.1", "libcuda.so.1");
	scratch_library(root, "usr/lib/wsl/lib/libnvidia-ml.so.1", "libnvidia-ml.so.1");
	scratch_library(root, "usr/lib/wsl/lib/libd3d12core.so", NULL);
	scratch_library(root, "usr/lib/wsl/lib/nvidia-smi", NULL);
	scratch_text(root, STORE "libcuda.so.1.1", "store");
	scratch_text(root, STORE "nvcubins.bin", "store");
	scratch_text(root, STORE "nvcuda64.dll", "store");
	scratch_text(root, STORE "nvidia.cat", "no business of Linux");
	scratch_text(root, "usr/lib/wsl/drivers/iigd.inf_amd64_2/libze.so.1", "another vendor's");
}

START_TEST(wsl_has_its_libraries_and_the_store_of_the_windows_driver)
{
	wsl_new();
	discover();
	ck_assert_str_eq(driver->version, "");
	ck_assert_ptr_nonnull(file("", "libcuda.so.1"));
	ck_assert_ptr_nonnull(file("", "libcuda.so.1.1"));
	ck_assert_uint_eq(file("", "libdxcore.so")->caps, DRIVER_CAP_ALL);
	ck_assert_uint_eq(file("", "libd3d12core.so")->caps,
			  DRIVER_CAP_GRAPHICS | DRIVER_CAP_VIDEO);
	ck_assert_int_eq(file("", "nvidia-smi")->kind, DRIVER_PROGRAM);
	ck_assert_uint_eq(file("wsl/drivers/nv_dispi.inf_amd64_1", "nvcubins.bin")->caps,
			  DRIVER_CAP_ALL);
	ck_assert_ptr_nonnull(file("wsl/drivers/nv_dispi.inf_amd64_1", "nvcuda64.dll"));
	ck_assert_ptr_null(file("wsl/drivers/nv_dispi.inf_amd64_1", "nvidia.cat"));
	ck_assert_uint_eq(driver->n_files, 10);
	ck_assert_uint_eq(driver->n_findings, 0);
	host_done();
}
END_TEST

START_TEST(with_a_module_loaded_it_is_no_wsl)
{
	host_new();
	scratch_library(root, "usr/lib/wsl/lib/libdxcore.so", NULL);
	scratch_text(root, "driver/nvidia/version",
		     "NVRM version: NVIDIA UNIX x86_64 Kernel Module  " V "  x\n");
	discover();
	ck_assert_str_eq(driver->version, V);
	ck_assert_ptr_null(file("", "libdxcore.so"));
	host_done();
}
END_TEST

/* rules */

static void rule_file(const char *text)
{
	static char dir[128];

	scratch_text(root, "rules/50-site.conf", text);
	(void)snprintf(dir, sizeof(dir), "%s/rules", root);
	config.rules_dir = dir;
}

START_TEST(rules_add_files_with_their_capabilities)
{
	const struct driver_file *f;

	host_new();
	scratch_library(root, "opt/site/libsite.so.2.1", "libsite.so.2");
	scratch_library(root, "opt/site/gpu-top", NULL);
	scratch_text(root, "opt/site/gpu-top.json", "{}");
	rule_file(
		"[a]\nlibrary = /opt/site/libsite.so.2.1\ndriver_capabilities = compute\n"
		"[b]\nprogram = /opt/site/gpu-top\nfile = /opt/site/gpu-top.json\nto = share/top\n"
		"library = /opt/site/missing.so\n");
	discover();
	f = file("", "libsite.so.2.1");
	ck_assert_uint_eq(f->caps, DRIVER_CAP_COMPUTE);
	ck_assert_str_eq(f->soname, "libsite.so.2");
	ck_assert_int_eq(file("", "gpu-top")->kind, DRIVER_PROGRAM);
	ck_assert_uint_eq(file("share/top", "gpu-top.json")->caps, DRIVER_CAP_ALL);
	ck_assert(told("/opt/site/missing.so: No such file or directory, named by 50-site.conf:8, "
		       "left out"));
	host_done();
}
END_TEST

START_TEST(an_added_library_comes_before_the_drivers_own)
{
	host_new();
	scratch_library(root, "opt/site/libnvidia-opencl.so." V, "libnvidia-opencl.so.1");
	rule_file("[a]\nlibrary = /opt/site/libnvidia-opencl.so." V "\n");
	discover();
	ck_assert_str_eq(file("", "libnvidia-opencl.so." V)->path,
			 "/opt/site/libnvidia-opencl.so." V);
	ck_assert(told("/" LIB "libnvidia-opencl.so." V ": /opt/site/libnvidia-opencl.so." V
		       " comes first"));
	host_done();
}
END_TEST

START_TEST(rules_leave_files_out_and_the_rule_is_named)
{
	bool excluded = false;

	host_new();
	scratch_text(root, "etc/vulkan/icd.d/nvidia_icd.json", GLX);
	rule_file("[a]\nexclude = libnvidia-opencl.so.*\nexclude = /etc/vulkan/*/*\n");
	discover();
	ck_assert_ptr_null(file("", "libnvidia-opencl.so." V));
	ck_assert_ptr_null(file("share/vulkan/icd.d", "nvidia_icd.json"));
	ck_assert(told("/" LIB "libnvidia-opencl.so." V ": left out by 50-site.conf:2"));
	for (size_t i = 0; i < driver->n_findings; i++)
		excluded |= driver->findings[i].rule == FINDING_EXCLUDED;
	ck_assert(excluded);
	host_done();
}
END_TEST

START_TEST(a_table_row_with_a_directory_is_modules_data_or_configuration)
{
	const struct driver_row *rows;
	size_t n;

	rows = driver_table(&n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(!rows[i].dir == (rows[i].kind < DRIVER_MODULE) &&
				      (!rows[i].dir || strchr(rows[i].dir, '/')),
			      "%s", rows[i].name);
}
END_TEST

UNIT_MAIN("driver_extra", each_file_is_found_where_distributions_put_it,
	  what_would_be_of_no_use_is_left_out_and_told,
	  an_absolute_path_in_a_file_of_a_loader_is_rewritten,
	  the_first_of_two_files_of_one_name_counts, modules_of_x_are_no_libraries,
	  libraries_of_32_bits_are_found_beside_the_native_ones,
	  the_cache_leads_to_libraries_of_32_bits_too, libraries_of_32_bits_alone_are_no_driver,
	  firmware_is_found_wherever_the_kernel_looks,
	  the_kernels_order_decides_between_two_of_one_name,
	  wsl_has_its_libraries_and_the_store_of_the_windows_driver,
	  with_a_module_loaded_it_is_no_wsl, a_path_told_to_the_kernel_may_name_the_driver_root,
	  rules_add_files_with_their_capabilities, an_added_library_comes_before_the_drivers_own,
	  rules_leave_files_out_and_the_rule_is_named,
	  a_table_row_with_a_directory_is_modules_data_or_configuration)
