/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/gpu.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define INFORMATION "driver/nvidia/gpus/%s/information"

/* As a 580 module prints it. */
static const char h100[] = "Model: \t\t NVIDIA H100 80GB HBM3\n"
			   "IRQ:   \t\t 41\n"
			   "GPU UUID: \t GPU-9caf6bc3-46be-f1a2-99ef-f61d756ddecf\n"
			   "Video BIOS: \t 96.00.da.00.0c\n"
			   "Bus Type: \t PCIe\n"
			   "Bus Location: \t 0000:00:06.0\n"
			   "Device Minor: \t 0\n"
			   "GPU Firmware: \t 580.159.04\n"
			   "GPU Excluded:\t No\n";

static void add_gpu(const char *root, const char *bus_id, const char *text)
{
	char name[256];

	(void)snprintf(name, sizeof(name), INFORMATION, bus_id);
	scratch_text(root, name, text);
}

static struct gpu_list *list_of(const char *root)
{
	struct gpu_list *list = NULL;

	ck_assert_int_eq(gpu_list_new(root, &list, NULL), 0);
	return list;
}

START_TEST(a_real_information_file_is_read)
{
	struct gpu gpu = { .bus_id = "0000:00:06.0" };

	gpu_parse_information(h100, &gpu);
	ck_assert_str_eq(gpu.model, "NVIDIA H100 80GB HBM3");
	ck_assert_str_eq(gpu.uuid, "GPU-9caf6bc3-46be-f1a2-99ef-f61d756ddecf");
	ck_assert_str_eq(gpu.firmware, "580.159.04");
	ck_assert_str_eq(gpu.bus_id, "0000:00:06.0");
	ck_assert_uint_eq(gpu.minor, 0);
	ck_assert(gpu.usable && !gpu.excluded);
	ck_assert_str_eq(gpu.note, "");
}
END_TEST

START_TEST(gpus_stand_in_the_order_of_their_bus_ids)
{
	struct gpu_list *list;
	char root[64];

	scratch_new(root);
	add_gpu(root, "0000:81:00.0", "Device Minor: 0\nGPU UUID: GPU-aa\n");
	add_gpu(root, "0000:0a:00.0", "Device Minor: 1\nGPU UUID: GPU-bb\n");
	add_gpu(root, "0001:01:00.0", "Device Minor: 2\nGPU UUID: GPU-cc\n");
	add_gpu(root, "00010000:01:00.0", "Device Minor: 3\nGPU UUID: GPU-dd\n"); /* a domain of 32 bits */
	list = list_of(root);
	ck_assert_uint_eq(list->n, 4);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(list->gpus[i].index, i);
	ck_assert_uint_eq(list->gpus[0].minor, 1);
	ck_assert_uint_eq(list->gpus[1].minor, 0);
	ck_assert_uint_eq(list->gpus[2].minor, 2);
	ck_assert_str_eq(list->gpus[3].bus_id, "00010000:01:00.0");
	gpu_list_free(list);
	scratch_remove(root);
}
END_TEST

START_TEST(no_module_is_an_empty_list)
{
	struct gpu_list *list = NULL;

	ck_assert_int_eq(gpu_list_new("/nonexistent", &list, NULL), 0);
	ck_assert_uint_eq(list->n, 0);
	gpu_list_free(list);
	gpu_list_free(NULL);
}
END_TEST

START_TEST(one_broken_entry_is_marked_and_keeps_its_index)
{
	struct gpu_list *list;
	char root[64];

	scratch_new(root);
	add_gpu(root, "0000:01:00.0", "\xff\xfe not a GPU");
	add_gpu(root, "0000:02:00.0/nothing", "");
	add_gpu(root, "0000:03:00.0", "Device Minor: 999999999999\nGPU UUID: GPU-dd\n");
	add_gpu(root, "0000:04:00.0", h100);
	add_gpu(root, "not-a-bus-id", h100);
	list = list_of(root);
	ck_assert_uint_eq(list->n, 4);
	for (size_t i = 0; i < 3; i++) {
		ck_assert(!list->gpus[i].usable);
		ck_assert_str_ne(list->gpus[i].note, "");
	}
	ck_assert(list->gpus[3].usable);
	ck_assert_uint_eq(list->gpus[3].index, 3);
	gpu_list_free(list);
	scratch_remove(root);
}
END_TEST

