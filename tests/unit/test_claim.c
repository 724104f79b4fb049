/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/claim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "fs/server.h"
#include "nvml/driver_cap.h"
#include "nvml/gpu.h"
#include "nvml/select.h"
#include "tests/unit/unit.h"

static struct error err;
static struct claim claim;
static struct peer peer;
static struct process self = { .pid = 1, .user_ns = 100, .mnt_ns = 200 };
static char group[] = "gpu";
static struct config config = { .trees_per_user = 2, .user_group = group };

/* A message whose one descriptor is a pidfd of this process. */
static int parse(const char *text)
{
	struct varlink_message message = { .fds = { sys_pidfd_open(getpid(), 0) }, .n_fds = 1 };
	json_t *params = json_loads(text, 0, NULL);
	int r;

	ck_assert_ptr_nonnull(params);
	memset(&err, 0, sizeof(err));
	r = claim_parse(params, &message, &peer, &claim, &err);
	/* claim's strings go with the JSON: tests look at numbers after this */
	json_decref(params);
	varlink_message_done(&message);
	return r;
}

START_TEST(a_plain_claim_has_the_defaults)
{
	ck_assert_int_eq(parse("{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\"}"), 0);
	ck_assert_uint_eq(claim.caps, DRIVER_CAP_COMPUTE | DRIVER_CAP_UTILITY);
	ck_assert_int_eq(claim.process.pid, getpid());
	ck_assert_int_eq(claim.cache_fd, -1);
	ck_assert(!claim.dry_run && !claim.cgroup && !claim.standalone);
}
END_TEST

START_TEST(what_is_to_be_left_out_has_a_word)
{
	ck_assert_int_eq(parse("{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"driver_"
			       "capabilities\":\"none\","
			       "\"without\":\"devices, "
			       "persistenced,fabricmanager,\",\"lib64_at\":\"/usr/lib64\"}"),
			 0);
	ck_assert_uint_eq(claim.caps, 0);
}
END_TEST

START_TEST(what_is_missing_or_wrong_is_refused_as_usage)
{
	static const char *const texts[] = {
		"{\"pidfd\":0,\"devices\":\"all\"}",
		"{\"id\":\"a/b\",\"pidfd\":0,\"devices\":\"all\"}",
		"{\"id\":\"c1\",\"pidfd\":0}",
		"{\"id\":\"c1\",\"devices\":\"all\"}",
		"{\"id\":\"c1\",\"pidfd\":1,\"devices\":\"all\"}",
		"{\"id\":\"c1\",\"pidfd\":-1,\"devices\":\"all\"}",
		"{\"id\":\"c1\",\"pidfd\":\"0\",\"devices\":\"all\"}",
		"{\"id\":\"c1\",\"pidfd\":0,\"devices\":7}",
		"{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"driver_capabilities\":\"magic\"}",
		"{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"target\":\"relative\"}",
		"{\"id\":\"c1\",\"standalone\":true,\"devices\":\"all\"}",
		"{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"without\":\"device\"}",
		"{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"without\":\"devices,x\"}",
		"{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"lib64_at\":\"usr/lib\"}",
		"{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"lib32_at\":\"/usr/../lib\"}",
	};

	memset(&peer, 0, sizeof(peer));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_msg(parse(texts[i]) == -EINVAL, "%s", texts[i]);
		ck_assert_msg(error_exit_status(&err) == ERROR_USAGE, "%s: %s", texts[i], err.text);
	}
}
END_TEST

START_TEST(a_descriptor_that_is_no_pidfd_is_refused)
{
	struct varlink_message message = { .fds = { dup(0) }, .n_fds = 1 };
	json_t *params = json_pack("{s:s, s:i, s:s}", "id", "c", "pidfd", 0, "devices", "all");

	ck_assert_int_eq(claim_parse(params, &message, &peer, &claim, &err), -EBADF);
	json_decref(params);
	varlink_message_done(&message);
}
END_TEST

