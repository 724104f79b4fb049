/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/fact.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/pci.h"
#include "tests/unit/unit.h"

/* As libcuda.so.580.159.04 has it. */
#define NOTE_580                                                                   \
	"{\"format\":1,\"CUDA "                                                    \
	"version\":\"13.0\",\"driver\":[535,550,565,570,575,580],\"device\":[1,2," \
	"7,8,9,10,11,12,13,14]}"

static void is(const char *value, const char *expected, const char *what)
{
	ck_assert_msg(expected ? value && !strcmp(value, expected) : !value, "%s: %s", what,
		      value ? value : "unknown");
}

START_TEST(a_branch_of_the_driver_has_one_cuda)
{
	static const char *const samples[][2] = {
		{ "580.159.04", "13.0" },
		{ "550.163.01", "12.4" },
		{ "535.261.03", "12.2" },
		{ "470.256.02", "11.4" },
		{ "580.65", "13.0" },
		{ "565.57.01", "12.7" },
		{ "430.26", NULL },
		{ "581.1", NULL },
		{ "999.10.01", NULL },
		{ "58.0", NULL },
		{ "", NULL },
		{ "x580", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		is(fact_cuda_of_driver(samples[i][0]), samples[i][1], samples[i][0]);
}
END_TEST

START_TEST(the_note_of_libcuda_is_read_or_is_none)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"CUDA version\":13}",
		"{\"CUDA version\":\"\"}",
		"{\"CUDA version\":\"new\"}",
		"{\"CUDA version\":\".1\"}",
		"{\"CUDA version\":\"13.0\"",
		"{\"CUDA version\":\"1.1111111111111111111\"}",
	};
	char cuda[FACT_CUDA_MAX] = "before";

	ck_assert_int_eq(fact_cuda_from_note(NOTE_580, cuda), 0);
	ck_assert_str_eq(cuda, "13.0");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_int_eq(fact_cuda_from_note(bad[i], cuda), -EBADMSG);
		ck_assert_str_eq(cuda, "13.0"); /* untouched */
	}
}
END_TEST

START_TEST(a_device_id_tells_the_architecture)
{
	is(fact_arch_of_device(0x2330), "9.0", "H100 SXM5");
	is(fact_arch_of_device(0x20b2), "8.0", "A100");
	is(fact_arch_of_device(0x1eb8), "7.5", "T4");
	is(fact_arch_of_device(0x1db1), "7.0", "V100");
	is(fact_arch_of_device(0x2684), "8.9", "RTX 4090");
	is(fact_arch_of_device(0x25ad), "8.6", "RTX 2050, an Ampere");
	is(fact_arch_of_device(0), NULL, "unknown id");
	is(fact_arch_of_device(0xffff), NULL, "no such id");
	is(fact_arch_of_device(0x22a3), NULL, "an NVSwitch");
}
END_TEST

