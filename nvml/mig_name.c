/* SPDX-License-Identifier: Apache-2.0 */
/* The one name of a MIG device that is known before NVML has told another. */
#include "nvml/mig_name.h"

#include <stdio.h>

#include "nvml/gpu.h"

void mig_name(const struct gpu_list *list, const struct mig_device *mig, char name[MIG_NAME_MAX])
{
	(void)snprintf(name, MIG_NAME_MAX, "MIG-%s/%u/%u", list->gpus[mig->gpu].uuid, mig->gi,
		       mig->ci);
}
