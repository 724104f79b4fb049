/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json read, one hook added, and written back.
 *
 * Limits without a limit are 2^64 - 1 in it, and jansson has no such integers. They are hidden in strings,
 * under a mark that nobody can know before, while jansson has the text.
 */
#include "cli/runtime_config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/seed.h"
#include "inject/hook.h"

#define CONFIG_MAX (16 * 1024 * 1024)
#define HOOK_TIMEOUT_S 30 /* nvinject's own is 10, and what it undoes then takes a moment */
#define HOOK_PATH "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
#define LONG_DIGITS 19 /* as many as 2^63 - 1 has */
#define MARK_MAX 40

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define auto_json __attribute__((cleanup(cleanup_json)))

/* numbers */

static size_t string_len(const char *text)
{
	size_t len = 1;

	while (text[len] && text[len] != '"')
		len += text[len] == '\\' && text[len + 1] ? 2 : 1;
	return text[len] ? len + 1 : len;
}

/* Of an integer that may be too long; 0 for any other token. */
static size_t long_integer_len(const char *text)
{
	size_t len = (*text == '-') + strspn(text + (*text == '-'), "0123456789");
	char next = text[len];

	return len >= LONG_DIGITS && next != '.' && next != 'e' && next != 'E' ? len : 0;
}

/* @mark goes before each of them, within quotes. */
static char *hide_integers(const char *text, const char *mark)
{
	char *hidden = NULL;
	size_t size = 0, len;
	FILE *out = open_memstream(&hidden, &size);

	while (out && *text) {
		bool is_token = *text == '-' || isdigit((unsigned char)*text);

		len = is_token ? long_integer_len(text) : 0;
		if (len) {
			fprintf(out, "\"%s%.*s\"", mark, (int)len, text);
		} else {
			len = *text == '"' ? string_len(text)
			      : is_token   ? strspn(text, "-+.eE0123456789")
					   : 1;
			(void)fwrite(text, 1, len, out);
		}
		text += len;
	}
	if (!out || fclose(out) != 0) {
		free(hidden);
		return NULL;
	}
	return hidden;
}

/* In place: quotes and marks go. */
static void show_integers(char *text, const char *mark)
{
	size_t mark_len = strlen(mark), len;
	char *to = text;

	while (*text) {
		if (*text != '"') {
			*to++ = *text++;
			continue;
		}
		len = string_len(text);
		if (strncmp(text + 1, mark, mark_len) == 0) {
			memmove(to, text + 1 + mark_len, len - 2 - mark_len);
			to += len - 2 - mark_len;
		} else {
			memmove(to, text, len);
			to += len;
		}
		text += len;
	}
	*to = '\0';
}

/* the hook */

static bool is_ours(const json_t *hook)
{
	const char *path = json_string_value(json_object_get(hook, "path"));
	const json_t *args = json_object_get(hook, "args"), *arg;
	const char *slash = path ? strrchr(path, '/') : NULL;
	size_t i;

	if (!slash || strcmp(slash, "/nvinject") != 0)
		return false;
	json_array_foreach(args, i, arg) {
		if (json_is_string(arg) && strcmp(json_string_value(arg), "hook") == 0)
			return true;
	}
	return false;
}

static bool has_ours(const json_t *hooks)
{
	static const char *const stages[] = { "prestart", "createRuntime" };
	const json_t *hook;
	size_t i;

	for (size_t s = 0; s < ARRAY_SIZE(stages); s++) {
		json_array_foreach(json_object_get(hooks, stages[s]), i, hook) {
			if (is_ours(hook))
				return true;
		}
	}
	return false;
}

static int add_option(json_t *args, const char *option, const char *value)
{
	if (!args || json_array_append_new(args, json_string(option)) < 0)
		return -ENOMEM;
	return json_array_append_new(args, json_string(value)) < 0 ? -ENOMEM : 0;
}

