/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a runtime tells its hook, turned into a request.
 *
 * The container's wish is read from config.json and never from our own
 * environment, which privilege_init() has cleared. Whether an image may choose
 * GPUs by its environment is the daemon's policy: the source goes along.
 */
#include "inject/hook.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "inject/engine.h"
#include "inject/imageenv.h"

#define DEVICE_MOUNTS "/var/run/nvidia-container-devices/"
#define CDI_MOUNTS "cdi/nvidia.com/gpu/"
#define IMEX_MOUNTS "imex/"

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define auto_json __attribute__((cleanup(cleanup_json)))

/*
 * jansson ends at 2048 levels (JSON_PARSER_MAX_DEPTH), which our stack holds many times.
 * @flags: of config.json JSON_DECODE_INT_AS_REAL, since "unlimited" is 2^64 - 1 there, more than an
 * integer of jansson's holds.
 */
static json_t *load_object(const char *text, size_t len, size_t flags, const char *what,
			   struct error *err)
{
	json_error_t why;
	json_t *json = json_loadb(text, len, flags, &why);

	if (json_is_object(json))
		return json;
	if (json)
		(void)error_setc(err, ERROR_USAGE, -EINVAL, "%s is not a JSON object", what);
	else
		(void)error_setc(err, ERROR_USAGE, -EINVAL, "%s is not JSON: line %d: %.60s", what,
				 why.line, why.text);
	json_decref(json);
	return NULL;
}

/* A copy of a string member; absent is NULL and no error. */
static int copy_string(const json_t *object, const char *key, char **ret, struct error *err)
{
	const json_t *value = json_object_get(object, key);

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%s' is not a string", key);
	return request_set(ret, json_string_value(value), err);
}

void hook_state_done(struct hook_state *state)
{
	free(state->id);
	free(state->bundle);
	free(state->root);
	memset(state, 0, sizeof(*state));
}

static int state_fill(struct hook_state *state, const json_t *json, struct error *err)
{
	const json_t *pid = json_object_get(json, "pid");
	int r;

	r = copy_string(json, "id", &state->id, err);
	r = r ? r : copy_string(json, "bundle", &state->bundle, err);
	r = r ? r : copy_string(json, "root", &state->root, err);
	if (r < 0)
		return r;
	if (!state->id || !state->bundle)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%s' is missing",
				  state->id ? "bundle" : "id");
	if (*state->bundle != '/' || (state->root && *state->root != '/'))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%s' is not an absolute path",
				  *state->bundle != '/' ? "bundle" : "root");
	if (pid && !json_is_null(pid) &&
	    (!json_is_integer(pid) || json_integer_value(pid) < 0 ||
	     json_integer_value(pid) > INT_MAX))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'pid' is not a process id");
	state->pid = (pid_t)json_integer_value(pid);
	/* createContainer: 1 from runc, 0 from crun, as the container sees itself. */
	if (state->pid == 1)
		state->pid = 0;
	return request_check_id(state->id, err);
}

int hook_state_parse(const char *text, size_t len, struct hook_state *ret, struct error *err)
{
	auto_json json_t *json = load_object(text, len, 0, "state", err);
	struct hook_state state = { 0 };
	int r;

	if (!json)
		return -EINVAL;
	r = state_fill(&state, json, err);
	if (r < 0) {
		hook_state_done(&state);
		return r == -ENOMEM ? r : error_wrap(err, r, "state");
	}
	*ret = state;
	return 0;
}

void hook_wish_done(struct hook_wish *wish)
{
	free(wish->devices);
	free(wish->driver_caps);
	json_decref(wish->requirements);
	free(wish->mig_config);
	free(wish->mig_monitor);
	free(wish->imex_channels);
	free(wish->root);
	free(wish->why);
	memset(wish, 0, sizeof(*wish));
}

/* The list without blanks and empty items; "void" makes it NULL, "all" and "none" stand alone. */
static int tidy_devices(const char *list, char **ret, struct error *err)
{
	auto_free char *tidy = calloc(1, strlen(list) + 2);
	const char *cursor = list, *item, *word = NULL;
	size_t len, used = 0;

	if (!tidy)
		return error_set(err, -ENOMEM, "copy a list");
	while ((item = parse_field(&cursor, ',', &len))) {
		if (len == 4 && strncmp(item, "void", 4) == 0)
			return 0;
		if (len == 3 && strncmp(item, "all", 3) == 0)
			word = "all";
		else if (len == 4 && strncmp(item, "none", 4) == 0)
			word = word ? word : "none";
		if (len == 0)
			continue;
		if (used)
			tidy[used++] = ',';
		memcpy(tidy + used, item, len);
		used += len;
	}
	if (word)
		return request_set(ret, word, err);
	if (used)
		*ret = take_ptr(&tidy);
	return 0;
}

