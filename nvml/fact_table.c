/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three tables: CUDA by the driver's branch, compute capability by PCI device
 * id and by model, brand by model. A row is here because somebody has published
 * it or has seen it; what merely looks like a row is none, since a wrong brand or
 * architecture would let a container start that must not, or the other way round.
 */
#include "nvml/fact.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

/*
 * Each branch has one version of CUDA, whatever its point release. Source: CUDA Toolkit Release
 * Notes, "CUDA Toolkit and Corresponding Driver Versions"; branches without a toolkit of their own
 * (565) by what their nvidia-smi prints. Branches 430 and 435 are left out: they had two.
 */
static const struct {
	unsigned int branch;
	const char *cuda;
} branches[] = {
	{ 384, "9.0" },	 { 390, "9.1" },  { 396, "9.2" },  { 410, "10.0" }, { 418, "10.1" },
	{ 440, "10.2" }, { 450, "11.0" }, { 455, "11.1" }, { 460, "11.2" }, { 465, "11.3" },
	{ 470, "11.4" }, { 495, "11.5" }, { 510, "11.6" }, { 515, "11.7" }, { 520, "11.8" },
	{ 525, "12.0" }, { 530, "12.1" }, { 535, "12.2" }, { 545, "12.3" }, { 550, "12.4" },
	{ 555, "12.5" }, { 560, "12.6" }, { 565, "12.7" }, { 570, "12.8" }, { 575, "12.9" },
	{ 580, "13.0" }, { 590, "13.1" },
};

/*
 * Ids are given chip by chip, and a chip has one compute capability. Rows are from the first to the
 * last id that pci.ids (2023.04.11) lists for a chip; newer chips are known by model alone. Source
 * of the capabilities: developer.nvidia.com/cuda-gpus and /cuda-legacy-gpus.
 */
static const struct {
	unsigned int first, last;
	const char *arch;
} chips[] = {
	{ 0x1340, 0x137d, "5.0" }, /* GM108 */
	{ 0x1380, 0x13bd, "5.0" }, /* GM107 */
	{ 0x13c0, 0x13fb, "5.2" }, /* GM204 */
	{ 0x1401, 0x1436, "5.2" }, /* GM206 */
	{ 0x15f0, 0x15f9, "6.0" }, /* GP100 */
	{ 0x1617, 0x1667, "5.2" }, /* GM204 */
	{ 0x1725, 0x172f, "6.0" }, /* GP100 */
	{ 0x17c2, 0x17fd, "5.2" }, /* GM200 */
	{ 0x1b00, 0x1b78, "6.1" }, /* GP102 */
	{ 0x1b80, 0x1be1, "6.1" }, /* GP104 */
	{ 0x1c00, 0x1c70, "6.1" }, /* GP106 */
	{ 0x1c81, 0x1cfb, "6.1" }, /* GP107 */
	{ 0x1d01, 0x1d56, "6.1" }, /* GP108 */
	{ 0x1d81, 0x1df6, "7.0" }, /* GV100 */
	{ 0x1e02, 0x1e78, "7.5" }, /* TU102 */
	{ 0x1e81, 0x1ef5, "7.5" }, /* TU104 */
	{ 0x1f02, 0x1f76, "7.5" }, /* TU106 */
	{ 0x1f81, 0x1ff9, "7.5" }, /* TU117 */
	{ 0x2082, 0x20fd, "8.0" }, /* GA100 */
	{ 0x2182, 0x21d1, "7.5" }, /* TU116 */
	{ 0x2200, 0x223f, "8.6" }, /* GA102 */
	{ 0x2302, 0x2339, "9.0" }, /* GH100 */
	{ 0x2414, 0x2460, "8.6" }, /* GA103 */
	{ 0x2482, 0x24fa, "8.6" }, /* GA104 */
	{ 0x2501, 0x2571, "8.6" }, /* GA106 */
	{ 0x2582, 0x25fb, "8.6" }, /* GA107 */
	{ 0x2681, 0x26f5, "8.9" }, /* AD102 */
	{ 0x2704, 0x2757, "8.9" }, /* AD103 */
	{ 0x2782, 0x27e0, "8.9" }, /* AD104 */
	{ 0x2803, 0x2860, "8.9" }, /* AD106 */
	{ 0x28a0, 0x28e1, "8.9" }, /* AD107 */
};

/*
 * Without "NVIDIA " and "Tesla " in front. A star stands for any rest; without one the word must
 * end. Source: as above. GeForce RTX 2050 is an Ampere, so that "GeForce RTX 20*" is no row.
 */
