/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of clients' configurations, changed and changed back. JSON is jansson's; lines are taken as lines. */
#include "cli/integrate_edit.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"

#define BEGIN "# nvfs integrate: begin; --revert takes these lines back\n"
#define END "# nvfs integrate: end\n"
#define NVIDIA_RUNTIME "nvidia-container-runtime"

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define auto_json __attribute__((cleanup(cleanup_json)))

static int line_of(const char *text, const char *at)
{
	int line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

/* JSON */

static bool is_blank(const char *text)
{
	return !text || !text[strspn(text, " \t\r\n")];
}

static int parse_object(const char *text, json_t **ret, struct error *err)
{
	json_error_t why;

	*ret = is_blank(text) ? json_object() : json_loads(text, JSON_REJECT_DUPLICATES, &why);
	if (!*ret)
		return error_setc(err, ERROR_USAGE, -EINVAL, "line %d: %.60s", why.line, why.text);
	if (!json_is_object(*ret))
		return error_setc(err, ERROR_USAGE, -EINVAL, "line 1: not a JSON object");
	return 0;
}

/* As the file's first indented line has it, so that a diff shows our lines alone. */
static size_t indent_of(const char *text)
{
	const char *line = text ? strstr(text, "\n ") : NULL;
	size_t n = line ? strspn(line + 1, " ") : 2;

	return n <= 8 ? n : 2;
}

static int dump(const json_t *object, const char *like, char **ret)
{
	auto_free char *json = json_dumps(object, JSON_INDENT(indent_of(like)));

	return json && asprintf(ret, "%s\n", json) >= 0 ? 0 : -ENOMEM;
}

static const char *runtime_path(const json_t *config)
{
	const json_t *nvidia = json_object_get(json_object_get(config, "runtimes"), "nvidia");

	return json_string_value(json_object_get(nvidia, "path"));
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int check_runtimes(const json_t *config, const char *text, struct error *err)
{
	const json_t *runtimes = json_object_get(config, "runtimes");
	const char *path = runtime_path(config), *word = strstr(text ? text : "", "\"nvidia\"");
	int line = line_of(text, word ? word : text);

	if (runtimes && !json_is_object(runtimes))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'runtimes' is no object");
	if (!json_object_get(runtimes, "nvidia") ||
	    (path && strcmp(base_name(path), NVIDIA_RUNTIME) == 0))
		return 0;
	return error_setc(err, ERROR_USAGE, -EEXIST,
			  "line %d: a runtime 'nvidia' of another kind, '%.60s'", line,
			  path ? path : "?");
}

int edit_runtime_add(const char *text, const char *runtime, char **ret, struct error *err)
{
	auto_json json_t *config = NULL;
	json_t *runtimes;
	int r = parse_object(text, &config, err);

	*ret = NULL;
	if (r == 0 && runtime_path(config) && strcmp(runtime_path(config), runtime) == 0)
		return 0;
	r = r ? r : check_runtimes(config, text, err);
	if (r < 0)
		return r;
	if (!json_object_get(config, "runtimes"))
		(void)json_object_set_new(config, "runtimes", json_object());
	runtimes = json_object_get(config, "runtimes");
	if (json_object_set_new(runtimes, "nvidia", json_pack("{s:s}", "path", runtime)) < 0 ||
	    dump(config, text, ret) < 0)
		return error_set(err, -ENOMEM, "write JSON");
	return 0;
}

/* @runtimes as it was without us. */
static int put_back(json_t *config, json_t *runtimes, const json_t *before)
{
	json_t *old_runtimes = json_object_get(before, "runtimes");
	json_t *old = json_object_get(old_runtimes, "nvidia");

	if (old)
		return json_object_set(runtimes, "nvidia", old);
	if (json_object_size(runtimes) == 1 && !old_runtimes)
		return json_object_del(config, "runtimes");
	return json_object_del(runtimes, "nvidia");
}

int edit_runtime_remove(const char *text, const char *original, const char *runtime, char **ret,
			struct error *err)
{
	auto_json json_t *config = NULL, *before = NULL;
	const char *path;
	int r = parse_object(text, &config, err);

	*ret = NULL;
	r = r ? r : parse_object(original, &before, err);
	path = r ? NULL : runtime_path(config);
	if (!path || strcmp(path, runtime) != 0)
		return r;
	if (put_back(config, json_object_get(config, "runtimes"), before) < 0 ||
	    dump(config, text, ret) < 0)
		return error_set(err, -ENOMEM, "write JSON");
	return 0;
}

/* lines */

/* @ret_begin is NULL where there are none; @ret_end is behind our last line. */
static int find_block(const char *text, const char **ret_begin, const char **ret_end,
		      struct error *err)
{
	const char *begin = strstr(text, BEGIN),
		   *end = begin ? strstr(begin, END) : strstr(text, END);

	*ret_begin = begin && end ? begin : NULL;
	*ret_end = begin && end ? end + strlen(END) : NULL;
	if (!begin == !end)
		return 0;
	return error_setc(err, ERROR_USAGE, -EINVAL, "line %d: a mark of nvfs without the other",
			  line_of(text, begin ? begin : end));
}

static char *marked(const char *block)
{
	char *text = NULL;

	return asprintf(&text, "%s%s%s", BEGIN, block, END) < 0 ? NULL : text;
}

int edit_block_add(const char *text, const char *block, char **ret, struct error *err)
{
	auto_free char *ours = marked(block);
	const char *old = text ? text : "", *begin, *end;
	size_t len = strlen(old);
	int r = find_block(old, &begin, &end, err);

	*ret = NULL;
	if (r < 0 || (ours && strstr(old, ours)))
		return r;
	if (!ours)
		return error_set(err, -ENOMEM, "add lines");
	if (begin)
		r = asprintf(ret, "%.*s%s%s", (int)(begin - old), old, ours, end);
	else
		r = asprintf(ret, "%s%s%s", old, len && old[len - 1] != '\n' ? "\n" : "", ours);
	if (r >= 0)
		return 0;
	*ret = NULL;
	return error_set(err, -ENOMEM, "add lines");
}

int edit_block_remove(const char *text, const char *block, char **ret, struct error *err)
{
	auto_free char *ours = marked(block);
	const char *begin, *end;
	int r = find_block(text, &begin, &end, err);

	*ret = NULL;
	if (r < 0 || !begin)
		return r;
	if (ours &&
	    ((size_t)(end - begin) != strlen(ours) || strncmp(begin, ours, strlen(ours)) != 0))
		return error_setc(err, ERROR_USAGE, -EEXIST,
				  "line %d: the lines of nvfs were changed", line_of(text, begin));
	if (!ours || asprintf(ret, "%.*s%s", (int)(begin - text), text, end) < 0) {
		*ret = NULL;
		return error_set(err, -ENOMEM, "take lines back");
	}
	return 0;
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

/* Behind the "=" of "NAME = VALUE", and behind blanks; NULL where the line is another one. */
static const char *value_of(const char *line, const char *name)
{
	size_t len = strlen(name);

	line += strspn(line, " \t");
	if (strncmp(line, name, len) != 0)
		return NULL;
	line += len + strspn(line + len, " \t");
	return *line == '=' ? line + 1 + strspn(line + 1, " \t") : NULL;
}

int edit_find_directive(const char *text, const char *name)
{
	int number = 1;

	for (const char *line = text; *line; line = next_line(line), number++) {
		const char *value = value_of(line, name);

		if (value && *value && *value != '\n' && *value != '\r')
			return number;
	}
	return 0;
}

int edit_toml_version(const char *text)
{
	for (const char *line = text; *line; line = next_line(line)) {
		const char *value = value_of(line, "version");

		if (line[strspn(line, " \t")] == '[')
			break;
		if (value && isdigit((unsigned char)*value))
			return atoi(value);
	}
	return 0;
}
