/* SPDX-License-Identifier: Apache-2.0 */
/* Apply: decide on all parts, keep a record, write. */
#include "cli/integrate_change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/integrate_edit.h"
#include "cli/integrate_file.h"
#include "cli/integrate_impl.h"
#include "cli/integrate_record.h"
#include "cli/integrate_toml.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"

/* One part, decided on. */
struct change {
	const struct integrate_part *part;
	struct integrate_file place;
	char *old;  /* NULL: there is no such file */
	char *new;  /* NULL: it stays as it is */
	char *ours; /* runtime, lines, whole file or target of the link, as they are written */
	bool shared; /* another client's link, from now on this one's too */
	char made[PATH_MAX];
};

static void change_done(struct change *change)
{
	integrate_file_done(&change->place);
	free(change->old);
	free(change->new);
	free(change->ours);
	*change = (struct change){ .place.dir = -1 };
}

void integrate_report(struct integrate_run *run, const char *path, const char *what,
		      const char *ours)
{
	json_t *line = json_pack("{s:s, s:s}", "path", path, "what", what);

	if (ours)
		(void)json_object_set_new(line, "lines", json_string(ours));
	(void)json_array_append_new(run->report, line);
}

const char *integrate_kind_name(enum integrate_kind kind)
{
	static const char *const names[] = {
		[INTEGRATE_END] = "?",	   [INTEGRATE_FILE] = "file",	[INTEGRATE_LINK] = "link",
		[INTEGRATE_JSON] = "json", [INTEGRATE_LINES] = "lines", [INTEGRATE_TOML] = "lines"
	};

	return names[kind];
}

int integrate_read_link(const struct integrate_file *place, char **ret, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = place->dir < 0
			    ? -1
			    : readlinkat(place->dir, place->name, target, sizeof(target) - 1);

	*ret = NULL;
	if (n < 0)
		return place->dir < 0 || errno == ENOENT
			       ? 0
			       : error_set(err, -errno, "'%.100s' is no link", place->path);
	target[n] = '\0';
	*ret = strdup(target);
	return *ret ? 0 : error_set(err, -ENOMEM, "read '%.100s'", place->path);
}

/* For people; NULL: no memory. */
static char *lines_of(const struct change *change)
{
	char *lines = NULL;
	int n;

	if (change->part->kind == INTEGRATE_JSON)
		n = asprintf(&lines, "\"runtimes\": { \"nvidia\": { \"path\": \"%s\" } }",
			     change->ours);
	else if (change->part->kind == INTEGRATE_LINK)
		n = asprintf(&lines, "a link to %s", change->ours);
	else
		n = asprintf(&lines, "%s", change->ours);
	return n < 0 ? NULL : lines;
}

/* deciding */

static int check_program(struct integrate_run *run, const struct integrate_part *part,
			 struct error *err)
{
	auto_free char *program = integrate_expand(part->program, run->paths, NULL);
	auto_close int fd = -1;

	if (!program)
		return error_set(err, -ENOMEM, "find programs");
	fd = sys_openat2(run->root, program, O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT);
	if (fd >= 0)
		return 0;
	(void)error_set(err, fd, "find '%.100s'", program);
	return error_remedy(err, fd, "install nvfs there first");
}

/* Where there is a file, or a link, it must be ours. */
static int plan_whole(struct change *change, struct error *err)
{
	if (change->old && strcmp(change->old, change->ours) == 0)
		return 0;
	if (change->old)
		return error_setc(err, ERROR_USAGE, -EEXIST, "it is there, and is somebody else's");
	change->new = strdup(change->ours);
	return change->new ? 0 : error_set(err, -ENOMEM, "decide");
}

static int plan_lines(struct change *change, struct error *err)
{
	int line;

	if (!change->old)
		return error_setc(err, ERROR_USAGE, -ENOENT,
				  "it is not there; is the client installed?");
	line = edit_find_directive(change->old, change->part->directive);
	if (line && !strstr(change->old, change->ours))
		return error_setc(err, ERROR_USAGE, -EEXIST, "line %d: '%s' has a value already",
				  line, change->part->directive);
	return edit_block_add(change->old, change->ours, &change->new, err);
}

