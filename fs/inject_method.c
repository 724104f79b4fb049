/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.nvfs.Inject, step by step: what is asked, may it be had, what does it
 * come to (GPUs, nodes, layout, cache), the tree, and the plan. Until the
 * client says Commit, all of it can be taken back.
 */
#include "fs/inject_method.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compatlist.h"
#include "common/error.h"
#include "common/file.h"
#include "common/ldcache.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "fs/claim.h"
#include "fs/compose.h"
#include "fs/daemon.h"
#include "fs/derive.h"
#include "fs/events.h"
#include "fs/filesystem.h"
#include "fs/fixed.h"
#include "fs/generation.h"
#include "fs/group.h"
#include "fs/ipc_looker.h"
#include "fs/planner.h"
#include "fs/reinject.h"
#include "fs/renewal.h"
#include "fs/requirement.h"
#include "fs/server.h"
#include "fs/store.h"
#include "nvml/compat.h"
#include "nvml/devnode.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/mig_name.h"
#include "nvml/select.h"

#define CONTAINER_ROOTS 64

/* What a sealed memfd of the client's holds: opaque bytes. NULL without. */
struct foreign {
	void *bytes;
	size_t size;
};

/* Everything that belongs to one call. */
struct call {
	struct daemon *daemon;
	struct client *client;
	struct claim claim;
	const json_t *requirements; /* the message's; NULL for none */
	const char *asked_by;       /* of events_client() */
	const char *trace;
	struct gpu_selection selection;
	bool by_root; /* the container gets what root may have, and not what one of the users may */
	bool mig_config, mig_monitor;
	struct devnode *nodes;
	size_t n_nodes;
	struct finding_list findings;
	struct foreign image;  /* the container's own ld.so.cache */
	struct foreign compat; /* what it has for CUDA forward compatibility */
	enum compat_mode compat_mode;
	struct fixed_links links;
	struct ipc_list ipcs;
	struct planned plan;
	struct derived derived;
	struct injection *injection;
};

static void call_done(struct call *call)
{
	gpu_selection_done(&call->selection);
	free(call->nodes);
	fixed_links_done(&call->links);
	ipc_list_done(&call->ipcs);
	finding_list_done(&call->findings);
	planned_done(&call->plan);
	free(call->image.bytes);
	free(call->compat.bytes);
}

/*
 * Trees that count for the peer's limit. Roots of containers all have the uid 0: each counts for itself, by
 * its mount namespace; who makes namespaces to have more has CONTAINER_ROOTS of them.
 */
static unsigned int count_trees_of(const struct daemon *daemon, const struct peer *peer)
{
	unsigned int all = 0, here = 0;

	for (uint32_t i = 0; i < daemon->containers_room; i++) {
		const struct store_tree *tree = store_tree(daemon->store, i);

		if (!daemon->containers[i] || tree->flags & STORE_TREE_BY_ROOT ||
		    tree->owner != peer->uid)
			continue;
		all++;
		here += tree->mnt_ns == peer->process.mnt_ns;
	}
	if (peer->uid != 0)
		return all;
	return here > all / CONTAINER_ROOTS ? here : all / CONTAINER_ROOTS;
}

/* A group that cannot be found has no members. */
static bool is_user(const struct daemon *daemon, const struct client *client)
{
	const char *name = daemon->config.user_group;
	gid_t gid;

	return !*name ||
	       (group_find(GROUP_FILE, name, &gid) == 0 && client_is_in_group(client, gid));
}

static int check_policy(const struct call *call, struct error *err)
{
	const struct daemon *daemon = call->daemon;
	const struct peer *peer = client_peer(call->client);
	struct claim_standing standing = { 0 };

	if (!peer_is_root(peer, &daemon->self)) {
		standing.trees = count_trees_of(daemon, peer);
		standing.in_group = is_user(daemon, call->client);
	}
	return claim_allowed(&call->claim, peer, &daemon->self, &daemon->config, &standing, err);
}