START_TEST(targets_are_plain_absolute_paths)
{
	static const char *const good[] = { "/usr/local/nvidia", "/dev/nvfs", "/a",
					    "/opt/a.b-c_d/..x" };
	static const char *const bad[] = { "",	     "/",	"//a",	    "/a/",  "/a//b",
					   "/a/./b", "/a/../b", "/a/..",    "/a/.", "a",
					   "/a b",   "/a\nb",	"/a:b",	    "/a#b", "/a\"b",
					   "/a\\b",  "/a*",	"/\xc3\xa9" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(claim_target_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!claim_target_is_valid(bad[i]), "%s", bad[i]);
}
END_TEST

static bool in_group = true;

static int allowed(uid_t uid, uint64_t user_ns, uint64_t mnt_ns, bool cgroup, uid_t owner,
		   uint64_t container_ns, unsigned int trees)
{
	struct claim c = { .cgroup = cgroup,
			   .process = { .pid = 9, .uid = owner, .mnt_ns = container_ns } };
	struct peer p = { .uid = uid, .process = { .user_ns = user_ns, .mnt_ns = mnt_ns } };

	memset(&err, 0, sizeof(err));
	return claim_allowed(&c, &p, &self, &config, &(struct claim_standing){ trees, in_group },
			     &err);
}

START_TEST(root_of_the_daemons_namespaces_may_do_all)
{
	ck_assert_int_eq(allowed(0, 100, 200, true, 0, 300, 50), 0);
	ck_assert_int_eq(allowed(0, 100, 200, true, 1000, 300, 50), 0);
}
END_TEST

START_TEST(root_of_another_namespace_is_no_root)
{
	ck_assert_int_eq(allowed(0, 101, 200, true, 0, 300, 0), -EPERM);
	ck_assert_int_eq(allowed(0, 100, 201, true, 0, 300, 0), -EPERM);
	ck_assert_int_eq(allowed(0, 0, 0, true, 0, 300, 0), -EPERM);
	ck_assert_int_eq(error_exit_status(&err), ERROR_PERMISSION);
}
END_TEST

START_TEST(root_that_could_enter_the_daemons_namespace_is_root)
{
	struct peer p = { .uid = 0,
			  .process = { .user_ns = 100, .mnt_ns = 201 },
			  .could_enter = true };

	ck_assert(peer_is_root(&p, &self));
	p.could_enter = false;
	ck_assert(!peer_is_root(&p, &self));
	p = (struct peer){ .uid = 1000,
			   .process = { .user_ns = 100, .mnt_ns = 201 },
			   .could_enter = true };
	ck_assert(!peer_is_root(&p, &self));
	p = (struct peer){ .uid = 0,
			   .process = { .user_ns = 101, .mnt_ns = 201 },
			   .could_enter = true };
	ck_assert(!peer_is_root(&p, &self));
}
END_TEST

START_TEST(a_user_may_have_trees_for_namespaces_of_its_own)
{
	ck_assert_int_eq(allowed(1000, 100, 200, false, 1000, 300, 1), 0);
	ck_assert_int_eq(allowed(1000, 100, 200, true, 1000, 300, 1), -EPERM);  /* a cgroup */
	ck_assert_int_eq(allowed(1000, 100, 200, false, 0, 300, 1), -EPERM);    /* root's container */
	ck_assert_int_eq(allowed(1000, 100, 200, false, 1000, 200, 1), -EPERM); /* the host itself */
	ck_assert_int_eq(allowed(1000, 100, 200, false, 1000, 300, 2), -EPERM); /* too many */
}
END_TEST

START_TEST(a_group_of_users_leaves_others_and_not_root_out)
{
	in_group = false;
	ck_assert_int_eq(allowed(1000, 100, 200, false, 1000, 300, 0), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "not in the group 'gpu'"));
	ck_assert_int_eq(allowed(0, 100, 201, false, 0, 201, 0), -EPERM); /* root of a container */
	ck_assert_int_eq(allowed(0, 100, 200, true, 0, 300, 0), 0);
	in_group = true;
	ck_assert_int_eq(allowed(1000, 100, 200, false, 1000, 300, 0), 0);
}
END_TEST

static struct gpu gpus[] = {
	{ .index = 0, .uuid = "GPU-a0", .bus_id = "0000:01:00.0", .usable = true },
	{ .index = 1, .uuid = "GPU-b1", .bus_id = "0000:02:00.0", .usable = true },
	{ .index = 2, .uuid = "GPU-c2", .bus_id = "0000:03:00.0", .usable = true }
};

static struct mig_device migs[] = { { .gpu = 1, .index = 0, .gi = 1, .uuid = "MIG-0" },
				    { .gpu = 1, .index = 1, .gi = 2, .uuid = "MIG-1" } };

