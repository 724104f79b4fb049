/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/kmods.h"

#include <string.h>

#include "nvml/devparams.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

START_TEST(a_module_is_loaded_by_its_whole_name)
{
	char root[64];

	scratch_new(root);
	ck_assert(!kmods_is_loaded(root, "nvidia"));
	scratch_text(root, "modules", "nvidia_uvm 1 0 - Live 0x0\nnvidia_drm 1 0 - Live 0x0\n");
	ck_assert(kmods_is_loaded(root, "nvidia-uvm"));
	ck_assert(!kmods_is_loaded(root, "nvidia"));
	ck_assert(!kmods_is_loaded(root, "nvidia-modeset"));
	scratch_text(root, "modules", "nvidia 1 0 - Live 0x0");
	ck_assert(kmods_is_loaded(root, "nvidia"));
	scratch_text(root, "modules", "nvidia");
	ck_assert(!kmods_is_loaded(root, "nvidia"));
	scratch_remove(root);
}
END_TEST

START_TEST(the_initial_user_namespace_maps_all)
{
	ck_assert(kmods_maps_all("         0          0 4294967295\n"));
	ck_assert(!kmods_maps_all("         0     100000      65536\n"));
	ck_assert(!kmods_maps_all("         0          0      65536\n"));
	ck_assert(!kmods_maps_all("         0          0 4294967295\n 5 5 1\n"));
	ck_assert(!kmods_maps_all(""));
	ck_assert(!kmods_maps_all(NULL));
}
END_TEST

START_TEST(parameters_say_how_nodes_are_made)
{
	static const struct {
		const char *text;
		struct devparams params;
	} samples[] = {
		{ NULL, { 0, 0, 0666, true } },
		{ "", { 0, 0, 0666, true } },
		{ "ModifyDeviceFiles: 1\nDeviceFileUID: 5\nDeviceFileGID: 44\nDeviceFileMode: "
		  "432\n",
		  { 5, 44, 0660, true } },
		{ "ModifyDeviceFiles: 0\n", { 0, 0, 0666, false } },
		{ "DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 0\n",
		  { 0, 0, 0400, false } },
		{ "DeviceFileMode: 511", { 0, 0, 0666, true } },
		{ "DeviceFileMode: 2541\nDeviceFileUID: -1\nDeviceFileGID: 4294967295\n",
		  { 0, 0, 0666, true } },
		{ "DeviceFileMode: 99999999999999999999999999\nModifyDeviceFiles: 2\n",
		  { 0, 0, 0666, true } },
		{ "DeviceFileModes: 0\nXDeviceFileUID: 1\nDeviceFileUID 1\nDeviceFileUID:\n",
		  { 0, 0, 0666, true } },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct devparams params = devparams_parse(samples[i].text);
		const struct devparams *wanted = &samples[i].params;

		ck_assert_msg(params.uid == wanted->uid && params.gid == wanted->gid &&
				      params.mode == wanted->mode &&
				      params.may_modify == wanted->may_modify,
			      "%s: %u %u %o %d", samples[i].text, params.uid, params.gid,
			      params.mode, params.may_modify);
	}
}
END_TEST

UNIT_MAIN("kmods", a_module_is_loaded_by_its_whole_name, the_initial_user_namespace_maps_all,
	  parameters_say_how_nodes_are_made)
