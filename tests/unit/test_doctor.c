/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/varlink.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static char root[64];
static struct doctor doctor;
static json_t *report;

static void begin(void)
{
	scratch_new(root);
	ck_assert_int_eq(config_init(&doctor.config), 0);
	doctor.root = root;
	doctor.config_path = "/nonexistent/nvfs.conf";
	doctor.config_optional = true;
	report = json_array();
}

static void end(void)
{
	json_decref(report);
	config_done(&doctor.config);
	scratch_remove(root);
}

static void set_path(const char *key, const char *name)
{
	char path[512];

	scratch_path(path, root, name);
	ck_assert_int_eq(config_set(&doctor.config, key, path, NULL), 0);
}

/* Is there a finding of this state with these words? */
static bool says(const char *state, const char *words)
{
	const json_t *finding;
	size_t i;

	json_array_foreach(report, i, finding) {
		if (strcmp(varlink_string(finding, "state", ""), state) == 0 &&
		    strstr(varlink_string(finding, "what", ""), words)) {
			/* What is not well has a remedy, and what is well none. */
			ck_assert_int_eq(json_is_string(json_object_get(finding, "remedy")),
					 strcmp(state, "ok") != 0);
			return true;
		}
	}
	return false;
}

static void check_says(const char *state, const char *words)
{
	char *all = json_dumps(report, JSON_INDENT(1));

	ck_assert_msg(says(state, words), "no %s '%s' in %s", state, words, all);
	free(all);
}

static void check_only_ok(void)
{
	check_says("ok", "");
	ck_assert(!says("warn", ""));
	ck_assert(!says("fail", ""));
}

START_TEST(what_strangers_wrote_is_printable)
{
	begin();
	doctor_say(report, "x", DOCTOR_WARN, "y", "name '\033[31m\n\303\244'");
	check_says("warn", "name '?[31m?");
	end();
}
END_TEST

/* the driver */

#define PCI "0030\t10de2330\t0\n"

START_TEST(a_module_that_is_not_loaded_is_told_by_what_else_is_there)
{
	begin();
	set_path("proc_root", "proc");
	set_path("driver_root", "nowhere");
	scratch_text(root, "proc/modules", "ext4 1 0 - Live 0x0\n");
	doctor_driver(&doctor, report);
	check_says("warn", "no GPU of NVIDIA's on the PCI bus");
	scratch_text(root, "proc/bus/pci/devices", PCI);
	doctor_driver(&doctor, report);
	check_says("fail", "the module nvidia is not loaded");
	scratch_text(root, "proc/modules", "nouveau 1 0 - Live 0x0\n");
	doctor_driver(&doctor, report);
	check_says("fail", "nouveau has the GPU");
	check_says("warn", "nowhere");
	check_says("fail", "nowhere");
	end();
}
END_TEST

static void make_proc(void)
{
	scratch_text(root, "proc/driver/nvidia/version",
		     "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.261.03  Release Build\n");
	scratch_text(root, "proc/modules", "nvidia 1 0 - Live 0x0\nnvidia_uvm 1 0 - Live 0x0\n");
	scratch_text(root, "proc/devices", "Character devices:\n195 nvidia\n510 nvidia-uvm\n");
	set_path("proc_root", "proc");
	set_path("dev_root", "dev");
	set_path("driver_root", "nowhere");
}

START_TEST(files_and_nodes_that_are_missing_are_told_by_name)
{
	begin();
	make_proc();
	scratch_text(root, "dev/nvidiactl", "a file");
	doctor_driver(&doctor, report);
	check_says("ok", "535.261.03 is loaded");
	check_says("fail", "0 GPUs, 0 usable");
	doctor_nodes(&doctor, report);
	check_says("fail", "/nvidiactl' is not a device");
	check_says("fail", "/nvidia-uvm' is missing");
	end();
}
END_TEST

START_TEST(without_a_module_no_node_is_missed)
{
	begin();
	set_path("proc_root", "proc");
	scratch_text(root, "dev/x", "");
	set_path("dev_root", "dev");
	doctor_nodes(&doctor, report);
	check_only_ok();
	end();
}
END_TEST

/* engines */

START_TEST(nobody_else_is_well)
{
	begin();
	doctor_engines(&doctor, report);
	check_only_ok();
	end();
}
END_TEST

