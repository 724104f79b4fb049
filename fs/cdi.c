/* SPDX-License-Identifier: Apache-2.0 */
/* From GPUs to a specification: the nodes are those that an injection would give. */
#include "fs/cdi.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "nvml/devnode.h"
#include "nvml/driver_cap.h"
#include "nvml/gpu.h"
#include "nvml/select.h"

#define CDI_VERSION "0.5.0" /* names that begin with a digit, and hostPath */
#define HOOK_TIMEOUT_S 30
#define HOOK_PATH "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

struct building {
	const struct cdi_request *request;
	struct devnode *control; /* of every container */
	size_t n_control;
	json_t *devices;
	json_t *all; /* nodes of all of them */
};

/* kinds and names */

static bool is_word(const char *word, const char *within)
{
	size_t len = strlen(word);

	if (!len || !isalnum((unsigned char)word[0]) || !isalnum((unsigned char)word[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)word[i]) && !strchr(within, word[i]))
			return false;
	return true;
}

int cdi_check_kind(const char *vendor, const char *class, struct error *err)
{
	if (!is_word(vendor, "_-."))
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.60s' cannot be a vendor of CDI",
				  vendor);
	if (!is_word(class, "_-")) /* dots would need a newer version */
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.60s' cannot be a class of CDI",
				  class);
	return 0;
}

/* nodes */

static int list_nodes(const struct building *b, const struct gpu_selection *selection,
		      struct devnode **ret, size_t *ret_n, struct error *err)
{
	const struct devnode_request request = { .dev_root = b->request->dev_root,
						 .proc_root = b->request->proc_root,
						 .gpus = b->request->gpus,
						 .selection = selection,
						 .nvcaps = b->request->nvcaps,
						 .may_make = true,
						 .caps = DRIVER_CAP_ALL };

	return devnode_list(&request, ret, ret_n, NULL, err);
}