/*
 * "/dev/null" mounted on DEVICE_MOUNTS<device>, or below its cdi/ and imex/. Another source
 * may be an image's doing: a VOLUME of its Dockerfile is a mount, of a folder that the engine has made.
 */
static const char *mounted_name(const json_t *mount)
{
	const char *where = json_string_value(json_object_get(mount, "destination"));
	const char *source = json_string_value(json_object_get(mount, "source"));

	if (!where || !source || strcmp(source, "/dev/null") != 0)
		return NULL;
	if (strncmp(where, "/run/", 5) == 0 &&
	    strncmp(where, DEVICE_MOUNTS + 4, strlen(DEVICE_MOUNTS) - 4) == 0)
		return where + strlen(DEVICE_MOUNTS) - 4;
	return strncmp(where, DEVICE_MOUNTS, strlen(DEVICE_MOUNTS)) == 0
		       ? where + strlen(DEVICE_MOUNTS)
		       : NULL;
}

static const char *mounted_device(const json_t *mount)
{
	const char *name = mounted_name(mount);

	if (name && strncmp(name, CDI_MOUNTS, strlen(CDI_MOUNTS)) == 0)
		name += strlen(CDI_MOUNTS);
	return name && *name && !strchr(name, '/') ? name : NULL;
}

static const char *mounted_channel(const json_t *mount)
{
	const char *name = mounted_name(mount);

	if (!name || strncmp(name, IMEX_MOUNTS, strlen(IMEX_MOUNTS)) != 0)
		return NULL;
	name += strlen(IMEX_MOUNTS);
	return *name && !strchr(name, '/') ? name : NULL;
}

