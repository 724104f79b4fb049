/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "common/error.h"
#include "common/ldcache.h"
#include "nvml/driver_root.h"
#include "nvml/driver_version.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define V "535.261.03"
#define OTHER "550.163.01"
#define LIB "usr/lib64/"

/* A host: driver root and proc root are the same scratch directory. */
static char root[64];
static struct driver *driver;
static struct error err;

static void host_new(void)
{
	scratch_new(root);
	driver = NULL;
	err = (struct error){ 0 };
}

static void host_done(void)
{
	driver_free(driver);
	scratch_remove(root);
}

static int discover(void)
{
	const struct driver_config config = { .driver_root = root, .proc_root = root };

	return driver_discover(&config, &driver, &err);
}

static void load_module(const char *version)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  Thu Jun  5 2025\n"
		       "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
		       version);
	scratch_text(root, "driver/nvidia/version", text);
}

static void add_basic_driver(void)
{
	scratch_library(root, LIB "libcuda.so." V, "libcuda.so.1");
	scratch_library(root, LIB "libnvidia-ml.so." V, "libnvidia-ml.so.1");
	scratch_link(root, LIB "libcuda.so.1", "libcuda.so." V);
}

static const struct driver_file *file(const char *name)
{
	for (size_t i = 0; driver && i < driver->n_files; i++)
		if (!strcmp(driver->files[i].name, name))
			return &driver->files[i];
	return NULL;
}

static bool told(const char *what)
{
	for (size_t i = 0; driver && i < driver->n_findings; i++)
		if (strstr(driver->findings[i].text, what))
			return true;
	return false;
}

START_TEST(files_are_found_opened_and_named)
{
	const struct driver_file *cuda;

	host_new();
	add_basic_driver();
	load_module(V);
	ck_assert_int_eq(discover(), 0);
	ck_assert_str_eq(driver->version, V);
	ck_assert(driver->version_from_module);
	ck_assert_uint_eq(driver->n_files, 2);
	cuda = file("libcuda.so." V);
	ck_assert_ptr_nonnull(cuda);
	ck_assert_str_eq(cuda->path, "/" LIB "libcuda.so." V);
	ck_assert_str_eq(cuda->soname, "libcuda.so.1");
	ck_assert_int_eq(cuda->elf_class, 64);
	ck_assert_int_eq(fcntl(cuda->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(cuda->fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq((int)cuda->st.st_size, (int)sizeof(struct scratch_elf));
	ck_assert_uint_eq(driver->n_dirs, 1);
	ck_assert_str_eq(driver->dirs[0], "/usr/lib64");
	ck_assert(told("missing: libnvidia-nvvm.so"));
	host_done();
}
END_TEST

START_TEST(files_of_another_version_are_left_out_and_told)
{
	host_new();
	add_basic_driver();
	scratch_library(root, LIB "libcuda.so." OTHER, "libcuda.so.1");
	scratch_library(root, LIB "libnvidia-stranger.so." OTHER, NULL);
	load_module(V);
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 2);
	ck_assert(told("libcuda.so." OTHER ": version differs from " V ", left out"));
	ck_assert(!told("stranger"));
	host_done();
}
END_TEST

START_TEST(without_a_module_most_libraries_decide)
{
	host_new();
	add_basic_driver();
	scratch_library(root, LIB "libcuda.so." OTHER, "libcuda.so.1");
	ck_assert_int_eq(discover(), 0);
	ck_assert_str_eq(driver->version, V);
	ck_assert(!driver->version_from_module);
	driver_free(driver);
	scratch_library(root, LIB "libnvidia-ml.so." OTHER, "libnvidia-ml.so.1");
	ck_assert_int_eq(discover(), 0);
	ck_assert_str_eq(driver->version, OTHER); /* equal votes: the higher one */
	host_done();
}
END_TEST

START_TEST(a_module_that_no_library_fits_is_named_with_both_versions)
{
	host_new();
	add_basic_driver();
	load_module(OTHER);
	ck_assert_int_eq(discover(), -ENOENT);
	ck_assert_int_eq(err.class, ERROR_DRIVER);
	ck_assert_ptr_nonnull(strstr(err.text, "module is " OTHER));
	ck_assert_ptr_nonnull(strstr(err.text, "are of " V));
	ck_assert_ptr_null(driver);
	host_done();
}
END_TEST

START_TEST(no_driver_says_where_it_looked)
{
	host_new();
	ck_assert_int_eq(discover(), -ENOENT);
	ck_assert_int_eq(err.class, ERROR_DRIVER);
	ck_assert_ptr_nonnull(strstr(err.text, "ld.so.cache"));
	ck_assert_ptr_nonnull(strstr(err.text, "/usr/local/nvidia/lib64"));
	host_done();
}
END_TEST

START_TEST(a_root_that_is_a_file_or_absent_is_a_usage_error)
{
	struct driver_config config = { .driver_root = "/proc/self/status" };

	host_new();
	ck_assert_int_eq(driver_discover(&config, &driver, &err), -ENOTDIR);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	err = (struct error){ 0 };
	config.driver_root = "/nonexistent";
	ck_assert_int_eq(driver_discover(&config, &driver, &err), -ENOENT);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	host_done();
}
END_TEST

START_TEST(broken_and_foreign_libraries_are_left_out_with_the_reason)
{
	struct scratch_elf foreign = scratch_elf(SCRATCH_FOREIGN, "libnvidia-nvvm.so.4");
	struct scratch_elf whole = scratch_elf(SCRATCH_NATIVE, "libnvidia-opencl.so.1");
	struct scratch_elf program = scratch_elf(SCRATCH_NATIVE, NULL);

	host_new();
	add_basic_driver();
	program.ehdr.e_type = ET_REL;
	scratch_write(root, LIB "libnvidia-nvvm.so." V, &foreign, sizeof(foreign));
	scratch_write(root, LIB "libnvidia-opencl.so." V, &whole, sizeof(whole) - 20);
	scratch_write(root, LIB "libnvidia-cfg.so." V, &program, sizeof(program));
	scratch_text(root, LIB "libcudadebugger.so." V, "not a library");
	scratch_text(root, LIB "libnvidia-ptxjitcompiler.so." V, "");
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 2);
	ck_assert(told("libnvidia-nvvm.so." V ": it is 64-bit"));
	ck_assert(told("libnvidia-opencl.so." V ": truncated"));
	ck_assert(told("libnvidia-cfg.so." V ": no shared library"));
	ck_assert(told("libcudadebugger.so." V ": not an ELF file"));
	ck_assert(told("libnvidia-ptxjitcompiler.so." V ": empty"));
	host_done();
}
END_TEST

START_TEST(only_broken_libraries_are_no_driver_and_the_first_is_named)
{
	host_new();
	scratch_text(root, LIB "libcuda.so." V, "not a library");
	ck_assert_int_eq(discover(), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "libcuda.so." V ": not an ELF file"));
	host_done();
}
END_TEST