START_TEST(an_excluded_gpu_has_no_index)
{
	struct gpu_list *list;
	char root[64];

	scratch_new(root);
	add_gpu(root, "0000:01:00.0", "Device Minor: 0\nGPU Excluded: Yes\n");
	add_gpu(root, "0000:02:00.0", "Device Minor: 1\nGPU Excluded: No\n");
	list = list_of(root);
	ck_assert_uint_eq(list->gpus[0].index, GPU_NO_INDEX);
	ck_assert(list->gpus[0].excluded && !list->gpus[0].usable);
	ck_assert_uint_eq(list->gpus[1].index, 0);
	gpu_list_free(list);
	scratch_remove(root);
}
END_TEST

START_TEST(the_kernels_list_of_pci_devices_tells_the_kind)
{
	struct gpu_list *list;
	char root[64];

	scratch_new(root);
	add_gpu(root, "0000:00:06.0", h100);
	add_gpu(root, "0001:81:00.0", "Device Minor: 1\n");
	list = list_of(root);
	ck_assert_uint_eq(list->gpus[0].device_id, 0); /* no such file */
	gpu_list_free(list);
	scratch_text(root, "bus/pci/devices", "0030\t10de2330\t29\n8100\t10de20b2\t29\n");
	list = list_of(root);
	ck_assert_uint_eq(list->gpus[0].device_id, 0x2330);
	ck_assert_uint_eq(list->gpus[1].device_id, 0x20b2);
	ck_assert_int_eq(list->gpus[0].arch_source, FACT_UNKNOWN);
	ck_assert_uint_eq(list->n_migs, 0);
	gpu_list_free(list);
	scratch_remove(root);
}
END_TEST

START_TEST(gpus_that_share_a_minor_are_not_given)
{
	struct gpu_list *list;
	char root[64];

	scratch_new(root);
	add_gpu(root, "0000:01:00.0", "Device Minor: 0\nGPU UUID: GPU-aa\n");
	add_gpu(root, "0000:02:00.0", "Device Minor: 0\nGPU UUID: GPU-bb\n");
	add_gpu(root, "0000:03:00.0", "Device Minor: 1\nGPU UUID: GPU-cc\n");
	list = list_of(root);
	ck_assert(!list->gpus[0].usable && !list->gpus[1].usable && list->gpus[2].usable);
	gpu_list_free(list);
	scratch_remove(root);
}
END_TEST

START_TEST(a_uuid_not_known_yet_is_empty_and_said)
{
	struct gpu gpu = { 0 };

	gpu_parse_information("Device Minor: 3\nGPU UUID: GPU-\?\?\?\?\?\?\?\?-\?\?\?\?\n", &gpu);
	ck_assert_str_eq(gpu.uuid, "");
	ck_assert(gpu.usable);
	ck_assert_ptr_nonnull(strstr(gpu.note, "UUID is not known"));
}
END_TEST

START_TEST(long_and_wild_values_are_cut_and_cleaned)
{
	char text[4096] = "Device Minor: 1\nModel: ";
	struct gpu gpu = { 0 };

	memset(text + strlen(text), 'm', 1000);
	(void)strcat(text, "\nGPU Firmware: a\033[31mb\n:\n::\nGPU Excluded\n");
	gpu_parse_information(text, &gpu);
	ck_assert_uint_eq(strlen(gpu.model), sizeof(gpu.model) - 1);
	ck_assert_str_eq(gpu.firmware, "a?[31mb");
	ck_assert(gpu.usable);
}
END_TEST

START_TEST(bus_ids_are_numbers_and_nothing_else)
{
	/* clang-format off */
	static const char *const bad[] = {
		"", "0", "0:1", "0:1:2", "0x0:00:06.0", "0000:00:06.0 ", "0000:00:26.0",
		"0000:00:06.8", "000000000:00:06.0", "0000::06.0", "-1:00:06.0", "0000:00:06.0/..",
	};
	/* clang-format on */
	unsigned long long a, b;

	ck_assert_int_eq(gpu_bus_id_parse("0000:00:06.0", &a), 0);
	ck_assert_int_eq(gpu_bus_id_parse("00000000:00:06.0", &b), 0);
	ck_assert(a == b);
	ck_assert_int_eq(gpu_bus_id_parse("00:06.0", &b), 0);
	ck_assert(a == b);
	ck_assert_int_eq(gpu_bus_id_parse("000A:C1:1f.7", &b), 0);
	ck_assert(b == 0xac1ff);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(gpu_bus_id_parse(bad[i], &a), -EINVAL);
}
END_TEST

