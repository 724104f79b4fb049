/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"

#include "tests/unit/unit.h"

#define SWARM "DOCKER_RESOURCE_GPU, DOCKER_RESOURCE_MORE"

static struct hook_wish wish_of_cdi(const char *config, const char *device)
{
	const struct hook_rules rules = { .swarm = SWARM, .cdi_device = device };
	struct hook_wish wish = { 0 };
	struct error err = { 0 };
	int r = hook_config_parse(config, strlen(config), &rules, &wish, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	return wish;
}

static struct hook_wish wish_of(const char *config)
{
	return wish_of_cdi(config, NULL);
}

static void refuse_state(const char *text, const char *what)
{
	struct hook_state state = { 0 };
	struct error err = { 0 };

	ck_assert_int_eq(hook_state_parse(text, strlen(text), &state, &err), -EINVAL);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	ck_assert_msg(strstr(err.text, what) != NULL, "'%s' does not say '%s'", err.text, what);
}

START_TEST(a_state_of_runc_and_one_of_crun_are_read)
{
	const char *runc = "{\"ociVersion\":\"1.0.2\",\"id\":\"c1\",\"status\":\"creating\","
			   "\"pid\":4123,\"bundle\":\"/b\",\"annotations\":{}}";
	const char *crun = "{\"id\":\"c2\",\"pid\":0,\"root\":\"/b/rootfs\",\"bundle\":\"/\"}";
	struct hook_state state = { 0 };

	ck_assert_int_eq(hook_state_parse(runc, strlen(runc), &state, NULL), 0);
	ck_assert_str_eq(state.id, "c1");
	ck_assert_str_eq(state.bundle, "/b");
	ck_assert_int_eq(state.pid, 4123);
	ck_assert_ptr_null(state.root);
	hook_state_done(&state);
	ck_assert_int_eq(hook_state_parse(crun, strlen(crun), &state, NULL), 0);
	ck_assert_str_eq(state.root, "/b/rootfs");
	ck_assert_int_eq(state.pid, 0);
	hook_state_done(&state);
}
END_TEST

START_TEST(the_containers_own_view_of_its_pid_is_none)
{
	const char *one = "{\"id\":\"c\",\"pid\":1,\"bundle\":\"/b\"}";
	const char *absent = "{\"id\":\"c\",\"bundle\":\"/b\"}";
	struct hook_state state = { 0 };

	ck_assert_int_eq(hook_state_parse(one, strlen(one), &state, NULL), 0);
	ck_assert_int_eq(state.pid, 0);
	hook_state_done(&state);
	ck_assert_int_eq(hook_state_parse(absent, strlen(absent), &state, NULL), 0);
	ck_assert_int_eq(state.pid, 0);
	hook_state_done(&state);
}
END_TEST

START_TEST(a_bad_state_is_refused_by_name)
{
	refuse_state("", "state is not JSON");
	refuse_state("nonsense", "state is not JSON");
	refuse_state("[]", "state is not a JSON object");
	refuse_state("{}", "'id' is missing");
	refuse_state("{\"id\":\"c\"}", "'bundle' is missing");
	refuse_state("{\"id\":7,\"bundle\":\"/b\"}", "'id' is not a string");
	refuse_state("{\"id\":\"c\",\"bundle\":\"b\"}", "not an absolute path");
	refuse_state("{\"id\":\"../x\",\"bundle\":\"/b\"}", "cannot be the id");
	refuse_state("{\"id\":\"c\",\"bundle\":\"/b\",\"pid\":\"1\"}", "'pid' is not a process id");
	refuse_state("{\"id\":\"c\",\"bundle\":\"/b\",\"pid\":-4}", "'pid' is not a process id");
	refuse_state("{\"id\":\"c\",\"bundle\":\"/b\"", "state is not JSON");
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
	char text[100001];

	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	refuse_state(text, "state is not JSON");
	for (size_t i = 0; i + 5 < sizeof(text); i += 5)
		memcpy(text + i, "{\"a\":", 5);
	refuse_state(text, "state is not JSON");
}
END_TEST

#define MOUNT_OF(source, name) \
	"{\"destination\":\"/var/run/nvidia-container-devices/" name "\",\"source\":\"" source "\"}"
#define MOUNT(name) MOUNT_OF("/dev/null", name)
#define VISIBLE(list) "\"NVIDIA_VISIBLE_DEVICES=" list "\""
#define CAPS(list) "\"NVIDIA_DRIVER_CAPABILITIES=" list "\""
#define LEGACY "\"CUDA_VERSION=8.0\""

START_TEST(environment_and_mounts_choose_as_with_the_toolkit_rule_by_rule)
{
	static const struct {
		const char *rule, *env, *mounts;
		const char *devices, *caps; /* NULL: nothing is wanted; the daemon's default */
	} samples[] = {
		{ "unset: no GPU container", "", "", NULL, NULL },
		{ "unset, legacy image: all", LEGACY, "", "all", "all" },
		{ "unset, NVIDIA_REQUIRE_CUDA: no legacy image",
		  LEGACY ",\"NVIDIA_REQUIRE_CUDA=cuda>=8.0\"", "", NULL, NULL },
		{ "NVIDIA_REQUIRE_CUDA is empty: legacy image", LEGACY ",\"NVIDIA_REQUIRE_CUDA=\"",
		  "", "all", "all" },
		{ "CUDA_VERSION is empty: no legacy image", "\"CUDA_VERSION=\"", "", NULL, NULL },
		{ "set, legacy image: the list counts", LEGACY "," VISIBLE("1"), "", "1", "all" },
		{ "empty, legacy image: nothing", LEGACY "," VISIBLE(""), "", NULL, NULL },
		{ "empty: nothing", VISIBLE(""), "", NULL, NULL },
		{ "void: nothing", VISIBLE("void"), "", NULL, NULL },
		{ "void anywhere: nothing", VISIBLE("0, void"), "", NULL, NULL },
		{ "void and all: nothing", VISIBLE("all,void"), "", NULL, NULL },
		{ "all", VISIBLE("all"), "", "all", NULL },
		{ "all wins", VISIBLE("0,all"), "", "all", NULL },
		{ "none: the driver, no GPUs", VISIBLE("none"), "", "none", NULL },
		{ "none wins", VISIBLE("0,none"), "", "none", NULL },
		{ "trimmed, empty ones dropped", VISIBLE(" 0 ,,1"), "", "0,1", NULL },
		{ "nothing but empty ones: nothing", VISIBLE(" ,,"), "", NULL, NULL },
		{ "index, UUID, bus id", VISIBLE("0,GPU-1,0000:00:06.0"), "",
		  "0,GPU-1,0000:00:06.0", NULL },
		{ "MIG", VISIBLE("0:1,MIG-1,MIG-GPU-1/2/0"), "", "0:1,MIG-1,MIG-GPU-1/2/0", NULL },
		{ "names of CDI", VISIBLE("nvidia.com/gpu=0"), "", "nvidia.com/gpu=0", NULL },
		{ "the last one counts", VISIBLE("0") "," VISIBLE("1"), "", "1", NULL },
		{ "a whole name", "\"NVIDIA_VISIBLE_DEVICESX=0\"", "", NULL, NULL },
		{ "swarm resource", "\"DOCKER_RESOURCE_GPU=GPU-1\"", "", "GPU-1", NULL },
		{ "swarm resource counts more", VISIBLE("0") ",\"DOCKER_RESOURCE_GPU=1\"", "", "1",
		  NULL },
		{ "swarm resource, set and empty: nothing",
		  VISIBLE("0") ",\"DOCKER_RESOURCE_GPU=\"", "", NULL, NULL },
		{ "swarm resource: several add up",
		  "\"DOCKER_RESOURCE_MORE=2\",\"DOCKER_RESOURCE_GPU=0, 1\"", "", "0,1,2", NULL },
		{ "swarm resource: void anywhere",
		  "\"DOCKER_RESOURCE_MORE=void\",\"DOCKER_RESOURCE_GPU=0\"", "", NULL, NULL },
		{ "swarm resource, legacy image: no all", LEGACY ",\"DOCKER_RESOURCE_GPU=\"", "",
		  NULL, NULL },
		{ "swarm resource, legacy image: the capabilities stay",
		  LEGACY ",\"DOCKER_RESOURCE_GPU=0\"", "", "0", "all" },
		{ "swarm resource: a name that is not in the setting", "\"DOCKER_RESOURCE_TPU=0\"",
		  "", NULL, NULL },
		{ "mounts count more than a swarm resource", "\"DOCKER_RESOURCE_GPU=1\"",
		  MOUNT("0"), "0", NULL },
		{ "gated variables are for others",
		  "\"NVIDIA_GDS=enabled\",\"NVIDIA_MOFED=enabled\"", "", NULL, NULL },
		{ "mounts", "", MOUNT("GPU-1") "," MOUNT("2"), "GPU-1,2", NULL },
		{ "mounts count more", VISIBLE("7"), MOUNT("0"), "0", NULL },
		{ "mounts below /run", "",
		  "{\"destination\":\"/run/nvidia-container-devices/0\",\"source\":\"/dev/null\"}",
		  "0", NULL },
		{ "mounts: an image's VOLUME", "",
		  MOUNT_OF("/var/lib/docker/volumes/1/_data", "all"), NULL, NULL },
		{ "mounts: no source", "",
		  "{\"destination\":\"/var/run/nvidia-container-devices/all\"}", NULL, NULL },
		{ "mounts: one of two", "", MOUNT_OF("/dev/zero", "0") "," MOUNT("1"), "1", NULL },
		{ "mounts: all", "", MOUNT("all"), "all", NULL },
		{ "mounts: void, then the environment", VISIBLE("1"), MOUNT("void"), "1", NULL },
		{ "mounts: IMEX channels are no devices", "", MOUNT("imex/0"), NULL, NULL },
		{ "mounts: CDI", "", MOUNT("cdi/nvidia.com/gpu/0"), "0", NULL },
		{ "mounts: CDI of others", "", MOUNT("cdi/example.com/net/0"), NULL, NULL },
		{ "mounts: the folder itself", "", MOUNT(""), NULL, NULL },
		{ "mounts: elsewhere", "",
		  "{\"destination\":\"/nvidia-container-devices/0\",\"source\":\"/dev/null\"}",
		  NULL, NULL },
		{ "capabilities: unset", VISIBLE("0"), "", "0", NULL },
		{ "capabilities: empty", VISIBLE("0") "," CAPS(""), "", "0", NULL },
		{ "capabilities: empty, legacy image", LEGACY "," VISIBLE("0") "," CAPS(""), "",
		  "0", NULL },
		{ "capabilities: a list", VISIBLE("0") "," CAPS("compute,video"), "", "0",
		  "compute,video" },
		{ "capabilities: all", VISIBLE("0") "," CAPS("all"), "", "0", "all" },
		{ "capabilities: unknown ones are the daemon's to refuse",
		  VISIBLE("0") "," CAPS("teleport"), "", "0", "teleport" },
		{ "capabilities: mounts, from the environment", CAPS("video"), MOUNT("0"), "0",
		  "video" },
	};
	char config[1024];

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct hook_wish wish;

		(void)snprintf(config, sizeof(config),
			       "{\"process\":{\"env\":[%s]},\"mounts\":[%s]}", samples[i].env,
			       samples[i].mounts);
		wish = wish_of(config);
		ck_assert_msg(wish.wanted == (samples[i].devices != NULL) &&
				      !strcmp(wish.devices ? wish.devices : "",
					      samples[i].devices ? samples[i].devices : "") &&
				      !strcmp(wish.driver_caps ? wish.driver_caps : "",
					      samples[i].caps ? samples[i].caps : ""),
			      "%s: devices '%s', capabilities '%s'", samples[i].rule,
			      wish.devices ? wish.devices : "",
			      wish.driver_caps ? wish.driver_caps : "");
		hook_wish_done(&wish);
	}
}
END_TEST