/* Majors are left to the engine, which asks the node: they may be others after the next start. */
static json_t *node_json(const struct cdi_request *request, const struct devnode *node)
{
	const char *root = request->dev_root ? request->dev_root : "/dev";
	json_t *json = json_pack("{s:s+, s:s}", "path", "/dev/", node->path, "permissions",
				 node->access & DEVNODE_WRITE ? "rw" : "r");

	if (strcmp(root, "/dev") != 0 &&
	    json_object_set_new(json, "hostPath", json_pack("s++", root, "/", node->path)) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static bool is_control(const struct building *b, const struct devnode *node)
{
	for (size_t i = 0; i < b->n_control; i++)
		if (strcmp(b->control[i].path, node->path) == 0)
			return true;
	return false;
}

static bool has_node(const json_t *nodes, const struct devnode *node)
{
	const json_t *one;
	size_t i;

	json_array_foreach(nodes, i, one) {
		const char *path = json_string_value(json_object_get(one, "path"));

		if (path && strcmp(path + strlen("/dev/"), node->path) == 0)
			return true;
	}
	return false;
}

/* devices */

static json_t *hook_json(const struct cdi_request *request, const char *device)
{
	return json_pack("{s:s, s:s, s:[s, s, s, s, s, s], s:[s], s:i}", "hookName",
			 "createRuntime", "path", request->nvinject, "args", "nvinject", "hook",
			 "--socket", request->socket, "--cdi-device", device, "env", HOOK_PATH,
			 "timeout", HOOK_TIMEOUT_S);
}

/* @nodes is borrowed. @device: as the hook knows it. */
static int add_device(struct building *b, const char *name, const char *device, json_t *nodes,
		      struct error *err)
{
	json_t *edits = json_object(),
	       *entry = json_pack("{s:s, s:o*}", "name", name, "containerEdits", edits);
	int r = 0;

	if (json_array_size(nodes))
		r |= json_object_set(edits, "deviceNodes", nodes);
	if (!b->request->tree)
		r |= json_object_set_new(edits, "hooks",
					 json_pack("[o]", hook_json(b->request, device)));
	/* An entry without edits is none: it says once more what the whole specification does. */
	if (json_object_size(edits) == 0)
		r |= json_object_set_new(edits, "env",
					 json_pack("[s]", "NVIDIA_VISIBLE_DEVICES=void"));
	if (json_array_append_new(b->devices, entry) < 0 || r < 0)
		return error_set(err, -ENOMEM, "write a specification");
	return 0;
}

/* Its nodes without those of every container, which are gathered for "all" as well. */
static int own_nodes(struct building *b, const struct gpu_selection *selection, json_t *ret,
		     struct error *err)
{
	auto_free struct devnode *nodes = NULL;
	size_t n = 0;
	int r = list_nodes(b, selection, &nodes, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (nodes[i].is_made || is_control(b, &nodes[i]))
			continue;
		if (json_array_append_new(ret, node_json(b->request, &nodes[i])) < 0 ||
		    (!has_node(b->all, &nodes[i]) &&
		     json_array_append_new(b->all, node_json(b->request, &nodes[i])) < 0))
			r = error_set(err, -ENOMEM, "write a specification");
	}
	return r;
}

/* By index, and by UUID, which also names it to the hook: indexes move when a GPU goes. Either may be absent. */
static int add_both(struct building *b, const char *index, const char *uuid,
		    const struct gpu_selection *selection, struct error *err)
{
	bool has_uuid = is_word(uuid, "_-.:"); /* MIG's before driver 470 has slashes */
	json_t *nodes = json_array();
	struct error why = { 0 };
	int r = nodes ? own_nodes(b, selection, nodes, &why)
		      : error_set(&why, -ENOMEM, "write a specification");

	if (r == 0 && *index)
		r = add_device(b, index, has_uuid ? uuid : index, nodes, &why);
	if (r == 0 && has_uuid)
		r = add_device(b, uuid, uuid, nodes, &why);
	json_decref(nodes);
	if (r == -ENODEV) /* the others can be given */
		return 0;
	if (r < 0 && err)
		*err = why;
	return r;
}

static int add_gpu(struct building *b, size_t i, struct error *err)
{
	const struct gpu *gpu = &b->request->gpus->gpus[i];
	const struct gpu_selection selection = { .wanted = true, .at = &i, .n = 1 };
	char index[16] = "";

	if (gpu->index != GPU_NO_INDEX)
		(void)snprintf(index, sizeof(index), "%u", gpu->index);
	return add_both(b, index, gpu->uuid, &selection, err);
}

static int add_mig(struct building *b, size_t i, struct error *err)
{
	const struct mig_device *mig = &b->request->gpus->migs[i];
	size_t at = mig->gpu;
	const struct gpu *gpu = &b->request->gpus->gpus[at];
	const struct gpu_selection selection = {
		.wanted = true, .at = &at, .n = 1, .migs = &i, .n_migs = 1
	};
	char index[32] = "";

	/* NVML counts them; while it has not told, the order may be another one. */
	if (!b->request->gpus->provisional && gpu->index != GPU_NO_INDEX &&
	    mig->index != GPU_NO_INDEX)
		(void)snprintf(index, sizeof(index), "%u:%u", gpu->index, mig->index);
	return add_both(b, index, mig->uuid, &selection, err);
}

static bool is_divided(const struct gpu_list *gpus, size_t at)
{
	for (size_t i = 0; i < gpus->n_migs; i++)
		if (gpus->migs[i].gpu == at)
			return true;
	return false;
}

static int add_devices(struct building *b, struct error *err)
{
	const struct gpu_list *gpus = b->request->gpus;
	int r = 0;

	for (size_t i = 0; r == 0 && i < gpus->n; i++)
		if (gpus->gpus[i].usable && !is_divided(gpus, i))
			r = add_gpu(b, i, err);
	for (size_t i = 0; r == 0 && i < gpus->n_migs; i++)
		if (gpus->gpus[gpus->migs[i].gpu].usable)
			r = add_mig(b, i, err);
	r = r ? r : add_device(b, "all", "all", b->all, err);
	return r ? r : add_device(b, "none", "none", NULL, err);
}

/* what every container gets */

static json_t *common_edits(const struct building *b)
{
	/* Other layers, which read the environment, are to do nothing. */
	json_t *edits = json_pack("{s:[s]}", "env", "NVIDIA_VISIBLE_DEVICES=void"),
	       *nodes = json_array();
	int r = 0;

	for (size_t i = 0; i < b->n_control; i++)
		r |= json_array_append_new(nodes, node_json(b->request, &b->control[i]));
	if (json_array_size(nodes))
		r |= json_object_set(edits, "deviceNodes", nodes);
	json_decref(nodes);
	if (b->request->tree) {
		r |= json_array_append_new(json_object_get(edits, "env"),
					   json_string("LD_LIBRARY_PATH=" CDI_TARGET "/lib64"));
		r |= json_object_set_new(edits, "mounts",
					 json_pack("[{s:s, s:s, s:[s, s, s, s, s]}]", "hostPath",
						   b->request->tree, "containerPath", CDI_TARGET,
						   "options", "ro", "nosuid", "nodev", "rbind",
						   "rprivate"));
	}
	if (r == 0)
		return edits;
	json_decref(edits);
	return NULL;
}

static int build(struct building *b, json_t **ret, struct error *err)
{
	const struct gpu_selection none = { .wanted = true };
	json_t *edits;
	int r = list_nodes(b, &none, &b->control, &b->n_control, err);

	r = r ? r : add_devices(b, err);
	if (r < 0)
		return r;
	edits = common_edits(b);
	*ret = edits ? json_pack("{s:s, s:s++, s:O, s:o}", "cdiVersion", CDI_VERSION, "kind",
				 b->request->vendor, "/", b->request->class, "devices", b->devices,
				 "containerEdits", edits)
		     : NULL;
	return *ret ? 0 : error_set(err, -ENOMEM, "write a specification");
}

int cdi_spec(const struct cdi_request *request, json_t **ret, struct error *err)
{
	struct building b = { .request = request };
	int r = cdi_check_kind(request->vendor, request->class, err);

	if (r < 0)
		return r;
	b.devices = json_array();
	b.all = json_array();
	r = b.devices && b.all ? build(&b, ret, err)
			       : error_set(err, -ENOMEM, "write a specification");
	json_decref(b.devices);
	json_decref(b.all);
	free(b.control);
	return r;
}

/* text */

/* A scalar in YAML is written as in JSON, which every reader of YAML 1.2 takes. */
static void put_scalar(FILE *out, const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	fputs(text ? text : "null", out);
	free(text);
}

static void put_yaml(FILE *out, const json_t *value, int depth);

/* What stands behind "key:" or "-": on the same line, or below it. */
static void put_member(FILE *out, const json_t *value, int depth)
{
	bool is_block = json_object_size(value) > 0 || json_array_size(value) > 0;

	if (is_block) {
		fputc('\n', out);
		put_yaml(out, value, depth);
	} else {
		fputc(' ', out);
		put_scalar(out, value);
		fputc('\n', out);
	}
}

static void put_yaml(FILE *out, const json_t *value, int depth)
{
	const json_t *item;
	const char *key;
	size_t i;

	json_object_foreach((json_t *)value, key, item) {
		fprintf(out, "%*s%s:", 2 * depth, "", key);
		put_member(out, item, depth + 1);
	}
	json_array_foreach(value, i, item) {
		fprintf(out, "%*s-", 2 * depth, "");
		put_member(out, item, depth + 1);
	}
}

char *cdi_text(const json_t *spec, bool yaml)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int r = 0;

	if (!out)
		return NULL;
	if (yaml) {
		fputs("---\n", out);
		put_yaml(out, spec, 0);
	} else {
		r = json_dumpf(spec, out, JSON_INDENT(2));
		fputc('\n', out);
	}
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return NULL;
	}
	return text;
}