START_TEST(a_model_tells_the_architecture)
{
	static const char *const samples[][2] = {
		{ "NVIDIA H100 80GB HBM3", "9.0" },
		{ "NVIDIA H200", "9.0" },
		{ "NVIDIA A100-SXM4-80GB", "8.0" },
		{ "A100-PCIE-40GB", "8.0" },
		{ "NVIDIA A10", "8.6" },
		{ "NVIDIA A10-12Q", "8.6" },
		{ "Tesla T4", "7.5" },
		{ "Tesla V100-SXM2-16GB", "7.0" },
		{ "NVIDIA GeForce RTX 4090", "8.9" },
		{ "NVIDIA GeForce RTX 5060 Ti", "12.0" },
		{ "NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0" },
		{ "NVIDIA RTX 6000 Ada Generation", "8.9" },
		{ "NVIDIA B200", "10.0" },
		{ "NVIDIA GB10", "12.1" },
		{ "nvidia h100", "9.0" },
		{ "NVIDIA GeForce RTX 2050", NULL },
		{ "NVIDIA H1000", NULL },
		{ "NVIDIA L400", NULL },
		{ "NVIDIA Sample GPU", NULL },
		{ "NVIDIA ", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		is(fact_arch_of_model(samples[i][0]), samples[i][1], samples[i][0]);
}
END_TEST

START_TEST(a_brand_is_told_where_it_was_seen)
{
	static const char *const samples[][2] = {
		{ "NVIDIA H100 80GB HBM3", "Nvidia" },
		{ "NVIDIA A100-SXM4-80GB", "Nvidia" },
		{ "Tesla T4", "Nvidia" },
		{ "Tesla V100-PCIE-32GB", "Tesla" },
		{ "Tesla P40", "Tesla" },
		{ "NVIDIA GeForce RTX 3090", "GeForce" },
		{ "NVIDIA GeForce RTX 2080", "GeForce" },
		{ "NVIDIA GeForce GTX 1080", NULL },
		{ "NVIDIA H200", "Nvidia" },
		{ "NVIDIA RTX A6000", "NvidiaRTX" },
		{ "NVIDIA RTX 6000 Ada Generation", "NvidiaRTX" },
		{ "NVIDIA RTX PRO 6000 Blackwell Server Edition", "Nvidia" },
		{ "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", NULL },
		{ "NVIDIA TITAN RTX", "TITAN" },
		{ "NVIDIA A10-12Q", NULL }, /* a virtual GPU: as it is licensed */
		{ "NVIDIA A100-10C", NULL },
		{ "Quadro RTX 8000", NULL },
		{ "NVIDIA Sample GPU", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		is(fact_brand_of_model(samples[i][0], "535.261.03"), samples[i][1], samples[i][0]);
	is(fact_brand_of_model("NVIDIA A100-SXM4-80GB", "450.80.02"), NULL, "before branch 470");
	is(fact_brand_of_model("NVIDIA A100-SXM4-80GB", ""), NULL, "no version");
}
END_TEST

START_TEST(each_fact_says_where_it_comes_from)
{
	char note[] = NOTE_580, bad[] = "{}";
	struct gpu gpus[] = { { .model = "Tesla V100-PCIE-32GB", .device_id = 0x1db6 },
			      { .model = "NVIDIA Something New", .arch = "1.0", .brand = "old" } };
	struct gpu_list list = { .gpus = gpus, .n = 2 };
	struct driver driver = { .version = "535.261.03" };

	fact_fill(&driver, &list);
	ck_assert_str_eq(driver.cuda, "12.2");
	ck_assert_str_eq(fact_source_name(driver.cuda_source), "table");
	ck_assert_str_eq(gpus[0].arch, "7.0");
	ck_assert_str_eq(gpus[0].brand, "Tesla");
	ck_assert_int_eq(gpus[0].arch_source, FACT_TABLE);
	ck_assert_str_eq(gpus[1].arch, "");
	ck_assert_str_eq(gpus[1].brand, "");
	ck_assert_str_eq(fact_source_name(gpus[1].brand_source), "unknown");
	driver.cuda_note = note;
	fact_fill(&driver, &list);
	ck_assert_str_eq(driver.cuda, "13.0");
	ck_assert_str_eq(fact_source_name(driver.cuda_source), "libcuda");
	driver.cuda_note = bad;
	(void)strcpy(driver.version, "999.1");
	fact_fill(&driver, &list);
	ck_assert_str_eq(driver.cuda, "");
	ck_assert_str_eq(fact_source_name(driver.cuda_source), "unknown");
}
END_TEST

static unsigned int device_at(const char *text, const char *bus_id)
{
	unsigned long long id;

	ck_assert_int_eq(gpu_bus_id_parse(bus_id, &id), 0);
	return pci_nvidia_device(text, id);
}

START_TEST(a_device_id_is_found_by_bus_device_and_function)
{
	static const char text[] = "0000\t80861237\t0\t       0\t0\n"
				   "0030\t10de2330\t29\t80000000\t0\tnvidia\n"
				   "0031\t10de0fbb\t29\n"
				   "8100\t1af41000\t29\n"
				   "8100\t10DE20B2\t29\n"
				   "0a00\t10de1eb8\n0a00\t10de1eb8\n"
				   "0b00\t10de1eb8\n0b00\t10de20b2\n"
				   "zz00\t10de1eb8\n0c\n0d00 10de1eb8\n0e00\t10de1";

	ck_assert_uint_eq(device_at(text, "0000:00:06.0"), 0x2330);
	ck_assert_uint_eq(device_at(text, "00000000:81:00.0"), 0x20b2);
	ck_assert_uint_eq(device_at(text, "0000:00:00.0"), 0);	    /* another vendor */
	ck_assert_uint_eq(device_at(text, "0000:0a:00.0"), 0x1eb8); /* twins in two domains */
	ck_assert_uint_eq(device_at(text, "0000:0b:00.0"), 0);	    /* which of them? */
	ck_assert_uint_eq(device_at(text, "0000:0c:00.0"), 0);
	ck_assert_uint_eq(device_at(text, "0000:0d:00.0"), 0);
	ck_assert_uint_eq(device_at(text, "0000:0e:00.0"), 0); /* cut short */
	ck_assert_uint_eq(device_at("", "0000:00:06.0"), 0);
}
END_TEST

UNIT_MAIN("fact", a_branch_of_the_driver_has_one_cuda, the_note_of_libcuda_is_read_or_is_none,
	  a_device_id_tells_the_architecture, a_model_tells_the_architecture,
	  a_brand_is_told_where_it_was_seen, each_fact_says_where_it_comes_from,
	  a_device_id_is_found_by_bus_device_and_function)