START_TEST(imex_channels_and_mig_control_go_along)
{
	static const struct {
		const char *rule, *env, *mounts, *channels, *source;
	} samples[] = {
		{ "none", VISIBLE("0"), "", NULL, NULL },
		{ "the environment", VISIBLE("0") ",\"NVIDIA_IMEX_CHANNELS=0,1\"", "", "0,1",
		  "env" },
		{ "mounts", VISIBLE("0"), MOUNT("imex/3") "," MOUNT("imex/4"), "3,4", "mounts" },
		{ "mounts count more", VISIBLE("0") ",\"NVIDIA_IMEX_CHANNELS=0\"", MOUNT("imex/3"),
		  "3", "mounts" },
		{ "GPUs by mounts", "\"NVIDIA_IMEX_CHANNELS=0\"", MOUNT("GPU-1"), "0", "env" },
		{ "the folder itself", VISIBLE("0"), MOUNT("imex/"), NULL, NULL },
		{ "below a channel", VISIBLE("0"), MOUNT("imex/1/2"), NULL, NULL },
		{ "nonsense is the daemon's to refuse", VISIBLE("0"), MOUNT("imex/all"), "all",
		  "mounts" },
	};
	static const char control[] = "{\"process\":{\"env\":[" VISIBLE(
		"all") ",\"NVIDIA_MIG_CONFIG_DEVICES=all\"]%s}}";
	const struct hook_rules rules = { 0 };
	char config[1024];
	struct hook_wish wish;
	struct error err = { 0 };

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		(void)snprintf(config, sizeof(config),
			       "{\"process\":{\"env\":[%s]},\"mounts\":[%s]}", samples[i].env,
			       samples[i].mounts);
		wish = wish_of(config);
		ck_assert_msg(wish.wanted &&
				      !strcmp(wish.imex_channels ? wish.imex_channels : "",
					      samples[i].channels ? samples[i].channels : ""),
			      "%s: '%s'", samples[i].rule, wish.imex_channels);
		if (samples[i].source)
			ck_assert_str_eq(wish.imex_source, samples[i].source);
		hook_wish_done(&wish);
	}
	wish = wish_of("{\"process\":{\"env\":[" VISIBLE("0") ",\"NVIDIA_NVSWITCH=enabled\"]}}");
	ck_assert(wish.nvswitch);
	hook_wish_done(&wish);
	wish = wish_of("{\"process\":{\"env\":[" VISIBLE("0") ",\"NVIDIA_NVSWITCH=1\"]}}");
	ck_assert(!wish.nvswitch);
	hook_wish_done(&wish);
	(void)snprintf(config, sizeof(config), control,
		       ",\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"]}");
	wish = wish_of(config);
	ck_assert_str_eq(wish.mig_config, "all");
	ck_assert_ptr_null(wish.mig_monitor);
	hook_wish_done(&wish);
	(void)snprintf(config, sizeof(config), control, "");
	ck_assert_int_eq(hook_config_parse(config, strlen(config), &rules, &wish, &err), -EPERM);
	ck_assert_ptr_nonnull(
		strstr(err.text, "cannot set MIG_CONFIG_DEVICES in non privileged container"));
}
END_TEST

