/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes in a scratch directory are device 0:0, which anybody may make (Linux 5.8). */
#include "fs/files_method.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/ipc_looker.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct driver_file files[] = {
	{ .kind = DRIVER_LIBRARY,
	  .name = (char[]){ "libcuda.so.580.1" },
	  .path = (char[]){ "/usr/lib/libcuda.so.580.1" },
	  .soname = (char[]){ "libcuda.so.1" },
	  .caps = DRIVER_CAP_COMPUTE,
	  .elf_class = 64 },
};
static struct driver driver = {
	.version = "580.1", .root = (char[]){ "/drv" }, .files = files, .n_files = 1
};
static struct gpu gpus[] = {
	{ .index = 0,
	  .minor = 0,
	  .uuid = "GPU-a",
	  .bus_id = "0000:01:00.0",
	  .mig_mode = GPU_MIG_ON,
	  .usable = true },
	{ .index = 1,
	  .minor = 7,
	  .uuid = "GPU-b",
	  .bus_id = "0000:02:00.0",
	  .mig_mode = GPU_MIG_NONE,
	  .usable = true },
};
static struct mig_device migs[] = { { .gpu = 0, .index = 0, .gi = 3, .ci = 1, .uuid = "MIG-x" } };
static struct gpu_list list;
static struct generation generation;
static char root[64];

static struct daemon begin(void)
{
	struct ipc_looker *looker = NULL;
	char path[512];

	scratch_new(root);
	scratch_path(path, root, "nvidia0");
	ck_assert_int_eq(mknod(path, S_IFCHR | 0666, 0), 0);
	scratch_text(root, "devices", "Character devices:\n  0 nvidia\n");
	list = (struct gpu_list){
		.gpus = gpus, .n = 2, .migs = migs, .n_migs = 1, .has_nvcaps = true
	};
	generation = (struct generation){ .driver = &driver, .gpus = &list, .number = 1 };
	ck_assert_int_eq(ipc_looker_new(&looker, NULL), 0);
	return (struct daemon){ .generation = &generation,
				.ipc_looker = looker,
				.config = {
					.dev_root = root, .proc_root = root, .ipc_root = root } };
}

static void end(struct daemon *daemon)
{
	ipc_looker_free(daemon->ipc_looker);
	scratch_remove(root);
}

/* @devices: NULL: none are asked for */
static int ask(struct daemon *daemon, const char *devices, json_t **ret, struct error *err)
{
	json_t *params = json_pack("{s:s*}", "devices", devices);
	int r = method_files(daemon, params, 1000, false, ret, err);

	json_decref(params);
	return r;
}

static void ck_member(const json_t *json, const char *key, const char *expected)
{
	auto_free char *text = json_dumps(json_object_get(json, key),
					  JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	ck_assert_msg(!strcmp(text ? text : "", expected), "%s: %s", key, text ? text : "absent");
}

START_TEST(files_are_told_and_nodes_only_where_devices_are_asked_for)
{
	struct daemon daemon = begin();
	json_t *json = NULL, *file;

	ck_assert_int_eq(ask(&daemon, NULL, &json, NULL), 0);
	ck_member(json, "driver_root", "\"/drv\"");
	ck_member(json, "driver_version", "\"580.1\"");
	ck_member(json, "has_nvcaps", "true");
	ck_member(json, "sockets", "[]");
	ck_assert_uint_eq(json_array_size(json_object_get(json, "files")), 1);
	file = json_array_get(json_object_get(json, "files"), 0);
	ck_member(file, "path", "\"/usr/lib/libcuda.so.580.1\"");
	ck_member(json, "gpus", "");
	ck_member(json, "nodes", "");
	json_decref(json);
	end(&daemon);
}
END_TEST

START_TEST(chosen_gpus_and_mig_devices_are_told_by_the_modules_numbers)
{
	struct daemon daemon = begin();
	json_t *json = NULL;

	ck_assert_int_eq(ask(&daemon, "0:0", &json, NULL), 0);
	ck_member(json, "gpus", "[{\"mig_capable\":true,\"minor\":0}]");
	ck_member(json, "migs", "[{\"ci\":1,\"gi\":3,\"gpu\":0}]");
	ck_member(json, "nodes", "[\"/dev/nvidia0\"]");
	json_decref(json);
	end(&daemon);
}
END_TEST

START_TEST(what_is_not_there_is_an_error_by_name)
{
	struct daemon daemon = begin();
	struct error err = { 0 };
	json_t *json = NULL;

	ck_assert_int_eq(ask(&daemon, "5", &json, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "5: unknown device"));
	err = (struct error){ 0 };
	ck_assert_int_lt(ask(&daemon, "1", &json, &err), 0); /* its node is missing */
	ck_assert_ptr_nonnull(strstr(err.text, "nvidia7"));
	ck_assert_ptr_null(json);
	end(&daemon);
}
END_TEST

START_TEST(without_a_gpu_any_list_is_none)
{
	struct daemon daemon = begin();
	json_t *json = NULL;

	list.n = list.n_migs = 0;
	ck_assert_int_eq(ask(&daemon, "GPU-zzz,3:1", &json, NULL), 0);
	ck_member(json, "gpus", "[]");
	ck_member(json, "migs", "[]");
	json_decref(json);
	end(&daemon);
}
END_TEST

UNIT_MAIN("files_method", files_are_told_and_nodes_only_where_devices_are_asked_for,
	  chosen_gpus_and_mig_devices_are_told_by_the_modules_numbers,
	  what_is_not_there_is_an_error_by_name, without_a_gpu_any_list_is_none)