static json_t *hook_json(const struct runtime_hook *hook)
{
	json_t *args = json_pack("[s, s, s, s, s, s]", "nvinject", "hook", "--client", "nvfs-runtime",
				 "--socket", hook->socket);
	int r = 0;

	if (hook->swarm && *hook->swarm)
		r = add_option(args, "--swarm-resource", hook->swarm);
	if (r == 0)
		r = add_option(args, "--on-daemon-down", whendown_name(hook->on_daemon_down));
	if (r < 0) {
		json_decref(args);
		return NULL;
	}
	return json_pack("{s:s, s:o, s:[s], s:i}", "path", hook->nvinject, "args", args, "env",
			 HOOK_PATH, "timeout", HOOK_TIMEOUT_S);
}

/* A member of this type; made where it is absent, or null. */
static json_t *member(json_t *object, const char *key, json_t *(*make)(void))
{
	json_t *value = json_object_get(object, key);

	if (value && !json_is_null(value))
		return value;
	if (json_object_set_new(object, key, make()) < 0)
		return NULL;
	return json_object_get(object, key);
}

static int add_hook(json_t *config, const struct runtime_hook *hook, bool *ret_changed,
		    struct error *err)
{
	json_t *hooks = member(config, "hooks", json_object), *list;

	if (has_ours(hooks))
		return 0;
	list = member(hooks, "createRuntime", json_array);
	if (!json_is_object(hooks) || !json_is_array(list))
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "config.json: 'hooks' is not as the runtime-spec has it");
	if (json_array_append_new(list, hook_json(hook)) < 0)
		return error_set(err, -ENOMEM, "add a hook");
	*ret_changed = true;
	return 0;
}

static int rewrite(const char *text, const struct runtime_hook *hook, char **ret, struct error *err)
{
	char mark[MARK_MAX];
	auto_free char *hidden = NULL, *changed_text = NULL;
	auto_json json_t *config = NULL;
	json_error_t why;
	bool changed = false;
	int r;

	(void)snprintf(mark, sizeof(mark), "nvfs-%zx:", seed_random());
	hidden = hide_integers(text, mark);
	if (!hidden)
		return error_set(err, -ENOMEM, "read config.json");
	config = json_loads(hidden, 0, &why);
	if (!json_is_object(config))
		return error_setc(err, ERROR_USAGE, -EINVAL, "config.json: line %d: %.60s",
				  why.line, why.text);
	r = add_hook(config, hook, &changed, err);
	if (r < 0 || !changed)
		return r;
	changed_text = json_dumps(config, JSON_COMPACT);
	if (!changed_text)
		return error_set(err, -ENOMEM, "write config.json");
	show_integers(changed_text, mark);
	*ret = take_ptr(&changed_text);
	return 0;
}

int runtime_config_change(const char *text, size_t len, const struct runtime_hook *hook, char **ret,
			  struct error *err)
{
	const struct hook_rules rules = { .swarm = hook->swarm };
	struct hook_wish wish = { 0 };
	int r = hook_config_parse(text, len, &rules, &wish, err);
	bool wanted = wish.wanted;

	*ret = NULL;
	hook_wish_done(&wish);
	if (r == 0 && strlen(text) != len)
		return error_setc(err, ERROR_USAGE, -EINVAL, "config.json has a NUL byte");
	return r < 0 || !wanted ? r : rewrite(text, hook, ret, err);
}

/* the file */

static int read_config(int dir, struct stat *ret_st, char **ret, size_t *ret_len, struct error *err)
{
	auto_close int fd = openat(dir, "config.json", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return error_set(err, -errno, "open 'config.json'");
	return file_read_fd(fd, CONFIG_MAX, ret, ret_len, err);
}

int runtime_config_apply(const char *bundle, const struct runtime_hook *hook, struct error *err)
{
	auto_close int dir = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *text = NULL, *changed = NULL;
	struct stat st = { 0 };
	size_t len = 0;
	int r;

	if (dir < 0)
		return error_set(err, -errno, "open bundle '%.100s'", bundle);
	r = read_config(dir, &st, &text, &len, err);
	if (r < 0)
		return error_wrap(err, r, "bundle '%.80s'", bundle);
	r = runtime_config_change(text, len, hook, &changed, err);
	if (r < 0 || !changed)
		return r;
	r = file_replace_at(dir, "config.json", &st, changed, strlen(changed), err);
	return r < 0 ? error_wrap(err, r, "bundle '%.80s'", bundle) : 0;
}
