/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of io.nvfs that nvinject calls. The daemon is trusted; its answers are checked. */
#include "inject/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "common/varlink.h"
#include "inject/classic.h"
#include "inject/request.h"
#include "inject/targets.h"

int client_connect(struct client *client, const char *path, unsigned int timeout_ms,
		   struct error *err)
{
	int r = varlink_connect(path, timeout_ms, err);

	if (r < 0)
		return r;
	client->sock = r;
	client->met = true;
	return 0;
}

void client_done(struct client *client)
{
	cleanup_close(&client->sock);
	client->sock = -1;
}

/* Takes @params over. */
static int ask(struct client *client, const char *method, json_t *params, const int *fds,
	       size_t n_fds, struct error *err)
{
	int r;

	if (!params)
		return error_set(err, -ENOMEM, "make the call '%s'", method);
	r = varlink_ask(client->sock, method, params, fds, n_fds, err);
	json_decref(params);
	return r;
}

/* The caller releases @reply in every case. */
static int answer(struct client *client, struct varlink_message *reply, struct error *err)
{
	int r = varlink_answer(client->sock, reply, err);
	const char *trace = varlink_string(reply->json, "trace", "");

	if (*trace)
		(void)snprintf(client->trace, sizeof(client->trace), "%s", trace);
	return r;
}

/* Takes @params over. The caller releases @reply in every case. */
static int call(struct client *client, const char *method, json_t *params, const int *fds,
		size_t n_fds, struct varlink_message *reply, struct error *err)
{
	int r = ask(client, method, params, fds, n_fds, err);

	*reply = (struct varlink_message){ 0 };
	return r ? r : answer(client, reply, err);
}

static int call_without_answer(struct client *client, const char *method, json_t *params,
			       struct error *err)
{
	struct varlink_message reply;
	int r = call(client, method, params, NULL, 0, &reply, err);

	varlink_message_done(&reply);
	return r;
}

static void log_warnings(const json_t *reply)
{
	const json_t *text;
	size_t i;

	json_array_foreach(json_object_get(reply, "warnings"), i, text) {
		if (json_is_string(text))
			log_warning("%s", json_string_value(text));
	}
}

static void add_param(json_t *params, const char *key, const char *value)
{
	if (value)
		(void)json_object_set_new(params, key, json_string(value));
}

static json_t *inject_params(const struct request *req, const char *target)
{
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b}", "id", req->id, "pid",
			 (json_int_t)req->pid, "devices", req->devices, "driver_capabilities",
			 req->driver_caps ? req->driver_caps : "", "target", target, "source",
			 req->source, "privileged", req->privileged, "standalone", req->standalone,
			 "cgroup", req->cgroup, "dry_run", req->dry_run);
}

int client_ask(struct client *client, const struct request *req, const struct targets *targets,
	       const struct classic *classic, int cache, int compat, const char *target,
	       struct error *err)
{
	json_t *params = inject_params(req, target);
	int fds[3], n = 0;

	add_param(params, "client", req->client);
	add_param(params, "mig_config", req->mig_config);
	add_param(params, "mig_monitor", req->mig_monitor);
	add_param(params, "imex_channels", req->imex_channels);
	add_param(params, "imex_source", req->imex_source);
	add_param(params, "fabric", req->fabric);
	if (req->requirements)
		(void)json_object_set(params, "requirements", req->requirements);
	if (targets->pidfd >= 0 && !req->standalone) {
		(void)json_object_set_new(params, "pidfd", json_integer(n));
		fds[n++] = targets->pidfd;
	}
	if (cache >= 0) {
		(void)json_object_set_new(params, "cache", json_integer(n));
		fds[n++] = cache;
	}
	if (compat >= 0) {
		(void)json_object_set_new(params, "compat", json_integer(n));
		fds[n++] = compat;
	}
	if (req->without)
		(void)json_object_set_new(params, "without", json_string(req->without));
	if (classic->lib64)
		(void)json_object_set_new(params, "lib64_at", json_string(classic->lib64));
	if (classic->lib32)
		(void)json_object_set_new(params, "lib32_at", json_string(classic->lib32));
	if (req->compat_mode)
		(void)json_object_set_new(params, "cuda_compat_mode",
					  json_string(req->compat_mode));
	return ask(client, "io.nvfs.Inject", params, fds, (size_t)n, err);
}

