/* SPDX-License-Identifier: Apache-2.0 */
/* What nvinject --heal asks and tells, and what the record of an injection may say. */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "fs/audit.h"
#include "fs/daemon.h"
#include "fs/events.h"
#include "fs/permit.h"
#include "fs/permit_impl.h"
#include "fs/process.h"
#include "fs/record.h"
#include "fs/store.h"

json_t *permit_trusted(const json_t *done, bool is_root)
{
	json_t *list = json_array(), *step;
	size_t i;

	json_array_foreach(done, i, step) {
		const char *name = varlink_string(step, "step", "");

		if (strcmp(name, "unit") != 0 && (is_root || strcmp(name, "cgroup") != 0))
			(void)json_array_append(list, step);
	}
	return list;
}

int permit_check_process(const struct daemon *daemon, uint32_t index, json_t *params,
			 const struct varlink_message *message, struct error *err)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const json_t *pidfd = json_object_get(params, "pidfd");
	struct process process;
	int r;

	if (!json_is_integer(pidfd) || json_integer_value(pidfd) != 0 || message->n_fds != 1)
		return error_setc(err, ERROR_USAGE, -EINVAL, "one 'pidfd' is needed");
	r = process_from_pidfd(message->fds[0], &process, err);
	if (r < 0 || process.mnt_ns == tree->mnt_ns ||
	    (process.pid == tree->pid && process.start_time == tree->start_time))
		return r;
	return error_setc(err, ERROR_MOUNT, -ESRCH, "process %d is not of that container",
			  process.pid);
}

int method_heal(struct daemon *daemon, uint32_t tree, json_t *params,
		struct varlink_message *message, struct method_reply *reply, struct error *err)
{
	const struct permit *permit = permit_of(daemon->permits, tree);
	json_t *done;
	int r = permit_check_process(daemon, tree, params, message, err);

	if (r < 0)
		return r;
	if (!permit || permit_is_injected(permit))
		return error_setc(err, ERROR_AGAIN, -EAGAIN, "it is being injected");
	done = record_load(daemon, tree);
	reply->params = json_pack("{s:O?, s:I}", "cgroup", record_step(done, "cgroup"), "serial",
				  (json_int_t)permit_record_number(daemon, tree));
	json_decref(done);
	return reply->params ? 0 : error_set(err, -ENOMEM, "write the reply");
}

int method_healed(struct daemon *daemon, uint32_t tree, json_t *params, struct method_reply *reply,
		  struct error *err)
{
	struct permit *permit = permit_of(daemon->permits, tree);
	json_t *step = json_object_get(params, "cgroup");
	int r;

	if (!permit ||
	    json_integer_value(json_object_get(params, "serial")) !=
		    permit_record_number(daemon, tree) ||
	    permit_is_injected(permit) || permit->removing || permit->not_before > clock_s())
		return error_setc(err, ERROR_AGAIN, -EAGAIN, "it is being injected or removed");
	if (strcmp(varlink_string(step, "step", ""), "cgroup") != 0)
		return error_setc(err, ERROR_USAGE, -EINVAL, "no step 'cgroup'");
	r = record_put(daemon, tree, json_incref(step), err);
	if (r < 0)
		return r;
	permit->ready = false;
	permit->unit_not_before = 0;
	daemon->permits->healed++;
	audit_tree(daemon, tree, AUDIT_HEALED, NULL, "healed '%s': %s", permit_name(daemon, tree),
		   varlink_string(step, "note", ""));
	events_of_tree(daemon, EVENT_HEALED, tree,
		       json_pack("{s:s}", "note", varlink_string(step, "note", "")));
	reply->params = json_object();
	return 0;
}