START_TEST(requirements_go_along_with_what_is_wanted)
{
	struct hook_wish wish = wish_of("{\"process\":{\"env\":[\"NVIDIA_REQUIRE_CUDA=cuda>=12\","
					"\"NVIDIA_VISIBLE_DEVICES=0\"]}}");
	const char *bad = "{\"process\":{\"env\":[\"CUDA_VERSION=cu121\"]}}";
	const struct hook_rules rules = { 0 };
	struct error err = { 0 };

	ck_assert_uint_eq(json_array_size(wish.requirements), 1);
	ck_assert_str_eq(json_string_value(json_array_get(wish.requirements, 0)), "cuda>=12");
	hook_wish_done(&wish);
	/* A container without GPUs may require what it likes. */
	wish = wish_of(
		"{\"process\":{\"env\":[\"CUDA_VERSION=cu121\",\"NVIDIA_VISIBLE_DEVICES=\"]}}");
	ck_assert(!wish.wanted && !wish.requirements);
	hook_wish_done(&wish);
	ck_assert_int_eq(hook_config_parse(bad, strlen(bad), &rules, &wish, &err), -EINVAL);
	ck_assert_int_eq(err.class, ERROR_REQUIREMENT);
	ck_assert_ptr_nonnull(strstr(err.text, "CUDA_VERSION 'cu121'"));
}
END_TEST

