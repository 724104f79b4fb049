/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that write: small files, the ld.so.cache, symbolic links. */
#include "inject/apply_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "common/varlink.h"
#include "inject/regular.h"

#define HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

/* Is the regular file at a place equal to this content? */
static bool has_content(const struct place *place, const void *data, size_t len)
{
	off_t size = 0;
	auto_close int found = regular_find(place->dirfd, place->name, HERE | RESOLVE_NO_XDEV,
					    &size);
	auto_close int fd = found >= 0 && (size_t)size == len ? regular_open_found(found) : -1;
	auto_free char *text = NULL;
	size_t text_len = 0;

	return fd >= 0 && file_read_fd(fd, len, &text, &text_len, NULL) == 0 && text_len == len &&
	       memcmp(text, data, len) == 0;
}

static bool anything_there(const struct place *place)
{
	auto_close int fd = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0;
}

/* Of an earlier run, for another target: a file that begins with the comment that ours begins with. */
static bool bears_our_mark(const struct step *step, const struct place *place)
{
	auto_close int fd = regular_open(place->dirfd, place->name, HERE | RESOLVE_NO_XDEV);
	const char *mark = step->data, *end = memchr(mark, '\n', step->len);
	char line[128];
	ssize_t n;

	if (fd < 0 || *mark != '#' || !end || (size_t)(end - mark) >= sizeof(line))
		return false;
	n = read(fd, line, (size_t)(end - mark) + 1);
	return n == end - mark + 1 && memcmp(line, mark, (size_t)n) == 0;
}

static int replace(struct apply *apply, const struct step *step, const struct place *place,
		   struct outcome *outcome)
{
	size_t n = apply->effects.n;
	int r = effect_replace(&apply->effects, place->dirfd, place->name, step->data, step->len);

	if (r < 0)
		return r;
	return apply_note(outcome, apply->effects.list[n].old < 0 ? "created" : "replaced", "");
}

/* A file of ours, or where nothing is. What the image has there is never written over. */
static int put_file(struct apply *apply, const struct step *step, const char *target,
		    struct outcome *outcome, struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	int r = apply_find(apply, target, true, &place, outcome, err);

	if (r < 0)
		return r;
	if (has_content(&place, step->data, step->len)) {
		if (step->only_if_absent)
			return apply_note(outcome, "already", "");
		return apply_note_already(apply, outcome, "created");
	}
	if (anything_there(&place) && (step->only_if_absent || !bears_our_mark(step, &place)))
		return apply_note(outcome, "kept",
				  step->only_if_absent ? "" : "it is the image's own");
	r = replace(apply, step, &place, outcome);
	return r < 0 ? error_set(err, r, "write '%s'", target) : 0;
}

int apply_file(struct apply *apply, const struct step *step, struct outcome *outcome,
	       struct error *err)
{
	int r = put_file(apply, step, step->target, outcome, err);

	if (r < 0 || !step->alternative || strcmp(outcome->result, "kept") != 0)
		return r;
	*outcome = (struct outcome){ .elsewhere = true };
	return put_file(apply, step, step->alternative, outcome, err);
}

/*
 * Where the root cannot be written, the cache that the tree itself holds is
 * bound over the image's. Nowhere else: ldconfig could not replace a mount.
 */
