/* SPDX-License-Identifier: Apache-2.0 */
/* MIG devices without NVML: a compute instance that has a capability is one. */
#include "nvml/mig_fill.h"

#include <errno.h>
#include <stdlib.h>

#include "nvml/gpu.h"
#include "nvml/nvcap.h"

/* Sorted by GI and CI, as the capabilities are. */
static void add_of_gpu(struct gpu_list *list, size_t gpu, const struct nvcap_list *nvcaps)
{
	unsigned int index = 0;

	for (size_t i = 0; i < nvcaps->n; i++) {
		const struct nvcap *cap = &nvcaps->caps[i];

		if (cap->kind == NVCAP_CI && cap->gpu == list->gpus[gpu].minor)
			list->migs[list->n_migs++] = (struct mig_device){
				.gpu = gpu, .index = index++, .gi = cap->gi, .ci = cap->ci,
			};
	}
}

int mig_list_fill(struct gpu_list *list, const struct nvcap_list *nvcaps)
{
	struct mig_device *migs = calloc(nvcaps->n + 1, sizeof(*migs));

	if (!migs)
		return -ENOMEM;
	free(list->migs);
	list->migs = migs;
	list->n_migs = 0;
	for (size_t i = 0; i < list->n; i++)
		if (list->gpus[i].usable) /* of whose minor there is no other */
			add_of_gpu(list, i, nvcaps);
	return 0;
}
