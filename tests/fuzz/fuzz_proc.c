/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of /proc and of requests: whatever stands in them, each parser ends,
 * keeps to its buffers, and what it accepts is sound.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/devnode.h"
#include "nvml/devparams.h"
#include "nvml/driver_cap.h"
#include "nvml/driver_table.h"
#include "nvml/driver_version.h"
#include "nvml/gpu.h"
#include "nvml/imex.h"
#include "nvml/nvcap.h"
#include "nvml/pci.h"
#include "nvml/select.h"
#include "tests/fuzz/fuzz.h"

static void check_version(const char *text)
{
	char version[DRIVER_VERSION_MAX] = "";

	if (driver_module_version_parse(text, version) == 0)
		require(driver_version_is_valid(version));
	else
		require(version[0] == '\0');
	(void)driver_library_version(text);
	(void)driver_table_find(DRIVER_LIBRARY, text);
	require(driver_library_guess(text) != 0);
}

static void check_gpu(const char *text)
{
	struct gpu gpu = { .bus_id = "0000:00:06.0" };
	struct mig_device mig = { .gi = 1, .uuid = "MIG-1" };
	struct gpu_list list = { .gpus = &gpu, .n = 1, .migs = &mig, .n_migs = 1 };
	struct gpu_selection selection = { 0 };
	unsigned long long id;

	gpu_parse_information(text, &gpu);
	require(memchr(gpu.uuid, '\0', sizeof(gpu.uuid)) != NULL);
	require(memchr(gpu.model, '\0', sizeof(gpu.model)) != NULL);
	require(!gpu.usable || gpu.minor <= 253);
	require(gpu.usable || gpu.note[0]);
	(void)gpu_bus_id_parse(text, &id);
	if (gpu_select(&list, text, &selection, NULL) == 0)
		require(selection.n <= 1 && (selection.n == 0 || gpu.usable) &&
			selection.n_migs <= selection.n);
	gpu_selection_done(&selection);
}

static void check_caps(const char *text)
{
	unsigned int caps = 0, again = 0;
	char words[DRIVER_CAPS_TEXT_MAX];

	if (driver_caps_parse(text, &caps, NULL) < 0)
		return;
	driver_caps_print(caps, words, sizeof(words));
	require(driver_caps_parse(words, &again, NULL) == 0 && again == caps);
}

static void check_lists(const char *text)
{
	struct imex_channels channels = { .n = 0 };
	struct nvcap_list caps;
	struct nvcap cap = { 0 };

	if (imex_channels_parse(text, &channels, NULL) == 0)
		for (size_t i = 0; i < channels.n; i++)
			require(channels.ids[i] < IMEX_CHANNELS_MAX);
	require(nvcap_list_parse(text, &caps, NULL) == 0);
	for (size_t i = 0; i < caps.n; i++)
		require(nvcap_minor(&caps, caps.caps[i].kind, caps.caps[i].gpu, caps.caps[i].gi,
				    caps.caps[i].ci) == (int)caps.caps[i].minor);
	nvcap_list_done(&caps);
	if (nvcap_file_parse(text, &cap) == 0)
		require(cap.minor <= NVCAP_MINOR_MAX && !(cap.mode & ~0666U));
	require(pci_nvidia_device(text, 0x30) <= 0xffff);
	require(!(devparams_parse(text).mode & ~0666U));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);

	check_version(text);
	check_gpu(text);
	check_caps(text);
	check_lists(text);
	require(devnode_major(text, "nvidia-uvm") <= 0xfff);
	return 0;
}