START_TEST(pipes_and_directories_are_not_opened)
{
	char path[512];

	host_new();
	add_basic_driver();
	scratch_path(path, root, LIB "libnvidia-nvvm.so." V);
	ck_assert_int_eq(mkfifo(path, 0666), 0);
	scratch_path(path, root, LIB "libnvidia-cfg.so." V);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	scratch_link(root, LIB "libnvidia-opencl.so." V, "libnvidia-opencl.so." V);
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 2);
	host_done();
}
END_TEST

START_TEST(links_stay_below_the_root)
{
	host_new();
	add_basic_driver();
	scratch_library(root, "opt/nv/libnvidia-nvvm.so." V, "libnvidia-nvvm.so.4");
	scratch_link(root, LIB "libnvidia-nvvm.so.4", "/opt/nv/libnvidia-nvvm.so." V);
	scratch_link(root, LIB "libnvidia-cfg.so." V, "../../../../../../../../etc/passwd");
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 3);
	ck_assert_str_eq(file("libnvidia-nvvm.so." V)->path, "/opt/nv/libnvidia-nvvm.so." V);
	host_done();
}
END_TEST

START_TEST(one_file_by_several_ways_counts_once)
{
	host_new();
	add_basic_driver();
	scratch_link(root, "lib64", "usr/lib64");
	scratch_link(root, "usr/lib/libcuda.so.1", "/usr/lib64/libcuda.so." V);
	scratch_library(root, "usr/local/nvidia/lib64/libcuda.so." V, "libcuda.so.1");
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 2);
	ck_assert_str_eq(file("libcuda.so." V)->path, "/" LIB "libcuda.so." V);
	ck_assert(told("/usr/local/nvidia/lib64/libcuda.so." V ": /" LIB));
	host_done();
}
END_TEST

