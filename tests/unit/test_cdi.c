/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes in a scratch directory are device 0:0, which anybody may make (Linux 5.8). */
#include "fs/cdi.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cdi.h"
#include "common/error.h"
#include "nvml/gpu.h"
#include "nvml/nvcap.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct gpu gpus[] = {
	{ .index = 0, .minor = 0, .uuid = "GPU-a", .bus_id = "0000:01:00.0", .usable = true },
	{ .index = 1, .minor = 7, .uuid = "GPU-b", .bus_id = "0000:02:00.0", .usable = true },
	{ .index = 2, .minor = 8, .uuid = "GPU-c", .bus_id = "0000:03:00.0" },
};
static struct mig_device migs[] = {
	{ .gpu = 0, .index = 0, .gi = 1, .uuid = "MIG-x" },
	{ .gpu = 0, .index = 1, .gi = 2, .uuid = "MIG-GPU-a/2/0" },
	{ .gpu = 0, .index = GPU_NO_INDEX, .gi = 3 },
};

/* Of the first one the node is there, of minor 0 as all that may be made here; those of the others are not. */
static struct nvcap caps[] = {
	{ .kind = NVCAP_GI, .gi = 1, .minor = 0 }, { .kind = NVCAP_GI, .gi = 2, .minor = 5 },
	{ .kind = NVCAP_GI, .gi = 3, .minor = 6 }, { .kind = NVCAP_CI, .gi = 1, .minor = 7 },
	{ .kind = NVCAP_CI, .gi = 2, .minor = 8 }, { .kind = NVCAP_CI, .gi = 3, .minor = 9 },
};
static const struct nvcap_list nvcaps = { .caps = caps, .n = 6 };

static char root[64];
static struct gpu_list list;
static struct cdi_request request;

static void begin(void)
{
	char path[512];

	scratch_new(root);
	scratch_path(path, root, "nvidia0");
	ck_assert_int_eq(mknod(path, S_IFCHR | 0666, 0), 0);
	scratch_path(path, root, "nvidia-uvm");
	ck_assert_int_eq(mknod(path, S_IFCHR | 0666, 0), 0);
	scratch_text(root, "devices",
		     "Character devices:\n  0 nvidia\n  0 nvidia-uvm\n  0 nvidia-caps\n");
	scratch_path(path, root, "nvidia-caps");
	ck_assert_int_eq(mkdir(path, 0755), 0);
	scratch_path(path, root, "nvidia-caps/nvidia-cap0");
	ck_assert_int_eq(mknod(path, S_IFCHR | 0444, 0), 0);
	list = (struct gpu_list){ .gpus = gpus, .n = 3 };
	request = (struct cdi_request){ .gpus = &list,
					.nvcaps = &nvcaps,
					.dev_root = root,
					.proc_root = root,
					.vendor = CDI_VENDOR,
					.class = CDI_CLASS,
					.nvinject = "/usr/bin/nvinject",
					.socket = "/s" };
}

static json_t *spec(void)
{
	struct error err = { 0 };
	json_t *json = NULL;

	ck_assert_msg(cdi_spec(&request, &json, &err) == 0, "%s", err.text);
	return json;
}

static void has_devices(const json_t *json, const char *names)
{
	const json_t *device;
	char got[512] = "";
	size_t i;

	json_array_foreach(json_object_get(json, "devices"), i, device)
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "",
			       json_string_value(json_object_get(device, "name")));
	ck_assert_str_eq(got, names);
}

static const json_t *edits(const json_t *json, size_t device)
{
	return json_object_get(json_array_get(json_object_get(json, "devices"), device),
			       "containerEdits");
}

/* The value of --cdi-device */
static const char *hooks_device(const json_t *json, size_t device)
{
	const json_t *hook = json_array_get(json_object_get(edits(json, device), "hooks"), 0);

	return json_string_value(json_array_get(json_object_get(hook, "args"), 5));
}

static size_t n_nodes(const json_t *edit)
{
	return json_array_size(json_object_get(edit, "deviceNodes"));
}

START_TEST(gpus_have_two_names_and_one_whose_node_is_absent_none)
{
	char path[512];
	const json_t *node;
	json_t *json;

	begin();
	json = spec();
	ck_assert_str_eq(json_string_value(json_object_get(json, "cdiVersion")), "0.5.0");
	ck_assert_str_eq(json_string_value(json_object_get(json, "kind")), "nvfs.dev/gpu");
	has_devices(json, "0 GPU-a all none");
	ck_assert_str_eq(hooks_device(json, 0), "GPU-a");
	ck_assert_str_eq(hooks_device(json, 1), "GPU-a");
	ck_assert_str_eq(hooks_device(json, 2), "all");
	ck_assert_str_eq(hooks_device(json, 3), "none");
	ck_assert_uint_eq(n_nodes(edits(json, 0)), 1);
	ck_assert_uint_eq(n_nodes(edits(json, 2)), 1);
	ck_assert_uint_eq(n_nodes(edits(json, 3)), 0);
	ck_assert_uint_eq(n_nodes(json_object_get(json, "containerEdits")), 1);
	node = json_array_get(json_object_get(edits(json, 0), "deviceNodes"), 0);
	scratch_path(path, root, "nvidia0");
	ck_assert_str_eq(json_string_value(json_object_get(node, "path")), "/dev/nvidia0");
	ck_assert_str_eq(json_string_value(json_object_get(node, "hostPath")), path);
	json_decref(json);
	scratch_remove(root);
}
END_TEST

