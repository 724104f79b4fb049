/* SPDX-License-Identifier: Apache-2.0 */
/* The driver: its module, the files that go with it, the GPUs, and their device nodes. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/query.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/hostnodes.h"
#include "fs/kmods.h"
#include "nvml/driver.h"
#include "nvml/driver_version.h"
#include "nvml/gpu.h"

#define PROBLEMS_MAX 8 /* nvfs driver tells all */
#define MAKE_NODES "nvidia-modprobe -c 0 -u -m, or load_kmods = yes in nvfs.conf(5)"

static void check_no_module(const struct doctor *doctor, json_t *report)
{
	const char *proc_root = doctor->config.proc_root;

	if (!kmods_has_device(proc_root))
		doctor_say(report, "driver", DOCTOR_WARN,
			   "nothing, where this node is to have no GPU; else lspci",
			   "no module, and no GPU of NVIDIA's on the PCI bus");
	else if (kmods_is_loaded(proc_root, "nouveau"))
		doctor_say(report, "driver", DOCTOR_FAIL,
			   "blacklist nouveau, and start the machine anew",
			   "the module nouveau has the GPU, and nvidia is not loaded");
	else
		doctor_say(report, "driver", DOCTOR_FAIL,
			   "modprobe nvidia; dmesg says why it cannot be loaded",
			   "there is a GPU, and the module nvidia is not loaded");
}

/* @version: "" where none is loaded */
static void check_module(const struct doctor *doctor, json_t *report,
			 char version[DRIVER_VERSION_MAX])
{
	struct error err = { 0 };
	int r = driver_module_version(doctor->config.proc_root, version, &err);

	if (r < 0)
		doctor_say(report, "driver", DOCTOR_FAIL, "reinstall the driver", "%s", err.text);
	else if (!*version)
		check_no_module(doctor, report);
	else
		doctor_say(report, "driver", DOCTOR_OK, NULL, "the module nvidia %s is loaded",
			   version);
	if (r == 0 && *version && !kmods_is_loaded(doctor->config.proc_root, "nvidia-uvm"))
		doctor_say(report, "driver", DOCTOR_WARN,
			   "modprobe nvidia-uvm, or load_kmods = yes in nvfs.conf(5)",
			   "the module nvidia-uvm is not loaded: there is no CUDA");
}

static void say_problems(const struct driver *driver, json_t *report)
{
	size_t n = 0;

	for (size_t i = 0; i < driver->n_findings; i++) {
		if (!driver->findings[i].problem || n++ >= PROBLEMS_MAX)
			continue;
		doctor_say(report, "driver", DOCTOR_WARN, "nvfs driver", "%s",
			   driver->findings[i].text);
	}
	if (n > PROBLEMS_MAX)
		doctor_say(report, "driver", DOCTOR_WARN, "nvfs driver", "%zu more of this kind",
			   n - PROBLEMS_MAX);
}

static void check_files(const struct doctor *doctor, const char *module, json_t *report)
{
	const struct driver_config config = { .driver_root = doctor->config.driver_root,
					      .proc_root = doctor->config.proc_root,
					      .sys_root = doctor->config.sys_root,
					      .rules_dir = doctor->config.rules_dir };
	const char *served = varlink_string(doctor->status, "driver_version", NULL);
	struct driver *driver = NULL;
	struct error err = { 0 };

	if (driver_discover(&config, &driver, &err) < 0) {
		/* No GPU, no driver: that may be meant so. */
		bool wanted = *module || kmods_has_device(config.proc_root);

		doctor_say(report, "driver", wanted ? DOCTOR_FAIL : DOCTOR_WARN,
			   "install the user space of the module's version; driver_root in "
			   "nvfs.conf(5)",
			   "%s", err.text);
		return;
	}
	if (*module && strcmp(driver->version, module) != 0)
		doctor_say(report, "driver", DOCTOR_FAIL,
			   "load the module that the files are of, or start the machine anew",
			   "files of %s, module of %s", driver->version, module);
	else
		doctor_say(report, "driver", DOCTOR_OK, NULL, "%zu files%s%s below '%s'",
			   driver->n_files, *driver->version ? " of " : "", driver->version,
			   driver->root);
	if (served && strcmp(served, driver->version) != 0)
		doctor_say(report, "driver", DOCTOR_WARN, "nvfs generations; nvfs rescan",
			   "containers get %s, and the host has files of %s", served,
			   driver->version);
	say_problems(driver, report);
	driver_free(driver);
}

