/* SPDX-License-Identifier: Apache-2.0 */
/* State and config.json are read, and what they say becomes a request. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "inject/hook.h"

#define STATE_MAX (1024 * 1024)
#define CONFIG_MAX (16 * 1024 * 1024)
#define ROOT_OF_BUNDLE "rootfs" /* where config.json names none */

static int read_config(const char *bundle, const struct hook_rules *rules, struct hook_wish *ret,
		       struct error *err)
{
	auto_close int dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_free char *text = NULL;
	size_t len = 0;
	int r;

	if (dir < 0)
		return error_set(err, -errno, "open bundle '%.100s'", bundle);
	r = file_read_at(dir, "config.json", CONFIG_MAX, &text, &len, err);
	return r < 0 ? r : hook_config_parse(text, len, rules, ret, err);
}

/*
 * crun (1.8.1) names "/" as the bundle of a container with devices and a user namespace. What CDI
 * asked this hook for is known all the same, and the root by the state.
 */
static int wish_without_config(struct hook_wish *wish, const char *device, struct error *err)
{
	int r = request_set(&wish->devices, device, err);

	log_warning("no config.json in the bundle that the runtime names: NVIDIA_REQUIRE_* and "
		    "NVIDIA_DRIVER_CAPABILITIES are not known, ignoring");
	wish->wanted = true;
	wish->source = "cdi";
	return r ? r : request_set(&wish->driver_caps, "all", err);
}

static int find_wish(const struct request *req, const struct hook_state *state,
		     struct hook_wish *ret, struct error *err)
{
	const struct hook_rules rules = { .swarm = req->swarm_resource,
					  .cdi_device = req->cdi_device };
	struct error why = { 0 };
	int r = read_config(state->bundle, &rules, ret, &why);

	if (r == -ENOENT && rules.cdi_device && state->root)
		return wish_without_config(ret, rules.cdi_device, err);
	if (r < 0 && err)
		*err = why;
	return r;
}

/* The root as the mount namespace shows it: crun tells, else config.json, else the custom. */
static int put_root(struct request *req, const struct hook_state *state,
		    const struct hook_wish *wish, struct error *err)
{
	const char *root = wish->root ? wish->root : ROOT_OF_BUNDLE;
	char path[PATH_MAX];
	int n;

	if (state->root)
		return request_set(&req->rootfs, state->root, err);
	if (*root == '/')
		return request_set(&req->rootfs, root, err);
	n = snprintf(path, sizeof(path), "%s/%s", state->bundle, root);
	if (n < 0 || (size_t)n >= sizeof(path))
		return error_setc(err, ERROR_USAGE, -ENAMETOOLONG, "root.path is too long");
	return request_set(&req->rootfs, path, err);
}

/* What is not asked for stays unset. */
static int put(char **field, const char *value, struct error *err)
{
	return value ? request_set(field, value, err) : 0;
}

static int complete(struct request *req, const struct hook_state *state,
		    const struct hook_wish *wish, struct error *err)
{
	int r;

	req->action = REQUEST_INJECT;
	req->pid = state->pid;
	req->standalone = state->pid == 0;
	req->source = wish->source;
	req->privileged = wish->privileged;
	r = request_set(&req->id, state->id, err);
	r = r ? r : request_set(&req->devices, wish->devices, err);
	r = r ? r : put(&req->driver_caps, wish->driver_caps, err);
	r = r ? r : put(&req->mig_config, wish->mig_config, err);
	r = r ? r : put(&req->mig_monitor, wish->mig_monitor, err);
	r = r ? r : put(&req->imex_channels, wish->imex_channels, err);
	r = r ? r : put(&req->fabric, wish->nvswitch ? "nvswitch" : NULL, err);
	req->imex_source = wish->imex_source;
	json_decref(req->requirements);
	req->requirements = json_incref(wish->requirements);
	return r ? r : put_root(req, state, wish, err);
}

int hook_request(struct request *req, int state_fd, char **ret_why, struct error *err)
{
	struct hook_state state = { 0 };
	struct hook_wish wish = { 0 };
	auto_free char *text = NULL;
	size_t len = 0;
	int r;

	r = file_read_fd(state_fd, STATE_MAX, &text, &len, err);
	if (r < 0)
		(void)error_wrap(err, r, "state");
	r = r ? r : hook_state_parse(text, len, &state, err);
	r = r ? r : find_wish(req, &state, &wish, err);
	if (r == 0 && wish.wanted)
		r = complete(req, &state, &wish, err);
	if (r == 0)
		*ret_why = take_ptr(&wish.why);
	hook_wish_done(&wish);
	hook_state_done(&state);
	return r < 0 ? error_classify(err, r, ERROR_USAGE) : 0;
}
