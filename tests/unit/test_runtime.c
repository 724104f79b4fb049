/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/runtime_args.h"
#include "cli/runtime_config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"

#include "tests/unit/unit.h"

#define CALL(...) call_of((char *[]){ "nvfs-runtime", __VA_ARGS__, NULL })
#define ASKS "\"process\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES=all\"]}"

static const struct runtime_hook hook = { .nvinject = "/usr/bin/nvinject", .socket = "/s" };

static struct runtime_call call_of(char *const argv[])
{
	struct runtime_call call;

	runtime_args_parse(argv, &call);
	return call;
}

static char *change(const char *text)
{
	struct error err = { 0 };
	char *ret = NULL;

	ck_assert_msg(runtime_config_change(text, strlen(text), &hook, &ret, &err) == 0, "%s",
		      err.text);
	return ret;
}

static void stays(const char *text)
{
	ck_assert_ptr_null(change(text));
}

START_TEST(what_makes_a_container_is_told_from_the_rest)
{
	ck_assert(CALL("create", "c").makes);
	ck_assert(CALL("--root", "/run/x", "--log=/l", "--log-format", "json", "create", "--bundle",
		       "/b", "c")
			  .makes);
	ck_assert(CALL("--systemd-cgroup", "run", "c").makes);
	ck_assert(CALL("--root", "create", "run", "c").makes);
	ck_assert(!CALL("--root", "create", "state", "c").makes);
	ck_assert(!CALL("--log", "run", "delete", "create").makes);
	ck_assert(!CALL("start", "create").makes);
	ck_assert(!CALL("exec", "c", "run").makes);
	ck_assert(!CALL("--version").makes);
	ck_assert(!call_of((char *[]){ "nvfs-runtime", NULL }).makes);
}
END_TEST

START_TEST(the_bundle_is_found_in_every_spelling)
{
	ck_assert_str_eq(CALL("create", "c").bundle, ".");
	ck_assert_str_eq(CALL("create", "--bundle", "/b", "c").bundle, "/b");
	ck_assert_str_eq(CALL("create", "--bundle=/b", "c").bundle, "/b");
	ck_assert_str_eq(CALL("create", "-bundle", "/b", "c").bundle, "/b");
	ck_assert_str_eq(CALL("create", "-b", "/b", "c").bundle, "/b");
	ck_assert_str_eq(CALL("create", "-b=/b", "c").bundle, "/b");
	ck_assert_str_eq(CALL("run", "-b/b", "c").bundle, "/b");
	ck_assert_str_eq(CALL("run", "--", "-b", "/b").bundle, ".");
	ck_assert_str_eq(CALL("create", "--bundle").bundle, ".");
	ck_assert_str_eq(CALL("create", "--pid-file", "/p", "-b", "/b", "c").bundle, "/b");
	ck_assert_ptr_null(CALL("create", "-b", "/b", "c").config);
	ck_assert_str_eq(CALL("create", "-f", "/other.json", "c").config, "/other.json");
}
END_TEST

START_TEST(a_container_that_asks_gets_one_hook_more)
{
	char *text = change(
		"{" ASKS
		",\"hooks\":{\"createRuntime\":[{\"path\":\"/o\"}],\"poststop\":[]},\"z\":1}");
	json_t *config = json_loads(text, 0, NULL),
	       *list = json_object_get(json_object_get(config, "hooks"), "createRuntime");
	const json_t *ours = json_array_get(list, 1);

	ck_assert_uint_eq(json_array_size(list), 2);
	ck_assert_str_eq(json_string_value(json_object_get(ours, "path")), "/usr/bin/nvinject");
	ck_assert_uint_eq(json_array_size(json_object_get(ours, "env")), 1);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(ours, "args"), 5)), "/s");
	ck_assert_int_eq(json_integer_value(json_object_get(config, "z")), 1);
	stays(text); /* once is enough */
	json_decref(config);
	free(text);
	text = change("{" ASKS ",\"hooks\":null}");
	ck_assert_ptr_nonnull(strstr(text, "createRuntime"));
	free(text);
}
END_TEST

START_TEST(the_hook_is_told_what_the_configuration_says)
{
	const struct runtime_hook told = {
		.nvinject = "/n", .socket = "/s", .swarm = "GPU", .on_daemon_down = WHEN_DOWN_SKIP
	};
	const char *text = "{" ASKS "}";
	char *changed = NULL;

	ck_assert_int_eq(runtime_config_change(text, strlen(text), &told, &changed, NULL), 0);
	ck_assert_ptr_nonnull(
		strstr(changed, "\"--swarm-resource\",\"GPU\",\"--on-daemon-down\",\"skip\"]"));
	free(changed);
	changed = change(text);
	ck_assert_ptr_nonnull(strstr(changed, "\"--on-daemon-down\",\"fail\"]"));
	free(changed);
}
END_TEST

