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
	pid_t init;  /* the first process, as the daemon has it on record */
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

/*
 * The first process is in the container's cgroups. Somebody else who is in its mount namespace may
 * be there from outside, and without his cgroups the container would keep the permission.
 */
static int check_cgroups(const struct session *session, const struct removal *removal,
			 const json_t *step, struct error *err)
{
	const json_t *level;
	size_t i;

	if (session->request.pid == removal->init || session->request.standalone)
		return 0;
	json_array_foreach(json_object_get(step, "levels"), i, level) {
		const char *path = varlink_string(level, "path", "");
		json_int_t version = json_integer_value(json_object_get(level, "version"));

		if (!cgroup_target_has(session->targets.cgroup, (unsigned int)version, path))
			return error_setc(
				err, ERROR_PERMISSION, -EPERM,
				"process %d is not in the cgroup that was permitted: '%s'",
				(int)session->request.pid, path);
	}
	return 0;
}

static int revoke_devices(struct session *session, const struct removal *removal, struct error *err)
{
	const json_t *step = cgroup_record_find(json_object_get(removal->known, "done"));
	struct cgroup_rule rules[PLAN_STEPS_MAX];
	uint32_t originals[CGROUP_ORIGINALS_ALL];
	size_t n = cgroup_record_rules(json_object_get(step, "added"), rules, PLAN_STEPS_MAX);
	int r;

	if (n == 0 || !session->targets.cgroup)
		return 0;
	cgroup_target_originals(session->targets.cgroup, originals,
				cgroup_record_originals(step, originals, CGROUP_ORIGINALS_ALL));
	r = check_cgroups(session, removal, step, err);
	r = r ? r : privilege_enter(PRIVILEGE_CGROUP, err);
	r = r ? r : cgroup_revoke(session->targets.cgroup, rules, n, err);
	return r ? r : privilege_enter(PRIVILEGE_START, err);
}

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
	place_roots_done(&restore->roots);
	if (restore->cache)
		(void)munmap((void *)(uintptr_t)restore->cache, restore->cache_len);
	if (restore->left)
		log_info("%zu of %zu things in the container are no longer ours and stay",
			 restore->left, restore->left + restore->removed);
	shared_free(restore, sizeof(*restore));
	return r;
}

static pid_t pid_of(const json_t *known)
{
	return (pid_t)json_integer_value(json_object_get(known, "pid"));
}

static json_int_t tree_of(const json_t *known)
{
	return json_integer_value(json_object_get(known, "serial")) >> 32;
}

/*
 * A process that has ended tells nothing of its container: the daemon names another one, or says
 * that nobody is left.
 */
static int ask_again(struct removal *removal, struct error *err)
{
	removal->pinned = false;
	err->class = ERROR_AGAIN;
	return -ESRCH;
}

static bool is_alive(const struct targets *targets)
{
	return targets->pidfd >= 0 && targets->proc_pid >= 0 && targets_alive(targets, NULL) == 0;
}

/*
 * Without its root there is no way in, and no reason to leave it its GPU: the cgroups are those of
 * a process that is held by its pidfd.
 */
static int pin(struct session *session, struct removal *removal, struct error *err)
{
	int r;

	enter_done(&session->enter); /* of another process, before a daemon died */
	targets_done(&session->targets);
	r = session_pin(session, &removal->why_closed);
	removal->closed = 0;
	if (r == -ENOENT || (r < 0 && session->targets.pidfd >= 0 && !is_alive(&session->targets)))
		r = -ESRCH; /* on its way out */
	if (r < 0 && r != -ESRCH && is_alive(&session->targets))
		removal->closed = r;
	if (r < 0)
		*err = removal->why_closed;
	return removal->closed ? 0 : r;
}

/* The same container, as the daemon knows it now: @again is taken over. */
static int know(struct removal *removal, json_t *again, struct error *err)
{
	if (tree_of(again) != tree_of(removal->known)) {
		(void)error_setc(err, ERROR_AGAIN, -EBUSY, "'%.64s' is another container by now",
				 varlink_string(again, "id", ""));
		json_decref(again);
		return error_remedy(err, -EBUSY, "remove it again");
	}
	json_decref(removal->known);
	removal->known = again;
	return 0;
}