START_TEST(two_files_of_one_kind_are_refused_by_engines)
{
	begin();
	scratch_text(root, "var/run/cdi/nvfs.json", "{ \"kind\": \"nvfs.dev/gpu\" }");
	scratch_text(root, "etc/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n");
	doctor_engines(&doctor, report);
	check_says("ok", "cdi/nvfs.json' has nvfs.dev/gpu");
	check_says("ok", "nvidia.yaml' has nvidia.com/gpu");
	scratch_text(root, "etc/cdi/copy.json", "{ \"kind\": \"nvfs.dev/gpu\" }");
	scratch_text(root, "var/run/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n");
	doctor_engines(&doctor, report);
	check_says("fail", "2 CDI files have nvfs.dev/gpu");
	check_says("fail", "2 CDI files have nvidia.com/gpu");
	end();
}
END_TEST

#define OUR_HOOK "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/usr/local/bin/nvinject\"}}"
#define THEIR_HOOK \
	"{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/usr/bin/nvidia-container-toolkit\"}}"

START_TEST(two_hooks_for_one_gpu_are_a_failure)
{
	begin();
	scratch_text(root, "etc/containers/oci/hooks.d/nvfs.json", OUR_HOOK);
	scratch_text(root, "etc/containers/oci/hooks.d/broken.json", "{");
	scratch_text(root, "etc/containers/oci/hooks.d/README", THEIR_HOOK);
	doctor_engines(&doctor, report);
	check_only_ok();
	scratch_text(root, "usr/share/containers/oci/hooks.d/oci-nvidia-hook.json", THEIR_HOOK);
	doctor_engines(&doctor, report);
	check_says("fail", "'/etc/containers/oci/hooks.d/nvfs.json' is nvfs's");
	end();
}
END_TEST

START_TEST(nvidias_hook_alone_is_a_warning)
{
	begin();
	scratch_text(root, "usr/share/containers/oci/hooks.d/oci-nvidia-hook.json", THEIR_HOOK);
	doctor_engines(&doctor, report);
	check_says("warn", "NVIDIA's own tool");
	end();
}
END_TEST

START_TEST(a_link_of_nvidias_name_to_nvinject_is_ours)
{
	char path[512];

	begin();
	scratch_text(root, "usr/bin/nvidia-container-runtime-hook", "#!/bin/sh\n");
	doctor_engines(&doctor, report);
	check_says("warn", "'/usr/bin/nvidia-container-runtime-hook' is NVIDIA's own");
	scratch_text(root, "usr/local/bin/nvinject", "");
	scratch_path(path, root, "usr/local/bin/nvidia-container-runtime-hook");
	ck_assert_int_eq(symlink("nvinject", path), 0);
	json_array_clear(report);
	doctor_engines(&doctor, report);
	check_says("ok", "'/usr/local/bin/nvidia-container-runtime-hook' is nvfs's");
	ck_assert(!says("warn", ""));
	end();
}
END_TEST

START_TEST(runtimes_of_docker_and_containerd_are_told_apart)
{
	begin();
	scratch_text(root, "etc/docker/daemon.json",
		     "{\"default-runtime\":\"nvidia\",\"runtimes\":{\"nvidia\":{\"path\":\"nvidia-"
		     "container-runtime\"},"
		     "\"nvfs\":{\"path\":\"/usr/local/bin/nvfs-runtime\"},\"kata\":{\"path\":\"/x/"
		     "kata\"}}}");
	scratch_text(root, "etc/containerd/config.toml",
		     "BinaryName = \"/usr/bin/nvidia-container-runtime\"\n");
	doctor_engines(&doctor, report);
	check_says("warn", "docker: runtime 'nvidia', the default, is NVIDIA's own");
	check_says("ok", "docker: runtime 'nvfs' is");
	ck_assert(!says("ok", "kata"));
	check_says("warn", "containerd:");
	scratch_text(root, "etc/docker/daemon.json", "{\"runtimes\":");
	doctor_engines(&doctor, report);
	check_says("fail", "daemon.json' line 1");
	end();
}
END_TEST