/* Who injects a user's container anew for us gives it what the user could have. Root itself takes it over. */
static bool is_by_root(const struct call *call)
{
	const struct daemon *daemon = call->daemon;
	const struct peer *peer = client_peer(call->client);
	const struct store_tree *tree = store_tree(
		daemon->store, store_tree_find(daemon->store, call->claim.name));

	if (!peer_is_root(peer, &daemon->self))
		return false;
	return !reinject_is_child(daemon, peer->pid) || (tree && tree->flags & STORE_TREE_BY_ROOT);
}

static int choose_mig_control(struct call *call, struct error *err)
{
	const struct claim *claim = &call->claim;
	int r;

	if (!claim_asks_mig_control(claim))
		return 0;
	if (!claim_control_counts(claim, call->daemon->config.accept_env))
		return finding_add(&call->findings, false,
				   "only the container's environment asks to divide or watch GPUs, "
				   "and accept_env says no");
	r = gpu_select_mig_control(&call->selection, "mig-config", claim->mig_config, err);
	call->mig_config = r > 0;
	if (r >= 0)
		r = gpu_select_mig_control(&call->selection, "mig-monitor", claim->mig_monitor,
					   err);
	call->mig_monitor = r > 0;
	return r < 0 ? r : 0;
}

static int choose_fabric(struct call *call)
{
	struct claim *claim = &call->claim;

	if ((!claim->nvswitch && !claim->imex_mgmt) ||
	    claim_control_counts(claim, call->daemon->config.accept_env))
		return 0;
	claim->nvswitch = claim->imex_mgmt = false;
	return finding_add(
		&call->findings, false,
		"only the container's environment asks for the fabric, and accept_env says no");
}

static int choose_imex(struct call *call)
{
	if (!call->claim.imex.n || claim_imex_counts(&call->claim, call->daemon->config.accept_env))
		return 0;
	call->claim.imex.n = 0;
	return finding_add(
		&call->findings, false,
		"only the container's environment asks for IMEX channels, and accept_env says no");
}

static int choose_devices(struct call *call, struct error *err)
{
	const struct daemon *daemon = call->daemon;
	struct devnode_request request = {
		.dev_root = daemon->config.dev_root,
		.proc_root = daemon->config.proc_root,
		.majors = renewal_majors(daemon->renewal),
		.gpus = daemon->generation->gpus,
		.selection = &call->selection,
		.caps = call->claim.caps,
		.nvcaps = &daemon->generation->nvcaps,
		.imex = &call->claim.imex,
	};
	int r = gpu_select(daemon->generation->gpus, call->claim.devices, &call->selection, err);

	if (r == 0 && !peer_is_root(client_peer(call->client), &daemon->self))
		r = claim_limit_devices(call->claim.devices, daemon->generation->gpus,
					daemon->config.user_devices, &call->selection, err);
	call->by_root = is_by_root(call);
	if (r == 0 && call->selection.wanted)
		r = choose_mig_control(call, err);
	if (r == 0)
		r = choose_imex(call);
	if (r == 0)
		r = choose_fabric(call);
	request.nvswitch = call->claim.nvswitch;
	request.imex_mgmt = call->claim.imex_mgmt;
	request.mig_config = call->mig_config;
	request.mig_monitor = call->mig_monitor;
	request.may_make = call->by_root;
	if (r == 0)
		r = devnode_list(&request, &call->nodes, &call->n_nodes, &call->findings, err);
	return r;
}

/* Opaque bytes here: only the box looks into them. Sealed, they change for nobody. */
static int read_foreign(struct foreign *foreign, int fd, size_t max, const char *what,
			struct error *err)
{
	auto_free char *bytes = NULL;
	ssize_t size;

	if (fd < 0)
		return 0;
	size = file_memfd_sealed_size(fd, max);
	if (size < 0)
		return error_setc(err, ERROR_USAGE, (int)size,
				  "'%s' is not a sealed memfd of at most %zu bytes", what, max);
	if (size == 0)
		return 0;
	/* Mapping, its faults and unmapping cost more than the copy. */
	bytes = malloc((size_t)size);
	if (!bytes)
		return error_set(err, -ENOMEM, "read the %s", what);
	for (ssize_t n, at = 0; at < size; at += n) {
		n = pread(fd, bytes + at, (size_t)(size - at), at);
		if (n <= 0)
			return error_set(err, n < 0 ? -errno : -EIO, "read the %s", what);
	}
	*foreign = (struct foreign){ take_ptr(&bytes), (size_t)size };
	return 0;
}

