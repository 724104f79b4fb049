/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/nvfs/nvfs.conf, by libinih. One table holds every key. */
#include "fs/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/lines.h"
#include "common/log.h"
#include "common/parse.h"
#include "fs/cdi.h"
#include "nvml/rules.h"

#define FILE_MAX (1024 * 1024)

enum key_type {
	KEY_PATH,
	KEY_PATH_OR_NONE,
	KEY_TEXT,
	KEY_NUMBER,
	KEY_BOOL,
	KEY_ACCEPT_ENV,
	KEY_WHEN_DOWN,
	KEY_COMPAT_MODE
};

static const struct key {
	const char *name;
	enum key_type type;
	size_t offset;
	const char *value; /* default */
	unsigned int min, max;
} keys[] = {
	{ "driver_root", KEY_PATH, offsetof(struct config, driver_root), "/", 0, 0 },
	{ "proc_root", KEY_PATH, offsetof(struct config, proc_root), "/proc", 0, 0 },
	{ "sys_root", KEY_PATH, offsetof(struct config, sys_root), "/sys", 0, 0 },
	{ "rules_dir", KEY_PATH, offsetof(struct config, rules_dir), RULES_DIR, 0, 0 },
	{ "dev_root", KEY_PATH, offsetof(struct config, dev_root), "/dev", 0, 0 },
	{ "ipc_root", KEY_PATH, offsetof(struct config, ipc_root), "/", 0, 0 },
	{ "mountpoint", KEY_PATH, offsetof(struct config, mountpoint), CONFIG_MOUNTPOINT, 0, 0 },
	{ "socket", KEY_PATH, offsetof(struct config, socket), CONFIG_SOCKET, 0, 0 },
	{ "selinux_context", KEY_TEXT, offsetof(struct config, selinux_context), NULL, 0, 0 },
	{ "nvinject", KEY_PATH, offsetof(struct config, nvinject), NULL, 0, 0 },
	{ "cdi_dir", KEY_PATH_OR_NONE, offsetof(struct config, cdi_dir), CDI_DIR, 0, 0 },
	{ "runtime", KEY_TEXT, offsetof(struct config, runtime), "", 0, 0 },
	{ "swarm_resource", KEY_TEXT, offsetof(struct config, swarm_resource), "", 0, 0 },
	{ "accept_env", KEY_ACCEPT_ENV, offsetof(struct config, accept_env), "always", 0, 0 },
	{ WHENDOWN_KEY, KEY_WHEN_DOWN, offsetof(struct config, on_daemon_down), "fail", 0, 0 },
	{ "disable_require", KEY_BOOL, offsetof(struct config, disable_require), "no", 0, 0 },
	{ "cuda_compat_mode", KEY_COMPAT_MODE, offsetof(struct config, cuda_compat_mode), COMPAT_MODE_DEFAULT, 0, 0 },
	{ "trees_per_user", KEY_NUMBER, offsetof(struct config, trees_per_user), "16", 0, 10000 },
	{ "user_group", KEY_TEXT, offsetof(struct config, user_group), "", 0, 0 },
	{ "user_devices", KEY_TEXT, offsetof(struct config, user_devices), "all", 0, 0 },
	{ "grace", KEY_NUMBER, offsetof(struct config, grace_s), "60", 0, 86400 },
	{ "heal", KEY_NUMBER, offsetof(struct config, heal_s), "2", 0, 3600 },
	{ "workers", KEY_NUMBER, offsetof(struct config, workers), "2", 1, 16 },
	{ "settle", KEY_NUMBER, offsetof(struct config, settle_s), "2", 0, 3600 },
	{ "nvml", KEY_BOOL, offsetof(struct config, nvml), "yes", 0, 0 },
	{ "nvml_timeout", KEY_NUMBER, offsetof(struct config, nvml_timeout_s), "60", 1, 3600 },
	{ "nvml_uid", KEY_NUMBER, offsetof(struct config, nvml_uid), "65531", 1, UINT_MAX - 1 },
	{ "nvml_gid", KEY_NUMBER, offsetof(struct config, nvml_gid), "65531", 1, UINT_MAX - 1 },
	{ "load_kmods", KEY_BOOL, offsetof(struct config, load_kmods), "no", 0, 0 },
	{ "pin", KEY_BOOL, offsetof(struct config, pin), "no", 0, 0 },
};

static const char *const accept_env_words[] = { "always", "privileged", "never" };

static int set_string(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int set_path(const struct key *key, char **field, const char *value, struct error *err)
{
	if (value[0] != '/')
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s: '%.60s' is not an absolute path",
				  key->name, value);
	return set_string(field, value);
}

static int set_accept_env(enum accept_env *field, const char *value, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(accept_env_words); i++) {
		if (strcmp(value, accept_env_words[i]) == 0) {
			*field = (enum accept_env)i;
			return 0;
		}
	}
	return error_setc(err, ERROR_USAGE, -EINVAL,
			  "accept_env: '%.40s' is none of always, privileged, never", value);
}

static int set_number(const struct key *key, unsigned int *field, const char *value,
		      struct error *err)
{
	uint64_t number;

	if (parse_u64(value, key->max, &number) < 0 || number < key->min)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "%s: '%.60s' is not a number from %u to %u", key->name, value,
				  key->min, key->max);
	*field = (unsigned int)number;
	return 0;
}

static int set_bool(const struct key *key, bool *field, const char *value, struct error *err)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s: '%.60s' is neither yes nor no",
				  key->name, value);
	*field = strcmp(value, "yes") == 0;
	return 0;
}

static int key_set(struct config *config, const struct key *key, const char *value,
		   struct error *err)
{
	void *field = (char *)config + key->offset;

