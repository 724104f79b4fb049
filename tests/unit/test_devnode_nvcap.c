/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of capabilities in a scratch directory. Nodes of the real numbers take CAP_MKNOD: without it all
 * drivers have the major 0 here and a node is 0:0, which anybody may make (Linux 5.8).
 */
#include "nvml/devnode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/error.h"
#include "nvml/gpu.h"
#include "nvml/imex.h"
#include "nvml/nvcap.h"
#include "nvml/select.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct gpu gpus[] = {
	{ .index = 0, .minor = 0, .uuid = "GPU-a", .bus_id = "0000:01:00.0", .usable = true },
	{ .index = 1, .minor = 1, .uuid = "GPU-b", .bus_id = "0000:02:00.0", .usable = true }
};
static struct mig_device migs[] = { { .gpu = 0, .index = 0, .gi = 1, .ci = 0 },
				    { .gpu = 0, .index = 1, .gi = 1, .ci = 1 },
				    { .gpu = 0, .index = 2, .gi = 13, .ci = 0 },
				    { .gpu = 1, .index = 0, .gi = 2, .ci = 0 } };
static const struct gpu_list list = { .gpus = gpus, .n = 2, .migs = migs, .n_migs = 4 };

static const struct nvcap known[] = {
	{ NVCAP_CONFIG, 0, 0, 0, 1, 0400 }, { NVCAP_MONITOR, 0, 0, 0, 2, 0444 },
	{ NVCAP_GI, 0, 1, 0, 12, 0444 },    { NVCAP_CI, 0, 1, 0, 13, 0444 },
	{ NVCAP_CI, 0, 1, 1, 14, 0444 },    { NVCAP_GI, 0, 13, 0, 120, 0444 },
	{ NVCAP_CI, 0, 13, 0, 121, 0444 },  { NVCAP_GI, 0, 5, 0, 48, 0444 },
	{ NVCAP_GI, 1, 2, 0, 200, 0444 },   { NVCAP_CI, 1, 2, 0, 201, 0400 },
};

static char root[64];
static bool real;
static struct error err;
static struct nvcap_list nvcaps;
static struct imex_channels imex;
static struct devnode_request request;