static int read_image(struct call *call, struct error *err)
{
	int r = read_foreign(&call->image, call->claim.cache_fd, LDCACHE_SIZE_MAX, "cache", err);

	return r ? r
		 : read_foreign(&call->compat, call->claim.compat_fd, COMPATLIST_SIZE_MAX, "compat",
				err);
}

static int choose_compat_mode(struct call *call, struct error *err)
{
	call->compat_mode = call->daemon->config.cuda_compat_mode;
	return *call->claim.compat_mode
		       ? compat_mode_parse(call->claim.compat_mode, &call->compat_mode, err)
		       : 0;
}

/*
 * Where the container's cache cannot be read, because ours is mounted over it: what the
 * image had is in the one that it has from us.
 */
static void keep_image(struct call *call, struct derive_request *request)
{
	const struct store *store = call->daemon->store;
	const struct store_tree *tree = store_tree(store, store_tree_find(store, call->claim.name));

	if (!request->image && tree && tree->mnt_ns == call->claim.process.mnt_ns)
		request->image = compose_cache(store, store_snapshot(store, tree->snapshot)->layout,
					       &request->image_size);
}

static int derive(struct call *call, struct error *err)
{
	struct derive_request request = {
		.caps = call->claim.caps,
		.selection = &call->selection,
		.target = call->claim.target,
		.image = call->image.bytes,
		.image_size = call->image.size,
		.compat_mode = call->compat_mode,
		.compat = call->compat.bytes,
		.compat_size = call->compat.size,
		.mig_config = call->mig_config,
		.mig_monitor = call->mig_monitor,
		.imex_mgmt = call->claim.imex_mgmt,
	};

	keep_image(call, &request);
	return deriver_get(call->daemon->deriver, call->daemon->generation, &request,
			   &call->derived, err);
}

static json_t *migs_json(const struct call *call)
{
	const struct gpu_list *gpus = call->daemon->generation->gpus;
	json_t *list = json_array();

	for (size_t i = 0; list && i < call->selection.n_migs; i++) {
		const struct mig_device *mig = &gpus->migs[call->selection.migs[i]];
		char name[MIG_NAME_MAX];

		mig_name(gpus, mig, name);
		(void)json_array_append_new(
			list, json_pack("{s:s, s:s}", "name", name, "uuid", mig->uuid));
	}
	return list;
}

static json_t *imex_json(const struct call *call)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < call->claim.imex.n; i++)
		(void)json_array_append_new(list, json_integer(call->claim.imex.ids[i]));
	return list;
}

static json_t *spec_json(const struct call *call)
{
	const struct generation *generation = call->daemon->generation;
	char caps[DRIVER_CAPS_TEXT_MAX];
	json_t *gpus = json_array(),
	       *compat = call->derived.compat ? json_string(call->derived.compat) : NULL;

	for (size_t i = 0; gpus && i < call->selection.n; i++)
		(void)json_array_append_new(
			gpus, json_string(generation->gpus->gpus[call->selection.at[i]].uuid));
	driver_caps_print(call->claim.caps, caps, sizeof(caps));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:b, s:b, s:b, s:b, s:b, s:s, "
			 "s:o*, s:s, s:b}",
			 "id", call->claim.id, "devices", call->claim.devices,
			 "driver_capabilities", *caps ? caps : "none", "target", call->claim.target,
			 "source", call->claim.source, "gpus", gpus, "migs", migs_json(call),
			 "imex_channels", imex_json(call), "mig_config", call->mig_config,
			 "mig_monitor", call->mig_monitor, "nvswitch", call->claim.nvswitch,
			 "imex_mgmt", call->claim.imex_mgmt, "standalone", call->claim.standalone,
			 "cuda_compat_mode", compat_mode_name(call->compat_mode), "compat", compat,
			 "without", call->claim.without, "classic_paths", *call->claim.lib64_at);
}

