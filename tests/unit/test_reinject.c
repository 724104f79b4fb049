/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/reinject_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "nvml/gpu.h"
#include "tests/unit/unit.h"

#define SPEC(gpus)                                                                            \
	"{\"id\":\"c1\",\"driver_capabilities\":\"compute,utility\",\"target\":\"/usr/local/" \
	"nvidia\",\"gpus\":" gpus "}"

static struct gpu gpus[] = { { .uuid = "GPU-a" }, { .uuid = "GPU-b" } };
static struct gpu_list list = { .gpus = gpus, .n = 2 };

static struct reinject_request request_of(const char *spec)
{
	return (struct reinject_request){ .program = "/bin/true",
					  .socket = "/run/s",
					  .spec = spec,
					  .done = "[{\"step\":\"tree\"},{\"step\":\"cgroup\"}]",
					  .gpus = &list,
					  .pid = 42,
					  .owner = -1 };
}

/* The arguments with blanks between. */
static void ck_command(const struct reinject_request *request, const char *wanted)
{
	struct reinject_command command = { .n = 0 };
	struct error err = { 0 };
	char text[512] = "";

	ck_assert_msg(reinject_command_build(request, &command, &err) == 0, "%s", err.text);
	ck_assert_str_eq(command.program, "/bin/true");
	for (size_t i = 0; command.argv[i]; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			       i ? " " : "", command.argv[i]);
	ck_assert_str_eq(text, wanted);
	reinject_command_done(&command);
}

#define COMMAND(devices, more)                                                                     \
	"nvinject --socket /run/s --client nvfs --pid 42 --id c1 --devices " devices                           \
	" --driver-capabilities compute,utility --target /usr/local/nvidia" more

START_TEST(the_request_is_repeated)
{
	struct reinject_request request = request_of(SPEC("[\"GPU-b\", \"GPU-a\"]"));

	ck_command(&request, COMMAND("GPU-b,GPU-a", ""));
}
END_TEST

START_TEST(the_choice_of_libcuda_is_the_same_again)
{
	struct reinject_request request = request_of(
		"{\"id\":\"c1\",\"driver_capabilities\":\"compute,utility\",\"target\":\"/usr/"
		"local/nvidia\","
		"\"gpus\":[\"GPU-b\"],\"cuda_compat_mode\":\"ldconfig\",\"compat\":\"file "
		"libx.so\"}");

	ck_command(&request, COMMAND("GPU-b", " --cuda-compat-mode ldconfig"));
}
END_TEST

START_TEST(what_was_left_out_is_left_out_again)
{
	struct reinject_request request = request_of(
		"{\"id\":\"c1\",\"driver_capabilities\":\"compute,utility\",\"target\":\"/usr/"
		"local/nvidia\","
		"\"gpus\":[\"GPU-b\"],\"without\":\"devices\",\"classic_paths\":true}");

	ck_command(&request, COMMAND("GPU-b", " --without devices --classic-paths"));
}
END_TEST

START_TEST(a_gpu_that_is_gone_is_not_replaced_by_another)
{
	struct reinject_request request = request_of(SPEC("[\"GPU-c\", \"GPU-b\", \"\", 5]"));

	ck_command(&request, COMMAND("GPU-b", ""));
	request = request_of(SPEC("[\"GPU-c\"]"));
	ck_command(&request, COMMAND("none", ""));
	request = request_of(SPEC("[]"));
	ck_command(&request, COMMAND("none", ""));
}
END_TEST

START_TEST(mig_devices_channels_and_control_are_repeated_as_far_as_they_are_there)
{
	static struct mig_device migs[] = { { .gpu = 1, .gi = 2, .ci = 0, .uuid = "MIG-new" },
					    { .gpu = 1, .gi = 3, .ci = 0 } };
	static const char given[] =
		"[\"GPU-b\"],\"migs\":[{\"name\":\"MIG-GPU-b/2/0\",\"uuid\":\"%s\"},"
		"{\"name\":\"MIG-GPU-b/3/0\",\"uuid\":\"MIG-x\"},{\"name\":\"MIG-GPU-b/9/0\"},7]%s";
	struct reinject_request request;
	char spec[512], head[] = SPEC("");

	head[strlen(head) - 1] = '\0';
	list.migs = migs;
	list.n_migs = 2;
	(void)sprintf(spec, "%s", head);
	(void)sprintf(spec + strlen(spec), given, "MIG-new", "}");
	request = request_of(spec);
	ck_command(&request, COMMAND("GPU-b,MIG-GPU-b/2/0,MIG-GPU-b/3/0", ""));
	(void)sprintf(spec, "%s", head);
	(void)sprintf(spec + strlen(spec), given, "MIG-old", ",\"imex_channels\":[0,7]}");
	request = request_of(spec);
	ck_command(&request, COMMAND("GPU-b,MIG-GPU-b/3/0", " --imex-channel 0,7"));
	(void)sprintf(spec, "%s", head);
	(void)sprintf(spec + strlen(spec), given, "MIG-new",
		      ",\"mig_config\":true,\"mig_monitor\":true}");
	request = request_of(spec);
	ck_command(&request, COMMAND("GPU-b", " --mig-config all --mig-monitor all"));
	list.n_migs = 0;
}
END_TEST

START_TEST(a_cgroup_is_changed_only_if_it_was_before)
{
	struct reinject_request request = request_of(SPEC("[\"GPU-a\"]"));

	request.done = "[{\"step\":\"tree\"}]";
	ck_command(&request, COMMAND("GPU-a", " --no-cgroup"));
	request.done = NULL;
	ck_command(&request, COMMAND("GPU-a", " --no-cgroup"));
	request.done = "nonsense";
	ck_command(&request, COMMAND("GPU-a", " --no-cgroup"));
}
END_TEST

START_TEST(a_users_container_is_entered_as_that_user)
{
	struct reinject_request request = request_of(SPEC("[\"GPU-a\"]"));

	request.done = "[{\"step\":\"tree\"}]";
	request.owner = 1234;
	ck_command(&request, COMMAND("GPU-a", " --owner 1234 --no-cgroup"));
	request.owner = 4294967294; /* an int would not do */
	ck_command(&request, COMMAND("GPU-a", " --owner 4294967294 --no-cgroup"));
}
END_TEST

START_TEST(without_the_program_the_error_names_it_and_the_remedy)
{
	struct reinject_request request = request_of(SPEC("[]"));
	struct reinject_command command = { .n = 0 };
	struct error err = { 0 };

	request.program = "/no/such/nvinject";
	ck_assert_int_eq(reinject_command_build(&request, &command, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "'/no/such/nvinject'"));
	ck_assert_ptr_nonnull(strstr(err.remedy, "nvfs.conf"));
	reinject_command_done(&command);
}
END_TEST

START_TEST(a_damaged_request_is_refused)
{
	struct reinject_request request = request_of("{");
	struct reinject_command command = { .n = 0 };

	ck_assert_int_eq(reinject_command_build(&request, &command, NULL), -EBADMSG);
	reinject_command_done(&command);
}
END_TEST

UNIT_MAIN("reinject", the_request_is_repeated, the_choice_of_libcuda_is_the_same_again,
	  what_was_left_out_is_left_out_again, a_gpu_that_is_gone_is_not_replaced_by_another,
	  a_cgroup_is_changed_only_if_it_was_before,
	  mig_devices_channels_and_control_are_repeated_as_far_as_they_are_there,
	  a_users_container_is_entered_as_that_user,
	  without_the_program_the_error_names_it_and_the_remedy, a_damaged_request_is_refused)