START_TEST(a_divided_gpu_is_named_by_its_parts)
{
	const json_t *node;
	json_t *json;

	begin();
	list.migs = migs;
	list.n_migs = 3;
	json = spec();
	has_devices(json, "0:0 MIG-x 0:1 all none");
	ck_assert_str_eq(hooks_device(json, 0), "MIG-x");
	ck_assert_str_eq(hooks_device(json, 2), "0:1");
	ck_assert_uint_eq(n_nodes(edits(json, 0)), 2);
	ck_assert_uint_eq(n_nodes(edits(json, 2)), 1);
	node = json_array_get(json_object_get(edits(json, 0), "deviceNodes"), 1);
	ck_assert_str_eq(json_string_value(json_object_get(node, "path")),
			 "/dev/nvidia-caps/nvidia-cap0");
	ck_assert_str_eq(json_string_value(json_object_get(node, "permissions")), "rw");
	json_decref(json);
	list.provisional = true;
	json = spec();
	has_devices(json, "MIG-x all none");
	json_decref(json);
	scratch_remove(root);
}
END_TEST

START_TEST(without_hooks_there_is_a_mount)
{
	const json_t *mount;
	json_t *json;

	begin();
	request.tree = "/run/nvfs/host";
	json = spec();
	mount = json_array_get(json_object_get(json_object_get(json, "containerEdits"), "mounts"),
			       0);
	ck_assert_str_eq(json_string_value(json_object_get(mount, "hostPath")), "/run/nvfs/host");
	for (size_t i = 0; i < 4; i++) {
		ck_assert_ptr_null(json_object_get(edits(json, i), "hooks"));
		ck_assert_uint_gt(json_object_size(edits(json, i)), 0); /* empty ones are refused */
	}
	json_decref(json);
	scratch_remove(root);
}
END_TEST

START_TEST(yaml_says_the_same)
{
	char *text;
	json_t *json = json_pack("{s:s, s:[{s:s, s:[s, i], s:[]}], s:{s:b}}", "kind", "a/b",
				 "devices", "name", "0", "l", "x: \"y\"\n", 7, "e", "o", "t", 1);

	text = cdi_text(json, true);
	ck_assert_str_eq(text, "---\nkind: \"a/b\"\ndevices:\n  -\n    name: \"0\"\n    l:\n      "
			       "- \"x: \\\"y\\\"\\n\"\n"
			       "      - 7\n    e: []\no:\n  t: true\n");
	free(text);
	text = cdi_text(json, false);
	ck_assert_ptr_nonnull(strstr(text, "\"kind\": \"a/b\""));
	free(text);
	json_decref(json);
}
END_TEST

START_TEST(vendor_and_class_are_checked)
{
	ck_assert_int_eq(cdi_check_kind("nvidia.com", "gpu", NULL), 0);
	ck_assert_int_eq(cdi_check_kind("a_b-c.d", "g_1-2", NULL), 0);
	ck_assert_int_eq(cdi_check_kind("", "gpu", NULL), -EINVAL);
	ck_assert_int_eq(cdi_check_kind("a/b", "gpu", NULL), -EINVAL);
	ck_assert_int_eq(cdi_check_kind("a.", "gpu", NULL), -EINVAL);
	ck_assert_int_eq(cdi_check_kind("a", "g.u", NULL), -EINVAL);
	ck_assert_int_eq(cdi_check_kind("a", "gpu\n", NULL), -EINVAL);
}
END_TEST

START_TEST(who_claims_a_kind_is_found)
{
	char path[PATH_MAX], file[512];

	scratch_new(root);
	ck_assert(!cdi_claimed_by("/nonexistent", "nvidia.com/gpu", NULL, path));
	scratch_text(root, "other.txt", "kind: nvidia.com/gpu\n");
	scratch_text(root, "a.json", "{\"kind\": \"nvfs.dev/gpu\"}\n");
	ck_assert(!cdi_claimed_by(root, "nvidia.com/gpu", NULL, path));
	scratch_text(root, "nvidia.yaml", "---\nkind: nvidia.com/gpu\n");
	ck_assert(cdi_claimed_by(root, "nvidia.com/gpu", NULL, path));
	scratch_path(file, root, "nvidia.yaml");
	ck_assert_str_eq(path, file);
	ck_assert(!cdi_claimed_by(root, "nvidia.com/gpu", file, path));
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("cdi", gpus_have_two_names_and_one_whose_node_is_absent_none,
	  a_divided_gpu_is_named_by_its_parts, without_hooks_there_is_a_mount, yaml_says_the_same,
	  vendor_and_class_are_checked, who_claims_a_kind_is_found)