	switch (key->type) {
	case KEY_PATH:
		return set_path(key, field, value, err);
	case KEY_PATH_OR_NONE:
		return *value ? set_path(key, field, value, err) : set_string(field, value);
	case KEY_TEXT:
		return set_string(field, value);
	case KEY_NUMBER:
		return set_number(key, field, value, err);
	case KEY_BOOL:
		return set_bool(key, field, value, err);
	case KEY_ACCEPT_ENV:
		return set_accept_env(field, value, err);
	case KEY_WHEN_DOWN:
		return whendown_parse(value, field, err);
	case KEY_COMPAT_MODE:
		return compat_mode_parse(value, field, err);
	}
	return -EINVAL;
}

static const struct key *key_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

int config_set(struct config *config, const char *key, const char *value, struct error *err)
{
	const struct key *found = key_find(key);

	return found ? key_set(config, found, value, err) :
		       error_setc(err, ERROR_USAGE, -ENOENT, "unknown key '%.60s'", key);
}

int config_init(struct config *config)
{
	int r = 0;

	memset(config, 0, sizeof(*config));
	for (size_t i = 0; i < ARRAY_SIZE(keys) && r == 0; i++) {
		if (keys[i].value)
			r = key_set(config, &keys[i], keys[i].value, NULL);
	}
	return r;
}

void config_done(struct config *config)
{
	free(config->driver_root);
	free(config->proc_root);
	free(config->sys_root);
	free(config->rules_dir);
	free(config->dev_root);
	free(config->ipc_root);
	free(config->mountpoint);
	free(config->socket);
	free(config->selinux_context);
	free(config->nvinject);
	free(config->cdi_dir);
	free(config->runtime);
	free(config->swarm_resource);
	free(config->user_group);
	free(config->user_devices);
	memset(config, 0, sizeof(*config));
}

/* values, as the file has them */

const char *config_value(const struct config *config, const char *name, char buf[CONFIG_NUMBER_MAX])
{
	const struct key *key = key_find(name);
	const void *field = key ? (const char *)config + key->offset : NULL;

	if (!key)
		return NULL;
	switch (key->type) {
	case KEY_PATH:
	case KEY_PATH_OR_NONE:
	case KEY_TEXT:
		return *(char *const *)field;
	case KEY_NUMBER:
		(void)snprintf(buf, CONFIG_NUMBER_MAX, "%u", *(const unsigned int *)field);
		return buf;
	case KEY_BOOL:
		return *(const bool *)field ? "yes" : "no";
	case KEY_ACCEPT_ENV:
		return accept_env_words[*(const enum accept_env *)field];
	case KEY_WHEN_DOWN:
		return whendown_name(*(const enum when_down *)field);
	case KEY_COMPAT_MODE:
		return compat_mode_name(*(const enum compat_mode *)field);
	}
	return NULL;
}

const char *config_key(size_t i)
{
	return i < ARRAY_SIZE(keys) ? keys[i].name : NULL;
}

/* reading */

struct reading {
	struct config *config;
	const char *path;
	const struct config_watcher *watcher;
	struct error *err;
	struct lines lines;
	int result;
};

static void tell_stranger(const struct reading *reading, const char *section, const char *name)
{
	const struct config_watcher *watcher = reading->watcher;

	if (watcher && watcher->on_unknown)
		watcher->on_unknown(watcher->data, section, name, reading->lines.number);
	if (watcher)
		return;
	log_warning("%s:%d: %s%s%skey '%s': unknown, ignoring", reading->path,
		    reading->lines.number, *section ? "section [" : "", section,
		    *section ? "], " : "", name);
}

/* inih's handler: 0 stops. Only section [nvfs], or none. */
static int on_key(void *data, const char *section, const char *name, const char *value)
{
	struct reading *reading = data;
	struct error why = { 0 };
	int r;

	if (*section && strcmp(section, "nvfs") != 0) {
		tell_stranger(reading, section, name);
		return 1;
	}
	r = config_set(reading->config, name, value, &why);
	if (r == -ENOENT) {
		tell_stranger(reading, "", name);
		return 1;
	}
	if (r == 0 && reading->watcher && reading->watcher->on_key)
		reading->watcher->on_key(reading->watcher->data, name, reading->lines.number);
	if (r < 0) {
		(void)error_wrap(&why, r, "%s:%d", reading->path, reading->lines.number);
		if (reading->err)
			*reading->err = why;
		reading->result = r;
	}
	return r == 0;
}

int config_read_watched(struct config *config, const char *path, bool optional,
			const struct config_watcher *watcher, struct error *err)
{
	struct reading reading = { .config = config, .path = path, .watcher = watcher, .err = err };
	auto_free char *text = NULL;
	size_t len = 0;
	int r = file_read_at(AT_FDCWD, path, FILE_MAX, &text, &len, err), line;

	if (r == -ENOENT && optional)
		return 0;
	if (r < 0)
		return error_classify(err, r, ERROR_USAGE);
	if (strlen(text) != len)
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s: not a text: it has a NUL byte",
				  path);
	line = lines_too_long(text, LINES_INI_MAX);
	if (line)
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s:%d: a line of more than %d bytes",
				  path, line, LINES_INI_MAX);
	reading.lines.at = text;
	line = ini_parse_stream(lines_next, &reading.lines, on_key, &reading);
	if (reading.result < 0)
		return reading.result;
	if (line != 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "%s:%d: not 'key = value'", path,
				  line);
	return 0;
}

int config_read(struct config *config, const char *path, bool optional, struct error *err)
{
	return config_read_watched(config, path, optional, NULL, err);
}
