/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for injection: reading them, and who may make which. */
#include "fs/claim.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "fs/ipc.h"
#include "fs/server.h"
#include "nvml/driver_cap.h"
#include "nvml/gpu.h"
#include "nvml/mig_name.h"
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
	if (strcmp(target + len - 2, "/.") == 0 ||
	    (len > 2 && strcmp(target + len - 3, "/..") == 0))
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
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "'%s' is not the index of a descriptor", key);
	*ret = message->fds[i];
	return 0;
}

static bool flag(json_t *params, const char *key)
{
	return json_is_true(json_object_get(params, key));
}

/* "nvswitch,imex-mgmt" */
static int parse_fabric(const char *words, struct claim *claim, struct error *err)
{
	const char *cursor = words, *word;
	size_t len;

	while ((word = parse_field(&cursor, ',', &len))) {
		if (len == strlen("nvswitch") && strncmp(word, "nvswitch", len) == 0)
			claim->nvswitch = true;
		else if (len == strlen("imex-mgmt") && strncmp(word, "imex-mgmt", len) == 0)
			claim->imex_mgmt = true;
		else if (len)
			return error_setc(err, ERROR_USAGE, -EINVAL,
					  "fabric '%.*s' is none of nvswitch, imex-mgmt",
					  len > 40 ? 40 : (int)len, word);
	}
	return 0;
}

static bool is_left_out(const char *word, size_t len)
{
	static const char *const words[] = { CLAIM_WITHOUT_DEVICES, IPC_PERSISTENCED,
					     IPC_FABRICMANAGER };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
			return true;
	}
	return len == 0;
}

/* What a plan usually has, and this one is to be without or to have besides. */
static int parse_variations(json_t *params, struct claim *claim, struct error *err)
{
	const char *cursor, *word;
	size_t len;

	claim->without = cursor = varlink_string(params, "without", "");
	claim->lib64_at = varlink_string(params, "lib64_at", "");
	claim->lib32_at = varlink_string(params, "lib32_at", "");
	while ((word = parse_field(&cursor, ',', &len))) {
		if (!is_left_out(word, len))
			return error_setc(err, ERROR_USAGE, -EINVAL,
					  "nothing is called '%.*s' that could be left out",
					  len > 40 ? 40 : (int)len, word);
	}
	if ((*claim->lib64_at && !claim_target_is_valid(claim->lib64_at)) ||
	    (*claim->lib32_at && !claim_target_is_valid(claim->lib32_at)))
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "a directory of libraries is not a plain absolute path");
	return 0;
}

/* Trees are asked for by these, too: the reference tree, and who has a pid. */
static bool is_somebody_elses(const char *id)
{
	return strcmp(id, IDENT_HOST) == 0 || strncmp(id, "pid:", 4) == 0;
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
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "target '%.80s' is not a plain absolute path", claim->target);
	if (is_somebody_elses(claim->id)) {
		(void)error_setc(err, ERROR_USAGE, -EINVAL, "id '%.40s' means something else",
				 claim->id);
		return error_remedy(err, -EINVAL, "name another with --id");
	}
	r = ident_escape(claim->id, claim->name, err);
	if (r == 0)
		r = driver_caps_parse(*caps ? caps : DEFAULT_CAPS, &claim->caps, err);
	claim->caps = driver_caps_expand(claim->caps);
	claim->mig_config = varlink_string(params, "mig_config", "");
	claim->mig_monitor = varlink_string(params, "mig_monitor", "");
	claim->imex_source = varlink_string(params, "imex_source", claim->source);
	r = r ? r : parse_variations(params, claim, err);
	r = r ? r : parse_fabric(varlink_string(params, "fabric", ""), claim, err);
	return r ? r
		 : imex_channels_parse(varlink_string(params, "imex_channels", ""), &claim->imex,
				       err);
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
	claim.privileged = flag(params, "privileged");
	if (claim.pidfd >= 0)
		r = process_from_pidfd(claim.pidfd, &claim.process, err);
	else if (claim.standalone && peer->process.start_time)
		claim.process = peer->process;
	else if (claim.standalone && peer->process.pid) /* root's, who has nothing to gain by another's number */
		r = process_from_pid(peer->process.pid, &claim.process, err);
	else
		r = error_setc(err, ERROR_USAGE, -EINVAL,
			       "no container is said: 'pidfd' or 'standalone'");
	if (r == 0)
		*ret = claim;
	return r;
}

static bool is_said(const char *word)
{
	return word && *word;
}

bool claim_asks_mig_control(const struct claim *claim)
{
	return is_said(claim->mig_config) || is_said(claim->mig_monitor);
}

int claim_allowed(const struct claim *claim, const struct peer *peer,
		    const struct process *self, const struct config *config,
		    const struct claim_standing *standing, struct error *err)
{
	if (peer_is_root(peer, self))
		return 0;
	if (!standing->in_group) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM,
				 "uid %u is not in the group '%.40s'", peer->uid,
				 config->user_group);
		return error_remedy(err, -EPERM, "user_group in nvfs.conf says who may ask");
	}
	if (claim->cgroup) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM,
				 "uid %u may not change cgroups", peer->uid);
		return error_remedy(err, -EPERM,
				    "root in the daemon's own namespaces may, or --no-cgroup");
	}
	if (claim_asks_mig_control(claim)) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM,
				 "uid %u may not divide or watch GPUs", peer->uid);
		return error_remedy(err, -EPERM, "root in the daemon's own namespaces may");
	}
	if (claim->imex_mgmt) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM, "uid %u may not manage IMEX",
				 peer->uid);
		return error_remedy(err, -EPERM, "root in the daemon's own namespaces may");
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
				  "process %d is in the host's own mount namespace",
				  claim->process.pid);
	if (standing->trees >= config->trees_per_user)
		return error_setc(err, ERROR_PERMISSION, -EPERM,
				  "uid %u has %u trees, the most it may", peer->uid,
				  standing->trees);
	return 0;
}