START_TEST(unknown_libraries_of_this_version_and_unversioned_known_ones_are_offered)
{
	host_new();
	add_basic_driver();
	scratch_library(root, LIB "libnvidia-unheard.so." V, "libnvidia-unheard.so.1");
	scratch_library(root, LIB "libGLX_nvidia.so." V, "libGLX_nvidia.so.0");
	scratch_library(root, LIB "libnvidia-nvvm70.so.4", "libnvidia-nvvm70.so.4");
	scratch_library(root, LIB "libnvidia-egl-gbm.so.1.1.2", "libnvidia-egl-gbm.so.1");
	scratch_library(root, LIB "libnvidia-container.so." V, "libnvidia-container.so.1");
	scratch_library(root, LIB "libicudata.so.72.1", "libicudata.so.72");
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 6);
	ck_assert(file("libnvidia-unheard.so." V)->caps & DRIVER_CAP_COMPUTE);
	ck_assert_uint_eq(file("libGLX_nvidia.so." V)->caps, DRIVER_CAP_GRAPHICS);
	ck_assert_ptr_nonnull(file("libnvidia-nvvm70.so.4"));
	ck_assert_ptr_nonnull(file("libnvidia-egl-gbm.so.1.1.2"));
	host_done();
}
END_TEST

START_TEST(the_cache_leads_to_places_that_nobody_knows)
{
	const struct ldcache_add add = { "libcuda.so.1", "/opt/x/libcuda.so.1",
					 ldcache_native_flags() };
	void *image;
	size_t len;

	host_new();
	scratch_library(root, "opt/x/libcuda.so." V, "libcuda.so.1");
	scratch_library(root, "opt/x/libnvidia-ml.so." V, "libnvidia-ml.so.1");
	scratch_link(root, "opt/x/libcuda.so.1", "libcuda.so." V);
	ck_assert_int_eq(ldcache_merge(NULL, &add, 1, NULL, &image, &len, NULL), 0);
	scratch_write(root, "etc/ld.so.cache", image, len);
	free(image);
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 2);
	ck_assert_str_eq(driver->dirs[0], "/opt/x");
	host_done();
}
END_TEST

START_TEST(a_corrupt_cache_is_told_and_known_directories_are_used)
{
	host_new();
	add_basic_driver();
	scratch_text(root, "etc/ld.so.cache", "glibc-ld.so.cache1.1 and then nonsense");
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 2);
	ck_assert(told("/etc/ld.so.cache: "));
	ck_assert(told(", using known directories"));
	host_done();
}
END_TEST

START_TEST(programs_have_their_own_name_and_firmware_its_version)
{
	const struct driver_file *smi;

	host_new();
	add_basic_driver();
	scratch_library(root, "usr/lib/nvidia/current/nvidia-smi.real", NULL);
	scratch_link(root, "usr/bin/nvidia-smi", "/usr/lib/nvidia/current/nvidia-smi.real");
	/* a wrapper in PATH, and the program itself elsewhere, as on nodes whose driver is in /usr/local */
	scratch_text(root, "usr/bin/nvidia-debugdump", "#!/bin/sh\n");
	scratch_library(root, "usr/local/nvidia/bin/nvidia-debugdump", NULL);
	scratch_text(root, "usr/bin/nvidia-persistenced", "neither script nor ELF\n");
	scratch_text(root, "usr/lib/firmware/nvidia/" V "/gsp_tu10x.bin", "firmware");
	scratch_text(root, "usr/lib/firmware/nvidia/" V "/README", "no firmware");
	scratch_text(root, "usr/lib/firmware/nvidia/" OTHER "/gsp_ga10x.bin", "firmware");
	scratch_link(root, "lib", "usr/lib");
	ck_assert_int_eq(discover(), 0);
	ck_assert_uint_eq(driver->n_files, 5);
	smi = file("nvidia-smi");
	ck_assert_ptr_nonnull(smi);
	ck_assert_str_eq(smi->path, "/usr/lib/nvidia/current/nvidia-smi.real");
	ck_assert_str_eq(file("nvidia-debugdump")->path, "/usr/local/nvidia/bin/nvidia-debugdump");
	ck_assert(told("/usr/bin/nvidia-debugdump: a script, left out"));
	ck_assert(told("nvidia-persistenced: not an ELF file"));
	ck_assert_uint_eq(file("gsp_tu10x.bin")->caps, DRIVER_CAP_ALL);
	ck_assert(!told("missing: gsp"));
	host_done();
}
END_TEST

START_TEST(a_module_version_that_makes_no_sense_is_told)
{
	host_new();
	add_basic_driver();
	scratch_text(root, "driver/nvidia/version", "NVRM version: nothing\n12.34\n");
	ck_assert_int_eq(discover(), 0);
	ck_assert_str_eq(driver->version, V);
	ck_assert(!driver->version_from_module);
	ck_assert(told("names no driver version, using the libraries' version"));
	host_done();
}
END_TEST