START_TEST(device_mounts_count_more_than_the_environment)
{
	struct hook_wish wish = wish_of(
		"{\"mounts\":[{\"destination\":\"/proc\"},"
		"{\"destination\":\"/var/run/nvidia-container-devices/GPU-1\",\"source\":\"/dev/"
		"null\"},"
		MOUNT("2") "," MOUNT("imex/3") "],"
		"\"process\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES=7\"]}}");

	ck_assert_str_eq(wish.devices, "GPU-1,2");
	ck_assert_str_eq(wish.source, "mounts");
	hook_wish_done(&wish);
}
END_TEST

START_TEST(capabilities_privilege_and_root_are_read)
{
	struct hook_wish wish = wish_of(
		"{\"root\":{\"path\":\"rootfs\"},\"process\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES="
		"0\","
		"\"NVIDIA_DRIVER_CAPABILITIES=compute,video\"],"
		"\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_SYS_ADMIN\"]}}}");

	ck_assert_str_eq(wish.driver_caps, "compute,video");
	ck_assert_str_eq(wish.source, "env");
	ck_assert_str_eq(wish.root, "rootfs");
	ck_assert(wish.privileged);
	hook_wish_done(&wish);
}
END_TEST

/* Of the bounding set, and before runtime-spec 1.0.0-rc5 of a mere list. */
START_TEST(a_container_is_privileged_by_its_bounding_set_alone)
{
	static const struct {
		const char *rule, *caps;
		bool expected;
	} samples[] = {
		{ "bounding", "{\"bounding\":[\"CAP_SYS_ADMIN\"]}", true },
		{ "a list", "[\"CAP_KILL\",\"CAP_SYS_ADMIN\"]", true },
		{ "effective alone", "{\"effective\":[\"CAP_SYS_ADMIN\"],\"bounding\":[]}", false },
		{ "permitted alone", "{\"permitted\":[\"CAP_SYS_ADMIN\"]}", false },
		{ "another capability", "{\"bounding\":[\"CAP_SYS_ADMINX\",\"CAP_KILL\"]}", false },
		{ "none said", "null", false },
		{ "another shape", "{\"bounding\":\"CAP_SYS_ADMIN\"}", false },
	};
	char config[256];

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct hook_wish wish;

		(void)snprintf(config, sizeof(config),
			       "{\"process\":{\"env\":[" VISIBLE("0") "],\"capabilities\":%s}}",
			       samples[i].caps);
		wish = wish_of(config);
		ck_assert_msg(wish.privileged == samples[i].expected, "%s", samples[i].rule);
		hook_wish_done(&wish);
	}
}
END_TEST

