/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvml/ask.h"
#include "nvml/driver.h"
#include "nvml/finding.h"
#include "nvml/nvml_api.h"
#include "tests/unit/unit.h"

/* An NVML of two GPUs: the first has MIG devices 0 and 3, the second is what a test makes of it. */

struct nvml_device {
	unsigned int gpu;
	int mig; /* index, or -1 */
};

static struct nvml_device devices[2] = { { 0, -1 }, { 1, -1 } },
			  mig_devices[2] = { { 0, 0 }, { 0, 3 } };
static int init_code, second_code, shutdowns;
static const char *second_uuid;

static int fake_init(void)
{
	return init_code;
}

static int fake_shutdown(void)
{
	shutdowns++;
	return 0;
}

static int fake_driver(char *version, unsigned int size)
{
	(void)snprintf(version, size, "580.1");
	return 0;
}

static int fake_cuda(int *version)
{
	*version = 13000;
	return 0;
}

static int fake_count(unsigned int *count)
{
	*count = 2;
	return 0;
}

static int fake_handle(unsigned int index, struct nvml_device **device)
{
	*device = &devices[index];
	return index == 1 ? second_code : 0;
}

static int fake_pci(struct nvml_device *device, struct nvml_pci *pci)
{
	*pci = (struct nvml_pci){ .bus = 6 + device->gpu };
	return 0;
}

static int fake_minor(struct nvml_device *device, unsigned int *minor)
{
	*minor = device->gpu;
	return 0;
}

static int fake_uuid(struct nvml_device *device, char *uuid, unsigned int size)
{
	if (device->mig >= 0)
		(void)snprintf(uuid, size, "MIG-a%d", device->mig);
	else
		(void)snprintf(uuid, size, "%s", device->gpu == 0 ? "GPU-a" : second_uuid);
	return 0;
}

static int fake_brand(struct nvml_device *device, int *brand)
{
	*brand = device->gpu == 0 ? 14 : 99;
	return 0;
}

static int fake_arch(struct nvml_device *device, int *major, int *minor)
{
	(void)device;
	*major = 9;
	*minor = 0;
	return 0;
}

static int fake_mig_mode(struct nvml_device *device, unsigned int *current, unsigned int *pending)
{
	*current = *pending = device->gpu == 0;
	return device->gpu == 0 ? 0 : NVML_NOT_SUPPORTED;
}

static int fake_mig_max(struct nvml_device *device, unsigned int *count)
{
	(void)device;
	*count = 1000; /* nobody believes that */
	return 0;
}

static int fake_mig_handle(struct nvml_device *device, unsigned int index, struct nvml_device **mig)
{
	(void)device;
	*mig = &mig_devices[index == 3];
	return index == 0 || index == 3 ? 0 : NVML_NOT_FOUND;
}

static int fake_gi(struct nvml_device *mig, unsigned int *id)
{
	*id = (unsigned int)mig->mig + 1;
	return 0;
}

static int fake_ci(struct nvml_device *mig, unsigned int *id)
{
	(void)mig;
	*id = 0;
	return 0;
}

static struct nvml_api fake = {
	.init = fake_init,
	.shutdown = fake_shutdown,
	.driver_version = fake_driver,
	.cuda_version = fake_cuda,
	.count = fake_count,
	.handle = fake_handle,
	.pci = fake_pci,
	.minor = fake_minor,
	.uuid = fake_uuid,
	.brand = fake_brand,
	.arch = fake_arch,
	.mig_mode = fake_mig_mode,
	.mig_max = fake_mig_max,
	.mig_handle = fake_mig_handle,
	.mig_gi = fake_gi,
	.mig_ci = fake_ci,
};

static struct answer answer;

static void take(void *data, const struct answer_message *message)
{
	(void)data;
	ck_assert_int_eq(answer_add(&answer, message, sizeof(*message)), 0);
}

static void ask_fake(const uint32_t *skipped, size_t n_skipped)
{
	const struct ask ask = {
		.api = &fake, .skipped = skipped, .n_skipped = n_skipped, .tell = take
	};

	answer = (struct answer){ 0 };
	shutdowns = 0;
	nvml_ask(&ask);
}

static void reset(void)
{
	init_code = second_code = 0;
	second_uuid = "GPU-b";
}

