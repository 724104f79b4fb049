/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for injection: reading them, and who may make which. */
#include "fs/claim.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/error.h"
#include "common/varlink.h"
#include "fs/server.h"
#include "nvml/driver_cap.h"
#include "nvml/gpu.h"
#include "nvml/select.h"

#define DEFAULT_CAPS "compute,utility"
#define DEFAULT_TARGET "/usr/local/nvidia"
#define DEVICES_MAX 16384

bool claim_target_is_valid(const char *target)
{
	size_t len = strlen(target);

	if (target[0] != '/' || len < 2 || len > CLAIM_TARGET_MAX || target[len - 1] == '/' ||
	    strstr(target, "//") || strstr(target, "/./") || strstr(target, "/../"))
		return false;
	if (strcmp(target + len - 2, "/.") == 0 || (len > 2 && strcmp(target + len - 3, "/..") == 0))
		return false;
	for (; *target; target++) {
		/* The target is written into ld.so.conf and the cache: nothing that ends a word there. */
		if (*target <= ' ' || *target > '~' || strchr(":;#=,\"'\\*?[", *target))
			return false;
	}
	return true;
}

/* A descriptor by its index in the message; -1 where the key is absent. */
static int message_fd(json_t *params, const char *key, const struct varlink_message *message,
		      int *ret, struct error *err)
{
	const json_t *value = json_object_get(params, key);
	json_int_t i = json_integer_value(value);

	*ret = -1;
	if (!value)
		return 0;
	if (!json_is_integer(value) || i < 0 || (size_t)i >= message->n_fds)
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%s' is not the index of a descriptor", key);
	*ret = message->fds[i];
	return 0;
}

static bool flag(json_t *params, const char *key)
{
	return json_is_true(json_object_get(params, key));
}

static int parse_strings(json_t *params, struct claim *claim, struct error *err)
{
	const char *caps = varlink_string(params, "driver_capabilities", "");
	int r;

	claim->id = varlink_string(params, "id", "");
	claim->devices = varlink_string(params, "devices", NULL);
	claim->target = varlink_string(params, "target", DEFAULT_TARGET);
	claim->source = varlink_string(params, "source", "arguments");
	claim->compat_mode = varlink_string(params, "cuda_compat_mode", "");
	if (!claim->devices || strlen(claim->devices) > DEVICES_MAX)
		return error_setc(err, ERROR_USAGE, -EINVAL, "devices are not said, or too many");
	if (!claim_target_is_valid(claim->target))
		return error_setc(err, ERROR_USAGE, -EINVAL, "target '%.80s' is not a plain absolute path",
				  claim->target);
	r = ident_escape(claim->id, claim->name, err);
	if (r == 0)
		r = driver_caps_parse(*caps ? caps : DEFAULT_CAPS, &claim->caps, err);
	claim->caps = driver_caps_expand(claim->caps);
	return r;
}

int claim_parse(json_t *params, const struct varlink_message *message, const struct peer *peer,
		  struct claim *ret, struct error *err)
{
	struct claim claim = { 0 };
	int r = parse_strings(params, &claim, err);

	if (r == 0)
		r = message_fd(params, "pidfd", message, &claim.pidfd, err);
	if (r == 0)
		r = message_fd(params, "cache", message, &claim.cache_fd, err);
	if (r == 0)
		r = message_fd(params, "compat", message, &claim.compat_fd, err);
	if (r < 0)
		return r;
	claim.standalone = flag(params, "standalone");
	claim.cgroup = flag(params, "cgroup");
	claim.dry_run = flag(params, "dry_run");
	if (claim.pidfd >= 0)
		r = process_from_pidfd(claim.pidfd, &claim.process, err);
	else if (claim.standalone && peer->process.start_time)
		claim.process = peer->process;
	else if (claim.standalone && peer->process.pid) /* root's, who has nothing to gain by another's number */
		r = process_from_pid(peer->process.pid, &claim.process, err);
	else
		r = error_setc(err, ERROR_USAGE, -EINVAL, "no container is said: 'pidfd' or 'standalone'");
	if (r == 0)
		*ret = claim;
	return r;
}