START_TEST(members_of_wrong_types_ask_for_nothing)
{
	struct hook_wish wish = wish_of("{\"process\":7,\"mounts\":\"x\",\"root\":[]}");

	ck_assert(!wish.wanted);
	hook_wish_done(&wish);
	wish = wish_of("{\"process\":{\"env\":[1,null,{}]},\"mounts\":[7,{\"destination\":1}]}");
	ck_assert(!wish.wanted);
	hook_wish_done(&wish);
}
END_TEST

/* A bundle in a scratch directory, and its state on a pipe that ends. */
static int request_from(const char *config, const char *extra, struct request *req, char **why,
			struct error *err)
{
	char dir[] = "/tmp/nvfs-hook-XXXXXX", path[64], state[256];
	int fd, r;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/config.json", dir);
	if (config) {
		fd = open(path, O_WRONLY | O_CREAT, 0600);
		ck_assert_int_eq(file_write_all(fd, config, strlen(config)), 0);
		(void)close(fd);
	}
	(void)snprintf(state, sizeof(state), "{\"id\":\"c1\",\"bundle\":\"%s\"%s}", dir, extra);
	fd = file_memfd("state", state, strlen(state));
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	r = hook_request(req, fd, why, err);
	(void)close(fd);
	(void)unlink(path);
	(void)rmdir(dir);
	return r;
}

