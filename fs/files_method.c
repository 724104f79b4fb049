/* SPDX-License-Identifier: Apache-2.0 */
/* Where the driver lies on the host, told to who mounts or copies it by other means than ours. */
#include "fs/files_method.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/ipc_looker.h"
#include "fs/renewal.h"
#include "nvml/devnode.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/node.h"
#include "nvml/select.h"

static json_t *files_json(const struct driver *driver)
{
	json_t *list = json_array();

	for (size_t i = 0; i < driver->n_files; i++)
		(void)json_array_append_new(list, node_file_json(&driver->files[i]));
	return list;
}

static int add_sockets(json_t *json, struct ipc_looker *looker, const struct ipc_request *request,
		       struct error *err)
{
	struct ipc_list sockets = { 0 };
	json_t *list = json_array();
	int r = ipc_looker_find(looker, request, &sockets, NULL, err);

	for (size_t i = 0; i < sockets.n; i++)
		(void)json_array_append_new(list,
					    json_pack("{s:s, s:o}", "path", sockets.items[i].target,
						      "driver_capabilities",
						      node_caps_json(sockets.items[i].cap)));
	ipc_list_done(&sockets);
	if (json_object_set_new(json, "sockets", list) < 0 && r == 0)
		r = error_set(err, -ENOMEM, "write the reply");
	return r;
}

static void put_selection(json_t *json, const struct gpu_list *gpus,
			  const struct gpu_selection *selection)
{
	json_t *chosen = json_array(), *migs = json_array();

	for (size_t i = 0; i < selection->n; i++) {
		const struct gpu *gpu = &gpus->gpus[selection->at[i]];
		bool capable = gpu->mig_mode == GPU_MIG_OFF || gpu->mig_mode == GPU_MIG_ON;

		(void)json_array_append_new(
			chosen,
			json_pack("{s:i, s:b}", "minor", (int)gpu->minor, "mig_capable", capable));
	}
	for (size_t i = 0; i < selection->n_migs; i++) {
		const struct mig_device *mig = &gpus->migs[selection->migs[i]];

		(void)json_array_append_new(migs, json_pack("{s:i, s:i, s:i}", "gpu",
							    (int)gpus->gpus[mig->gpu].minor, "gi",
							    (int)mig->gi, "ci", (int)mig->ci));
	}
	(void)json_object_set_new(json, "gpus", chosen);
	(void)json_object_set_new(json, "migs", migs);
}

static int put_nodes(json_t *json, const struct daemon *daemon,
		     const struct gpu_selection *selection, struct error *err)
{
	const struct devnode_request request = {
		.dev_root = daemon->config.dev_root,
		.proc_root = daemon->config.proc_root,
		.gpus = daemon->generation->gpus,
		.selection = selection,
		.caps = DRIVER_CAP_ALL,
	};
	auto_free struct devnode *nodes = NULL;
	json_t *list = json_array();
	size_t n = 0;
	int r = devnode_list(&request, &nodes, &n, NULL, err);

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_sprintf("/dev/%s", nodes[i].path));
	(void)json_object_set_new(json, "nodes", list);
	return r;
}

static int add_devices(json_t *json, const struct daemon *daemon, const char *devices,
		       struct error *err)
{
	const struct gpu_list *gpus = daemon->generation->gpus;
	struct gpu_selection selection = { 0 };
	int r = gpu_select(gpus, gpus->n ? devices : "all", &selection, err);

	if (r == 0) {
		const struct gpu_selection whole = { .wanted = selection.wanted,
						     .all = selection.all,
						     .at = selection.at,
						     .n = selection.n };

		put_selection(json, gpus, &selection);
		r = put_nodes(json, daemon, &whole, err);
	}
	gpu_selection_done(&selection);
	return r;
}

int method_files(struct daemon *daemon, const json_t *params, uid_t uid, bool is_root, json_t **ret,
		 struct error *err)
{
	const struct generation *g = daemon->generation;
	const char *devices = varlink_string(params, "devices", NULL);
	struct ipc_request sockets = { .root = daemon->config.ipc_root, .caps = DRIVER_CAP_ALL,
				       .uid = uid, .by_root = is_root };
	json_t *json;
	int r;

	if (!g)
		return error_setc(err, ERROR_DRIVER, -ENOENT, "no driver yet: %s",
				  renewal_note(daemon->renewal));
	json = json_pack("{s:o, s:s, s:s, s:b, s:o}", "driver_root",
			 node_text_json(g->driver->root), "proc_root", daemon->config.proc_root,
			 "driver_version", g->driver->version, "has_nvcaps", g->gpus->has_nvcaps,
			 "files", files_json(g->driver));
	if (!json)
		return error_set(err, -ENOMEM, "write the reply");
	r = add_sockets(json, daemon->ipc_looker, &sockets, err);
	if (r == 0 && devices)
		r = add_devices(json, daemon, devices, err);
	if (r == 0)
		*ret = json;
	else
		json_decref(json);
	return r;
}