/* Whoever is left in the container, which may be others than its first process. */
static int find_process(struct session *session, struct removal *removal, struct error *err)
{
	json_t *again = NULL;
	int r = client_removing(&session->client, varlink_string(removal->known, "id", ""), -1,
				&again, err);

	r = r ? r : know(removal, again, err);
	session->request.pid = r ? 0 : pid_of(removal->known);
	return r;
}

/*
 * Pin a process that the daemon names, or the caller: of this container, as the daemon then says,
 * and of the same tree. From then on the daemon heals nothing in that container.
 */
static int pin_known(struct session *session, struct removal *removal, struct error *err)
{
	struct request *req = &session->request;
	json_t *again = NULL;
	int r = 0;

	if (!removal->named && !req->standalone && !removal->pinned)
		r = find_process(session, removal, err);
	if (r < 0)
		return r;
	if (req->pid == 0 && !req->standalone) {
		removal->gone = true;
		return 0;
	}
	if (!removal->pinned)
		r = pin(session, removal, err);
	r = r ? r : session_open_cgroup(session, err);
	r = r ? r
	      : client_removing(&session->client, varlink_string(removal->known, "id", ""),
				req->standalone ? -1 : session->targets.pidfd, &again, err);
	if (r == -ESRCH && !req->standalone && !is_alive(&session->targets))
		removal->named = false;
	if (r == -ESRCH && (!removal->named || err->class == ERROR_AGAIN))
		return ask_again(removal, err);
	if (r < 0)
		return r;
	removal->pinned = true;
	return know(removal, again, err);
}

/*
 * Where its root cannot be entered, or will not have it, the permission goes all the same, and is
 * not healed. The record stays, for another try.
 */
static int remove_permission(struct session *session, const struct removal *removal,
			     struct error *err)
{
	struct error why = { 0 };
	int r;

	if (!session->targets.cgroup) /* left alone: nothing of the permission has been taken back */
		return err->code;
	r = revoke_devices(session, removal, &why);
	r = r ? r
	      : client_removed(&session->client, varlink_string(removal->known, "id", ""),
			       json_object_get(removal->known, "serial"), &why);
	if (r < 0 && session_lost_daemon(session, r, &why)) {
		*err = why;
		return r;
	}
	if (r < 0)
		log_warning("permission for its devices: %s", why.text);
	if (r < 0)
		return err->code;
	return error_wrap(err, err->code, "its devices are not permitted any more, the rest stays");
}

static int remove_known(struct session *session, struct removal *removal, struct error *err)
{
	int r = removal->gone || removal->undone ? 0 : pin_known(session, removal, err);

	if (r < 0)
		return r;
	if (!removal->gone && !removal->undone) {
		r = removal->closed;
		if (r < 0)
			*err = removal->why_closed;
		else
			r = remove_inside(session, json_object_get(removal->known, "done"), err);
		if (r < 0 && session_lost_daemon(session, r, err))
			return r;
		if (r < 0)
			return remove_permission(session, removal, err);
		r = revoke_devices(session, removal, err);
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
		removal->init = pid_of(removal->known);
	} else {
		r = client_removing(&session->client, varlink_string(removal->known, "id", ""), -1,
				    &now, err);
		r = take_up(removal, now, r, err);
		json_decref(now);
		if (r <= 0)
			return r;
		r = 0;
	}
	return r < 0 || req->dry_run ? r : remove_known(session, removal, err);
}

static bool may_try_again(const struct session *session, int r, const struct error *err)
{
	return (r == -ESRCH && err->class == ERROR_AGAIN) || session_lost_daemon(session, r, err);
}

static int remove_until_done(struct session *session, struct removal *removal, struct error *err)
{
	for (;;) {
		struct error why = { 0 };
		int r = remove_once(session, removal, &why);

		if (r < 0 && may_try_again(session, r, &why) && session_has_time(session)) {
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