START_TEST(what_nvml_says_is_told_whole)
{
	reset();
	ask_fake(NULL, 0);
	ck_assert(answer.whole);
	ck_assert_int_eq(shutdowns, 1);
	ck_assert_str_eq(answer.driver, "580.1");
	ck_assert_str_eq(answer.cuda, "13.0");
	ck_assert_uint_eq(answer.n_gpus, 2);
	ck_assert_uint_eq(answer.gpus[1].bus_id, 7 << 8);
	ck_assert_str_eq(answer.gpus[0].brand, "Nvidia");
	ck_assert_str_eq(answer.gpus[1].brand, "");
	ck_assert_str_eq(answer.gpus[0].arch, "9.0");
	ck_assert_int_eq(answer.gpus[0].mig_mode, GPU_MIG_ON);
	ck_assert_int_eq(answer.gpus[1].mig_mode, GPU_MIG_NONE);
	ck_assert_uint_eq(answer.gpus[0].fabric, ANSWER_UNKNOWN);
	/* a hole in the indices ends nothing */
	ck_assert_uint_eq(answer.n_migs, 2);
	ck_assert_uint_eq(answer.migs[1].index, 3);
	ck_assert_uint_eq(answer.migs[1].gi, 4);
	ck_assert_str_eq(answer.migs[1].uuid, "MIG-a3");
	ck_assert_uint_eq(answer.n_failures, 0);
	ck_assert_str_eq(answer.step, "nvmlShutdown");
	answer_done(&answer);
}
END_TEST

START_TEST(what_fails_is_told_and_the_rest_goes_on)
{
	static const uint32_t first[] = { 0 };

	reset();
	init_code = NVML_LIB_RM_VERSION_MISMATCH;
	ask_fake(NULL, 0);
	ck_assert(answer.whole);
	ck_assert_uint_eq(answer.n_failures, 1);
	ck_assert_str_eq(answer.failures[0].function, "nvmlInit");
	ck_assert_int_eq(answer.failures[0].code, NVML_LIB_RM_VERSION_MISMATCH);
	answer_done(&answer);

	init_code = 0;
	second_code = NVML_GPU_IS_LOST;
	ask_fake(NULL, 0);
	ck_assert_uint_eq(answer.n_gpus, 1);
	ck_assert_uint_eq(answer.n_failures, 1);
	ck_assert_uint_eq(answer.failures[0].gpu, 1);
	answer_done(&answer);

	second_code = 0;
	ask_fake(first, 1);
	ck_assert_uint_eq(answer.n_gpus, 1);
	ck_assert_uint_eq(answer.gpus[0].nvml_index, 1);
	answer_done(&answer);
}
END_TEST

/* taking in */

#define GPU_MESSAGE(index)                                                                  \
	{                                                                                   \
		.type = ANSWER_GPU, .gpu = index, .gpu_facts = {.bus = 6, .uuid = "GPU-a" } \
	}

static int add(const struct answer_message *message)
{
	return answer_add(&answer, message, sizeof(*message));
}