int client_plan(struct client *client, const struct request *req, struct plan *ret,
		struct error *err)
{
	struct varlink_message reply;
	int r = answer(client, &reply, err);

	if (r == 0) {
		log_warnings(reply.json);
		r = plan_parse(&reply, req->dry_run, ret, err);
	}
	varlink_message_done(&reply);
	return r;
}

int client_commit(struct client *client, const char *token, json_t *done, uint64_t time_us,
		  struct error *err)
{
	json_t *params = json_pack("{s:s, s:O, s:I}", "token", token, "done", done, "time_us",
				   (json_int_t)time_us);

	return call_without_answer(client, "io.nvfs.Commit", params, err);
}

int client_abort(struct client *client, const char *token, struct error *err)
{
	return call_without_answer(client, "io.nvfs.Abort", json_pack("{s:s}", "token", token),
				   err);
}

static int get(struct client *client, json_t *params, const int *fds, size_t n_fds, json_t **ret,
	       struct error *err)
{
	struct varlink_message reply;
	int r = call(client, "io.nvfs.Get", params, fds, n_fds, &reply, err);

	if (r == 0)
		*ret = json_incref(reply.json);
	varlink_message_done(&reply);
	return r;
}

int client_get(struct client *client, const char *id, pid_t pid, json_t **ret, struct error *err)
{
	return get(client,
		   id ? json_pack("{s:s}", "id", id) : json_pack("{s:I}", "pid", (json_int_t)pid),
		   NULL, 0, ret, err);
}

int client_removing(struct client *client, const char *id, int pidfd, json_t **ret,
		    struct error *err)
{
	json_t *params = json_pack("{s:s, s:b}", "id", id, "removing", 1);

	if (pidfd >= 0)
		(void)json_object_set_new(params, "pidfd", json_integer(0));
	return get(client, params, &pidfd, pidfd >= 0, ret, err);
}

int client_strip(struct client *client, int cache, const char *target, int *ret, struct error *err)
{
	json_t *params = json_pack("{s:i, s:s}", "cache", 0, "target", target);
	struct varlink_message reply;
	int r = call(client, "io.nvfs.Strip", params, &cache, 1, &reply, err);

	if (r == 0)
		r = *ret = varlink_message_take_fd(
			&reply, json_integer_value(json_object_get(reply.json, "cache")));
	if (r == -EBADMSG)
		(void)error_setc(err, ERROR_DAEMON, r, "the daemon sent no ld.so.cache");
	varlink_message_done(&reply);
	return r < 0 ? r : 0;
}

int client_removed(struct client *client, const char *id, json_t *serial, struct error *err)
{
	return call_without_answer(
		client, "io.nvfs.Remove",
		json_pack("{s:s, s:O*, s:b}", "id", id, "serial", serial, "permission", 1), err);
}

int client_remove(struct client *client, const char *id, json_t *serial, struct error *err)
{
	return call_without_answer(client, "io.nvfs.Remove",
				   json_pack("{s:s, s:O*}", "id", id, "serial", serial), err);
}

int client_heal(struct client *client, const char *id, int pidfd, json_t **ret, struct error *err)
{
	json_t *params = json_pack("{s:s, s:i}", "id", id, "pidfd", 0);
	struct varlink_message reply;
	int r = call(client, "io.nvfs.Heal", params, &pidfd, 1, &reply, err);

	if (r == 0)
		*ret = json_incref(reply.json);
	varlink_message_done(&reply);
	return r;
}

int client_healed(struct client *client, const char *id, json_t *serial, json_t *step,
		  struct error *err)
{
	return call_without_answer(
		client, "io.nvfs.Healed",
		json_pack("{s:s, s:O, s:O}", "id", id, "serial", serial, "cgroup", step), err);
}