/* The positions that are left as one number, MIG devices after a 9, or a negative errno: 3192 is 2, 0, MIG 1. */
static int limited(const char *devices, const char *ceiling)
{
	const struct gpu_list list = { .gpus = gpus, .n = 3, .migs = migs, .n_migs = 2 };
	struct gpu_selection selection = { 0 };
	int r;

	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(gpu_select(&list, devices, &selection, NULL), 0);
	r = claim_limit_devices(devices, &list, ceiling, &selection, &err);
	for (size_t i = 0; i < selection.n && r >= 0; i++)
		r = r * 10 + (int)selection.at[i] + 1;
	for (size_t i = 0; i < selection.n_migs && r >= 0; i++)
		r = (i ? r : r * 10 + 9) * 10 + (int)selection.migs[i] + 1;
	gpu_selection_done(&selection);
	return r;
}

START_TEST(users_have_no_device_beyond_the_ceiling)
{
	ck_assert_int_eq(limited("all", "all"), 123912);
	ck_assert_int_eq(limited("2,0", "all"), 31);
	ck_assert_int_eq(limited("all", "0,2"), 13);
	ck_assert_int_eq(limited("ALL", "GPU-b1"), 2912);
	ck_assert_int_eq(limited("2", "0,2"), 3);
	ck_assert_int_eq(limited("1", "0,2"), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "GPU-b1"));
	ck_assert_int_eq(error_exit_status(&err), ERROR_PERMISSION);
	ck_assert_int_eq(limited("0,1", "0,2"), -EPERM);
	ck_assert_int_eq(limited("all", "none"), 0);
	ck_assert_int_eq(limited("all", "void"), 0);
	ck_assert_int_eq(limited("none", "none"), 0);
	ck_assert_int_eq(limited("0", "none"), -EPERM);
	ck_assert_int_eq(limited("1:1", "1"), 292);
	ck_assert_int_eq(limited("1:1", "0"), -EPERM);
}
END_TEST

START_TEST(a_ceiling_of_mig_devices_is_for_these_and_the_nodes_of_their_gpus)
{
	/* a part of a GPU is no permission for the whole, nor for another part */
	ck_assert_int_eq(limited("1", "1:0"), -EPERM);
	ck_assert_str_eq(err.text, "GPU-b1 is not for users");
	ck_assert_int_eq(limited("1:0", "1:0"), 291);
	ck_assert_int_eq(limited("1:1", "1:0"), -EPERM);
	ck_assert_str_eq(err.text, "MIG-GPU-b1/2/0 is not for users");
	ck_assert_int_eq(error_exit_status(&err), ERROR_PERMISSION);
	ck_assert_int_eq(limited("1:0,1", "1:0"), -EPERM);
	ck_assert_int_eq(limited("1:0,1:1", "MIG-1,MIG-0"), 2912);
	ck_assert_int_eq(limited("all", "1:1"), 292);
	ck_assert_int_eq(limited("all", "0,1:1"), 1292);
	ck_assert_int_eq(limited("all", "1:0,1"), 2912);
	ck_assert_int_eq(limited("0,1:1", "0,1:1"), 1292);
	ck_assert_int_eq(limited("all", "0"), 1);
	ck_assert_int_eq(limited("1:0", "none"), -EPERM);
	ck_assert_int_eq(limited("0", "1:7"), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "user_devices of nvfs.conf: 1:7: unknown device"));
}
END_TEST

START_TEST(users_neither_divide_nor_watch_gpus)
{
	config.user_group = (char[]){ "" };
	claim = (struct claim){ .mig_config = "", .mig_monitor = "all", .source = "arguments" };
	ck_assert(claim_asks_mig_control(&claim));
	ck_assert(claim_control_counts(&claim, ACCEPT_ENV_NEVER));
	claim.source = "mounts";
	ck_assert(!claim_control_counts(&claim, ACCEPT_ENV_NEVER));
	ck_assert(!claim_control_counts(&claim, ACCEPT_ENV_PRIVILEGED));
	claim.privileged = true;
	ck_assert(claim_control_counts(&claim, ACCEPT_ENV_PRIVILEGED));
	claim.imex_source = "env";
	ck_assert(claim_imex_counts(&claim, ACCEPT_ENV_PRIVILEGED) &&
		  !claim_imex_counts(&claim, ACCEPT_ENV_NEVER));
	claim.imex_source = "mounts";
	ck_assert(claim_imex_counts(&claim, ACCEPT_ENV_NEVER));
	config.user_group = group;
}
END_TEST