/* A comma list of what @name_of finds; NULL: nothing. */
static int list_mounts(const json_t *mounts, const char *(*name_of)(const json_t *mount),
		       char **ret, struct error *err)
{
	const json_t *mount;
	size_t i;
	int r = 0;

	json_array_foreach(mounts, i, mount) {
		const char *name = name_of(mount);

		if (name)
			r = request_append(ret, name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int devices_from_mounts(const json_t *mounts, char **ret, struct error *err)
{
	auto_free char *list = NULL;
	int r = list_mounts(mounts, mounted_device, &list, err);

	return r || !list ? r : tidy_devices(list, ret, err);
}

/* Mounts first, and the environment where there are none, as with GPUs; each by itself. */
static int fill_imex(struct hook_wish *wish, const json_t *mounts, const json_t *env,
		     struct error *err)
{
	const char *channels = imageenv_value(env, "NVIDIA_IMEX_CHANNELS");
	int r = list_mounts(mounts, mounted_channel, &wish->imex_channels, err);

	wish->imex_source = "mounts";
	if (r < 0 || wish->imex_channels || !channels)
		return r;
	wish->imex_source = "env";
	return request_set(&wish->imex_channels, channels, err);
}

static int fill_mig_control(struct hook_wish *wish, const json_t *env, struct error *err)
{
	const char *config = NULL, *monitor = NULL;
	int r = imageenv_mig_control(env, "NVIDIA_MIG_CONFIG_DEVICES", wish->privileged, &config,
				     err);

	r = r ? r
	      : imageenv_mig_control(env, "NVIDIA_MIG_MONITOR_DEVICES", wish->privileged, &monitor,
				     err);
	if (r == 0 && config)
		r = request_set(&wish->mig_config, config, err);
	if (r == 0 && monitor)
		r = request_set(&wish->mig_monitor, monitor, err);
	return r;
}

static bool has_sys_admin(const json_t *process)
{
	const json_t *caps = json_object_get(process, "capabilities");
	const json_t *bounding = json_is_array(caps) ? caps : json_object_get(caps, "bounding");
	const json_t *cap;
	size_t i;

	json_array_foreach(bounding, i, cap) {
		const char *name = json_string_value(cap);

		if (name && strcmp(name, "CAP_SYS_ADMIN") == 0)
			return true;
	}
	return false;
}

static int wish_from_env(struct hook_wish *wish, const json_t *env, const char *swarm,
			 struct error *err)
{
	auto_free char *devices = NULL;
	int r = imageenv_devices(env, swarm, &devices, err);

	wish->source = "env";
	return r == 0 && devices ? tidy_devices(devices, &wish->devices, err) : r;
}

static int caps_from_env(struct hook_wish *wish, const json_t *env, bool is_cdi, struct error *err)
{
	const char *caps = imageenv_value(env, "NVIDIA_DRIVER_CAPABILITIES");

	if (caps && *caps)
		return request_set(&wish->driver_caps, caps, err);
	if (is_cdi || (!caps && imageenv_is_legacy(env)))
		return request_set(&wish->driver_caps, "all", err);
	return 0;
}

static int wish_from_cdi(struct hook_wish *wish, const json_t *config, const char *own,
			 struct error *err)
{
	bool is_first = false;
	int r;

	wish->source = "cdi";
	r = engine_cdi_devices(config, own, &wish->devices, &is_first, err);
	if (r < 0 || is_first)
		return r;
	free(wish->devices);
	wish->devices = NULL;
	return request_set(&wish->why, "the hook of another of its devices gives it all of them",
			   err);
}

static int wish_devices(struct hook_wish *wish, const json_t *config,
			const struct hook_rules *rules, struct error *err)
{
	int r;

	if (rules->cdi_device)
		return wish_from_cdi(wish, config, rules->cdi_device, err);
	wish->source = "mounts";
	r = devices_from_mounts(json_object_get(config, "mounts"), &wish->devices, err);
	if (r == 0 && !wish->devices)
		r = wish_from_env(wish, json_object_get(json_object_get(config, "process"), "env"),
				  rules->swarm, err);
	return r;
}

/* Somebody else has been here: two drivers in one container would be one too many. */
static int yield_to(struct hook_wish *wish, const char *file, struct error *err)
{
	free(wish->devices);
	wish->devices = NULL;
	if (asprintf(&wish->why, "it has the driver from elsewhere: '%.100s' is mounted", file) <
	    0) {
		wish->why = NULL;
		return error_set(err, -ENOMEM, "copy a path");
	}
	return 0;
}

static int wish_rest(struct hook_wish *wish, const json_t *config, bool is_cdi, struct error *err)
{
	const json_t *process = json_object_get(config, "process");
	const json_t *env = json_object_get(process, "env");
	int r;

	wish->wanted = true;
	wish->privileged = has_sys_admin(process);
	r = caps_from_env(wish, env, is_cdi, err);
	r = r ? r : imageenv_requirements(env, &wish->requirements, err);
	r = r ? r : fill_mig_control(wish, env, err);
	wish->nvswitch = imageenv_is_enabled(env, "NVIDIA_NVSWITCH");
	r = r ? r : fill_imex(wish, json_object_get(config, "mounts"), env, err);
	return r ? r : copy_string(json_object_get(config, "root"), "path", &wish->root, err);
}

static int wish_fill(struct hook_wish *wish, const json_t *config, const struct hook_rules *rules,
		     struct error *err)
{
	const char *foreign = engine_driver_file(config);
	int r = wish_devices(wish, config, rules, err);

	if (r == 0 && wish->devices && foreign)
		r = yield_to(wish, foreign, err);
	if (r == 0 && !wish->devices && !wish->why)
		r = request_set(&wish->why, "the container asks for no GPU", err);
	return r < 0 || !wish->devices ? r : wish_rest(wish, config, rules->cdi_device, err);
}

int hook_config_parse(const char *text, size_t len, const struct hook_rules *rules,
		      struct hook_wish *ret, struct error *err)
{
	auto_json json_t *json = load_object(text, len, JSON_DECODE_INT_AS_REAL, "config.json",
					     err);
	struct hook_wish wish = { 0 };
	int r;

	if (!json)
		return -EINVAL;
	r = wish_fill(&wish, json, rules, err);
	if (r < 0) {
		hook_wish_done(&wish);
		return r == -ENOMEM ? r : error_wrap(err, r, "config.json");
	}
	*ret = wish;
	return 0;
}