static const struct {
	const char *name, *arch;
} models[] = {
	{ "M40", "5.2" },
	{ "M60", "5.2" },
	{ "P100", "6.0" },
	{ "P40", "6.1" },
	{ "P4", "6.1" },
	{ "V100", "7.0" },
	{ "TITAN V", "7.0" },
	{ "T4", "7.5" },
	{ "TITAN RTX", "7.5" },
	{ "Quadro RTX", "7.5" },
	{ "GeForce GTX 16*", "7.5" },
	{ "A100", "8.0" },
	{ "A30", "8.0" },
	{ "A2", "8.6" },
	{ "A10", "8.6" },
	{ "A10G", "8.6" },
	{ "A16", "8.6" },
	{ "A40", "8.6" },
	{ "RTX A2000", "8.6" },
	{ "RTX A3000", "8.6" },
	{ "RTX A4000", "8.6" },
	{ "RTX A5000", "8.6" },
	{ "RTX A6000", "8.6" },
	{ "GeForce RTX 30*", "8.6" },
	{ "L4", "8.9" },
	{ "L40", "8.9" },
	{ "L40S", "8.9" },
	{ "RTX 6000 Ada", "8.9" },
	{ "RTX 5000 Ada", "8.9" },
	{ "RTX 4500 Ada", "8.9" },
	{ "RTX 4000 Ada", "8.9" },
	{ "RTX 4000 SFF Ada", "8.9" },
	{ "RTX 2000 Ada", "8.9" },
	{ "GeForce RTX 40*", "8.9" },
	{ "H100", "9.0" },
	{ "H200", "9.0" },
	{ "GH200", "9.0" },
	{ "B200", "10.0" },
	{ "GB200", "10.0" },
	{ "B300", "10.3" },
	{ "GB300", "10.3" },
	{ "RTX PRO 6000 Blackwell", "12.0" },
	{ "RTX PRO 5000 Blackwell", "12.0" },
	{ "RTX PRO 4500 Blackwell", "12.0" },
	{ "RTX PRO 4000 Blackwell", "12.0" },
	{ "RTX PRO 2000 Blackwell", "12.0" },
	{ "GeForce RTX 50*", "12.0" },
	{ "GB10", "12.1" },
};

/*
 * The whole name, but for "NVIDIA " in front. Source: reports of `nvidia-smi -q` (Product Name and
 * Product Brand) of branches 470 to 570, put into the words of libnvidia-container's nvc_info.c.
 */
static const struct {
	const char *name, *brand;
} brands[] = {
	{ "Tesla P40", "Tesla" },
	{ "Tesla V100", "Tesla" },
	{ "Tesla T4", "Nvidia" },
	{ "A10", "Nvidia" },
	{ "A10G", "Nvidia" },
	{ "A40", "Nvidia" },
	{ "A100", "Nvidia" },
	{ "L4", "Nvidia" },
	{ "L40S", "Nvidia" },
	{ "H100", "Nvidia" },
	{ "H200", "Nvidia" },
	{ "GH200", "Nvidia" },
	{ "RTX A2000", "NvidiaRTX" },
	{ "RTX A6000", "NvidiaRTX" },
	{ "RTX 6000 Ada", "NvidiaRTX" },
	{ "RTX PRO 6000 Blackwell Server", "Nvidia" },
	{ "GeForce RTX", "GeForce" },
	{ "TITAN RTX", "TITAN" },
};

#define OLDEST_BRANCH_OF_BRANDS 470

static unsigned int branch_of(const char *version)
{
	return isdigit((unsigned char)*version) ? (unsigned int)strtoul(version, NULL, 10) : 0;
}

const char *fact_cuda_of_driver(const char *version)
{
	for (size_t i = 0; i < ARRAY_SIZE(branches); i++)
		if (branches[i].branch == branch_of(version))
			return branches[i].cuda;
	return NULL;
}

const char *fact_arch_of_device(unsigned int device_id)
{
	for (size_t i = 0; i < ARRAY_SIZE(chips); i++)
		if (device_id >= chips[i].first && device_id <= chips[i].last)
			return chips[i].arch;
	return NULL;
}

static const char *without(const char *name, const char *word)
{
	size_t len = strlen(word);

	return strncasecmp(name, word, len) == 0 ? name + len : name;
}

/* "H100" is "H100 PCIe" and "H100-...", and not "H1000". */
static bool is_model(const char *name, const char *row)
{
	size_t len = strcspn(row, "*");

	if (strncasecmp(name, row, len) != 0)
		return false;
	return row[len] == '*' || !isalnum((unsigned char)name[len]);
}

const char *fact_arch_of_model(const char *model)
{
	const char *name = without(without(model, "NVIDIA "), "Tesla ");

	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (is_model(name, models[i].name))
			return models[i].arch;
	return NULL;
}

/* "A10-12Q": a virtual GPU, whose brand is that of its licence. */
static bool is_virtual(const char *model)
{
	const char *type = strrchr(model, '-');
	size_t digits = type ? strspn(type + 1, "0123456789") : 0;

	return digits > 0 && strchr("QABC", type[1 + digits]) && type[1 + digits] &&
	       !type[2 + digits];
}

const char *fact_brand_of_model(const char *model, const char *version)
{
	const char *name = without(model, "NVIDIA ");

	if (branch_of(version) < OLDEST_BRANCH_OF_BRANDS || is_virtual(model))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(brands); i++)
		if (is_model(name, brands[i].name))
			return brands[i].brand;
	return NULL;
}