START_TEST(the_fabric_goes_by_two_words)
{
	ck_assert_int_eq(parse("{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"fabric\":\"imex-"
			       "mgmt, nvswitch,\"}"),
			 0);
	ck_assert(claim.nvswitch && claim.imex_mgmt);
	ck_assert_int_eq(parse("{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\"}"), 0);
	ck_assert(!claim.nvswitch && !claim.imex_mgmt);
	ck_assert_int_eq(
		parse("{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"fabric\":\"nvlink\"}"),
		-EINVAL);
	ck_assert_str_eq(err.text, "fabric 'nvlink' is none of nvswitch, imex-mgmt");
}
END_TEST

START_TEST(a_channel_that_is_none_is_a_wrong_device)
{
	static const char *const channels[] = { "-1", "2048", "0,x", "1.5", "../0" };
	char text[128];

	ck_assert_int_eq(parse("{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"imex_channels\":"
			       "\"7,all,0\"}"),
			 0);
	ck_assert(claim.imex.n == 2 && claim.imex.ids[0] == 7 && claim.imex.ids[1] == 0);
	ck_assert_int_eq(
		parse("{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"imex_channels\":\"all\"}"),
		0);
	ck_assert_uint_eq(claim.imex.n, 0);
	for (size_t i = 0; i < sizeof(channels) / sizeof(*channels); i++) {
		(void)snprintf(
			text, sizeof(text),
			"{\"id\":\"c1\",\"pidfd\":0,\"devices\":\"all\",\"imex_channels\":\"%s\"}",
			channels[i]);
		ck_assert_int_eq(parse(text), -EINVAL);
		ck_assert_int_eq(error_exit_status(&err), ERROR_DEVICE);
		ck_assert_ptr_nonnull(strstr(err.text, "is not one from 0 to 2047"));
	}
}
END_TEST

START_TEST(a_ceiling_that_is_nonsense_lets_nothing_through)
{
	ck_assert_int_eq(limited("all", "GPU-gone"), -EPERM);
	ck_assert_int_eq(error_exit_status(&err), ERROR_PERMISSION);
	ck_assert_ptr_nonnull(strstr(err.text, "user_devices"));
	ck_assert_int_eq(limited("0", "0,7"), -EPERM);
}
END_TEST

static bool counts(const char *text, enum accept_env accept_env)
{
	json_t *params = json_loads(text, 0, NULL);
	bool r = claim_env_counts(params, accept_env);

	ck_assert_ptr_nonnull(params);
	json_decref(params);
	return r;
}

START_TEST(accept_env_decides_on_the_environment_alone)
{
	static const char
		env[] = "{\"source\":\"env\"}",
		privileged[] = "{\"source\":\"env\",\"privileged\":true}",
		nonsense[] = "{\"source\":\"env\",\"devices\":7,\"driver_capabilities\":\"x\"}";

	ck_assert(counts(env, ACCEPT_ENV_ALWAYS));
	ck_assert(!counts(env, ACCEPT_ENV_PRIVILEGED));
	ck_assert(!counts(env, ACCEPT_ENV_NEVER));
	ck_assert(counts(privileged, ACCEPT_ENV_PRIVILEGED));
	ck_assert(!counts(privileged, ACCEPT_ENV_NEVER));
	ck_assert(counts("{\"source\":\"mounts\"}", ACCEPT_ENV_NEVER));
	ck_assert(counts("{\"source\":\"arguments\"}", ACCEPT_ENV_NEVER));
	ck_assert(counts("{}", ACCEPT_ENV_NEVER));
	ck_assert(!counts(nonsense, ACCEPT_ENV_NEVER));
}
END_TEST

UNIT_MAIN("claim", a_plain_claim_has_the_defaults, what_is_to_be_left_out_has_a_word,
	  what_is_missing_or_wrong_is_refused_as_usage, a_descriptor_that_is_no_pidfd_is_refused,
	  targets_are_plain_absolute_paths, root_of_the_daemons_namespaces_may_do_all,
	  root_of_another_namespace_is_no_root, root_that_could_enter_the_daemons_namespace_is_root,
	  a_group_of_users_leaves_others_and_not_root_out, users_have_no_device_beyond_the_ceiling,
	  a_ceiling_of_mig_devices_is_for_these_and_the_nodes_of_their_gpus,
	  users_neither_divide_nor_watch_gpus, a_channel_that_is_none_is_a_wrong_device,
	  the_fabric_goes_by_two_words, a_ceiling_that_is_nonsense_lets_nothing_through,
	  a_user_may_have_trees_for_namespaces_of_its_own,
	  accept_env_decides_on_the_environment_alone)