static void make_node(const char *name, unsigned int number, unsigned int minor_number, mode_t mode)
{
	char path[512];

	scratch_path(path, root, name);
	scratch_parents(path);
	(void)unlink(path);
	ck_assert_int_eq(mknod(path, S_IFCHR | mode, real ? makedev(number, minor_number) : 0), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void world_init(void)
{
	char path[512];

	scratch_new(root);
	scratch_path(path, root, "probe");
	real = mknod(path, S_IFCHR, makedev(241, 1)) == 0;
	scratch_text(
		root, "devices",
		"Character devices:\n195 nvidia\n241 nvidia-caps\n242 nvidia-caps-imex-channels\n");
	if (!real)
		scratch_text(root, "devices",
			     "Character devices:\n0 nvidia\n0 nvidia-caps\n0 "
			     "nvidia-caps-imex-channels\n");
	make_node("nvidia0", 195, 0, 0666);
	ck_assert_int_eq(nvcap_list_copy(known, sizeof(known) / sizeof(*known), &nvcaps), 0);
	imex = (struct imex_channels){ .n = 0 };
	memset(&err, 0, sizeof(err));
	request = (struct devnode_request){ .dev_root = root,
					    .proc_root = root,
					    .gpus = &list,
					    .nvcaps = &nvcaps,
					    .imex = &imex,
					    .may_make = true };
}

static void world_done(void)
{
	nvcap_list_done(&nvcaps);
	scratch_remove(root);
}

/* "caps/cap12 444 made", by commas; GPUs are left out. Or the error. */
static void gives(const char *devices, const char *expected)
{
	struct gpu_selection selection;
	struct devnode *nodes = NULL;
	char text[512] = "";
	size_t n = 0, used = 0;
	int r;

	ck_assert_int_eq(gpu_select(&list, devices, &selection, NULL), 0);
	request.selection = &selection;
	memset(&err, 0, sizeof(err));
	r = devnode_list(&request, &nodes, &n, NULL, &err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (strchr(nodes[i].path, '/'))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %o%s",
						 used ? "," : "", strchr(nodes[i].path, '/') + 1,
						 nodes[i].mode, nodes[i].is_made ? " made" : "");
	ck_assert_str_eq(r < 0 ? err.text : text, expected);
	ck_assert(r == 0 || (r == -ENODEV && err.class == ERROR_DEVICE && err.remedy[0]));
	free(nodes);
	gpu_selection_done(&selection);
}

START_TEST(a_mig_device_has_the_nodes_of_its_two_instances_and_no_other)
{
	world_init();
	gives("0", "");
	gives("0:0", "nvidia-cap12 444 made,nvidia-cap13 444 made");
	gives("0:2", "nvidia-cap120 444 made,nvidia-cap121 444 made");
	gives("0:1,0:0", "nvidia-cap12 444 made,nvidia-cap14 444 made,nvidia-cap13 444 made");
	gives("none", "");
	gives("void", "");
	world_done();
}
END_TEST

START_TEST(a_node_of_the_host_is_taken_with_its_own_mode)
{
	world_init();
	make_node("nvidia-caps/nvidia-cap12", 241, 12, 0400);
	gives("0:0", "nvidia-cap12 400,nvidia-cap13 444 made");
	world_done();
}
END_TEST

START_TEST(who_may_not_make_nodes_gets_those_of_the_host_alone)
{
	world_init();
	request.may_make = false;
	make_node("nvidia-caps/nvidia-cap12", 241, 12, 0444);
	gives("0:0", "MIG-GPU-a/1/0: device node nvidia-caps/nvidia-cap13 does not exist");
	make_node("nvidia-caps/nvidia-cap13", 241, 13, 0444);
	gives("0:0", "nvidia-cap12 444,nvidia-cap13 444");
	imex = (struct imex_channels){ .ids = { 7 }, .n = 1 };
	gives("0", "IMEX channel 7: device node nvidia-caps-imex-channels/channel7 does not exist");
	world_done();
}
END_TEST

START_TEST(what_is_another_device_is_refused_and_not_made_anew)
{
	char path[512];

	world_init();
	if (real) {
		make_node("nvidia-caps/nvidia-cap13", 240, 13, 0444);
		gives("0:0",
		      "MIG-GPU-a/1/0: device node nvidia-caps/nvidia-cap13 is device 240:13, "
		      "the module's is 241:13");
		make_node("nvidia-caps-imex-channels/channel0", 242, 1, 0666);
		imex.n = 1;
		gives("none", "IMEX channel 0: device node nvidia-caps-imex-channels/channel0 is "
			      "device 242:1, "
			      "the module's is 242:0");
		imex.n = 0;
	}
	scratch_path(path, root, "nvidia-caps/nvidia-cap13");
	(void)unlink(path);
	scratch_text(root, "nvidia-caps/nvidia-cap13", "");
	gives("0:0", "MIG-GPU-a/1/0: device node nvidia-caps/nvidia-cap13 is no character device");
	(void)unlink(path);
	scratch_link(root, "nvidia-caps/nvidia-cap13", "nvidia-cap12");
	gives("0:0", "MIG-GPU-a/1/0: device node nvidia-caps/nvidia-cap13 is no character device");
	world_done();
}
END_TEST

START_TEST(who_divides_or_watches_gpus_has_what_is_on_them)
{
	world_init();
	request.mig_monitor = true;
	gives("0", "nvidia-cap2 444 made,nvidia-cap12 444 made,nvidia-cap48 444 made,nvidia-cap120 "
		   "444 made,"
		   "nvidia-cap13 444 made,nvidia-cap14 444 made,nvidia-cap121 444 made");
	request.mig_config = true;
	gives("none", "nvidia-cap1 400 made,nvidia-cap2 444 made");
	world_done();
}
END_TEST

START_TEST(a_capability_that_the_module_does_not_have_is_named)
{
	world_init();
	nvcap_list_done(&nvcaps);
	ck_assert_int_eq(nvcap_list_copy(known + 3, 1, &nvcaps), 0);
	gives("0:0", "MIG-GPU-a/1/0: the module has no capability gpu0/mig/gi1/access");
	request.nvcaps = NULL;
	gives("0:2", "MIG-GPU-a/13/0: the module has no capability gpu0/mig/gi13/access");
	request.mig_config = true;
	gives("0", "mig-config: the module has no capability mig/config");
	world_done();
}
END_TEST

START_TEST(a_module_without_these_drivers_is_an_error_by_name)
{
	world_init();
	scratch_text(root, "devices",
		     real ? "Character devices:\n195 nvidia\n" : "Character devices:\n0 nvidia\n");
	gives("0:0", "MIG-GPU-a/1/0: the module has no nvidia-caps in /proc/devices");
	imex.n = 1;
	gives("0", "IMEX channel 0: the module has no nvidia-caps-imex-channels in /proc/devices");
	world_done();
}
END_TEST

START_TEST(imex_channels_are_given_in_the_order_asked_for)
{
	world_init();
	ck_assert_int_eq(imex_channels_parse("2047,0,2047", &imex, NULL), 0);
	make_node("nvidia-caps-imex-channels/channel0", 242, 0, 0660);
	gives("0", "channel2047 666 made,channel0 660");
	world_done();
}
END_TEST

START_TEST(nvswitches_are_those_that_the_host_has)
{
	struct gpu_selection selection = { .wanted = true };
	struct devnode *nodes = NULL;
	size_t n = 0;

	world_init();
	request.nvswitch = true;
	gives("none", "NVSwitch: the module has no nvidia-nvswitch in /proc/devices");
	scratch_text(root, "devices",
		     real ? "Character devices:\n195 nvidia\n239 nvidia-nvswitch\n"
			  : "Character devices:\n0 nvidia\n0 nvidia-nvswitch\n");
	gives("none", "NVSwitch: device node nvidia-nvswitchctl does not exist");
	make_node("nvidia-nvswitchctl", 239, real ? 255 : 0, 0666);
	if (real) {
		make_node("nvidia-nvswitch10", 239, 10, 0666);
		make_node("nvidia-nvswitch2", 239, 2, 0660);
		scratch_text(root, "nvidia-nvswitch3x", "");
		request.selection = &selection;
		ck_assert_int_eq(devnode_list(&request, &nodes, &n, NULL, &err), 0);
		ck_assert_uint_eq(n, 3);
		ck_assert_str_eq(nodes[1].path, "nvidia-nvswitch2");
		ck_assert_str_eq(nodes[2].path, "nvidia-nvswitch10");
		ck_assert(!nodes[2].is_made && nodes[1].mode == 0660 && nodes[0].minor == 255);
		free(nodes);
		make_node("nvidia-nvswitch2", 240, 2, 0666);
		gives("none", "NVSwitch: device node nvidia-nvswitch2 is device 240:2, the "
			      "module's is 239:2");
	}
	world_done();
}
END_TEST

UNIT_MAIN("devnode_nvcap", nvswitches_are_those_that_the_host_has,
	  a_mig_device_has_the_nodes_of_its_two_instances_and_no_other,
	  a_node_of_the_host_is_taken_with_its_own_mode,
	  who_may_not_make_nodes_gets_those_of_the_host_alone,
	  what_is_another_device_is_refused_and_not_made_anew,
	  who_divides_or_watches_gpus_has_what_is_on_them,
	  a_capability_that_the_module_does_not_have_is_named,
	  a_module_without_these_drivers_is_an_error_by_name,
	  imex_channels_are_given_in_the_order_asked_for)