START_TEST(pieces_of_configuration_and_the_tool_by_its_name_are_found)
{
	begin();
	scratch_text(root, "etc/containerd/conf.d/99-nvidia.toml",
		     "BinaryName = \"/usr/bin/nvidia-container-runtime\"\n");
	scratch_text(root, "etc/crio/crio.conf.d/99-nvidia.conf",
		     "runtime_path = \"/usr/bin/nvidia-container-runtime.cdi\"\n");
	scratch_text(root, "etc/crio/crio.conf.d/90-nvfs.conf",
		     "runtime_path = \"/usr/bin/nvfs-runtime\"\n");
	scratch_text(root, "usr/bin/nvidia-container-cli", "");
	doctor_engines(&doctor, report);
	check_says("warn", "containerd: '/etc/containerd/conf.d/99-nvidia.toml' names");
	check_says("warn", "crio: '/etc/crio/crio.conf.d/99-nvidia.conf' names");
	check_says("ok", "crio: '/etc/crio/crio.conf.d/90-nvfs.conf' names nvfs-runtime");
	check_says("warn", "'/usr/bin/nvidia-container-cli' is NVIDIA's own");
	scratch_text(root, "usr/libexec/nvfs/nvidia-container-cli", "");
	scratch_link(root, "usr/local/bin/nvidia-container-cli",
		     "../../libexec/nvfs/nvidia-container-cli");
	doctor_engines(&doctor, report);
	check_says("ok", "'/usr/local/bin/nvidia-container-cli' is nvfs's");
	end();
}
END_TEST

/* configuration, daemon, container */

START_TEST(an_unknown_key_is_told_with_its_line)
{
	char path[512];

	begin();
	doctor_config(&doctor, report);
	check_only_ok();
	scratch_text(root, "nvfs.conf", "[nvfs]\ngrace = 1\ngracee = 1\n");
	scratch_path(path, root, "nvfs.conf");
	doctor.config_path = path;
	doctor_config(&doctor, report);
	check_says("warn", "nvfs.conf:3: key 'gracee' is unknown");
	scratch_text(root, "nvfs.conf", "grace = soon\n");
	doctor_config(&doctor, report);
	check_says("fail", "nvfs.conf:1: grace");
	end();
}
END_TEST

START_TEST(what_the_daemon_says_of_itself_is_passed_on)
{
	begin();
	doctor_daemon(&doctor, report);
	ck_assert_uint_eq(json_array_size(report), 0);
	doctor.check = json_pack("{s:s, s:[s]}", "state", "down", "reasons",
				 "connect to 'x': No such file");
	doctor_daemon(&doctor, report);
	check_says("fail", "connect to 'x'");
	json_decref(doctor.check);
	doctor.check = json_pack("{s:s, s:[s, s]}", "state", "degraded", "reasons",
				 "the keeper is gone", "no driver");
	doctor.status = json_pack("{s:s}", "version", "0.0.1");
	doctor_daemon(&doctor, report);
	check_says("warn", "the keeper is gone");
	check_says("warn", "no driver");
	check_says("warn", "it is nvfs 0.0.1");
	json_decref(doctor.check);
	json_decref(doctor.status);
	end();
}
END_TEST

START_TEST(a_process_that_is_none_and_one_without_a_tree_are_failures)
{
	begin();
	doctor_container(&doctor, report);
	ck_assert_uint_eq(json_array_size(report), 0);
	doctor.pid = 0x7ffffff0;
	doctor_container(&doctor, report);
	check_says("fail", "process 2147483632");
	doctor.pid = getpid();
	doctor_container(&doctor, report);
	check_says("fail", "no tree is mounted");
	end();
}
END_TEST

UNIT_MAIN("doctor", what_strangers_wrote_is_printable,
	  a_module_that_is_not_loaded_is_told_by_what_else_is_there,
	  files_and_nodes_that_are_missing_are_told_by_name, without_a_module_no_node_is_missed,
	  nobody_else_is_well, two_files_of_one_kind_are_refused_by_engines,
	  two_hooks_for_one_gpu_are_a_failure, nvidias_hook_alone_is_a_warning,
	  a_link_of_nvidias_name_to_nvinject_is_ours,
	  runtimes_of_docker_and_containerd_are_told_apart,
	  pieces_of_configuration_and_the_tool_by_its_name_are_found, an_unknown_key_is_told_with_its_line,
	  what_the_daemon_says_of_itself_is_passed_on,
	  a_process_that_is_none_and_one_without_a_tree_are_failures)
