/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of this node: the daemon's word, or what can be seen without it. */
#include "cli/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/local.h"
#include "cli/query.h"
#include "common/error.h"
#include "common/varlink.h"
#include "fs/config.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"
#include "nvml/mig.h"
#include "nvml/node.h"

/* GPUs are there without the driver's files too: then the module's version alone is known. */
static int discover(const struct driver_config *config, struct driver **ret, struct error *err)
{
	int r = driver_discover(config, ret, err);

	if (r != -ENOENT || err->class != ERROR_DRIVER)
		return r;
	*err = (struct error){ 0 };
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return error_set(err, -ENOMEM, "look for the driver");
	r = driver_module_version(config->proc_root, (*ret)->version, err);
	(*ret)->version_from_module = (*ret)->version[0];
	return r;
}

static int look(const struct driver_config *config, json_t **ret, struct error *err)
{
	struct gpu_list *gpus = NULL;
	struct driver *driver = NULL;
	int r = discover(config, &driver, err);

	r = r ? r : gpu_list_new(config->proc_root, &gpus, err);
	r = r ? r : mig_list_read(config->proc_root, gpus, err);
	if (r == 0) {
		fact_fill(driver, gpus);
		*ret = node_json(driver, gpus);
		r = *ret ? json_object_set_new(
				   *ret, "nvml",
				   json_pack("{s:s, s:[]}", "state", "unasked", "findings"))
			 : -1;
		r = r < 0 ? error_set(err, -ENOMEM, "write what is known") : 0;
	}
	gpu_list_free(gpus);
	driver_free(driver);
	return r;
}

static int ask(const char *socket, json_t **ret, struct error *err)
{
	struct varlink_message reply = { 0 };
	int r = query_ask(socket, "io.nvfs.Node", json_object(), &reply, err);

	if (r == 0)
		*ret = json_incref(reply.json);
	varlink_message_done(&reply);
	return r;
}

static int node_get(const struct local_options *options, json_t **ret, struct error *err)
{
	struct error why = { 0 };

	if (options->socket)
		return ask(options->socket, ret, err);
	if (!options->is_elsewhere && ask(CONFIG_SOCKET, ret, &why) == 0)
		return 0;
	return look(&options->config, ret, err);
}

int node_command(int argc, char **argv, const char *usage, void (*print)(const json_t *node))
{
	struct local_options options;
	struct error err = { 0 };
	json_t *node = NULL;

	if (local_options(argc, argv, true, &options) < 0) {
		(void)fputs(usage, stderr);
		return ERROR_USAGE;
	}
	if (options.help) {
		(void)fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (node_get(&options, &node, &err) < 0)
		return local_tell_error(&err, NULL, options.json);
	if (options.json)
		return local_flush(local_print_json(node));
	query_make_printable(node);
	print(node);
	json_decref(node);
	return local_flush(EXIT_SUCCESS);
}

const char *node_value(const json_t *object, const char *key, char buf[32])
{
	const json_t *value = json_object_get(json_object_get(object, key), "value");

	if (json_is_string(value))
		return json_string_value(value);
	if (!json_is_integer(value))
		return "";
	(void)snprintf(buf, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return buf;
}

const char *node_source(const json_t *object, const char *key)
{
	return varlink_string(json_object_get(object, key), "source", "unknown");
}

void node_print_nvml(const json_t *node, const char *title)
{
	const json_t *nvml = json_object_get(node, "nvml"), *finding;
	const char *state = varlink_string(nvml, "state", "unasked");
	size_t i;

	(void)printf("%s", title);
	if (strcmp(state, "unasked") == 0)
		(void)printf("not asked: only nvfs serve does that\n");
	else if (strcmp(state, "pending") == 0)
		(void)printf("is being asked\n");
	else if (strcmp(state, "off") == 0)
		(void)printf("not asked: the configuration says no\n");
	else
		(void)printf("%s %lld ms\n",
			     strcmp(state, "told") == 0 ? "answered within" : "failed after",
			     query_number(nvml, "took_ms"));
	json_array_foreach(json_object_get(nvml, "findings"), i, finding)
		(void)printf("  ! %s\n", json_string_value(finding));
}
