/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --remove: the daemon says what was done to the container, the record is
 * walked backwards inside it, the device cgroups lose what was added, and the
 * daemon forgets. A container that has ended needs only the last. Where the daemon dies in between, its successor
 * is asked for what is left to be done.
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

/* What one try leaves for the next one, which asks another daemon. */
struct removal {
	json_t *known; /* what a daemon has told; NULL: none has yet */
	bool named;    /* the pid is the caller's */
	bool pinned;
	bool gone;   /* the container has ended */
	bool undone; /* what was done to it has been taken back */
	int closed;  /* negative errno: its root cannot be had */
	struct error why_closed;
};

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
	r = map_stripped(session, restore, &more);
	if (r < 0 && session_lost_daemon(session, r, &more)) {
		*err = more;
		shared_free(restore, sizeof(*restore));
		return r;
	}
	if (r < 0)
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

static json_int_t tree_of(const json_t *known)
{
	return json_integer_value(json_object_get(known, "serial")) >> 32;
}

/* Ours or the machine's: another try may get further. */
static bool is_want(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EAGAIN;
}

/*
 * Whatever the container has for a root, its cgroups are those of the process that the daemon has named, and that is
 * held by its pidfd: they can be done without the rest.
 */
static int pin(struct session *session, struct removal *removal, struct error *err)
{
	int r = session_pin(session, &removal->why_closed);

	removal->closed = r;
	if (r < 0 && r != -ESRCH && !is_want(r) && session->targets.pidfd >= 0 &&
	    live_pid(removal->known) == session->request.pid)
		return 0;
	if (r < 0 && err)
		*err = removal->why_closed;
	return r;
}

/*
 * Pin the init that the daemon names; asked again, it still names it, and the same tree: no other container has that
 * pid, or the id. From then on the daemon heals nothing in that container.
 */
static int pin_known(struct session *session, struct removal *removal, struct error *err)
{
	struct request *req = &session->request;
	const char *id = varlink_string(removal->known, "id", "");
	json_t *again = NULL;
	int r = 0;

	if (!removal->named && !req->standalone && !removal->pinned)
		req->pid = live_pid(removal->known);
	if (req->pid == 0 && !req->standalone) {
		removal->gone = true;
		return 0;
	}
	if (!removal->pinned)
		r = pin(session, removal, err);
	r = r ? r : session_open_cgroup(session, err);
	removal->gone = r == -ESRCH;
	if (r < 0)
		return removal->gone ? 0 : r;
	removal->pinned = true;
	r = client_removing(&session->client, id, &again, err);
	if (r < 0)
		return r;
	if (tree_of(again) != tree_of(removal->known)) {
		json_decref(again);
		(void)error_setc(err, ERROR_AGAIN, -EBUSY, "'%.64s' is another container by now", id);
		return error_remedy(err, -EBUSY, "remove it again");
	}
	json_decref(removal->known);
	removal->known = again;
	if (removal->closed < 0)
		removal->gone = live_pid(again) != req->pid;
	else if (!req->standalone)
		removal->gone = removal->named ? !is_in_use(again) : live_pid(again) == 0;
	return 0;
}

/*
 * All that can be done from outside: permission and tree go. What was put into the root is left there, and told of; a
 * later injection finds and records it again.
 */
static int remove_outside(struct session *session, const struct removal *removal, struct error *err)
{
	int r = revoke_devices(session, json_object_get(removal->known, "done"), err);

	r = r ? r
	      : client_remove(&session->client, varlink_string(removal->known, "id", ""),
			      json_object_get(removal->known, "serial"), err);
	if (r < 0)
		return r;
	*err = removal->why_closed;
	log_warning("devices are not permitted any more and the tree has gone, the rest stays");
	return removal->closed;
}

static int remove_known(struct session *session, struct removal *removal, struct error *err)
{
	int r = removal->gone || removal->undone ? 0 : pin_known(session, removal, err);

	if (r == 0 && !removal->gone && !removal->undone && removal->closed < 0)
		return remove_outside(session, removal, err);
	if (r == 0 && !removal->gone && !removal->undone) {
		r = remove_inside(session, json_object_get(removal->known, "done"), err);
		removal->undone = r == 0;
	}
	return r ? r
		 : client_remove(&session->client, varlink_string(removal->known, "id", ""),
				 json_object_get(removal->known, "serial"), err);
}

/*
 * With the daemon after the one that told of it. @now: what that one knows, or NULL and the error @r. What has been
 * taken back is not taken back twice: the container may have made something in its place.
 *
 * Return: 1 (go on), 0 (all is over: the tree went with the daemon before) or a negative errno.
 */
static int take_up(struct removal *removal, json_t *now, int r, struct error *err)
{
	bool is_none = r == -ENOENT && err->class == ERROR_USAGE;

	if ((is_none || (r == 0 && tree_of(now) != tree_of(removal->known))) &&
	    (removal->undone || removal->gone))
		return 0;
	if (r < 0)
		return r;
	if (tree_of(now) != tree_of(removal->known) ||
	    (removal->undone && !json_equal(json_object_get(removal->known, "done"),
					    json_object_get(now, "done")))) {
		(void)error_setc(err, ERROR_AGAIN, -EBUSY, "it has been injected meanwhile");
		return error_remedy(err, -EBUSY, "remove it again");
	}
	json_decref(removal->known);
	removal->known = json_incref(now);
	return 1;
}

static int remove_once(struct session *session, struct removal *removal, struct error *err)
{
	const struct request *req = &session->request;
	json_t *now = NULL;
	int r = client_connect(&session->client, req->socket, session_left_ms(session), err);

	if (r < 0)
		return r;
	if (!removal->known) {
		r = client_get(&session->client, req->id, req->pid, &removal->known, err);
	} else {
		r = client_removing(&session->client, varlink_string(removal->known, "id", ""),
				    &now, err);
		r = take_up(removal, now, r, err);
		json_decref(now);
		if (r <= 0)
			return r;
		r = 0;
	}
	return r < 0 || req->dry_run ? r : remove_known(session, removal, err);
}

static int remove_until_done(struct session *session, struct removal *removal, struct error *err)
{
	for (;;) {
		struct error why = { 0 };
		int r = remove_once(session, removal, &why);

		if (r < 0 && session_lost_daemon(session, r, &why) && session_has_time(session)) {
			session_pause(session);
			continue;
		}
		if (r < 0 && err)
			*err = why;
		return r;
	}
}

int session_remove(struct session *session, struct error *err)
{
	struct removal removal = { .named = session->request.pid != 0 };
	int r = remove_until_done(session, &removal, err);

	if (r == 0 && session->request.dry_run) {
		session->result = "plan";
		session->report = json_incref(removal.known);
	} else if (r == 0) {
		session->result = "removed";
		session->report = json_pack("{s:s, s:b}", "id",
					    varlink_string(removal.known, "id", ""), "ended",
					    removal.gone);
	}
	json_decref(removal.known);
	return r;
}
