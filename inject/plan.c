/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan as the daemon sent it. The daemon decides what is done; that a step
 * means what its word says, and stays within the container, is checked here
 * and in apply.c again.
 */
#include "inject/plan.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"
#include "common/parse.h"
#include "common/varlink.h"
#include "inject/cgroup.h"

#define CACHE_MAX (32 * 1024 * 1024)
#define CONF_DIR "/etc/ld.so.conf.d/"
#define CONF_FILE "/etc/ld.so.conf"
#define CONF_TEXT "include /etc/ld.so.conf.d/*.conf\n"

static const char *const step_names[] = {
	[STEP_TREE] = "tree",	  [STEP_PROC] = "proc", [STEP_DEVICE] = "device",
	[STEP_SOCKET] = "socket", [STEP_FILE] = "file", [STEP_CACHE] = "cache",
	[STEP_LINK] = "link",
};

const char *step_name(enum step_kind kind)
{
	return step_names[kind];
}

int step_kind_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof(step_names) / sizeof(step_names[0]); i++) {
		if (strcmp(step_names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

bool plan_path_ok(const char *path)
{
	const char *cursor = path + 1, *part;
	size_t len;

	if (*path != '/' || strlen(path) >= PATH_MAX)
		return false;
	while ((part = parse_field(&cursor, '/', &len))) {
		if (len == 0 || len > NAME_MAX || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
	}
	return true;
}

static int refuse(const struct step *step, const char *why, struct error *err)
{
	int r = error_setc(err, ERROR_DAEMON, -EBADMSG, "step '%s' of the daemon's plan: %s",
			   step->target ? step->target : "?", why);

	return error_remedy(err, r, "use nvfs and nvinject of the same version");
}

static unsigned int parse_access(const char *text)
{
	unsigned int access = 0;

	for (; *text; text++) {
		access |= *text == 'r'	 ? CGROUP_ACCESS_READ
			  : *text == 'w' ? CGROUP_ACCESS_WRITE
			  : *text == 'm' ? CGROUP_ACCESS_MKNOD
					 : 0;
	}
	return access;
}

/* A sealed memfd does not change, nor shrink, under whoever maps it. */
static int check_content(struct step *step, struct error *err)
{
	ssize_t len = file_memfd_sealed_size(step->fd, CACHE_MAX);

	if (len <= 0)
		return refuse(step, "not a sealed file", err);
	step->len = (size_t)len;
	return 0;
}

static int take_step_fd(struct step *step, const json_t *json, struct varlink_message *reply,
			struct error *err)
{
	const json_t *index = json_object_get(json, "fd");

	if (step->kind == STEP_FILE || step->kind == STEP_LINK ||
	    (step->kind == STEP_DEVICE && step->permit_only))
		return 0;
	step->fd = json_is_integer(index)
			   ? varlink_message_take_fd(reply, json_integer_value(index))
			   : -EBADMSG;
	if (step->fd < 0)
		return refuse(step, "its descriptor is missing", err);
	return step->kind == STEP_CACHE ? check_content(step, err) : 0;
}

static int step_details(struct step *step, const json_t *json, struct error *err)
{
	const char *content = varlink_string(json, "content", NULL);

	step->alternative = varlink_string(json, "alternative", NULL);
	step->to = varlink_string(json, "to", NULL);
	step->where = varlink_string(json, "where", NULL);
	step->major = (unsigned int)json_integer_value(json_object_get(json, "major"));
	step->minor = (unsigned int)json_integer_value(json_object_get(json, "minor"));
	step->access = parse_access(varlink_string(json, "access", "rw"));
	step->permit_only = json_is_false(json_object_get(json, "bind"));
	step->replace_stale = json_is_true(json_object_get(json, "stale"));
	step->only_if_absent = json_is_true(json_object_get(json, "absent"));
	if (step->alternative && !plan_path_ok(step->alternative))
		return refuse(step, "its alternative is not a plain path", err);
	if (step->where && !plan_path_ok(step->where))
		return refuse(step, "what it wants to be there is not a plain path", err);
	if (step->kind == STEP_LINK &&
	    (!step->to || *step->to != '/' || strlen(step->to) >= PATH_MAX))
		return refuse(step, "the link leads nowhere", err);
	if (step->kind == STEP_DEVICE && strncmp(step->target, "/dev/", 5) != 0)
		return refuse(step, "a device outside /dev", err);
	if (step->kind == STEP_PROC && strncmp(step->target, "/proc/", 6) != 0)
		return refuse(step, "a proc view outside /proc", err);
	if (step->kind == STEP_FILE && !content)
		return refuse(step, "the file has no content", err);
	if (step->kind == STEP_FILE) {
		step->data = content;
		step->len = strlen(content);
	}
	return 0;
}

static int parse_step(struct plan *plan, const json_t *json, struct varlink_message *reply,
		      bool dry_run, struct error *err)
{
	int kind = step_kind_by_name(varlink_string(json, "step", ""));
	struct step *step = &plan->steps[plan->n];
	int r;

	*step = (struct step){ .fd = -1, .target = varlink_string(json, "target", NULL) };
	if (kind < 0)
		return refuse(step, "of an unknown kind", err);
	step->kind = (enum step_kind)kind;
	plan->n++;
	if (!step->target || !plan_path_ok(step->target))
		return refuse(step, "its target is not a plain path", err);
	r = step_details(step, json, err);
	return r || dry_run ? r : take_step_fd(step, json, reply, err);
}

/* ldconfig reads our file in the directory only if ld.so.conf includes it. */
static void add_conf_include(struct plan *plan)
{
	bool needed = false;

	for (size_t i = 0; i < plan->n; i++) {
		if (strcmp(plan->steps[i].target, CONF_FILE) == 0)
			return;
		needed |= strncmp(plan->steps[i].target, CONF_DIR, strlen(CONF_DIR)) == 0;
	}
	if (needed && plan->n < PLAN_STEPS_MAX)
		plan->steps[plan->n++] = (struct step){
			.kind = STEP_FILE,
			.target = CONF_FILE,
			.fd = -1,
			.data = CONF_TEXT,
			.len = strlen(CONF_TEXT),
			.only_if_absent = true,
		};
}

int plan_parse(struct varlink_message *reply, bool dry_run, struct plan *ret, struct error *err)
{
	const json_t *steps, *step;
	size_t i;
	int r;

	ret->json = json_incref(reply->json);
	ret->id = varlink_string(ret->json, "id", "");
	ret->trace = varlink_string(ret->json, "trace", "");
	ret->token = varlink_string(ret->json, "token", "");
	ret->known = strcmp(varlink_string(ret->json, "state", "new"), "known") == 0;
	if (json_is_true(json_object_get(ret->json, "nothing")))
		ret->nothing = varlink_string(ret->json, "why", "by the policy of the host");
	steps = json_object_get(ret->json, "plan");
	if (!ret->nothing && (!json_is_array(steps) || json_array_size(steps) >= PLAN_STEPS_MAX))
		return error_setc(err, ERROR_DAEMON, -EBADMSG, "the daemon sent no usable plan");
	json_array_foreach(steps, i, step) {
		r = parse_step(ret, step, reply, dry_run, err);
		if (r < 0)
			return r;
	}
	add_conf_include(ret);
	return 0;
}

void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].fd >= 0)
			(void)close(plan->steps[i].fd);
	}
	json_decref(plan->json);
	plan->json = NULL;
	plan->n = 0;
}

void plan_print(const struct plan *plan, FILE *out)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct step *step = &plan->steps[i];

		fprintf(out, "%-7s %s", step_name(step->kind), step->target);
		if (step->kind == STEP_DEVICE)
			fprintf(out, " (%u:%u, %s in the device cgroups)", step->major, step->minor,
				step->permit_only ? "only allowed" : "also allowed");
		if (step->alternative)
			fprintf(out, " (or %s)", step->alternative);
		if (step->to)
			fprintf(out, " -> %s", step->to);
		if (step->where)
			fprintf(out, " (where there is %s)", step->where);
		if (step->only_if_absent)
			fprintf(out, " (if there is none)");
		fputc('\n', out);
	}
}
