/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/planner.h"

#include <string.h>

#include "common/error.h"
#include "fs/fixed.h"
#include "fs/ipc.h"
#include "nvml/devnode.h"
#include "tests/unit/unit.h"

/* Without a mount there are no descriptors: the plan of a dry run, which is the same otherwise. */
START_TEST(a_plan_says_every_step_in_order)
{
	static const struct devnode nodes[] = {
		{ .path = "nvidiactl", .major = 195, .minor = 255, .access = 6 },
		{ .path = "nvidia0", .major = 195, .minor = 0, .access = 6 },
	};
	struct fixed_link link = { (char[]){ "/usr/bin/nvidia-smi" },
					  (char[]){ "/usr/local/nvidia/bin/nvidia-smi" }, NULL };
	const struct fixed_links links = { &link, 1 };
	const struct ipc_list ipcs = { .items[0] = { .target = "/run/x/socket", .fd = -1,
							    .path = (char[]){ "/run/x/socket" } },
					      .n = 1 };
	struct planner_input in = { .root_fd = -1,
				    .dev_fd = -1,
				    .mountpoint = "/run/nvfs",
				    .dev_root = "/dev",
				    .name = "c1",
				    .target = "/usr/local/nvidia",
				    .nodes = nodes,
				    .n_nodes = 2,
				    .cache_fd = -1,
				    .links = &links,
				    .ipcs = &ipcs,
				    .has_proc = true };
	struct planned plan;
	char *text;

	ck_assert_int_eq(planner_build(&in, &plan, NULL), 0);
	text = json_dumps(plan.steps, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	ck_assert_str_eq(text, "[{\"alternative\":\"/dev/nvfs\",\"step\":\"tree\",\"target\":\"/"
			       "usr/local/nvidia\"},"
			       "{\"step\":\"proc\",\"target\":\"/proc/driver/nvidia\"},"
			       "{\"access\":\"rw\",\"major\":195,\"minor\":255,\"step\":\"device\","
			       "\"target\":\"/dev/nvidiactl\"},"
			       "{\"access\":\"rw\",\"major\":195,\"minor\":0,\"step\":\"device\","
			       "\"target\":\"/dev/nvidia0\"},"
			       "{\"step\":\"socket\",\"target\":\"/run/x/socket\"},"
			       "{\"alternative\":\"/etc/ld.so.conf.d/00-nvfs-driver.conf\","
			       "\"content\":\"# made by nvfs; its libraries of the NVIDIA driver\\n"
			       "/usr/local/nvidia/lib64\\n\",\"step\":\"file\","
			       "\"target\":\"/etc/ld.so.conf.d/00-nvfs.conf\"},"
			       "{\"step\":\"cache\",\"target\":\"/etc/ld.so.cache\"},"
			       "{\"step\":\"link\",\"target\":\"/usr/bin/nvidia-smi\",\"to\":\"/"
			       "usr/local/nvidia/bin/nvidia-smi\"}]");
	ck_assert_uint_eq(plan.n_fds, 0);
	free(text);
	planned_done(&plan);
}
END_TEST

START_TEST(without_a_module_there_is_no_proc_step)
{
	struct planner_input in = { .root_fd = -1,
				    .dev_fd = -1,
				    .mountpoint = "/run/nvfs",
				    .dev_root = "/dev",
				    .name = "c1",
				    .target = "/dev/nvfs",
				    .cache_fd = -1 };
	struct planned plan;

	ck_assert_int_eq(planner_build(&in, &plan, NULL), 0);
	ck_assert_uint_eq(json_array_size(plan.steps), 3);
	planned_done(&plan);
}
END_TEST

UNIT_MAIN("planner", a_plan_says_every_step_in_order, without_a_module_there_is_no_proc_step)
