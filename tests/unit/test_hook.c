/* SPDX-License-Identifier: Apache-2.0 */
#include "inject/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"

#include "tests/unit/unit.h"

static struct hook_wish wish_of(const char *config)
{
	struct hook_wish wish = { 0 };
	struct error err = { 0 };
	int r = hook_config_parse(config, strlen(config), &wish, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	return wish;
}

static void expect_devices(const char *env, const char *devices)
{
	char config[512];
	struct hook_wish wish;

	(void)snprintf(config, sizeof(config), "{\"process\":{\"env\":[%s]}}", env);
	wish = wish_of(config);
	ck_assert_int_eq(wish.wanted, devices != NULL);
	if (devices)
		ck_assert_str_eq(wish.devices, devices);
	hook_wish_done(&wish);
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

START_TEST(the_environment_chooses_as_with_the_toolkit)
{
	expect_devices("", NULL);
	expect_devices("\"NVIDIA_VISIBLE_DEVICES=\"", NULL);
	expect_devices("\"NVIDIA_VISIBLE_DEVICES=void\"", NULL);
	expect_devices("\"NVIDIA_VISIBLE_DEVICES=0, void\"", NULL);
	expect_devices("\"NVIDIA_VISIBLE_DEVICES=all\"", "all");
	expect_devices("\"NVIDIA_VISIBLE_DEVICES=0,all\"", "all");
	expect_devices("\"NVIDIA_VISIBLE_DEVICES=none\"", "none");
	expect_devices("\"NVIDIA_VISIBLE_DEVICES= 0 ,,1\"", "0,1");
	expect_devices("\"NVIDIA_VISIBLE_DEVICES=0\",\"NVIDIA_VISIBLE_DEVICES=1\"", "1");
	expect_devices("\"NVIDIA_VISIBLE_DEVICESX=0\"", NULL);
}
END_TEST

START_TEST(an_image_of_the_oldest_kind_gets_all)
{
	struct hook_wish wish = wish_of("{\"process\":{\"env\":[\"CUDA_VERSION=8.0\"]}}");

	ck_assert(wish.wanted);
	ck_assert_str_eq(wish.devices, "all");
	ck_assert_str_eq(wish.driver_caps, "all");
	hook_wish_done(&wish);
	expect_devices("\"CUDA_VERSION=12.0\",\"NVIDIA_REQUIRE_CUDA=cuda>=12.0\"", NULL);
}
END_TEST

START_TEST(device_mounts_count_more_than_the_environment)
{
	struct hook_wish wish = wish_of(
		"{\"mounts\":[{\"destination\":\"/proc\"},"
		"{\"destination\":\"/var/run/nvidia-container-devices/GPU-1\",\"source\":\"/dev/"
		"null\"},"
		"{\"destination\":\"/var/run/nvidia-container-devices/2\"},"
		"{\"destination\":\"/var/run/nvidia-container-devices/imex/3\"}],"
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
static int request_from(const char *config, const char *extra, struct request *req, bool *wanted,
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
	r = hook_request(req, fd, wanted, err);
	(void)close(fd);
	(void)unlink(path);
	(void)rmdir(dir);
	return r;
}

START_TEST(a_hook_becomes_a_request)
{
	struct request req = { .action = REQUEST_HOOK };
	bool wanted = false;

	ck_assert_int_eq(request_from("{\"root\":{\"path\":\"fs\"},\"process\":{\"env\":"
				      "[\"NVIDIA_VISIBLE_DEVICES=0\"]}}",
				      ",\"pid\":4123", &req, &wanted, NULL),
			 0);
	ck_assert(wanted);
	ck_assert_int_eq(req.action, REQUEST_INJECT);
	ck_assert_int_eq(req.pid, 4123);
	ck_assert(!req.standalone);
	ck_assert_str_eq(req.id, "c1");
	ck_assert_str_eq(req.devices, "0");
	ck_assert_ptr_nonnull(strstr(req.rootfs, "/tmp/nvfs-hook-"));
	ck_assert_str_eq(req.rootfs + strlen(req.rootfs) - 3, "/fs");
	request_done(&req);
}
END_TEST

START_TEST(a_hook_without_a_pid_is_standalone_and_cruns_root_counts)
{
	struct request req = { .action = REQUEST_HOOK };
	bool wanted = false;

	ck_assert_int_eq(request_from("{\"root\":{\"path\":\"fs\"},\"process\":{\"env\":"
				      "[\"NVIDIA_VISIBLE_DEVICES=0\"]}}",
				      ",\"pid\":0,\"root\":\"/its/root\"", &req, &wanted, NULL),
			 0);
	ck_assert(req.standalone);
	ck_assert_str_eq(req.rootfs, "/its/root");
	request_done(&req);
}
END_TEST

START_TEST(a_container_without_gpus_is_not_wanted)
{
	struct request req = { .action = REQUEST_HOOK };
	bool wanted = true;

	ck_assert_int_eq(request_from("{\"process\":{\"env\":[]}}", "", &req, &wanted, NULL), 0);
	ck_assert(!wanted);
	ck_assert_int_eq(req.action, REQUEST_HOOK);
	request_done(&req);
}
END_TEST

START_TEST(a_bundle_without_config_json_is_an_error)
{
	struct request req = { .action = REQUEST_HOOK };
	struct error err = { 0 };
	bool wanted = false;

	ck_assert_int_eq(request_from(NULL, "", &req, &wanted, &err), -ENOENT);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	ck_assert_ptr_nonnull(strstr(err.text, "config.json"));
	request_done(&req);
}
END_TEST

START_TEST(ten_megabytes_of_state_are_refused)
{
	static char big[10 * 1024 * 1024];
	struct request req = { .action = REQUEST_HOOK };
	struct error err = { 0 };
	bool wanted = false;
	int fd;

	memset(big, ' ', sizeof(big));
	fd = file_memfd("state", big, sizeof(big));
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(hook_request(&req, fd, &wanted, &err), -EFBIG);
	ck_assert_int_eq(err.class, ERROR_USAGE);
	(void)close(fd);
	request_done(&req);
}
END_TEST

UNIT_MAIN("hook", a_state_of_runc_and_one_of_crun_are_read,
	  the_containers_own_view_of_its_pid_is_none, a_bad_state_is_refused_by_name,
	  deep_nesting_is_refused, the_environment_chooses_as_with_the_toolkit,
	  an_image_of_the_oldest_kind_gets_all, device_mounts_count_more_than_the_environment,
	  capabilities_privilege_and_root_are_read, members_of_wrong_types_ask_for_nothing,
	  a_hook_becomes_a_request, a_hook_without_a_pid_is_standalone_and_cruns_root_counts,
	  a_container_without_gpus_is_not_wanted, a_bundle_without_config_json_is_an_error,
	  ten_megabytes_of_state_are_refused)