static uint32_t spec_blob(const struct call *call)
{
	json_t *json = spec_json(call);
	auto_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	uint32_t blob = STORE_NONE;

	json_decref(json);
	if (!text)
		return STORE_NONE;
	store_write_lock(call->daemon->store);
	blob = store_blob_put(call->daemon->store, text, strlen(text));
	store_unlock(call->daemon->store);
	return blob;
}

/* The old spec is kept with the injection, in case it is undone. */
static void remember_spec(struct call *call, uint32_t tree, uint32_t spec)
{
	struct store *store = call->daemon->store;

	store_write_lock(store);
	call->injection->spec = store_tree(store, tree)->spec;
	store_blob_ref(store, call->injection->spec);
	store_tree_set_spec(store, tree, spec);
	store_unlock(store);
}

static int make_tree(struct call *call, struct error *err)
{
	struct daemon *daemon = call->daemon;
	struct daemon_tree tree = {
		.name = call->claim.name,
		.process = call->claim.process,
		.pidfd = -1,
		.owner = client_peer(call->client)->uid,
		.layout = call->derived.layout,
		.by_root = peer_is_root(client_peer(call->client), &daemon->self),
	};
	bool is_new, switched;
	int64_t index;

	tree.for_user = tree.by_root && !is_by_root(call);
	if (call->claim.pidfd >= 0)
		tree.pidfd = fcntl(call->claim.pidfd, F_DUPFD_CLOEXEC, 0);
	tree.spec = spec_blob(call);
	index = daemon_tree_set(daemon, &tree, &is_new, &switched, err);
	if (index < 0)
		return (int)index;
	call->injection = daemon_injection_new(daemon, call->client);
	if (!call->injection) {
		if (is_new)
			daemon_tree_remove(daemon, (uint32_t)index);
		return error_set(err, -ENOMEM, "remember the injection");
	}
	call->injection->tree = (uint32_t)index;
	call->injection->serial = store_tree(daemon->store, (uint32_t)index)->serial;
	call->injection->switched = switched;
	call->injection->asked_by = call->asked_by;
	(void)snprintf(call->injection->trace, sizeof(call->injection->trace), "%s", call->trace);
	if (switched)
		remember_spec(call, (uint32_t)index, tree.spec);
	return 0;
}

/* Programs and configuration of the tree, each of which gets a link where it is looked for. */
static int list_links(struct call *call, struct error *err)
{
	const struct layout *layout = store_layout(call->daemon->store, call->derived.layout);

	int r = fixed_links_list(layout, call->claim.target, &call->links, &call->findings, err);

	if (r == 0 && *call->claim.lib64_at)
		r = fixed_links_libraries(layout, "lib64", call->claim.lib64_at, call->claim.target,
					  &call->links, &call->findings, err);
	if (r == 0 && *call->claim.lib32_at)
		r = fixed_links_libraries(layout, "lib32", call->claim.lib32_at, call->claim.target,
					  &call->links, &call->findings, err);
	return r;
}

static struct ipc_request ipc_request(const struct call *call)
{
	const struct peer *peer = client_peer(call->client);
	const struct store_tree *tree =
		call->injection ? daemon_injection_tree(call->daemon, call->injection) : NULL;
	bool is_users = tree && !(tree->flags & STORE_TREE_BY_ROOT);

	return (struct ipc_request){
		.root = call->daemon->config.ipc_root,
		.caps = call->claim.caps,
		.uid = is_users ? tree->owner : peer->uid,
		.by_root = !is_users && peer_is_root(peer, &call->daemon->self),
		.without = call->claim.without,
	};
}

/*
 * A thread looks for sockets while ours waits for the threads that serve the tree: of it the kernel knows
 * no name yet, and asks for each one on the way.
 */
static int list_ipcs(struct call *call, struct error *err)
{
	const struct daemon *daemon = call->daemon;
	const struct ipc_request request = ipc_request(call);

	ipc_looker_ask(daemon->ipc_looker, &request);
	if (!call->claim.dry_run && daemon->generation->proc_version)
		planner_warm(filesystem_root(daemon->fs), call->claim.name);
	return ipc_looker_find(daemon->ipc_looker, &request, &call->ipcs, &call->findings, err);
}