static int plan_kind(struct integrate_run *run, struct change *change, struct error *err)
{
	switch (change->part->kind) {
	case INTEGRATE_FILE:
	case INTEGRATE_LINK:
		return plan_whole(change, err);
	case INTEGRATE_JSON:
		return edit_runtime_add(change->old, change->ours, &change->new, err);
	case INTEGRATE_LINES:
		return plan_lines(change, err);
	case INTEGRATE_TOML: {
		auto_free char *block = NULL;
		int r = toml_add(change->old, change->part->text, run->paths, &change->new, &block,
				 err);

		if (block) {
			free(change->ours);
			change->ours = take_ptr(&block);
		}
		return r;
	}
	case INTEGRATE_END:
		break;
	}
	abort();
}

static int read_old(struct change *change, struct error *err)
{
	if (change->part->kind == INTEGRATE_LINK)
		return integrate_read_link(&change->place, &change->old, err);
	return integrate_file_read(&change->place, &change->old, err);
}

static void tell_by_hand(struct integrate_run *run, const struct change *change)
{
	auto_free char *lines = lines_of(change);

	if (!run->by_hand && lines &&
	    asprintf(&run->by_hand, "%s:\n%s", change->part->path, lines) < 0)
		run->by_hand = NULL;
}

static int plan(struct integrate_run *run, const struct integrate_part *part, struct change *change,
		struct error *err)
{
	int r;

	change->part = part;
	change->ours = integrate_expand(part->text, run->paths, "io.containerd.grpc.v1.cri");
	if (!change->ours)
		return error_set(err, -ENOMEM, "decide");
	r = check_program(run, part, err);
	r = r ? r
	      : integrate_file_open(run->root, part->path, part->kind != INTEGRATE_LINK,
				    &change->place, err);
	r = r ? r : read_old(change, err);
	if (r < 0)
		return r;
	r = plan_kind(run, change, err);
	if (r == -EEXIST || r == -EINVAL || r == -ENOENT)
		tell_by_hand(run, change);
	return r < 0 ? error_wrap(err, r, "'%.80s'", change->place.path) : 0;
}

/* doing */

static int write_change(struct integrate_run *run, struct change *change, struct error *err)
{
	const char *path = change->place.path;

	if (change->place.dir < 0) {
		struct integrate_file now = { .dir = -1 };
		int r = integrate_file_make_directories(run->root, path, change->made, err);

		r = r ? r : integrate_file_open(run->root, path, false, &now, err);
		if (r < 0)
			return r;
		change->place.dir = now.dir;
	}
	if (change->part->kind != INTEGRATE_LINK)
		return integrate_file_write(&change->place, change->new, true, err);
	if (symlinkat(change->new, change->place.dir, change->place.name) < 0)
		return error_set(err, -errno, "make the link '%.100s'", path);
	return fsync(change->place.dir) < 0
		       ? error_set(err, -errno, "write the directory of '%.100s'", path)
		       : 0;
}

/* The directory that will be made: the topmost that is missing. */
static void find_missing(int root, const char *path, char ret[PATH_MAX])
{
	*ret = '\0';
	for (const char *slash = strchr(path + 1, '/'); slash && !*ret;
	     slash = strchr(slash + 1, '/')) {
		char dir[PATH_MAX];
		auto_close int fd = -1;

		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
		fd = sys_openat2(root, dir, O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT);
		if (fd < 0)
			memcpy(ret, dir, sizeof(dir));
	}
}

/* A record is JSON, which has no text but UTF-8. */
static int record_change(struct integrate_run *run, struct change *change, json_t *files,
			 struct error *err)
{
	json_error_t why;
	json_t *entry;

	find_missing(run->root, change->place.path, change->made);
	entry = json_pack_ex(&why, 0, "{s:s, s:s, s:s, s:s, s:b, s:s}", "kind",
			     integrate_kind_name(change->part->kind), "path", change->part->path,
			     "written", change->new ? change->new : change->old, "ours",
			     change->ours, "existed", change->old && !change->shared, "made",
			     change->made);
	if (!entry && json_error_code(&why) == json_error_invalid_utf8) {
		tell_by_hand(run, change);
		return error_setc(err, ERROR_USAGE, -EINVAL, "'%.80s' is not UTF-8",
				  change->place.path);
	}
	if (json_array_append_new(files, entry) < 0)
		return error_set(err, -ENOMEM, "keep a record of '%.80s'", change->place.path);
	return 0;
}