START_TEST(an_information_file_cut_anywhere_is_a_gpu_or_a_note)
{
	char text[sizeof(h100)];

	for (size_t len = 0; len < sizeof(h100); len++) {
		struct gpu gpu = { .index = 3, .bus_id = "0000:00:06.0" };

		memcpy(text, h100, len);
		text[len] = '\0';
		gpu_parse_information(text, &gpu);
		ck_assert_msg(gpu.usable || gpu.note[0], "%zu bytes", len);
		ck_assert_uint_eq(gpu.index, 3);
		ck_assert_str_eq(gpu.bus_id, "0000:00:06.0");
		/* No other GPU's minor, and of a UUID all or nothing that names another one. */
		ck_assert(!gpu.usable || gpu.minor == 0);
		ck_assert_int_eq(strncmp("GPU-9caf6bc3-46be-f1a2-99ef-f61d756ddecf", gpu.uuid,
					 strlen(gpu.uuid)),
				 0);
	}
}
END_TEST

START_TEST(huge_files_and_nul_bytes_harm_their_own_gpu_alone)
{
	static char huge[200000];
	static const char with_nul[] = "Device Minor: 1\n\0Device Minor: 2\nGPU UUID: GPU-bb\n";
	struct gpu_list *list;
	char root[64];

	memset(huge, 'x', sizeof(huge));
	memcpy(huge, "Device Minor: 0\n", 16);
	scratch_new(root);
	scratch_write(root, "driver/nvidia/gpus/0000:01:00.0/information", huge, sizeof(huge));
	scratch_write(root, "driver/nvidia/gpus/0000:02:00.0/information", with_nul,
		      sizeof(with_nul));
	scratch_write(root, "driver/nvidia/gpus/0000:03:00.0/information", "\0\0\0", 3);
	add_gpu(root, "0000:04:00.0", "Device Minor: 3\nGPU UUID: GPU-dd\n");
	list = list_of(root);
	ck_assert_uint_eq(list->n, 4);
	ck_assert(!list->gpus[0].usable);
	ck_assert_ptr_nonnull(strstr(list->gpus[0].note, "unreadable"));
	ck_assert(list->gpus[1].usable && list->gpus[1].minor == 1); /* up to the NUL */
	ck_assert_str_eq(list->gpus[1].uuid, "");
	ck_assert(!list->gpus[2].usable && list->gpus[3].usable);
	ck_assert_uint_eq(list->gpus[3].index, 3);
	gpu_list_free(list);
	scratch_remove(root);
}
END_TEST

/* The module has 254 minors for GPUs. */
START_TEST(of_four_thousand_gpus_there_is_an_end)
{
	struct gpu_list *list;
	char root[64], path[512], name[64];

	scratch_new(root);
	scratch_path(path, root, "driver/nvidia/gpus/x");
	scratch_parents(path);
	for (unsigned int i = 0; i < 4096; i++) {
		(void)snprintf(name, sizeof(name), "driver/nvidia/gpus/%04x:01:00.0", i);
		scratch_path(path, root, name);
		ck_assert_int_eq(mkdir(path, 0755), 0);
	}
	list = list_of(root);
	ck_assert_uint_eq(list->n, 256);
	for (size_t i = 0; i < list->n; i++)
		ck_assert(!list->gpus[i].usable && list->gpus[i].index == i);
	gpu_list_free(list);
	scratch_remove(root);
}
END_TEST

UNIT_MAIN("gpu", an_information_file_cut_anywhere_is_a_gpu_or_a_note,
	  huge_files_and_nul_bytes_harm_their_own_gpu_alone, of_four_thousand_gpus_there_is_an_end,
	  the_kernels_list_of_pci_devices_tells_the_kind, a_real_information_file_is_read,
	  gpus_stand_in_the_order_of_their_bus_ids, no_module_is_an_empty_list,
	  one_broken_entry_is_marked_and_keeps_its_index, an_excluded_gpu_has_no_index,
	  gpus_that_share_a_minor_are_not_given, a_uuid_not_known_yet_is_empty_and_said,
	  long_and_wild_values_are_cut_and_cleaned, bus_ids_are_numbers_and_nothing_else)
