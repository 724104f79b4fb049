/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device nodes in a scratch directory. Where mknod(2) of the real numbers is
 * not allowed, device 0:0 stands for them: anybody may make that one (Linux 5.8).
 */
#include "nvml/devnode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/error.h"
#include "nvml/driver_cap.h"
#include "nvml/finding.h"
#include "nvml/gpu.h"
#include "nvml/select.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static const char devices[] = "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n"
			      "238 nvidia-uvm\n241 nvidia-caps\n\nBlock devices:\n  8 sd\n"
			      "300 nvidia-uvm\n";

static struct gpu gpus[] = { { .index = 0, .minor = 0, .bus_id = "0000:01:00.0", .usable = true },
			     { .index = 1, .minor = 7, .bus_id = "0000:02:00.0", .usable = true } };
static const struct gpu_list list = { .gpus = gpus, .n = 2 };

struct world {
	char root[64];
	bool real; /* mknod of real numbers is allowed */
	struct devnode_request request;
	struct gpu_selection selection;
	size_t first; /* storage of the selection */
	struct finding_list findings;
};

static bool make_node(const struct world *world, const char *name, unsigned int number,
		      unsigned int minor_number)
{
	char path[512];

	scratch_path(path, world->root, name);
	return mknod(path, S_IFCHR | 0666, makedev(number, minor_number)) == 0;
}

/* A dev root with nodes of GPU 0 and of nvidia-uvm; "proc" is the same directory. */
static void world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	scratch_new(world->root);
	world->real = make_node(world, "nvidia0", 195, 0);
	if (world->real) {
		ck_assert(make_node(world, "nvidia-uvm", 238, 0));
		scratch_text(world->root, "devices", devices);
	} else {
		ck_assert(make_node(world, "nvidia0", 0, 0));
		ck_assert(make_node(world, "nvidia-uvm", 0, 0));
		scratch_text(world->root, "devices",
			     "Character devices:\n  0 nvidia\n  0 nvidia-uvm\n");
	}
	world->selection = (struct gpu_selection){ .wanted = true, .at = &world->first, .n = 1 };
	world->request = (struct devnode_request){ .dev_root = world->root,
						   .proc_root = world->root,
						   .gpus = &list,
						   .selection = &world->selection,
						   .caps = DRIVER_CAP_COMPUTE };
}

static void world_done(struct world *world)
{
	finding_list_done(&world->findings);
	scratch_remove(world->root);
}

static bool told(const struct world *world, const char *what)
{
	for (size_t i = 0; i < world->findings.n; i++)
		if (strstr(world->findings.items[i].text, what))
			return true;
	return false;
}

START_TEST(nodes_that_are_there_are_given_and_the_others_told)
{
	struct devnode *nodes = NULL;
	struct world world;
	size_t n = 0;

	world_init(&world);
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, NULL), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(nodes[0].path, "nvidia-uvm");
	ck_assert_str_eq(nodes[1].path, "nvidia0");
	ck_assert_uint_eq(nodes[1].major, world.real ? 195 : 0);
	ck_assert_uint_eq(nodes[0].major, world.real ? 238 : 0);
	ck_assert_uint_eq(nodes[1].access, DEVNODE_READ | DEVNODE_WRITE);
	ck_assert(told(&world, "nvidiactl: does not exist, left out"));
	ck_assert(told(&world, "nvidia-uvm-tools: does not exist"));
	ck_assert(!told(&world, "nvidia-modeset"));
	free(nodes);
	world_done(&world);
}
END_TEST

START_TEST(majors_that_are_known_are_not_read)
{
	struct devnode *nodes = NULL;
	struct world world;
	size_t n = 0;

	world_init(&world);
	scratch_text(world.root, "devices", "Character devices:\n 99 nvidia\n 98 nvidia-uvm\n");
	world.request.majors = world.real ? "195 nvidia\n238 nvidia-uvm\n"
					  : "0 nvidia\n0 nvidia-uvm\n";
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, NULL), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(nodes[0].major, world.real ? 238 : 0);
	free(nodes);
	nodes = NULL;
	world.request.majors = "97 nvidia\n";
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, NULL), -ENODEV);
	ck_assert(told(&world, "the module nvidia-uvm is not loaded"));
	world_done(&world);
}
END_TEST

START_TEST(driver_capabilities_decide_on_control_nodes)
{
	struct devnode *nodes = NULL;
	struct world world;
	size_t n = 0;

	world_init(&world);
	world.request.caps = DRIVER_CAP_UTILITY | DRIVER_CAP_GRAPHICS;
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, NULL), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert(told(&world, "nvidia-modeset"));
	ck_assert(!told(&world, "uvm"));
	free(nodes);
	world_done(&world);
}
END_TEST

START_TEST(on_wsl_one_node_stands_for_all)
{
	struct gpu_selection all = { .wanted = true };
	struct devnode *nodes = NULL;
	struct world world;
	size_t n = 0;

	world_init(&world);
	world.request.selection = &all;
	scratch_text(world.root, "misc", "130 watchdog\n 58 dxg\n229 fuse\n");
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, NULL), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(world.findings.n, 1);
	ck_assert_str_eq(world.findings.items[0].text, "device node dxg: does not exist, left out");
	free(nodes);
	if (make_node(&world, "dxg", 10, 58)) {
		ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, NULL),
				 0);
		ck_assert_uint_eq(n, 1);
		ck_assert_str_eq(nodes[0].path, "dxg");
		ck_assert_uint_eq(nodes[0].major, 10);
		ck_assert_uint_eq(nodes[0].minor, 58);
		free(nodes);
	} else {
		(void)fprintf(stderr,
			      "# mknod is not allowed: not checked that the node is given\n");
	}
	world_done(&world);
}
END_TEST