int claim_allowed(const struct claim *claim, const struct peer *peer,
		    const struct process *self, const struct config *config,
		    const struct claim_standing *standing, struct error *err)
{
	if (peer_is_root(peer, self))
		return 0;
	if (!standing->in_group) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM, "uid %u is not in the group '%.40s'", peer->uid,
				 config->user_group);
		return error_remedy(err, -EPERM, "user_group in nvfs.conf says who may ask");
	}
	if (claim->cgroup) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM,
				 "uid %u may not change cgroups", peer->uid);
		return error_remedy(err, -EPERM, "root in the daemon's own namespaces may, or --no-cgroup");
	}
	if (claim->process.uid != peer->uid)
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "process %d is of uid %u and not of uid %u", claim->process.pid,
				  claim->process.uid, peer->uid);
	/* Root of a container is root of nothing else. */
	if (peer->uid == 0 && claim->process.mnt_ns != peer->process.mnt_ns)
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "process %d is in another mount namespace", claim->process.pid);
	if (claim->process.mnt_ns == self->mnt_ns)
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "process %d is in the host's own mount namespace", claim->process.pid);
	if (standing->trees >= config->trees_per_user)
		return error_setc(err, ERROR_PERMISSION, -EPERM, "uid %u has %u trees, the most it may",
				  peer->uid, standing->trees);
	return 0;
}

static bool is_selected(const struct gpu_selection *selection, size_t at)
{
	for (size_t i = 0; i < selection->n; i++) {
		if (selection->at[i] == at)
			return true;
	}
	return false;
}

static void keep_migs_of_gpus(const struct gpu_list *gpus, struct gpu_selection *selection)
{
	size_t n = 0;

	for (size_t i = 0; i < selection->n_migs; i++) {
		if (is_selected(selection, gpus->migs[selection->migs[i]].gpu))
			selection->migs[n++] = selection->migs[i];
	}
	selection->n_migs = n;
}

int claim_limit_devices(const char *devices, const struct gpu_list *gpus, const char *ceiling,
			struct gpu_selection *selection, struct error *err)
{
	struct gpu_selection most = { 0 };
	struct error why = { 0 };
	size_t n = 0;
	int r = gpu_select(gpus, ceiling, &most, &why);

	if (r == -ENOMEM)
		return error_set(err, r, "select GPUs");
	if (r < 0)
		return error_setc(err, ERROR_PERMISSION, -EPERM, "user_devices of nvfs.conf: %s", why.text);
	/* Whose ceiling is a part of a GPU must not get the whole of it. */
	if (!most.all && most.n_migs > 0)
		r = error_setc(err, ERROR_PERMISSION, -EPERM, "user_devices of nvfs.conf names MIG devices");
	for (size_t i = 0; i < selection->n && r == 0; i++) {
		if (is_selected(&most, selection->at[i]))
			selection->at[n++] = selection->at[i];
		else if (strcasecmp(devices, "all") != 0)
			r = error_setc(err, ERROR_PERMISSION, -EPERM, "%s is not for users",
				       gpus->gpus[selection->at[i]].uuid);
	}
	gpu_selection_done(&most);
	if (r < 0)
		return error_remedy(err, r, "ask for 'all', or see user_devices in nvfs.conf");
	selection->n = n;
	keep_migs_of_gpus(gpus, selection);
	return 0;
}

bool claim_env_counts(json_t *params, enum accept_env accept_env)
{
	if (strcmp(varlink_string(params, "source", ""), "env") != 0 || accept_env == ACCEPT_ENV_ALWAYS)
		return true;
	return accept_env == ACCEPT_ENV_PRIVILEGED && flag(params, "privileged");
}