/* @ret: new reference, NULL on failure */
static int record_all(struct integrate_run *run, struct change *changes, size_t n, json_t **ret,
		      struct error *err)
{
	json_t *files = json_array();
	int r = files ? 0 : error_set(err, -ENOMEM, "keep a record");

	for (size_t i = 0; r == 0 && i < n; i++)
		r = changes[i].new || changes[i].shared
			    ? record_change(run, &changes[i], files, err)
			    : 0;
	if (r < 0) {
		json_decref(files);
		files = NULL;
	}
	*ret = files;
	return r;
}

static int write_all(struct integrate_run *run, const struct integrate_client *client,
		     json_t *files, struct change *changes, size_t n, struct error *err)
{
	int r = integrate_record_write(run->root, client->name, files, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = changes[i].new ? write_change(run, &changes[i], err) : 0;
	if (r < 0) { /* What was written before goes again; its own failure is no news. */
		struct integrate_run undo = { .root = run->root,
					      .paths = run->paths,
					      .report = json_array() };

		(void)integrate_revert(&undo, client, NULL);
		json_decref(undo.report);
	}
	return r;
}

static void report_all(struct integrate_run *run, const struct change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct change *c = &changes[i];
		auto_free char *lines = run->dry_run && c->new ? lines_of(c) : NULL;

		integrate_report(run, c->place.path,
				 !c->new  ? "unchanged"
				 : c->old ? "changed"
					  : "created",
				 lines);
	}
}

/* Return: number of parts, or a negative errno. */
static int plan_all(struct integrate_run *run, const struct integrate_client *client,
		    const json_t *done, struct change *changes, bool *ret_wanted, struct error *err)
{
	int n = 0, r = 0;

	*ret_wanted = false;
	for (; r == 0 && client->parts[n].kind != INTEGRATE_END; n++) {
		struct change *c = &changes[n];

		r = plan(run, &client->parts[n], c, err);
		c->shared = r == 0 && !c->new && c->part->kind == INTEGRATE_LINK &&
			    !integrate_record_has(done, c->part->path) &&
			    integrate_record_elsewhere(run->root, client->name, c->part->path);
		*ret_wanted |= c->new || c->shared;
	}
	return r < 0 ? r : n;
}

static void changes_done(struct change *changes)
{
	for (size_t i = 0; i < INTEGRATE_PARTS_MAX; i++)
		change_done(&changes[i]);
}

/* What an older version has written, or somebody has made half undone, goes before it is written anew. */
static int make_room(struct integrate_run *run, const struct integrate_client *client,
		     struct error *err)
{
	struct integrate_run undo = { .root = run->root,
				      .paths = run->paths,
				      .report = json_array() };
	int r = integrate_revert(&undo, client, err);

	json_decref(undo.report);
	return r;
}

static void forget_by_hand(struct integrate_run *run)
{
	free(run->by_hand);
	run->by_hand = NULL;
}

int integrate_apply(struct integrate_run *run, const struct integrate_client *client,
		    struct error *err)
{
	struct change changes[INTEGRATE_PARTS_MAX] = { { .place.dir = -1 }, { .place.dir = -1 } };
	json_t *done = NULL, *files = NULL;
	bool wanted, has_room = false;
	int r = integrate_record_read(run->root, client->name, &done, err), n;

	if (r < 0)
		return r;
	n = plan_all(run, client, done, changes, &wanted, err);
	if (n >= 0 && wanted && done && !run->dry_run) {
		changes_done(changes);
		n = make_room(run, client, err);
		has_room = n == 0;
		n = n ? n : plan_all(run, client, NULL, changes, &wanted, err);
	}
	json_decref(done);
	r = n < 0 ? n : record_all(run, changes, (size_t)n, &files, err);
	if (r == 0 && wanted && !run->dry_run)
		r = write_all(run, client, files, changes, (size_t)n, err);
	json_decref(files);
	if (r < 0 && has_room) {
		forget_by_hand(run); /* which says that nothing was changed */
		(void)error_wrap(err, r,
				 "the earlier integration is taken back, the new one fails");
	}
	if (r == 0)
		report_all(run, changes, (size_t)n);
	changes_done(changes);
	return r;
}
