/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "tests/unit/unit.h"

static struct config config;
static struct error err;
static struct config_watcher watcher; /* of this test alone: each runs in a process of its own */

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
	r = watcher.data ? config_read_watched(&config, path, false, &watcher, &err) :
			   config_read(&config, path, false, &err);
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
	ck_assert_int_eq(config.on_daemon_down, WHEN_DOWN_FAIL);
	ck_assert_str_eq(config.user_group, "");
	ck_assert_str_eq(config.user_devices, "all");
	config_done(&config);
}
END_TEST

START_TEST(a_file_is_laid_over_the_defaults)
{
	ck_assert_int_eq(
		read_text("# comment\n[nvfs]\ndriver_root = /opt/nvidia\naccept_env=privileged\n"
			  "grace = 0\nselinux_context = system_u:object_r:container_file_t:s0\n"),
		0);
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
	static const char *const texts[] = { "grace = 60\ngrace = soon\n",
					     "\ndriver_root = relative\n",
					     "\naccept_env = maybe\n",
					     "\non_daemon_down = maybe\n",
					     "\ncuda_compat_mode = maybe\n",
					     "\nworkers = 0\n",
					     "\ngrace = -1\n",
					     "\nheal = 3601\n",
					     "\ngrace = 99999999999\n" };

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

struct seen {
	char keys[128], unknown[128];
};

static void on_key(void *data, const char *key, int line)
{
	struct seen *seen = data;
	size_t len = strlen(seen->keys);

	(void)snprintf(seen->keys + len, sizeof(seen->keys) - len, "%s:%d ", key, line);
}

static void on_unknown(void *data, const char *section, const char *key, int line)
{
	struct seen *seen = data;
	size_t len = strlen(seen->unknown);

	(void)snprintf(seen->unknown + len, sizeof(seen->unknown) - len, "[%s]%s:%d ", section, key,
		       line);
}

START_TEST(each_key_is_told_with_its_line)
{
	struct seen seen = { 0 };

	watcher = (struct config_watcher){ on_key, on_unknown, &seen };
	ck_assert_int_eq(
		read_text("# comment\n\ngrace = 1\ngracee = 2\n[other]\nx = y\n[nvfs]\npin = yes"),
		0);
	ck_assert_str_eq(seen.keys, "grace:3 pin:8 ");
	ck_assert_str_eq(seen.unknown, "[]gracee:4 [other]x:6 ");
	config_done(&config);
}
END_TEST

START_TEST(a_line_longer_than_the_parser_reads_at_once_is_one_line)
{
	struct seen seen = { 0 };
	char text[600];

	memset(text, 'x', sizeof(text));
	text[0] = '#';
	(void)snprintf(text + 400, sizeof(text) - 400, "\ngrace = 1\n");
	watcher = (struct config_watcher){ on_key, on_unknown, &seen };
	ck_assert_int_eq(read_text(text), 0);
	ck_assert_str_eq(seen.keys, "grace:2 ");
	config_done(&config);
}
END_TEST

START_TEST(a_line_longer_than_the_parser_takes_is_refused_with_its_number)
{
	char text[400] = "grace = 1\nuser_devices = ";

	memset(text + strlen(text), '0', 198 - strlen("user_devices = "));
	ck_assert_int_eq(read_text(text), 0);
	config_done(&config);
	text[strlen(text)] = '0';
	ck_assert_int_eq(read_text(text), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, ":2: a line of more than 198 bytes"));
	config_done(&config);
}
END_TEST

START_TEST(a_value_is_told_as_the_file_has_it)
{
	char buf[CONFIG_NUMBER_MAX];

	ck_assert_int_eq(config_init(&config), 0);
	ck_assert_str_eq(config_value(&config, "driver_root", buf), "/");
	ck_assert_str_eq(config_value(&config, "accept_env", buf), "always");
	ck_assert_str_eq(config_value(&config, "cuda_compat_mode", buf), "auto");
	ck_assert_str_eq(config_value(&config, "pin", buf), "no");
	ck_assert_str_eq(config_value(&config, "grace", buf), "60");
	ck_assert_ptr_null(config_value(&config, "selinux_context", buf));
	ck_assert_ptr_null(config_value(&config, "nonsense", buf));
	for (size_t i = 0; config_key(i); i++) {
		const char *value = config_value(&config, config_key(i), buf);

		ck_assert_int_eq(value ? config_set(&config, config_key(i), value, &err) : 0, 0);
	}
	config_done(&config);
}
END_TEST

