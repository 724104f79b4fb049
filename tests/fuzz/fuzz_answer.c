/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the process that asks NVML, one after the other. Whatever it says, what is gathered is within
 * its bounds, and can be applied to GPUs without making one of them another.
 */
#include <errno.h>
#include <string.h>

#include "nvml/answer.h"
#include "nvml/driver.h"
#include "nvml/finding.h"
#include "tests/fuzz/fuzz.h"

static struct gpu_list *new_gpus(void)
{
	struct gpu_list *gpus = calloc(1, sizeof(*gpus));

	require(gpus != NULL);
	gpus->gpus = calloc(2, sizeof(*gpus->gpus));
	gpus->migs = calloc(2, sizeof(*gpus->migs));
	require(gpus->gpus && gpus->migs);
	gpus->n = 2;
	gpus->n_migs = 1;
	gpus->has_nvcaps = true;
	for (unsigned int i = 0; i < 2; i++)
		gpus->gpus[i] = (struct gpu){ .index = i, .minor = i, .usable = true };
	strcpy(gpus->gpus[0].bus_id, "0000:00:00.0");
	strcpy(gpus->gpus[1].bus_id, "0000:01:00.0");
	strcpy(gpus->gpus[0].uuid, "GPU-a");
	return gpus;
}

static void check_gathered(const struct answer *answer)
{
	require(answer->n_gpus <= ANSWER_GPUS_MAX && answer->n_failures <= ANSWER_FAILURES_MAX);
	require(answer->n_migs <= answer->n_gpus * ANSWER_MIGS_MAX);
	for (size_t i = 0; i < answer->n_migs; i++)
		require(answer->migs[i].gpu < answer->n_gpus);
}

static void check_applied(const struct answer *answer)
{
	struct gpu_list *gpus = new_gpus();
	struct driver driver = { .version = "580.1" };
	struct finding_list findings = { 0 };

	require(answer_apply(answer, &driver, gpus, &findings) == 0);
	require(gpus->n == 2 && gpus->n_migs == 1 && gpus->migs[0].gpu == 0);
	require(strcmp(gpus->gpus[0].uuid, "GPU-a") == 0);
	require(strcmp(gpus->gpus[1].uuid, "GPU-a") != 0);
	require(gpus->gpus[0].minor == 0 && gpus->gpus[1].minor == 1);
	finding_list_done(&findings);
	gpu_list_free(gpus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct answer answer = { 0 };

	while (size > 0) {
		size_t n = size < sizeof(struct answer_message) ? size
								: sizeof(struct answer_message);
		int r = answer_add(&answer, data, n);

		require(r == 0 || r == -EBADMSG);
		data += n;
		size -= n;
	}
	check_gathered(&answer);
	check_applied(&answer);
	answer_done(&answer);
	return 0;
}