/* Whose nodes of its own are: the container's root. */
static int find_root(const struct call *call, struct planner_input *in, struct error *err)
{
	struct process_root root = { 0 };
	int r = 0;

	if (in->locked && call->by_root) {
		r = process_root(call->claim.process.pid, &root);
		if (call->claim.pidfd >= 0 && process_pidfd_is_dead(call->claim.pidfd))
			r = -ESRCH;
	}
	/* Without a root there is nobody to give them to: the host's nodes then, as they are. */
	in->may_make = call->by_root && r == 0;
	in->root_uid = root.uid;
	in->root_gid = root.gid;
	return r < 0 && r != -ENXIO
		       ? error_classify(err, error_set(err, r, "root of the container"),
					ERROR_MOUNT)
		       : 0;
}

static int make_plan(struct call *call, struct error *err)
{
	const struct daemon *daemon = call->daemon;
	struct planner_input input = {
		.root_fd = call->claim.dry_run ? -1 : filesystem_root(daemon->fs),
		.dev_fd = daemon->dev_fd,
		.mountpoint = daemon->config.mountpoint,
		.dev_root = daemon->config.dev_root,
		.donors = daemon->donors,
		.locked = call->claim.process.user_ns != daemon->self.user_ns,
		.name = call->claim.name,
		.target = call->claim.target,
		.nodes = call->nodes,
		.n_nodes = call->n_nodes,
		.permit_only = parse_list_has(call->claim.without, CLAIM_WITHOUT_DEVICES),
		.replace_stale = *call->claim.lib64_at,
		.cache_fd = call->derived.cache_fd,
		.has_proc = daemon->generation->proc_version != NULL,
		.compat32 = layout_lookup(store_layout(daemon->store, call->derived.layout), 0,
					  "lib32") >= 0,
		.links = &call->links,
		.ipcs = &call->ipcs,
	};
	int r = list_links(call, err);

	r = r ? r : find_root(call, &input, err);
	r = r ? r : list_ipcs(call, err);
	return r < 0 ? r : planner_build(&input, &call->plan, err);
}

static json_t *warnings_json(const struct call *call)
{
	json_t *warnings = json_array();

	if (call->derived.warning[0])
		(void)json_array_append_new(warnings, json_string(call->derived.warning));
	if (call->derived.compat_warning[0])
		(void)json_array_append_new(warnings, json_string(call->derived.compat_warning));
	for (size_t i = 0; i < call->findings.n; i++)
		(void)json_array_append_new(warnings, json_string(call->findings.items[i].text));
	return warnings;
}

static int write_reply(struct call *call, struct method_reply *reply, struct error *err)
{
	const struct store_tree *tree =
		call->injection ? daemon_injection_tree(call->daemon, call->injection) : NULL;
	bool is_known = tree && !(tree->flags & STORE_TREE_UNCOMMITTED);

	reply->params = json_pack("{s:s, s:s, s:s, s:s, s:o, s:O}", "id", call->claim.id, "trace",
				  call->trace, "token", call->injection ? call->injection->token : "",
				  "state", is_known ? "known" : "new", "warnings",
				  warnings_json(call), "plan", call->plan.steps);
	if (!reply->params)
		return error_set(err, -ENOMEM, "write the plan");
	memcpy(reply->fds, call->plan.fds, sizeof(reply->fds));
	reply->n_fds = call->plan.n_fds;
	call->plan.n_fds = 0;
	return 0;
}

static int reply_nothing(struct method_reply *reply, const char *why, struct error *err)
{
	reply->params = json_pack("{s:b, s:s}", "nothing", 1, "why", why);
	return reply->params ? 0 : error_set(err, -ENOMEM, "write the reply");
}

/* What is wrong with a library, as discovery told it; "not found" where it said nothing. */
static const char *why_missing(const struct driver *driver, const char *name)
{
	for (size_t i = 0; i < driver->n_findings; i++) {
		if (driver->findings[i].problem && strstr(driver->findings[i].text, name))
			return driver->findings[i].text;
	}
	return "not found";
}