START_TEST(a_hook_becomes_a_request)
{
	struct request req = { .action = REQUEST_HOOK };
	char *why = NULL;

	ck_assert_int_eq(
		request_from("{\"root\":{\"path\":\"fs\"},\"process\":{\"env\":"
			     "[\"NVIDIA_VISIBLE_DEVICES=0\",\"NVIDIA_REQUIRE_CUDA=cuda>=9\"]}}",
			     ",\"pid\":4123", &req, &why, NULL),
		0);
	ck_assert_ptr_null(why);
	ck_assert_int_eq(req.action, REQUEST_INJECT);
	ck_assert_int_eq(req.pid, 4123);
	ck_assert(!req.standalone);
	ck_assert_str_eq(req.id, "c1");
	ck_assert_str_eq(req.devices, "0");
	ck_assert_str_eq(json_string_value(json_array_get(req.requirements, 0)), "cuda>=9");
	ck_assert_ptr_nonnull(strstr(req.rootfs, "/tmp/nvfs-hook-"));
	ck_assert_str_eq(req.rootfs + strlen(req.rootfs) - 3, "/fs");
	request_done(&req);
}
END_TEST

START_TEST(a_hook_without_a_pid_is_standalone_and_cruns_root_counts)
{
	struct request req = { .action = REQUEST_HOOK };
	char *why = NULL;

	ck_assert_int_eq(request_from("{\"root\":{\"path\":\"fs\"},\"process\":{\"env\":"
				      "[\"NVIDIA_VISIBLE_DEVICES=0\"]}}",
				      ",\"pid\":0,\"root\":\"/its/root\"", &req, &why, NULL),
			 0);
	ck_assert(req.standalone);
	ck_assert_str_eq(req.rootfs, "/its/root");
	request_done(&req);
}
END_TEST

START_TEST(a_container_without_gpus_is_not_wanted)
{
	struct request req = { .action = REQUEST_HOOK };
	char *why = NULL;

	ck_assert_int_eq(request_from("{\"process\":{\"env\":[]}}", "", &req, &why, NULL), 0);
	ck_assert_str_eq(why, "the container asks for no GPU");
	free(why);
	ck_assert_int_eq(req.action, REQUEST_HOOK);
	request_done(&req);
}
END_TEST

START_TEST(a_bundle_without_config_json_is_an_error)
{
	struct request req = { .action = REQUEST_HOOK };
	struct error err = { 0 };
	char *why = NULL;

	ck_assert_int_eq(request_from(NULL, "", &req, &why, &err), -ENOENT);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	ck_assert_ptr_nonnull(strstr(err.text, "config.json"));
	request_done(&req);
}
END_TEST

START_TEST(cdi_does_without_config_json_where_the_root_is_known)
{
	struct request req = { .action = REQUEST_HOOK };
	struct error err = { 0 };
	char *why = NULL;

	ck_assert_int_eq(request_set(&req.cdi_device, "GPU-1", NULL), 0);
	ck_assert_int_eq(request_from(NULL, "", &req, &why, &err), -ENOENT);
	ck_assert_int_eq(request_from(NULL, ",\"root\":\"/r\",\"pid\":77", &req, &why, NULL), 0);
	ck_assert_ptr_null(why);
	ck_assert_str_eq(req.devices, "GPU-1");
	ck_assert_str_eq(req.driver_caps, "all");
	ck_assert_str_eq(req.source, "cdi");
	ck_assert_str_eq(req.rootfs, "/r");
	request_done(&req);
}
END_TEST

START_TEST(ten_megabytes_of_state_are_refused)
{
	static char big[10 * 1024 * 1024];
	struct request req = { .action = REQUEST_HOOK };
	struct error err = { 0 };
	char *why = NULL;
	int fd;

	memset(big, ' ', sizeof(big));
	fd = file_memfd("state", big, sizeof(big));
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(hook_request(&req, fd, &why, &err), -EFBIG);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	(void)close(fd);
	request_done(&req);
}
END_TEST

START_TEST(unlimited_is_a_number_too)
{
	struct hook_wish wish = wish_of("{\"process\":{\"env\":[" VISIBLE(
		"0") "],\"rlimits\":[{\"type\":"
		     "\"RLIMIT_MEMLOCK\",\"hard\":18446744073709551615}]}}");

	ck_assert(wish.wanted);
	hook_wish_done(&wish);
}
END_TEST

