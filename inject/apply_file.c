/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that write: small files, the ld.so.cache, symbolic links. */
#include "inject/apply_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/sys.h"
#include "inject/regular.h"

#define HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

/* Is the regular file at a place equal to this content? */
static bool has_content(const struct place *place, const void *data, size_t len)
{
	auto_close int fd = regular_open(place->dirfd, place->name, HERE | RESOLVE_NO_XDEV);
	auto_free char *text = NULL;
	size_t text_len = 0;
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size == len &&
	       file_read_fd(fd, len, &text, &text_len, NULL) == 0 && text_len == len &&
	       memcmp(text, data, len) == 0;
}

static bool anything_there(const struct place *place)
{
	auto_close int fd = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0;
}

static int put_content(struct apply *apply, const struct step *step, const struct place *place,
		       struct outcome *outcome)
{
	size_t n = apply->effects.n;
	int r;

	if (has_content(place, step->data, step->len)) {
		if (step->only_if_absent)
			return apply_note(outcome, "already", "");
		return apply_note_already(apply, outcome, step->kind == STEP_CACHE ? "replaced" : "created");
	}
	if (step->only_if_absent && anything_there(place))
		return apply_note(outcome, "kept", "");
	r = effect_replace(&apply->effects, place->dirfd, place->name, step->data, step->len);
	if (r < 0)
		return r;
	return apply_note(outcome, apply->effects.list[n].old < 0 ? "created" : "replaced", "");
}

int apply_file(struct apply *apply, const struct step *step, struct outcome *outcome,
	       struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	int r = apply_find(apply, step->target, true, &place, outcome, err);

	if (r < 0)
		return r;
	r = put_content(apply, step, &place, outcome);
	return r < 0 ? error_set(err, r, "write '%s'", step->target) : 0;
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

int apply_cache(struct apply *apply, const struct step *step, struct outcome *outcome,
		struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	int r = apply_find(apply, step->target, true, &place, outcome, err);

	if (r < 0)
		return r;
	r = put_content(apply, step, &place, outcome);
	if (r == -EROFS || r == -EBUSY || r == -EXDEV)
		r = bind_cache(apply, &place, outcome);
	return r < 0 ? error_set(err, r, "replace '%s'", step->target) : 0;
}

int apply_link(struct apply *apply, const struct step *step, struct outcome *outcome,
	       struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	char to[PATH_MAX];
	ssize_t n;
	int r = apply_find(apply, step->target, false, &place, outcome, err);

	if (r < 0)
		return r;
	n = readlinkat(place.dirfd, place.name, to, sizeof(to));
	if (n >= 0 && (size_t)n == strlen(step->to) && memcmp(to, step->to, (size_t)n) == 0)
		return apply_note_already(apply, outcome, "created");
	r = effect_link(&apply->effects, place.dirfd, place.name, step->to);
	if (r == -EEXIST)
		return apply_note(outcome, "kept", "");
	return r < 0 ? error_set(err, r, "link '%s'", step->target) : apply_note(outcome, "created", "");
}
