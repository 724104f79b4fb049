/* SPDX-License-Identifier: Apache-2.0 */
/* Revert: from the record alone; all files are decided on before the first is changed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/integrate_change.h"
#include "cli/integrate_edit.h"
#include "cli/integrate_file.h"
#include "cli/integrate_impl.h"
#include "cli/integrate_record.h"
#include "common/cleanup.h"
#include "common/error.h"

enum back {
	BACK_NOTHING, /* not ours any more, or not there */
	BACK_KEEP,    /* a link that another client uses too */
	BACK_REMOVE,  /* we made it */
	BACK_RESTORE, /* the backup goes in its place */
	BACK_EDIT,    /* our lines go, what others have changed stays */
};

struct reversal {
	const char *kind, *path, *written, *ours, *made; /* of the record, borrowed */
	int existed;
	enum back what;
	struct integrate_file place;
	char *now, *before, *edited;
};

static void reversal_done(struct reversal *r)
{
	integrate_file_done(&r->place);
	free(r->now);
	free(r->before);
	free(r->edited);
	*r = (struct reversal){ .place.dir = -1 };
}

static int decide_link(struct integrate_run *run, const char *client, struct reversal *back,
		       struct error *err)
{
	char *target = NULL;

	(void)err;
	/* Something else than a link: somebody has put it there. */
	if (integrate_read_link(&back->place, &target, NULL) == 0 && target &&
	    strcmp(target, back->ours) == 0)
		back->what = integrate_record_elsewhere(run->root, client, back->path)
				     ? BACK_KEEP
				     : BACK_REMOVE;
	free(target);
	return 0;
}

/* Somebody has changed the file since. */
static int decide_changed(struct reversal *back, struct error *err)
{
	int r;

	if (strcmp(back->kind, "json") == 0)
		r = edit_runtime_remove(back->now, back->before, back->ours, &back->edited, err);
	else if (strcmp(back->kind, "lines") == 0)
		r = edit_block_remove(back->now, back->ours, &back->edited, err);
	else
		r = error_setc(err, ERROR_USAGE, -EEXIST,
			       "it was changed since; remove it by hand");
	if (r < 0)
		return error_wrap(err, r, "'%.80s'", back->place.path);
	back->what = back->edited ? BACK_EDIT : BACK_NOTHING;
	return 0;
}

static int decide(struct integrate_run *run, const char *client, struct reversal *back,
		  struct error *err)
{
	bool is_link = strcmp(back->kind, "link") == 0;
	int r = integrate_file_open(run->root, back->path, !is_link, &back->place, err);

	if (r < 0 || back->place.dir < 0)
		return r;
	if (is_link)
		return decide_link(run, client, back, err);
	r = integrate_file_read(&back->place, &back->now, err);
	r = r ? r : integrate_file_read_backup(&back->place, &back->before, err);
	if (r < 0 || !back->now)
		return r;
	if (strcmp(back->now, back->written) != 0 || (back->existed && !back->before))
		return decide_changed(back, err);
	back->what = back->existed ? BACK_RESTORE : BACK_REMOVE;
	return 0;
}

static int act(struct reversal *back, struct error *err)
{
	switch (back->what) {
	case BACK_NOTHING:
	case BACK_KEEP:
		return 0;
	case BACK_REMOVE:
		if (unlinkat(back->place.dir, back->place.name, 0) < 0 && errno != ENOENT)
			return error_set(err, -errno, "remove '%.100s'", back->place.path);
		return 0;
	case BACK_RESTORE:
		return integrate_file_restore(&back->place, err);
	case BACK_EDIT:
		return integrate_file_write(&back->place, back->edited, false, err);
	}
	abort();
}

/* A backup that is not put back stays only where the file is gone: it is all that is left of it. */
static int take_back(struct integrate_run *run, struct reversal *back, struct error *err)
{
	static const char *const words[] = { [BACK_NOTHING] = "not ours",
					     [BACK_KEEP] = "kept, for another client",
					     [BACK_REMOVE] = "removed",
					     [BACK_RESTORE] = "restored",
					     [BACK_EDIT] = "changed, others' changes stay" };
	int r = run->dry_run ? 0 : act(back, err);

	if (r < 0)
		return r;
	integrate_report(run, back->place.path, words[back->what], NULL);
	if (run->dry_run)
		return 0;
	if (back->now && (back->what == BACK_EDIT || back->what == BACK_NOTHING))
		integrate_file_drop_backup(&back->place);
	if (back->what == BACK_REMOVE)
		integrate_file_remove_directories(run->root, back->place.path, back->made);
	return 0;
}

static int read_entry(json_t *entry, struct reversal *back)
{
	return json_unpack(entry, "{s:s, s:s, s:s, s:s, s:b, s:s}", "kind", &back->kind, "path",
			   &back->path, "written", &back->written, "ours", &back->ours, "existed",
			   &back->existed, "made", &back->made);
}

static int revert_files(struct integrate_run *run, const char *client, const json_t *files,
			struct error *err)
{
	struct reversal backs[INTEGRATE_PARTS_MAX] = { { .place.dir = -1 }, { .place.dir = -1 } };
	size_t n = json_array_size(files), i;
	int r = 0;

	if (n > INTEGRATE_PARTS_MAX)
		return error_setc(err, ERROR_USAGE, -EINVAL,
				  "the record of '%s' has too many files", client);
	for (i = 0; r == 0 && i < n; i++) {
		r = read_entry(json_array_get(files, i), &backs[i]);
		r = r ? error_setc(err, ERROR_USAGE, -EINVAL, "the record of '%s' is none", client)
		      : decide(run, client, &backs[i], err);
	}
	for (i = n; r == 0 && i-- > 0;)
		r = take_back(run, &backs[i], err);
	for (i = 0; i < INTEGRATE_PARTS_MAX; i++)
		reversal_done(&backs[i]);
	return r;
}

int integrate_revert(struct integrate_run *run, const struct integrate_client *client,
		     struct error *err)
{
	json_t *files = NULL, *nothing;
	int r = integrate_record_read(run->root, client->name, &files, err);

	if (r < 0 || !files)
		return r;
	r = revert_files(run, client->name, files, err);
	json_decref(files);
	if (r < 0 || run->dry_run)
		return r;
	nothing = json_array();
	r = integrate_record_write(run->root, client->name, nothing, err);
	json_decref(nothing);
	return r;
}