START_TEST(both_shapes_of_the_module_version_are_read)
{
	char version[DRIVER_VERSION_MAX] = "untouched";

	ck_assert_int_eq(driver_module_version_parse(
				 "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64 "
				 " 580.159.04  Release Build  (b@h)  \n",
				 version),
			 0);
	ck_assert_str_eq(version, "580.159.04");
	ck_assert_int_eq(
		driver_module_version_parse("NVRM version: NVIDIA UNIX x86_64 Kernel Module  "
					    "470.57.02\n",
					    version),
		0);
	ck_assert_str_eq(version, "470.57.02");
	ck_assert_int_eq(driver_module_version_parse("", version), -EBADMSG);
	ck_assert_int_eq(driver_module_version_parse("x NVRM version: 535.1\n", version), -EBADMSG);
	ck_assert_int_eq(driver_module_version_parse("NVRM version:\n535.1\n", version), -EBADMSG);
	ck_assert_str_eq(version, "470.57.02");
}
END_TEST

START_TEST(versions_are_compared_by_number)
{
	ck_assert(driver_version_is_valid("535.261.03"));
	ck_assert(driver_version_is_valid("580.65"));
	ck_assert(!driver_version_is_valid("1.1.2"));
	ck_assert(!driver_version_is_valid("535"));
	ck_assert(!driver_version_is_valid("535."));
	ck_assert(!driver_version_is_valid("535.1.2.3"));
	ck_assert(!driver_version_is_valid("535.1/../x"));
	ck_assert(driver_version_compare("535.54.03", "535.161.07") < 0);
	ck_assert(driver_version_compare("550.1", "550.1.1") < 0);
	ck_assert_int_eq(driver_version_compare("550.1", "550.1"), 0);
}
END_TEST

/* As if this file's filesystem did not answer. */
static int leave_out(void *data, const char *path)
{
	return strcmp(path, data) == 0 ? -ETIMEDOUT : 0;
}

START_TEST(what_does_not_answer_is_left_out_by_all_its_names_and_told)
{
	static char path[] = "/" LIB "libnvidia-ml.so." V;
	const struct driver_guard guard = { .enter = leave_out, .data = path };
	const struct driver_config config = { .driver_root = root,
					      .proc_root = root,
					      .guard = &guard };

	host_new();
	load_module(V);
	add_basic_driver();
	scratch_link(root, LIB "libnvidia-ml.so.1", "libnvidia-ml.so." V);
	ck_assert_int_eq(driver_discover(&config, &driver, &err), 0);
	ck_assert_ptr_nonnull(file("libcuda.so." V));
	ck_assert_ptr_null(file("libnvidia-ml.so." V));
	ck_assert(told("does not answer"));
	host_done();
}
END_TEST

START_TEST(a_root_that_does_not_answer_is_an_error)
{
	static char path[] = "/";
	const struct driver_guard guard = { .enter = leave_out, .data = path };
	const struct driver_config config = { .driver_root = root,
					      .proc_root = root,
					      .guard = &guard };

	host_new();
	ck_assert_int_eq(driver_discover(&config, &driver, &err), -ETIMEDOUT);
	host_done();
}
END_TEST

UNIT_MAIN("driver", what_does_not_answer_is_left_out_by_all_its_names_and_told,
	  a_root_that_does_not_answer_is_an_error, files_are_found_opened_and_named,
	  files_of_another_version_are_left_out_and_told, without_a_module_most_libraries_decide,
	  a_module_that_no_library_fits_is_named_with_both_versions, no_driver_says_where_it_looked,
	  a_root_that_is_a_file_or_absent_is_a_usage_error,
	  broken_and_foreign_libraries_are_left_out_with_the_reason,
	  only_broken_libraries_are_no_driver_and_the_first_is_named,
	  pipes_and_directories_are_not_opened, links_stay_below_the_root,
	  one_file_by_several_ways_counts_once,
	  unknown_libraries_of_this_version_and_unversioned_known_ones_are_offered,
	  the_cache_leads_to_places_that_nobody_knows,
	  a_corrupt_cache_is_told_and_known_directories_are_used,
	  programs_have_their_own_name_and_firmware_its_version,
	  a_module_version_that_makes_no_sense_is_told, both_shapes_of_the_module_version_are_read,
	  versions_are_compared_by_number)