START_TEST(none_gives_control_nodes_and_void_nothing)
{
	struct devnode *nodes = NULL;
	struct world world;
	size_t n = 4711;

	world_init(&world);
	world.selection.n = 0;
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, NULL), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(nodes[0].path, "nvidia-uvm");
	free(nodes);
	world.selection.wanted = false;
	world.request.dev_root = "/nonexistent";
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, NULL, NULL), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_ptr_null(nodes);
	world_done(&world);
}
END_TEST

START_TEST(a_missing_gpu_node_is_an_error_with_a_remedy)
{
	struct devnode *nodes = NULL;
	struct error err = { 0 };
	struct world world;
	size_t n;

	world_init(&world);
	world.first = 1;
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, NULL, &err), -ENODEV);
	ck_assert_int_eq(err.class, ERROR_DEVICE);
	ck_assert_ptr_nonnull(strstr(err.text, "nvidia7 does not exist"));
	ck_assert_ptr_nonnull(strstr(err.remedy, "nvidia-modprobe -c 7"));
	ck_assert_ptr_null(nodes);
	world_done(&world);
}
END_TEST

START_TEST(a_link_or_file_in_place_of_a_node_is_refused)
{
	struct devnode *nodes = NULL;
	struct error err = { 0 };
	struct world world;
	size_t n;

	world_init(&world);
	world.first = 1;
	scratch_link(world.root, "nvidia7", "nvidia0");
	scratch_text(world.root, "nvidiactl", "");
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "nvidia7 is no character device"));
	ck_assert(told(&world, "nvidiactl: is no character device, left out"));
	world_done(&world);
}
END_TEST

START_TEST(a_node_with_the_number_of_another_driver_is_never_given)
{
	struct devnode *nodes = NULL;
	struct error err = { 0 };
	struct world world;
	size_t n;

	world_init(&world);
	scratch_text(world.root, "devices", "Character devices:\n 77 nvidia\n 78 nvidia-uvm\n");
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "the module's is 77:0"));
	ck_assert(told(&world, "the module's is 78:0, left out"));
	scratch_text(world.root, "devices", "Character devices:\n 1 mem\n");
	world.selection.n = 0;
	ck_assert_int_eq(devnode_list(&world.request, &nodes, &n, &world.findings, &err), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert(told(&world, "the module nvidia-uvm is not loaded"));
	free(nodes);
	world_done(&world);
}
END_TEST

START_TEST(majors_are_read_from_character_devices_only)
{
	ck_assert_int_eq(devnode_major(devices, "nvidia-uvm"), 238);
	ck_assert_int_eq(devnode_major(devices, "nvidia"), 195);
	ck_assert_int_eq(devnode_major(devices, "sd"), -ENOENT);
	ck_assert_int_eq(devnode_major(devices, "nvidia-u"), -ENOENT);
	ck_assert_int_eq(devnode_major("238 nvidia-uvm\n", "nvidia-uvm"), -ENOENT);
	ck_assert_int_eq(devnode_major("Character devices:\n-1 x\n9999999999 y\n4096 z\n x\n", "x"),
			 -ENOENT);
	ck_assert_int_eq(devnode_major("Character devices:\n9999999999 y\n4096 z\n", "z"), -ENOENT);
	ck_assert_int_eq(devnode_major("", ""), -ENOENT);
}
END_TEST

START_TEST(a_node_has_the_major_of_its_module)
{
	static const char lines[] = "195 nvidia\n510 nvidia-uvm\n236 nvidia-caps\n";

	ck_assert_int_eq(devnode_major_of(lines, "nvidia0"), 195);
	ck_assert_int_eq(devnode_major_of(lines, "nvidiactl"), 195);
	ck_assert_int_eq(devnode_major_of(lines, "nvidia-modeset"), 195);
	ck_assert_int_eq(devnode_major_of(lines, "nvidia-uvm"), 510);
	ck_assert_int_eq(devnode_major_of(lines, "nvidia-uvm-tools"), 510);
	ck_assert_int_eq(devnode_major_of(lines, "nvidia-caps/nvidia-cap1"), 236);
	ck_assert_int_eq(devnode_major_of(lines, "nvidia-caps-imex-channels/channel0"), -ENOENT);
	ck_assert_int_eq(devnode_major_of("511 nvidia-frontend\n", "nvidia1"), 511);
	ck_assert_int_eq(devnode_major_of("", "nvidia1"), 195);
	ck_assert_int_eq(devnode_major_of("", "nvidia-uvm"), -ENOENT);
	ck_assert_int_eq(devnode_major_of(lines, "null"), -EINVAL);
}
END_TEST

UNIT_MAIN("devnode", nodes_that_are_there_are_given_and_the_others_told, majors_that_are_known_are_not_read,
	  driver_capabilities_decide_on_control_nodes, on_wsl_one_node_stands_for_all,
	  none_gives_control_nodes_and_void_nothing,
	  a_missing_gpu_node_is_an_error_with_a_remedy,
	  a_link_or_file_in_place_of_a_node_is_refused,
	  a_node_with_the_number_of_another_driver_is_never_given,
	  majors_are_read_from_character_devices_only, a_node_has_the_major_of_its_module)
