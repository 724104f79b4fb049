/* SPDX-License-Identifier: Apache-2.0 */
/* What is not made, and not touched. Nodes of real numbers take a privilege: tests/e2e/63-kmods.sh. */
#include "fs/hostnodes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static char root[64], dev[128];
static struct hostnodes_report report;

/* A module with one GPU, whose nodes' owner and mode are @params' */
static void begin(const char *params, const char *devices)
{
	char path[512];

	scratch_new(root);
	(void)snprintf(dev, sizeof(dev), "%s/dev", root);
	scratch_path(path, root, "dev/x");
	scratch_parents(path);
	scratch_text(root, "driver/nvidia/version", "NVRM version: x\n");
	scratch_text(root, "driver/nvidia/params", params);
	scratch_text(root, "driver/nvidia/gpus/0000:01:00.0/information",
		     "Device Minor: 0\nGPU UUID: GPU-a\n");
	scratch_text(root, "devices", devices);
	scratch_text(root, "modules", "nvidia 1 0 - Live 0x0\n");
}

static void ck_report(unsigned int made, unsigned int mended, unsigned int refused)
{
	struct error err = { 0 };

	ck_assert_msg(hostnodes_make(dev, root, &report, &err) == 0, "%s", err.text);
	ck_assert_msg(report.made == made && report.mended == mended && report.refused == refused,
		      "%u %u %u", report.made, report.mended, report.refused);
}

START_TEST(without_a_module_nothing_is_made)
{
	struct error err = { 0 };
	char path[512];

	begin("", "Character devices:\n195 nvidia\n");
	scratch_path(path, root, "driver/nvidia/version");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(hostnodes_make(dev, root, &report, &err), -ENODEV);
	ck_assert_int_eq(err.class, ERROR_DRIVER);
	ck_assert_uint_eq(report.made + report.mended + report.refused, 0);
	scratch_remove(root);
}
END_TEST

START_TEST(without_a_directory_or_a_list_of_majors_there_is_an_error)
{
	struct error err = { 0 };
	char path[512];

	begin("", "Character devices:\n195 nvidia\n");
	ck_assert_int_eq(rmdir(dev), 0);
	ck_assert_int_eq(hostnodes_make(dev, root, &report, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, dev));
	ck_assert_int_eq(mkdir(dev, 0755), 0);
	scratch_path(path, root, "devices");
	ck_assert_int_eq(unlink(path), 0);
	err = (struct error){ 0 };
	ck_assert_int_eq(hostnodes_make(dev, root, &report, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/devices'"));
	scratch_remove(root);
}
END_TEST

START_TEST(a_module_without_a_major_has_no_nodes)
{
	char path[512];

	begin("", "Character devices:\n  1 mem\n"); /* of nvidia it is 195 in any case */
	ck_assert_int_eq(hostnodes_make(dev, root, &report, NULL), 0);
	ck_assert_uint_eq(report.made + report.refused, 2); /* which takes a privilege */
	scratch_path(path, root, "dev/nvidia-uvm");
	ck_assert_int_eq(access(path, F_OK), -1);
	scratch_path(path, root, "dev/nvidia-caps");
	ck_assert_int_eq(access(path, F_OK), -1);
	scratch_remove(root);
}
END_TEST

START_TEST(what_is_not_to_be_modified_is_left_alone_missing_or_not)
{
	char path[512];

	begin("ModifyDeviceFiles: 0\n", "Character devices:\n195 nvidia\n");
	ck_report(0, 0, 0);
	scratch_path(path, root, "dev/nvidia0");
	ck_assert_int_eq(access(path, F_OK), -1);
	scratch_text(root, "dev/nvidiactl", "somebody's");
	ck_report(0, 0, 0);
	scratch_remove(root);
}
END_TEST

START_TEST(a_file_or_link_at_the_place_of_a_node_stays)
{
	char path[512];
	struct stat st;

	begin("ModifyDeviceFiles: 1\n", "Character devices:\n195 nvidia\n");
	scratch_text(root, "dev/nvidiactl", "somebody's");
	scratch_link(root, "dev/nvidia0", "/dev/null");
	ck_report(0, 0, 2);
	scratch_path(path, root, "dev/nvidiactl");
	ck_assert(lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 10);
	scratch_path(path, root, "dev/nvidia0");
	ck_assert(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
	scratch_remove(root);
}
END_TEST

/* Device 0:0 may be made by anybody (Linux 5.8); to give it away takes root, to us it need not be given. */
START_TEST(a_node_is_made_once_with_the_mode_that_the_module_wants)
{
	char path[512], params[128];
	struct stat st;

	(void)snprintf(
		params, sizeof(params),
		"DeviceFileUID: %u\nDeviceFileGID: %u\nDeviceFileMode: 432\nModifyDeviceFiles: 1\n",
		geteuid(), getegid());
	begin(params, "Character devices:\n  0 nvidia-uvm\n");
	if (geteuid() != 0) {
		(void)fprintf(stderr, "# not root, who dresses nodes: nothing checked\n");
		scratch_remove(root);
		return;
	}
	(void)hostnodes_make(dev, root, &report, NULL); /* -tools is 0:1, which takes a capability */
	scratch_path(path, root, "dev/nvidia-uvm");
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISCHR(st.st_mode) && st.st_rdev == 0 && (st.st_mode & 07777) == 0660);
	ck_assert_int_eq(chmod(path, 0777), 0);
	(void)hostnodes_make(dev, root, &report, NULL);
	ck_assert_uint_eq(report.mended, 1);
	ck_assert(lstat(path, &st) == 0 && (st.st_mode & 07777) == 0660);
	(void)hostnodes_make(dev, root, &report, NULL);
	ck_assert_uint_eq(report.mended, 0);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("hostnodes", without_a_module_nothing_is_made,
	  without_a_directory_or_a_list_of_majors_there_is_an_error,
	  a_module_without_a_major_has_no_nodes,
	  what_is_not_to_be_modified_is_left_alone_missing_or_not,
	  a_file_or_link_at_the_place_of_a_node_stays,
	  a_node_is_made_once_with_the_mode_that_the_module_wants)