/* Without its core library a capability is an empty promise, found out only when a program runs. */
static int check_core_libraries(const struct call *call, struct error *err)
{
	static const struct {
		unsigned int cap;
		const char *soname, *file;
	} core[] = { { DRIVER_CAP_COMPUTE, "libcuda.so.1", "libcuda.so" },
		     { DRIVER_CAP_UTILITY, "libnvidia-ml.so.1", "libnvidia-ml.so" } };
	const struct driver *driver = call->daemon->generation->driver;

	for (size_t i = 0; i < ARRAY_SIZE(core); i++) {
		if (!(call->claim.caps & core[i].cap) || driver_find_soname(driver, core[i].soname))
			continue;
		(void)error_setc(err, ERROR_DRIVER, -ELIBBAD, "%s",
				 why_missing(driver, core[i].file));
		(void)error_wrap(err, -ELIBBAD, "'%s'", core[i].soname);
		return error_remedy(err, -ELIBBAD, "nvfs driver tells more; reinstall the driver");
	}
	return 0;
}

static int give_tree(struct call *call, struct method_reply *reply, struct error *err)
{
	int r = derive(call, err);

	if (r < 0)
		return r;
	if (!call->claim.dry_run)
		r = make_tree(call, err);
	if (r == 0)
		r = make_plan(call, err);
	if (r == 0)
		r = write_reply(call, reply, err);
	if (r < 0 && call->injection)
		daemon_injection_end(call->daemon, call->injection, false);
	if (call->claim.dry_run) {
		store_write_lock(call->daemon->store);
		store_layout_unref(call->daemon->store, call->derived.layout);
		store_unlock(call->daemon->store);
	}
	return r;
}

static int inject(struct call *call, struct method_reply *reply, struct error *err)
{
	struct daemon *daemon = call->daemon;
	int r = check_policy(call, err);

	if (r < 0)
		return r;
	r = renewal_check(daemon->renewal, err);
	r = r ? r : choose_devices(call, err);
	if (r == 0 && !call->selection.wanted)
		return reply_nothing(reply, "the devices asked for are 'void'", err);
	if (r == 0 && !daemon->config.disable_require)
		r = requirement_check(call->requirements, daemon->generation, &call->selection,
				      err);
	if (r == 0)
		r = check_core_libraries(call, err);
	r = r ? r : choose_compat_mode(call, err);
	r = r ? r : read_image(call, err);
	return r < 0 ? r : give_tree(call, reply, err);
}

/*
 * Who injects anew for a daemon says so by this name. One whose daemon has died asks its successor, which
 * has begun by itself, and would take it for root, who may more than who has the tree.
 */
static bool is_anothers_child(const struct call *call)
{
	return strcmp(call->asked_by, "nvfs") == 0 &&
	       !reinject_is_child(call->daemon, client_peer(call->client)->pid);
}

int method_inject(struct daemon *daemon, struct client *client, json_t *params,
		  struct varlink_message *message, const char *trace, struct method_reply *reply,
		  struct error *err)
{
	struct call call = { .daemon = daemon,
			     .client = client,
			     .requirements = json_object_get(params, "requirements"),
			     .trace = trace,
			     .asked_by = events_client(varlink_string(params, "client", "")) };
	int r;

	/* First of all: whatever nonsense an environment asks that does not count, its container starts. */
	if (!claim_env_counts(params, daemon->config.accept_env))
		return reply_nothing(
			reply, "only the container's environment asks, and accept_env says no",
			err);
	if (is_anothers_child(&call)) {
		(void)error_setc(err, ERROR_PERMISSION, -EPERM,
				 "the daemon that asked for this is gone");
		return error_remedy(err, -EPERM, "'nvfs' is a daemon's name: use another --client");
	}
	r = claim_parse(params, message, client_peer(client), &call.claim, err);
	if (r == 0 && !reinject_fits(daemon, client_peer(client)->pid, call.claim.process.mnt_ns))
		r = error_setc(err, ERROR_MOUNT, -ESRCH, "the container has ended");
	if (r == 0)
		r = inject(&call, reply, err);
	call_done(&call);
	return r;
}