static void check_gpus(const struct doctor *doctor, const char *module, json_t *report)
{
	struct gpu_list *gpus = NULL;
	struct error err = { 0 };
	size_t usable = 0;

	if (!*module)
		return;
	if (gpu_list_new(doctor->config.proc_root, &gpus, &err) < 0) {
		doctor_say(report, "driver", DOCTOR_FAIL, "nvidia-smi; dmesg", "%s", err.text);
		return;
	}
	for (size_t i = 0; i < gpus->n; i++) {
		const struct gpu *gpu = &gpus->gpus[i];

		usable += gpu->usable;
		if (!gpu->usable && !gpu->excluded)
			doctor_say(report, "driver", DOCTOR_WARN, "nvidia-smi; dmesg | grep NVRM",
				   "GPU %s is not usable: %s", gpu->bus_id, gpu->note);
	}
	doctor_say(report, "driver", usable ? DOCTOR_OK : DOCTOR_FAIL,
		   usable ? NULL : "nvidia-smi; dmesg | grep NVRM", "%zu GPU%s, %zu usable",
		   gpus->n, gpus->n == 1 ? "" : "s", usable);
	gpu_list_free(gpus);
}

void doctor_driver(const struct doctor *doctor, json_t *report)
{
	char module[DRIVER_VERSION_MAX] = "";

	check_module(doctor, report, module);
	check_files(doctor, module, report);
	check_gpus(doctor, module, report);
}

/* device nodes */

struct nodes {
	const struct doctor *doctor;
	json_t *report;
	unsigned int right;
};

static void tell_node(void *data, const char *path, enum hostnodes_fault fault)
{
	static const char *const words[] = {
		[HOSTNODES_MISSING] = "is missing",
		[HOSTNODES_NO_DEVICE] = "is not a device",
		[HOSTNODES_NUMBER] = "has another number than /proc/devices says: of a module that "
				     "was loaded before",
		[HOSTNODES_MODE] = "has another owner or mode than the module's parameters say",
	};
	static const char *const remedies[] = {
		[HOSTNODES_MISSING] = MAKE_NODES,
		[HOSTNODES_NO_DEVICE] = "remove it, then " MAKE_NODES,
		[HOSTNODES_NUMBER] = "remove it, then " MAKE_NODES,
		[HOSTNODES_MODE] = "/proc/driver/nvidia/params: chmod, or set NVreg_DeviceFileMode",
	};
	struct nodes *nodes = data;

	nodes->right += fault == HOSTNODES_RIGHT;
	if (fault != HOSTNODES_RIGHT)
		doctor_say(nodes->report, "nodes",
			   fault == HOSTNODES_MODE ? DOCTOR_WARN : DOCTOR_FAIL, remedies[fault],
			   "'%s/%s' %s", nodes->doctor->config.dev_root, path, words[fault]);
}

void doctor_nodes(const struct doctor *doctor, json_t *report)
{
	struct nodes nodes = { .doctor = doctor, .report = report };
	struct error err = { 0 };
	int r = hostnodes_check(doctor->config.dev_root, doctor->config.proc_root, tell_node,
				&nodes, &err);

	if (r == -ENODEV)
		doctor_say(report, "nodes", DOCTOR_OK, NULL,
			   "none are wanted while no module is loaded");
	else if (r < 0)
		doctor_say(report, "nodes", DOCTOR_FAIL, "dev_root and proc_root in nvfs.conf(5)",
			   "%s", err.text);
	else
		doctor_say(report, "nodes", DOCTOR_OK, NULL,
			   "%u device nodes are as /proc/devices says", nodes.right);
}