/* Lines "KEY = value", commented out or not, of a text; whoever is no key is named. */
static size_t count_examples(const char *text)
{
	bool seen[64] = { false };
	size_t n = 0;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		char key[32];

		line += *line == '\n';
		if (sscanf(line, "# %31[a-z0-9_] =", key) != 1 &&
		    sscanf(line, "%31[a-z0-9_] =", key) != 1)
			continue;
		if (!strstr(line, " =") || strcspn(line, "=") > strlen(key) + 3)
			continue;
		for (size_t i = 0;; i++) {
			ck_assert_msg(config_key(i), "'%s' is no key", key);
			if (strcmp(config_key(i), key) == 0) {
				n += !seen[i];
				seen[i] = true;
				break;
			}
		}
	}
	return n;
}

static char *read_whole(const char *path)
{
	char *text = NULL;

	ck_assert_int_eq(file_read_at(AT_FDCWD, path, 1 << 20, &text, NULL, NULL), 0);
	return text;
}

static size_t count_keys(void)
{
	size_t n = 0;

	while (config_key(n))
		n++;
	return n;
}

/* Tests are run from the top of the sources. */
START_TEST(the_manual_page_has_every_key_and_no_other)
{
	char *text = read_whole("fs/nvfs.conf.5"), *end = strstr(text, "\n.SH POLICY"), *at;
	char *keys = strstr(text, "\n.SH KEYS"), *rules = strstr(text, "\n[our codec]");
	size_t n = 0;

	ck_assert(keys && end && rules);
	*rules = '\0'; /* what follows are rules, which have keys of their own */
	ck_assert_uint_eq(count_examples(strstr(end + 1, "\n.SH EXAMPLES")), count_keys());
	*end = '\0';
	for (size_t i = 0; config_key(i); i++) {
		char bold[64];

		/* ".B grace", or with another one: ".BR nvml_uid ", " nvml_gid" */
		(void)snprintf(bold, sizeof(bold), "%s", config_key(i));
		for (at = keys; (at = strstr(at, ".TP\n.B")); at++) {
			const char *line = strchr(at, '\n') + 1, *found = strstr(line, bold);

			if (found && found < strchr(line, '\n') &&
			    !isalnum((unsigned char)found[strlen(bold)]) &&
			    found[strlen(bold)] != '_' && found[-1] == ' ')
				break;
		}
		ck_assert_msg(at, "nvfs.conf.5 has no key '%s'", config_key(i));
		n++;
	}
	for (at = keys; (at = strstr(at, ".TP\n.B")); at++)
		n -= 1 + (strncmp(at, ".TP\n.BR", 7) == 0);
	ck_assert_msg(n == 0, "nvfs.conf.5 tells of another number of keys");
	free(text);
}
END_TEST

START_TEST(the_example_has_every_key_and_no_other)
{
	char *text = read_whole("contrib/nvfs.conf");

	ck_assert_uint_eq(count_examples(text), count_keys());
	free(text);
}
END_TEST

UNIT_MAIN("config", each_key_is_told_with_its_line,
	  a_line_longer_than_the_parser_reads_at_once_is_one_line,
	  a_line_longer_than_the_parser_takes_is_refused_with_its_number,
	  a_value_is_told_as_the_file_has_it, the_manual_page_has_every_key_and_no_other,
	  the_example_has_every_key_and_no_other, every_key_has_a_default,
	  a_file_is_laid_over_the_defaults, an_unknown_key_is_ignored,
	  a_bad_value_is_named_with_its_line, a_long_value_does_not_hide_file_and_line,
	  a_line_that_is_no_key_is_refused, only_a_file_that_was_asked_for_must_be_there)