START_TEST(a_container_that_does_not_ask_stays)
{
	stays("{}");
	stays("{\"process\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES=void\"]}}");
	stays("{" ASKS
	      ",\"mounts\":[{\"destination\":\"/usr/lib/libcuda.so.580.1\",\"source\":\"/x\"}]}");
	stays("{" ASKS ",\"hooks\":{\"prestart\":[{\"path\":\"/opt/"
		       "nvinject\",\"args\":[\"nvinject\",\"hook\"]}]}}");
}
END_TEST

START_TEST(integers_of_any_length_are_kept)
{
	const char *samples[] = { "18446744073709551615",
				  "-9223372036854775808",
				  "9223372036854775807",
				  "123456789012345678901234567890",
				  "0",
				  "-1" };
	char text[512], *changed;

	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		(void)snprintf(text, sizeof(text),
			       "{" ASKS ",\"n\":%s,\"s\":\"a \\\"%s\\\" b\",\"l\":[%s,%s]}",
			       samples[i], samples[i], samples[i], samples[i]);
		changed = change(text);
		(void)snprintf(text, sizeof(text),
			       "\"n\":%s,\"s\":\"a \\\"%s\\\" b\",\"l\":[%s,%s]", samples[i],
			       samples[i], samples[i], samples[i]);
		ck_assert_msg(strstr(changed, text) != NULL, "'%s' is not in '%s'", text, changed);
		free(changed);
	}
}
END_TEST

START_TEST(order_and_text_are_kept)
{
	char *changed = change("{\"z\":true,\"a\":null," ASKS ",\"u\":\"\\u00e9\\\\\",\"m\":{}}");

	ck_assert_ptr_nonnull(
		strstr(changed, "{\"z\":true,\"a\":null," ASKS ",\"u\":\"\xc3\xa9\\\\\",\"m\":{}"));
	free(changed);
}
END_TEST

START_TEST(what_is_no_configuration_is_refused)
{
	const char *bad[] = { "",
			      "[]",
			      "{",
			      "{" ASKS ",\"hooks\":7}",
			      "{" ASKS ",\"hooks\":{\"createRuntime\":{}}}",
			      "{\"process\":{\"env\":[\"CUDA_VERSION=x\"]}}" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct error err = { 0 };
		char *ret = NULL;

		ck_assert_int_eq(runtime_config_change(bad[i], strlen(bad[i]), &hook, &ret, &err),
				 -EINVAL);
		ck_assert_ptr_null(ret);
		ck_assert(err.class == ERROR_USAGE || err.class == ERROR_REQUIREMENT);
	}
}
END_TEST

static void write_text(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	ck_assert_int_eq(file_write_all(fd, text, strlen(text)), 0);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	(void)close(fd);
}

START_TEST(a_bundles_file_is_replaced_whole_with_its_mode)
{
	char dir[] = "/tmp/nvfs-runtime-XXXXXX", path[64], left[64];
	struct error err = { 0 };
	struct stat before, after;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/config.json", dir);
	(void)snprintf(left, sizeof(left), "%s/.config.json.new", dir);
	ck_assert_int_eq(runtime_config_apply(dir, &hook, &err), -ENOENT);
	write_text(path, "{" ASKS "}", 0640);
	write_text(left, "of a run that was killed", 0600);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(runtime_config_apply(dir, &hook, NULL), 0);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert(before.st_ino != after.st_ino && after.st_mode == before.st_mode &&
		  after.st_uid == before.st_uid);
	ck_assert_int_eq(access(left, F_OK), -1);
	ck_assert_int_eq(runtime_config_apply(dir, &hook, NULL), 0);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino); /* nothing more to change */
	(void)unlink(path);
	(void)rmdir(dir);
}
END_TEST

UNIT_MAIN("runtime", what_makes_a_container_is_told_from_the_rest,
	  the_bundle_is_found_in_every_spelling, a_container_that_asks_gets_one_hook_more,
	  the_hook_is_told_what_the_configuration_says, a_container_that_does_not_ask_stays,
	  integers_of_any_length_are_kept, order_and_text_are_kept,
	  what_is_no_configuration_is_refused, a_bundles_file_is_replaced_whole_with_its_mode)
