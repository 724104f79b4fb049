/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "tests/unit/unit.h"

static struct config config;
static struct error err;

static int read_text(const char *text)
{
	char path[] = "/tmp/nvfs-config-XXXXXX";
	int fd = mkstemp(path), r;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	log_open("test", 0); /* warnings are expected here */
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(config_init(&config), 0);
	r = config_read(&config, path, false, &err);
	(void)unlink(path);
	return r;
}

START_TEST(every_key_has_a_default)
{
	ck_assert_int_eq(config_init(&config), 0);
	ck_assert_str_eq(config.mountpoint, "/run/nvfs");
	ck_assert_str_eq(config.socket, "/run/nvfsd/nvfs.sock");
	ck_assert_str_eq(config.driver_root, "/");
	ck_assert_ptr_null(config.selinux_context);
	ck_assert_uint_eq(config.grace_s, 60);
	ck_assert_int_eq(config.cuda_compat_mode, COMPAT_AUTO);
	ck_assert(!config.disable_require);
	ck_assert_uint_eq(config.heal_s, 2);
	ck_assert_int_eq(config.accept_env, ACCEPT_ENV_ALWAYS);
	ck_assert_str_eq(config.user_group, "");
	ck_assert_str_eq(config.user_devices, "all");
	config_done(&config);
}
END_TEST

START_TEST(a_file_is_laid_over_the_defaults)
{
	ck_assert_int_eq(read_text("# comment\n[nvfs]\ndriver_root = /opt/nvidia\naccept_env=privileged\n"
				   "grace = 0\nselinux_context = system_u:object_r:container_file_t:s0\n"), 0);
	ck_assert_str_eq(config.driver_root, "/opt/nvidia");
	ck_assert_int_eq(config.accept_env, ACCEPT_ENV_PRIVILEGED);
	ck_assert_uint_eq(config.grace_s, 0);
	ck_assert_str_eq(config.selinux_context, "system_u:object_r:container_file_t:s0");
	ck_assert_str_eq(config.proc_root, "/proc");
	config_done(&config);
}
END_TEST

START_TEST(an_unknown_key_is_ignored)
{
	ck_assert_int_eq(read_text("from_the_future = 1\n[other]\nx = y\n[nvfs]\ngrace = 5\n"), 0);
	ck_assert_uint_eq(config.grace_s, 5);
	config_done(&config);
}
END_TEST

START_TEST(a_bad_value_is_named_with_its_line)
{
	static const char *const texts[] = { "grace = 60\ngrace = soon\n", "\ndriver_root = relative\n",
					     "\naccept_env = maybe\n", "\ncuda_compat_mode = maybe\n", "\nworkers = 0\n",
					     "\ngrace = -1\n", "\nheal = 3601\n", "\ngrace = 99999999999\n" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(read_text(texts[i]), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, ":2: "));
		ck_assert_int_eq(error_exit_status(&err), 2);
		config_done(&config);
	}
}
END_TEST

START_TEST(a_long_value_does_not_hide_file_and_line)
{
	char text[180];

	memset(text, 'x', sizeof(text));
	memcpy(text, "pin = ", 6);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(read_text(text), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "/tmp/nvfs-config-"));
	ck_assert_ptr_nonnull(strstr(err.text, ":1: "));
	config_done(&config);
}
END_TEST

START_TEST(a_line_that_is_no_key_is_refused)
{
	ck_assert_int_eq(read_text("grace = 1\nnonsense\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, ":2: "));
	config_done(&config);
}
END_TEST

START_TEST(only_a_file_that_was_asked_for_must_be_there)
{
	ck_assert_int_eq(config_init(&config), 0);
	ck_assert_int_eq(config_read(&config, "/nonexistent/nvfs.conf", true, &err), 0);
	ck_assert_int_eq(config_read(&config, "/nonexistent/nvfs.conf", false, &err), -ENOENT);
	config_done(&config);
}
END_TEST

UNIT_MAIN("config", every_key_has_a_default, a_file_is_laid_over_the_defaults,
	  an_unknown_key_is_ignored, a_bad_value_is_named_with_its_line,
	  a_long_value_does_not_hide_file_and_line,
	  a_line_that_is_no_key_is_refused, only_a_file_that_was_asked_for_must_be_there)
