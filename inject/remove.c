/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --remove: the daemon says what was done to the container, the record is
 * walked backwards inside it, the device cgroups lose what was added, and the
 * daemon forgets. A container that has ended needs only the last.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/varlink.h"
#include "inject/cgroup.h"
#include "inject/cgroup_record.h"
#include "inject/enter.h"
#include "inject/plan.h"
#include "inject/privilege.h"
#include "inject/restore.h"
#include "inject/session.h"
#include "inject/shared.h"

#define CACHE_MAX (32 * 1024 * 1024)

/* The target of the tree, below which cache entries are ours; NULL: cache untouched. */
static const char *tree_of_changed_cache(const json_t *done)
{
	const char *tree = NULL;
	const json_t *record;
	bool changed = false;
	size_t i;

	json_array_foreach(done, i, record) {
		const char *step = varlink_string(record, "step", "");
		const char *result = varlink_string(record, "result", "");

		if (strcmp(step, "tree") == 0)
			tree = varlink_string(record, "target", NULL);
		if (strcmp(step, "cache") == 0)
			changed = strcmp(result, "created") == 0 || strcmp(result, "replaced") == 0;
	}
	return changed ? tree : NULL;
}

static int map_stripped(struct session *session, struct restore *restore, struct error *err)
{
	const char *tree = tree_of_changed_cache(restore->done);
	auto_close int fd = -1;
	ssize_t len;
	void *data;
	int r;

	if (tree && *session->cache_why)
		log_warning("ld.so.cache of the container: %s, leaving it as it is",
			    session->cache_why);
	if (!tree || session->image_cache < 0)
		return 0;
	r = client_strip(&session->client, session->image_cache, tree, &fd, err);
	if (r < 0)
		return r;
	len = file_memfd_sealed_size(fd, CACHE_MAX);
	data = len > 0 ? mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (data == MAP_FAILED)
		return error_setc(err, ERROR_DAEMON, -EBADMSG, "the daemon sent no ld.so.cache");
	restore->cache = data;
	restore->cache_len = (size_t)len;
	return 0;
}

static int revoke_devices(struct session *session, const json_t *done, struct error *err)
{
	const json_t *step = cgroup_record_find(done);
	struct cgroup_rule rules[PLAN_STEPS_MAX];
	uint32_t originals[CGROUP_ORIGINALS_ALL];
	size_t n = cgroup_record_rules(json_object_get(step, "added"), rules, PLAN_STEPS_MAX);
	int r;

	if (n == 0 || !session->targets.cgroup)
		return 0;
	cgroup_target_originals(session->targets.cgroup, originals,
				cgroup_record_originals(step, originals, CGROUP_ORIGINALS_ALL));
	r = privilege_enter(PRIVILEGE_CGROUP, err);
	r = r ? r : cgroup_revoke(session->targets.cgroup, rules, n, err);
	return r ? r : privilege_enter(PRIVILEGE_START, err);
}

/* All three are tried, whatever the others say: half a removal is better than none. */
static int remove_inside(struct session *session, const json_t *done, struct error *err)
{
	struct restore *restore = shared_new(sizeof(*restore));
	struct error more = { 0 };
	int r;

	if (!restore)
		return error_set(err, -ENOMEM, "remove");
	*restore = (struct restore){ .roots = PLACE_ROOTS(session->targets.root), .done = done };
	restore->roots.host_dev = session->targets.host_dev;
	restore->roots.host_run = session->targets.host_run;
	restore->roots.owners = session->targets.owners;
	if (map_stripped(session, restore, &more) < 0)
		log_warning("ld.so.cache of the container: %s, ignoring", more.text);
	enter_done(&session->enter); /* the next knows the record and the cache */
	r = enter_run(&session->targets.ns, session_left_ms(session), restore_run, restore, err);
	if (r == -ETIMEDOUT && restore->at)
		(void)error_wrap(err, r, "'%.80s'", restore->at);
	if (revoke_devices(session, done, r ? NULL : err) < 0 && r == 0)
		r = -EPERM;
	place_roots_done(&restore->roots);
	if (restore->cache)
		(void)munmap((void *)(uintptr_t)restore->cache, restore->cache_len);
	if (restore->left)
		log_info("%zu of %zu things in the container are no longer ours and stay",
			 restore->left, restore->left + restore->removed);
	shared_free(restore, sizeof(*restore));
	return r;
}

static bool is_in_use(const json_t *known)
{
	return strcmp(varlink_string(known, "state", ""), "in use") == 0;
}

/* The container's init, of which the daemon holds a pidfd; 0 once it has ended. */
static pid_t live_pid(const json_t *known)
{
	if (!is_in_use(known))
		return 0;
	return (pid_t)json_integer_value(json_object_get(known, "pid"));
}

/*
 * Pin the init that the daemon names; asked again, it still names it: no other has that pid. From then
 * on the daemon heals nothing in that container.
 */
static int pin_known(struct session *session, const json_t *known, bool *ret_gone,
		     struct error *err)
{
	struct request *req = &session->request;
	const char *id = varlink_string(known, "id", "");
	bool named = req->pid != 0;
	json_t *again = NULL;
	int r;

	*ret_gone = false;
	if (!named && !req->standalone)
		req->pid = live_pid(known);
	if (req->pid == 0 && !req->standalone) {
		*ret_gone = true;
		return 0;
	}
	r = session_pin(session, err);
	if (r < 0)
		return r;
	r = client_removing(&session->client, id, &again, err);
	if (r == 0 && !req->standalone && (named ? !is_in_use(again) : live_pid(again) == 0))
		*ret_gone = true;
	json_decref(again);
	return r;
}

static int remove_known(struct session *session, const json_t *known, struct error *err)
{
	const char *id = varlink_string(known, "id", "");
	bool gone;
	int r;

	r = pin_known(session, known, &gone, err);
	if (r == -ESRCH) {
		gone = true;
		r = 0;
	}
	if (r == 0 && !gone)
		r = remove_inside(session, json_object_get(known, "done"), err);
	r = r ? r : client_remove(&session->client, id, json_object_get(known, "serial"), err);
	if (r < 0)
		return r;
	session->result = "removed";
	session->report = json_pack("{s:s, s:b}", "id", id, "ended", gone);
	return 0;
}

int session_remove(struct session *session, struct error *err)
{
	struct request *req = &session->request;
	json_t *known = NULL;
	int r;

	r = client_connect(&session->client, req->socket, session_left_ms(session), err);
	r = r ? r : client_get(&session->client, req->id, req->pid, &known, err);
	if (r == 0 && req->dry_run) {
		session->result = "plan";
		session->report = json_incref(known);
	} else if (r == 0) {
		r = remove_known(session, known, err);
	}
	json_decref(known);
	return r;
}
