/* SPDX-License-Identifier: Apache-2.0 */
/* The environment is an image's: read as data, never as our own, and trusted for nothing. */
#include "inject/imageenv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "inject/request.h"

#define REQUIRE_PREFIX "NVIDIA_REQUIRE_"
#define REQUIRE_JETPACK "NVIDIA_REQUIRE_JETPACK"

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The last one of a name counts, as for the readers of execve's. @len: of the name, before "=". */
static const char *value_of(const json_t *env, const char *name, size_t len)
{
	const char *value = NULL;
	const json_t *item;
	size_t i;

	json_array_foreach(env, i, item) {
		const char *text = json_string_value(item);

		if (text && strncmp(text, name, len) == 0 && text[len] == '=')
			value = text + len + 1;
	}
	return value;
}

const char *imageenv_value(const json_t *env, const char *name)
{
	return value_of(env, name, strlen(name));
}

static bool is_set(const json_t *env, const char *name)
{
	const char *value = imageenv_value(env, name);

	return value && *value;
}

bool imageenv_is_legacy(const json_t *env)
{
	return is_set(env, "CUDA_VERSION") && !is_set(env, "NVIDIA_REQUIRE_CUDA");
}

static int append(char **list, const char *value, struct error *err)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? "," : "", value) < 0)
		return error_set(err, -ENOMEM, "copy a list");
	free(*list);
	*list = longer;
	return 0;
}

int imageenv_devices(const json_t *env, const char *swarm, char **ret, struct error *err)
{
	auto_free char *list = NULL;
	const char *value, *name;
	size_t len;
	int r = 0;

	while (r == 0 && swarm && (name = parse_field(&swarm, ',', &len))) {
		value = len ? value_of(env, name, len) : NULL;
		if (value)
			r = append(&list, value, err);
	}
	if (r == 0 && !list) {
		value = imageenv_value(env, "NVIDIA_VISIBLE_DEVICES");
		value = value ? value : imageenv_is_legacy(env) ? "all" : NULL;
		r = value ? append(&list, value, err) : 0;
	}
	*ret = r < 0 ? NULL : take_ptr(&list);
	return r;
}

/* Go's strconv.ParseBool, by which the toolkit reads it: what is no word of it is false. */
static bool is_disabled(const json_t *env)
{
	static const char *const words[] = { "1", "t", "T", "true", "True", "TRUE" };
	const char *value = imageenv_value(env, "NVIDIA_DISABLE_REQUIRE");

	for (size_t i = 0; value && i < ARRAY_SIZE(words); i++)
		if (strcmp(value, words[i]) == 0)
			return true;
	return false;
}

/* A number without leading zeros; its length, or 0. */
static size_t number_len(const char *s)
{
	size_t len = strspn(s, "0123456789");

	return len > 9 || (len > 1 && *s == '0') ? 0 : len;
}

/* "11.0.3" asks for 11.0, "8" for 8.0: [v]MAJOR[.MINOR[.PATCH[-...]]] as Go's semver has it. */
static int legacy_requirement(const char *version, char ret[40], struct error *err)
{
	const char *s = version + (*version == 'v'), *major = s;
	size_t major_len = number_len(s), minor_len = 0, patch_len;
	const char *minor = "0";

	s += major_len;
	if (major_len && *s == '.') {
		minor = s + 1;
		minor_len = number_len(minor);
		s = minor + minor_len;
	}
	if (minor_len && *s == '.') {
		patch_len = number_len(s + 1);
		s += 1 + patch_len;
		if (patch_len && (*s == '-' || *s == '+'))
			s += strlen(s);
	}
	if (!major_len || *s || s[-1] == '.') {
		(void)error_setc(
			err, ERROR_REQUIREMENT, -EINVAL,
			"CUDA_VERSION '%.40s' is no version, and NVIDIA_REQUIRE_CUDA is not set",
			version);
		return error_remedy(err, -EINVAL, "NVIDIA_DISABLE_REQUIRE=1 skips the check");
	}
	(void)snprintf(ret, 40, "cuda>=%.*s.%.*s", (int)major_len, major,
		       minor_len ? (int)minor_len : 1, minor);
	return 0;
}

static int add_variables(const json_t *env, json_t *list, struct error *err)
{
	const json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(env, i, item) {
		const char *text = json_string_value(item);
		const char *value = text ? strchr(text, '=') : NULL;

		if (!value || !begins(text, REQUIRE_PREFIX) || begins(text, REQUIRE_JETPACK) ||
		    !value[1] || value_of(env, text, (size_t)(value - text)) != value + 1)
			continue;
		r = request_add_requirement(list, value + 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int imageenv_requirements(const json_t *env, json_t **ret, struct error *err)
{
	json_t *list = json_array();
	char legacy[40];
	int r = list ? 0 : error_set(err, -ENOMEM, "copy requirements");

	if (r == 0 && !is_disabled(env)) {
		r = add_variables(env, list, err);
		if (r == 0 && imageenv_is_legacy(env)) {
			r = legacy_requirement(imageenv_value(env, "CUDA_VERSION"), legacy, err);
			r = r ? r : request_add_requirement(list, legacy, err);
		}
	}
	if (r < 0) {
		json_decref(list);
		return r;
	}
	*ret = list;
	return 0;
}

bool imageenv_is_enabled(const json_t *env, const char *name)
{
	const char *value = imageenv_value(env, name);

	return value && strcmp(value, "enabled") == 0;
}

int imageenv_mig_control(const json_t *env, const char *name, bool privileged, const char **ret,
			 struct error *err)
{
	if (!is_set(env, name))
		return 0;
	if (!privileged) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM,
				 "cannot set %s in non privileged container",
				 name + strlen("NVIDIA_"));
		return error_remedy(err, -EPERM, "leave %s out, or run it privileged", name);
	}
	*ret = imageenv_value(env, name);
	return 0;
}