/* What a user may have: whole GPUs with all that is on them, and MIG devices. */
struct ceiling {
	const struct gpu_list *gpus;
	struct gpu_selection most;
};

static bool may_have_gpu(const struct ceiling *ceiling, size_t gpu)
{
	for (size_t i = 0; i < ceiling->most.n; i++) {
		if (ceiling->most.at[i] == gpu)
			return !ceiling->most.is_parent[i];
	}
	return false;
}

static bool may_have_mig(const struct ceiling *ceiling, size_t mig)
{
	for (size_t i = 0; i < ceiling->most.n_migs; i++) {
		if (ceiling->most.migs[i] == mig)
			return true;
	}
	return may_have_gpu(ceiling, ceiling->gpus->migs[mig].gpu);
}

static int refuse_device(const char *name, struct error *err)
{
	int r = error_setc(err, ERROR_PERMISSION, -EPERM, "%s is not for users", name);

	return error_remedy(err, r, "ask for 'all', or see user_devices in nvfs.conf");
}

static int limit_migs(const struct ceiling *ceiling, bool is_all, struct gpu_selection *selection,
		      struct error *err)
{
	const struct gpu_list *gpus = ceiling->gpus;
	char name[MIG_NAME_MAX];
	size_t n = 0;

	for (size_t i = 0; i < selection->n_migs; i++) {
		size_t mig = selection->migs[i];

		if (may_have_mig(ceiling, mig)) {
			selection->migs[n++] = mig;
		} else if (!is_all) {
			mig_name(gpus, &gpus->migs[mig], name);
			return refuse_device(name, err);
		}
	}
	selection->n_migs = n;
	return 0;
}

static bool has_mig_on(const struct ceiling *ceiling, const struct gpu_selection *selection,
		       size_t gpu)
{
	for (size_t i = 0; i < selection->n_migs; i++) {
		if (ceiling->gpus->migs[selection->migs[i]].gpu == gpu)
			return true;
	}
	return false;
}

/* Whose ceiling is a part of a GPU gets that part, and the GPU's own node with it, but never the whole. */
static int limit_gpus(const struct ceiling *ceiling, bool is_all, struct gpu_selection *selection,
		      struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < selection->n; i++) {
		size_t gpu = selection->at[i];
		bool is_parent = selection->is_parent[i] ||
				 (is_all && has_mig_on(ceiling, selection, gpu));

		if (!may_have_gpu(ceiling, gpu) && !is_parent) {
			if (!is_all)
				return refuse_device(ceiling->gpus->gpus[gpu].uuid, err);
			continue;
		}
		selection->is_parent[n] = !may_have_gpu(ceiling, gpu) || selection->is_parent[i];
		selection->at[n++] = gpu;
	}
	selection->n = n;
	return 0;
}

int claim_limit_devices(const char *devices, const struct gpu_list *gpus, const char *ceiling_text,
			struct gpu_selection *selection, struct error *err)
{
	struct ceiling ceiling = { .gpus = gpus };
	bool is_all = strcasecmp(devices, "all") == 0;
	struct error why = { 0 };
	int r = gpu_select(gpus, ceiling_text, &ceiling.most, &why);

	if (r == -ENOMEM)
		return error_set(err, r, "select GPUs");
	if (r < 0 && why.class == ERROR_AGAIN) {
		if (err)
			*err = why;
		return r;
	}
	if (r < 0) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM, "user_devices of nvfs.conf: %s",
				 why.text);
		return error_remedy(err, -EPERM, "see user_devices in nvfs.conf");
	}
	r = limit_migs(&ceiling, is_all, selection, err);
	r = r ? r : limit_gpus(&ceiling, is_all, selection, err);
	gpu_selection_done(&ceiling.most);
	return r;
}

/* Which word of a container's counts, and from where it came. */
static bool counts(const char *source, bool privileged, enum accept_env accept_env)
{
	if (strcmp(source, "env") != 0 || accept_env == ACCEPT_ENV_ALWAYS)
		return true;
	return accept_env == ACCEPT_ENV_PRIVILEGED && privileged;
}

bool claim_env_counts(json_t *params, enum accept_env accept_env)
{
	return counts(varlink_string(params, "source", ""), flag(params, "privileged"), accept_env);
}

bool claim_control_counts(const struct claim *claim, enum accept_env accept_env)
{
	/* Of a container it is the environment that asks, wherever its devices come from. */
	return strcmp(claim->source, "arguments") == 0 ||
	       counts("env", claim->privileged, accept_env);
}

bool claim_imex_counts(const struct claim *claim, enum accept_env accept_env)
{
	return counts(claim->imex_source, claim->privileged, accept_env);
}