#define CDI(name) "{\"path\":\"/n\",\"args\":[\"nvinject\",\"hook\",\"--cdi-device\",\"" name "\"]}"
#define OTHERS "{\"path\":\"/o\",\"args\":[\"o\",\"hook\"]},{\"path\":\"/p\"},7,"

START_TEST(the_first_hook_of_cdi_gives_all_devices)
{
	const char *two = "{\"process\":{\"env\":[" VISIBLE(
		"void") "]},\"hooks\":{\"createRuntime\":[" OTHERS
		CDI("GPU-1") "," CDI("none") "," CDI("GPU-2") "]}}";
	struct hook_wish wish = wish_of_cdi(two, "GPU-1");

	ck_assert(wish.wanted);
	ck_assert_str_eq(wish.devices, "GPU-1,GPU-2");
	ck_assert_str_eq(wish.source, "cdi");
	ck_assert_str_eq(wish.driver_caps, "all");
	hook_wish_done(&wish);
	wish = wish_of_cdi(two, "GPU-2");
	ck_assert(!wish.wanted && !wish.devices);
	ck_assert_ptr_nonnull(strstr(wish.why, "another"));
	hook_wish_done(&wish);
	/* One that is not of CDI sees what the specification's environment says. */
	wish = wish_of(two);
	ck_assert(!wish.wanted);
	hook_wish_done(&wish);
}
END_TEST

START_TEST(cdi_with_the_driver_alone_and_with_capabilities)
{
	struct hook_wish wish = wish_of_cdi(
		"{\"hooks\":{\"prestart\":[{\"args\":[\"n\",\"hook\","
		"\"--cdi-device=none\"]}]},\"process\":{\"env\":[" CAPS("utility") "]}}",
		"none");

	ck_assert_str_eq(wish.devices, "none");
	ck_assert_str_eq(wish.driver_caps, "utility");
	hook_wish_done(&wish);
	wish = wish_of_cdi("{}", "0"); /* the engine keeps its hooks elsewhere */
	ck_assert_str_eq(wish.devices, "0");
	hook_wish_done(&wish);
}
END_TEST

#define FILES(at)                                                                      \
	"{\"process\":{\"env\":[" VISIBLE("0") "]},\"mounts\":[{\"destination\":\"" at \
					       "\",\"source\":\"/x\"}]}"

START_TEST(who_has_the_driver_already_is_left_alone)
{
	struct hook_wish wish = wish_of(FILES("/usr/lib64/libnvidia-ml.so.580.95.05"));

	ck_assert(!wish.wanted && !wish.devices);
	ck_assert_ptr_nonnull(
		strstr(wish.why, "'/usr/lib64/libnvidia-ml.so.580.95.05' is mounted"));
	hook_wish_done(&wish);
	wish = wish_of(FILES("/usr/lib64/libcuda.so.1"));
	ck_assert(wish.wanted);
	hook_wish_done(&wish);
	wish = wish_of(FILES("/data/libcuda.so"));
	ck_assert(wish.wanted);
	hook_wish_done(&wish);
}
END_TEST

UNIT_MAIN("hook", unlimited_is_a_number_too, the_first_hook_of_cdi_gives_all_devices,
	  cdi_with_the_driver_alone_and_with_capabilities, who_has_the_driver_already_is_left_alone,
	  a_state_of_runc_and_one_of_crun_are_read, the_containers_own_view_of_its_pid_is_none,
	  a_bad_state_is_refused_by_name, deep_nesting_is_refused,
	  environment_and_mounts_choose_as_with_the_toolkit_rule_by_rule,
	  imex_channels_and_mig_control_go_along, requirements_go_along_with_what_is_wanted,
	  device_mounts_count_more_than_the_environment, capabilities_privilege_and_root_are_read,
	  a_container_is_privileged_by_its_bounding_set_alone,
	  members_of_wrong_types_ask_for_nothing, a_hook_becomes_a_request,
	  a_hook_without_a_pid_is_standalone_and_cruns_root_counts,
	  a_container_without_gpus_is_not_wanted, a_bundle_without_config_json_is_an_error,
	  cdi_does_without_config_json_where_the_root_is_known, ten_megabytes_of_state_are_refused)
