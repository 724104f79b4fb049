/* SPDX-License-Identifier: Apache-2.0 */
/* What of the command line belongs together, and what its words may be. */
#include "inject/request_impl.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/cleanup.h"
#include "inject/plan.h"

/* What is not UTF-8 is no JSON string, and could not be said to the daemon. */
bool request_is_text(const char *value)
{
	json_t *string = json_string(value);

	json_decref(string);
	return string != NULL;
}

int request_check_id(const char *id, struct error *err)
{
	if (!request_is_text(id))
		return error_setc(err, ERROR_USAGE, -EINVAL, "the id is not UTF-8");
	if (!*id || strlen(id) > NAME_MAX || strchr(id, '/') || strcmp(id, ".") == 0 ||
	    strcmp(id, "..") == 0)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "'%.80s' cannot be the id of a container", id);
	return 0;
}

/* As nvml/compat.h has them, and checked here so that a wrong one costs nothing. */
static bool is_compat_mode(const char *word)
{
	static const char *const words[] = { "auto", "ldconfig", "mount", REQUEST_COMPAT_DISABLED };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

int request_check_places(const struct request *req, struct error *err)
{
	if (req->id && request_check_id(req->id, err) < 0)
		return -EINVAL;
	if (req->compat_mode && !is_compat_mode(req->compat_mode))
		return usage(err, "invalid option: cuda-compat-mode=%.40s", req->compat_mode);
	if (req->without && !request_is_text(req->without))
		return usage(err, "what is to be left out is not UTF-8");
	if ((req->devices && !request_is_text(req->devices)) ||
	    (req->mig_config && !request_is_text(req->mig_config)) ||
	    (req->mig_monitor && !request_is_text(req->mig_monitor)) ||
	    (req->imex_channels && !request_is_text(req->imex_channels)) ||
	    (req->fabric && !request_is_text(req->fabric)))
		return usage(err, "the devices are not UTF-8");
	if (req->rootfs && *req->rootfs != '/')
		return usage(err, "root '%.80s' is not an absolute path", req->rootfs);
	if (req->target && !plan_path_ok(req->target))
		return usage(err, "target '%.80s' is not a plain absolute path", req->target);
	return 0;
}

int request_check_inject(const struct request *req, struct error *err)
{
	if (!req->pid && !req->standalone)
		return usage(err, "which container? --pid is missing");
	if (req->pid && req->standalone)
		return usage(err, "--pid and --standalone exclude each other");
	if (req->standalone && (!req->rootfs || !req->id))
		return usage(err, "--standalone needs --rootfs and --id");
	if (req->standalone && req->as_owner)
		return usage(err, "--owner needs --pid");
	if (!req->devices)
		return usage(err, "which GPUs? --devices is missing (all, none, 0, GPU-...)");
	return 0;
}

/* Beside devices, and what varies of a plan */
static bool asks_more(const struct request *req)
{
	return req->mig_config || req->mig_monitor || req->imex_channels || req->fabric ||
	       req->without || req->classic_paths;
}

int request_check_remove(const struct request *req, struct error *err)
{
	if (!req->pid && !req->id)
		return usage(err, "--remove needs --pid or --id");
	if (req->standalone && (!req->rootfs || !req->id || req->pid))
		return usage(err, "--standalone needs --rootfs and --id, and no --pid");
	if (req->devices || req->driver_caps || req->target || req->requirements ||
	    req->compat_mode || req->as_owner || req->on_daemon_down || asks_more(req))
		return usage(err, "--remove takes back all: no --devices, --target");
	return 0;
}

int request_check_heal(const struct request *req, struct error *err)
{
	if (!req->pid || !req->id)
		return usage(err, "--heal needs --pid and --id");
	if (req->devices || req->driver_caps || req->target || req->rootfs || req->standalone ||
	    asks_more(req) || req->dry_run || !req->cgroup || req->compat_mode ||
	    req->on_daemon_down)
		return usage(err, "--heal permits what was given: no other options");
	return 0;
}

int request_check_hook(const struct request *req, struct error *err)
{
	if (req->pid || req->id || req->rootfs || req->devices || req->requirements ||
	    asks_more(req) || req->standalone || req->as_owner)
		return usage(err, "hook takes container and devices from the runtime");
	return 0;
}