static int bind_cache(struct apply *apply, const struct place *place, struct outcome *outcome)
{
	auto_close int mount = -1, point = -1;
	struct place_identity id;
	int r;

	mount = r = sys_open_tree(apply->tree_fd, "etc/ld.so.cache",
				  OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return r;
	r = place_identify(mount, &outcome->identity);
	if (r == 0)
		apply_clear_other_trees(place, &outcome->identity);
	point = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (point < 0)
		return -errno;
	r = r ? r : place_identify(point, &id);
	if (r < 0 || !S_ISREG(id.mode))
		return r < 0 ? r : -EMEDIUMTYPE;
	if (place_is_same(&id, &outcome->identity))
		return apply_note(outcome, "already", "");
	r = effect_mount(&apply->effects, place->dirfd, place->name, mount, point);
	return r < 0 ? r : apply_note(outcome, "bound", "the root cannot be written");
}

/* The mapping stays for the rest of our short life: taking it away costs more than the copy. */
static int put_cache(struct apply *apply, const struct step *step, const struct place *place,
		     struct outcome *outcome)
{
	void *data = mmap(NULL, step->len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, step->fd, 0);
	struct step own = *step;

	if (data == MAP_FAILED)
		return -errno;
	own.data = data;
	return has_content(place, own.data, own.len)
		       ? apply_note_already(apply, outcome, "replaced")
		       : replace(apply, &own, place, outcome);
}

int apply_cache(struct apply *apply, const struct step *step, struct outcome *outcome,
		struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	int r = apply_find(apply, step->target, true, &place, outcome, err);

	if (r < 0)
		return r;
	r = put_cache(apply, step, &place, outcome);
	if (r == -EROFS || r == -EACCES || r == -EBUSY || r == -EXDEV)
		r = bind_cache(apply, &place, outcome);
	return r < 0 ? error_set(err, r, "replace '%s'", step->target) : 0;
}

/* Is this in the container, whatever it is? */
static bool has_path(struct apply *apply, const char *path)
{
	auto_place struct place place = PLACE_EMPTY;
	struct outcome none = { 0 };

	return apply_find(apply, path, false, &place, &none, NULL) == 0 && anything_there(&place);
}

/*
 * Is this link one that an earlier run has made, for another target? By its record; in a root that another
 * container had, by what was put aside for it.
 */
static bool is_link_of_ours(const struct apply *apply, const struct step *step,
			    const struct place *place, const char *to)
{
	if (step->before)
		return strcmp(varlink_string(step->before, "to", ""), to) == 0;
	return apply->adopt && effect_has_aside(place->dirfd, place->name);
}

/*
 * What is left of another driver: it never leads to ours, and makes room. A link of ours is no such
 * thing: what it has replaced lies beside it still. -EEXIST: there is more than that.
 */
static int replace_stale(struct apply *apply, const struct step *step, const struct place *place,
			 const char *led_to, struct outcome *outcome)
{
	int r;

	if (*led_to && strlen(led_to) <= APPLY_LINK_MAX &&
	    is_link_of_ours(apply, step, place, led_to)) {
		(void)snprintf(outcome->was, sizeof(outcome->was), "%.*s", APPLY_LINK_MAX, led_to);
		return effect_relink(&apply->effects, place->dirfd, place->name, step->to,
				     outcome->was);
	}
	r = effect_aside(&apply->effects, place->dirfd, place->name);
	r = r ? r : effect_link(&apply->effects, place->dirfd, place->name, step->to);
	return r == -EMEDIUMTYPE ? -EEXIST : r;
}

/* readlink(2) as text: "" for what is no link. */
static void read_link(const struct place *place, char ret[PATH_MAX])
{
	ssize_t n = readlinkat(place->dirfd, place->name, ret, PATH_MAX - 1);

	ret[n > 0 ? n : 0] = '\0';
}

int apply_link(struct apply *apply, const struct step *step, struct outcome *outcome,
	       struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	char led_to[PATH_MAX];
	int r;

	if (step->where && !has_path(apply, step->where))
		return apply_note(outcome, "omitted", "it has no place for it");
	r = apply_find(apply, step->target, true, &place, outcome, err);
	if (r < 0)
		return r;
	read_link(&place, led_to);
	/* What the record says leads elsewhere was killed between the link and the record: it is told anew. */
	if (strcmp(led_to, step->to) == 0)
		return step->before ? apply_note(outcome, "created", "")
				    : apply_note_already(apply, outcome, "created");
	r = effect_link(&apply->effects, place.dirfd, place.name, step->to);
	if (r == -EEXIST && step->replace_stale)
		r = replace_stale(apply, step, &place, led_to, outcome);
	if (r == -EEXIST)
		return apply_note(outcome, "kept", "something else is there");
	return r < 0 ? error_set(err, r, "link '%s'", step->target)
		     : apply_note(outcome, "created", "");
}