START_TEST(what_is_no_answer_of_nvml_is_refused)
{
	struct answer_message m = GPU_MESSAGE(0);
	struct answer_message bad[] = {
		{ .type = 0 },
		{ .type = 99 },
		{ .type = ANSWER_STEP, .gpu = 256 },
		{ .type = ANSWER_STEP, .gpu = ANSWER_NO_GPU, .call = { .function = "a\nb" } },
		{ .type = ANSWER_SYSTEM, .gpu = ANSWER_NO_GPU, .system = { .driver = "\x80" } },
		{ .type = ANSWER_SYSTEM, .gpu = ANSWER_NO_GPU, .system = { .cuda = 1000000 } },
		GPU_MESSAGE(0), /* a second time */
		GPU_MESSAGE(ANSWER_NO_GPU),
		{ .type = ANSWER_GPU, .gpu = 1, .gpu_facts = { .uuid = "MIG-1" } },
		{ .type = ANSWER_GPU, .gpu = 1, .gpu_facts = { .uuid = "GPU-" } },
		{ .type = ANSWER_GPU, .gpu = 1, .gpu_facts = { .uuid = "GPU-../x" } },
		{ .type = ANSWER_GPU, .gpu = 1, .gpu_facts = { .bus = 256 } },
		{ .type = ANSWER_GPU, .gpu = 1, .gpu_facts = { .device = 32 } },
		{ .type = ANSWER_GPU, .gpu = 1, .gpu_facts = { .mig_mode = GPU_MIG_ON + 1 } },
		{ .type = ANSWER_GPU, .gpu = 1, .gpu_facts = { .arch_major = 1000 } },
		{ .type = ANSWER_MIG, .gpu = 1 },	 /* of a GPU that is not there */
		{ .type = ANSWER_MIG, .gpu = 0, .mig = { .index = 0, .gi = 9 } }, /* one index twice */
		{ .type = ANSWER_MIG, .gpu = 0, .mig = { .index = 1, .gi = 1, .ci = 2 } }, /* one device twice */
		{ .type = ANSWER_MIG, .gpu = 0, .mig = { .index = 16, .gi = 3 } },
		{ .type = ANSWER_MIG, .gpu = 0, .mig = { .index = 2, .gi = 1000 } },
		{ .type = ANSWER_MIG, .gpu = 0, .mig = { .index = 2, .gi = 3, .uuid = "GPU-1" } },
	};
	struct answer_message mig = { .type = ANSWER_MIG,
				      .gpu = 0,
				      .mig = { .index = 0, .gi = 1, .ci = 2 } };

	answer = (struct answer){ 0 };
	ck_assert_int_eq(add(&m), 0);
	ck_assert_int_eq(add(&mig), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(add(&bad[i]) == -EBADMSG, "%zu", i);
	ck_assert_int_eq(answer_add(&answer, &m, sizeof(m) - 1), -EBADMSG);
	ck_assert_int_eq(answer_add(&answer, &m, 0), -EBADMSG);
	memset(m.gpu_facts.uuid, 'a', sizeof(m.gpu_facts.uuid)); /* no end */
	m.gpu = 1;
	ck_assert_int_eq(add(&m), -EBADMSG);
	ck_assert_uint_eq(answer.n_gpus, 1);
	ck_assert_uint_eq(answer.n_migs, 1);
	answer_done(&answer);
}
END_TEST

/* applying */

static struct gpu_list *gpus;
static struct driver driver;
static struct finding_list findings;

/* As /proc tells them: two GPUs, the first with the instances @n of @gis. */
static void proc_has(const unsigned int *gis, size_t n)
{
	gpus = calloc(1, sizeof(*gpus));
	gpus->gpus = calloc(2, sizeof(*gpus->gpus));
	gpus->n = 2;
	for (unsigned int i = 0; i < 2; i++)
		gpus->gpus[i] = (struct gpu){ .index = i, .minor = i, .usable = true };
	strcpy(gpus->gpus[0].bus_id, "0000:06:00.0");
	strcpy(gpus->gpus[1].bus_id, "0000:07:00.0");
	strcpy(gpus->gpus[0].uuid, "GPU-a");
	strcpy(gpus->gpus[0].arch, "8.0");
	gpus->gpus[0].arch_source = FACT_TABLE;
	gpus->has_nvcaps = n > 0;
	gpus->migs = calloc(n + 1, sizeof(*gpus->migs));
	gpus->n_migs = n;
	for (size_t i = 0; i < n; i++)
		gpus->migs[i] = (struct mig_device){ .index = (unsigned int)i,
						     .gi = gis[i],
						     .source = FACT_PROC };
	driver = (struct driver){ .version = "580.1", .version_from_module = true };
	findings = (struct finding_list){ 0 };
}

static void apply(void)
{
	ck_assert_int_eq(answer_apply(&answer, &driver, gpus, &findings), 0);
}

static void applied_done(void)
{
	gpu_list_free(gpus);
	finding_list_done(&findings);
	answer_done(&answer);
}

static void ck_finding(const char *wanted)
{
	for (size_t i = 0; i < findings.n; i++)
		if (strstr(findings.items[i].text, wanted))
			return;
	ck_abort_msg("no finding '%s' among %zu, the first: %s", wanted, findings.n,
		     findings.n ? findings.items[0].text : "");
}

START_TEST(nvmls_facts_take_the_place_of_derived_ones)
{
	static const unsigned int gis[] = { 1, 4 };

	reset();
	ask_fake(NULL, 0);
	proc_has(gis, 2);
	strcpy(gpus->gpus[1].note, "its UUID is not known before it is first opened");
	apply();
	ck_assert_uint_eq(findings.n, 0);
	ck_assert_str_eq(driver.cuda, "13.0");
	ck_assert_int_eq(driver.cuda_source, FACT_NVML);
	ck_assert_str_eq(gpus->gpus[0].arch, "9.0");
	ck_assert_int_eq(gpus->gpus[0].arch_source, FACT_NVML);
	ck_assert_int_eq(gpus->gpus[0].mig_mode, GPU_MIG_ON);
	ck_assert_int_eq(gpus->gpus[1].mig_mode, GPU_MIG_NONE);
	/* /proc did not know it */
	ck_assert_str_eq(gpus->gpus[1].uuid, "GPU-b");
	ck_assert_int_eq(gpus->gpus[1].uuid_source, FACT_NVML);
	ck_assert_str_eq(gpus->gpus[1].note, "");
	ck_assert_str_eq(gpus->gpus[1].brand, "");
	ck_assert_uint_eq(gpus->migs[1].index, 3);
	ck_assert_str_eq(gpus->migs[1].uuid, "MIG-a3");
	ck_assert_int_eq(gpus->migs[1].source, FACT_NVML);
	applied_done();
}
END_TEST

START_TEST(cuda_is_what_libcuda_itself_says)
{
	reset();
	ask_fake(NULL, 0);
	proc_has(NULL, 0);
	strcpy(driver.cuda, "12.9");
	driver.cuda_source = FACT_LIBCUDA;
	apply();
	ck_assert_str_eq(driver.cuda, "12.9");
	applied_done();
}
END_TEST

START_TEST(which_mig_devices_there_are_the_module_says)
{
	static const unsigned int fewer[] = { 4 }, more[] = { 1, 2, 4 };

	reset();
	ask_fake(NULL, 0);
	proc_has(fewer, 1);
	apply();
	ck_assert_uint_eq(gpus->n_migs, 1);
	ck_assert_str_eq(gpus->migs[0].uuid, "MIG-a3");
	ck_finding("NVML tells of 2 MIG devices, /proc has 1");
	applied_done();

	ask_fake(NULL, 0);
	proc_has(more, 3);
	apply();
	ck_assert_uint_eq(gpus->n_migs, 3);
	/* sorted by index, and one that nobody knows comes last */
	ck_assert_str_eq(gpus->migs[0].uuid, "MIG-a0");
	ck_assert_uint_eq(gpus->migs[2].gi, 2);
	ck_assert_uint_eq(gpus->migs[2].index, GPU_NO_INDEX);
	ck_assert_str_eq(gpus->migs[2].uuid, "");
	ck_finding("gi2/ci0");
	applied_done();

	/* a module that has no directory of them */
	ask_fake(NULL, 0);
	proc_has(NULL, 0);
	apply();
	ck_assert_uint_eq(gpus->n_migs, 2);
	ck_assert_uint_eq(findings.n, 0);
	applied_done();
}
END_TEST

START_TEST(of_a_gpu_that_proc_calls_otherwise_nothing_counts)
{
	reset();
	ask_fake(NULL, 0);
	proc_has(NULL, 0);
	strcpy(gpus->gpus[0].uuid, "GPU-c");
	apply();
	ck_finding("NVML calls it GPU-a, /proc GPU-c");
	ck_assert_str_eq(gpus->gpus[0].arch, "8.0");
	ck_assert_uint_eq(gpus->n_migs, 0);
	applied_done();

	ask_fake(NULL, 0);
	proc_has(NULL, 0);
	gpus->gpus[0].minor = 5;
	apply();
	ck_finding("NVML says minor 0, /proc 5");
	applied_done();

	ask_fake(NULL, 0);
	proc_has(NULL, 0);
	strcpy(gpus->gpus[0].bus_id, "0000:09:00.0");
	strcpy(driver.version, "535.1");
	apply();
	ck_finding("NVML tells of GPU 0 (GPU-a), which /proc does not have");
	ck_finding("NVML says driver 580.1, the libraries are of 535.1");
	applied_done();

	/* A UUID that another one has names nobody. */
	second_uuid = "GPU-a";
	ask_fake(NULL, 0);
	proc_has(NULL, 0);
	apply();
	ck_assert_str_eq(gpus->gpus[1].uuid, "");
	applied_done();
}
END_TEST

START_TEST(a_lost_gpu_is_noted_until_it_is_found)
{
	reset();
	second_code = NVML_GPU_IS_LOST;
	ask_fake(NULL, 0);
	proc_has(NULL, 0);
	apply();
	ck_finding("GPU 1 (0000:07:00.0): NVML: nvmlDeviceGetHandleByIndex: the GPU is lost");
	ck_assert_str_eq(gpus->gpus[1].note, "NVML: the GPU is lost");
	ck_assert(gpus->gpus[1].usable);
	answer_done(&answer);
	second_code = 0;
	ask_fake(NULL, 0);
	apply();
	ck_assert_str_eq(gpus->gpus[1].note, "");
	applied_done();
}
END_TEST

START_TEST(brands_are_called_as_the_existing_tool_calls_them)
{
	/* libnvidia-container, src/driver.c, by nvmlBrandType_t of nvml.h */
	static const char *const names[] = { "Quadro",	  "Tesla",  "NVS",	   "GRID",
					     "GeForce",	  "TITAN",  "VApps",	   "VPC",
					     "VCS",	  "VWS",    "CloudGaming", "QuadroRTX",
					     "NvidiaRTX", "Nvidia", "GeForceRTX",  "TitanRTX" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_str_eq(nvml_brand_name((int)i + 1), names[i]);
	ck_assert_ptr_null(nvml_brand_name(0));
	ck_assert_ptr_null(nvml_brand_name(17));
	ck_assert_ptr_null(nvml_brand_name(-1));
}
END_TEST

UNIT_MAIN("answer", brands_are_called_as_the_existing_tool_calls_them,
	  what_nvml_says_is_told_whole, what_fails_is_told_and_the_rest_goes_on,
	  what_is_no_answer_of_nvml_is_refused, nvmls_facts_take_the_place_of_derived_ones,
	  cuda_is_what_libcuda_itself_says, which_mig_devices_there_are_the_module_says,
	  of_a_gpu_that_proc_calls_otherwise_nothing_counts, a_lost_gpu_is_noted_until_it_is_found)
