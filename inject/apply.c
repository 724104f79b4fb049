/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a plan, done inside the container's mount namespace. One
 * function a kind, one table; those that bind one file are in apply_bind.c,
 * those that write in apply_file.c. Each finds its place (place.h), looks at
 * what stands there, and changes it only through effect.h, which records the undo.
 *
 * The rule: what is there already and is what we would make counts as done;
 * what is there and is something else is never written through or destroyed.
 */
#include "inject/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/sys.h"
#include "inject/apply_impl.h"
#include "inject/mounted.h"

#define HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
#define OTHER_TREES_MAX 16

int apply_note(struct outcome *outcome, const char *result, const char *why)
{
	outcome->result = result;
	(void)snprintf(outcome->note, sizeof(outcome->note), "%s", why);
	return 0;
}

int apply_note_already(const struct apply *apply, struct outcome *outcome, const char *made)
{
	return apply_note(outcome, apply->adopt ? made : "already", "");
}

static bool is_own_dir(int fd)
{
	struct place_identity id;

	return place_identify(fd, &id) == 0 && !id.mount_root &&
	       (id.mode & ~(mode_t)S_ISGID) == (S_IFDIR | EFFECT_OWN_DIR); /* inherited: S_ISGID */
}

/*
 * A run that was killed may have left directories: how many of those above a target, beyond the
 * @made ones at its end, are such?
 */
static unsigned int count_own_dirs(struct apply *apply, const char *target,
				   const struct place *place, unsigned int made)
{
	char path[PATH_MAX];
	unsigned int n = 0;

	if (made == 0 && !is_own_dir(place->dirfd))
		return 0;
	(void)snprintf(path, sizeof(path), "%s", target);
	for (unsigned int i = 0;; i++) {
		auto_place struct place above = PLACE_EMPTY;
		auto_close int fd = -1;
		char *slash = strrchr(path, '/');

		if (slash == path)
			return n;
		*slash = '\0';
		if (i < made)
			continue;
		if (place_find(&apply->roots, path, NULL, &above, NULL) < 0)
			return n;
		fd = sys_openat2(above.dirfd, above.name, O_PATH | O_DIRECTORY, 0,
				 HERE | RESOLVE_NO_XDEV);
		if (fd < 0 || !is_own_dir(fd))
			return n;
		n++;
	}
}

int apply_find(struct apply *apply, const char *target, bool make, struct place *ret,
	       struct outcome *outcome, struct error *err)
{
	int r = place_find(&apply->roots, target, make ? &apply->effects : NULL, ret, err);

	outcome->dirs = ret->made;
	if (r == 0 && make && apply->adopt && !ret->is_host)
		outcome->dirs += count_own_dirs(apply, target, ret, ret->made);
	return r;
}

/*
 * A driver tree of another superblock than ours: its daemon is gone, or is not the one that we
 * talk to. Only a new mount heals it. Whether it is dead is not asked, since a mount that
 * the container made to look like one would hold us for ever.
 */
static bool is_tree_of_another_daemon(int fd, const struct place_identity *theirs,
				      const struct place_identity *ours)
{
	struct mounted mounted;

	return (theirs->dev_major != ours->dev_major || theirs->dev_minor != ours->dev_minor) &&
	       mounted_describe(fd, &mounted) == 0 && strcmp(mounted.type, "fuse.nvfs") == 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/*
 * A mount of our superblock that a killed run has left. Its tree went when it died, and so it is
 * another than the one that we have now; or it has just died. The top of another tree that lives is
 * somebody's own bind.
 */
static bool is_left_behind(const struct apply *apply, int fd, const struct place_identity *theirs,
			   const struct place_identity *ours)
{
	struct mounted mounted;

	if (!apply->adopt || theirs->dev_major != ours->dev_major ||
	    theirs->dev_minor != ours->dev_minor)
		return false;
	return place_is_same(theirs, ours) || (mounted_describe(fd, &mounted) == 0 &&
					       (ends_with(mounted.root, "//deleted") ||
						ends_with(mounted.root, "/proc/driver/nvidia")));
}

/* The directory to mount on, as long as nothing is mounted there; -EXDEV otherwise. */
static int open_free_point(struct apply *apply, const struct place *place, bool make,
			   struct outcome *outcome)
{
	int fd = sys_openat2(place->dirfd, place->name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
			     HERE | RESOLVE_NO_XDEV);
	struct stat st;

	if (fd == -ENOENT && make && !place->is_host) {
		fd = effect_dir(&apply->effects, place->dirfd, place->name, EFFECT_MOUNT_POINT_DIR);
		outcome->made = fd >= 0;
	} else if (fd >= 0 && apply->adopt && !place->is_host) {
		outcome->made = fstat(fd, &st) == 0 &&
				st.st_mode == (S_IFDIR | EFFECT_MOUNT_POINT_DIR);
	}
	return fd;
}

void apply_clear_other_trees(const struct place *place, const struct place_identity *ours)
{
	struct place_identity theirs;

	for (int i = 0; i < OTHER_TREES_MAX; i++) {
		auto_close int fd = openat(place->dirfd, place->name,
					   O_PATH | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0 || place_identify(fd, &theirs) < 0 || !theirs.mount_root ||
		    !is_tree_of_another_daemon(fd, &theirs, ours) ||
		    effect_unmount(place->dirfd, place->name) < 0)
			return;
	}
}

/*
 * The directory to mount on. -EALREADY: our mount is there. -EXDEV: a mount of somebody
 * else's is there, and the directory is returned in @ret_fd all the same.
 */
static int open_mount_point(struct apply *apply, const struct step *step, const struct place *place,
			    bool make, struct outcome *outcome, int *ret_fd)
{
	struct place_identity theirs;
	int r, fd;

	r = place_identify(step->fd, &outcome->identity);
	if (r < 0)
		return r;
	apply_clear_other_trees(place, &outcome->identity);
	*ret_fd = fd = open_free_point(apply, place, make, outcome);
	if (fd != -EXDEV)
		return fd < 0 ? fd : 0;
	*ret_fd = fd = sys_openat2(place->dirfd, place->name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
				   HERE);
	if (fd < 0)
		return fd;
	r = place_identify(fd, &theirs);
	if (r < 0)
		return r;
	if (is_left_behind(apply, fd, &theirs, &outcome->identity)) {
		cleanup_close(ret_fd);
		*ret_fd = -1;
		r = effect_unmount(place->dirfd, place->name);
		return r ? r : open_mount_point(apply, step, place, make, outcome, ret_fd);
	}
	if (place_is_same(&theirs, &outcome->identity))
		return -EALREADY;
	return is_tree_of_another_daemon(fd, &theirs, &outcome->identity) ? 0 : -EXDEV;
}

static int try_tree(struct apply *apply, const struct step *step, struct outcome *outcome,
		    struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	auto_close int point = -1;
	int r;

	r = apply_find(apply, step->target, true, &place, outcome, err);
	if (r < 0)
		return r;
	r = open_mount_point(apply, step, &place, true, outcome, &point);
	if (r == -EALREADY) {
		apply->tree_fd = apply->tree_found = take_fd(&point);
		return apply_note(outcome, "already", "");
	}
	if (r == -EXDEV)
		return error_setc(err, ERROR_MOUNT, r, "something else is mounted on '%s'",
				  step->target);
	if (r == 0)
		r = effect_mount(&apply->effects, place.dirfd, place.name, step->fd, point);
	if (r < 0)
		return error_set(err, r, "mount the driver on '%s'", step->target);
	apply->tree_fd = step->fd;
	return apply_note(outcome, "mounted", "");
}

static int apply_tree(struct apply *apply, const struct step *step, struct outcome *outcome,
		      struct error *err)
{
	int r = try_tree(apply, step, outcome, err);

	if (r < 0 && r != -EIO && step->alternative)
		apply->wants_alternative = true;
	return r;
}

static int apply_proc(struct apply *apply, const struct step *step, struct outcome *outcome,
		      struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	auto_close int point = -1;
	int r;

	r = apply_find(apply, step->target, false, &place, outcome, err);
	if (r < 0)
		return r;
	r = open_mount_point(apply, step, &place, false, outcome, &point);
	if (r == -EALREADY)
		return apply_note(outcome, "already", "");
	if (r == 0 || r == -EXDEV) /* over somebody else's: ours shows less */
		r = effect_mount(&apply->effects, place.dirfd, place.name, step->fd, point);
	return r < 0 ? error_set(err, r, "mount on '%s'", step->target)
		     : apply_note(outcome, "mounted", "");
}

static const struct {
	int (*run)(struct apply *apply, const struct step *step, struct outcome *outcome,
		   struct error *err);
	bool optional; /* a container may have no place for it */
} steps[] = {
	[STEP_TREE] = { apply_tree, false },	 [STEP_PROC] = { apply_proc, true },
	[STEP_DEVICE] = { apply_device, false }, [STEP_SOCKET] = { apply_socket, true },
	[STEP_FILE] = { apply_file, true },	 [STEP_CACHE] = { apply_cache, true },
	[STEP_LINK] = { apply_link, true },
};

/* Errors that tell how the container is made, not that something went wrong. */
static bool says_no_place(int r)
{
	static const int reasons[] = { ENOENT, EROFS, EXDEV,  ENOTDIR,	   ELOOP,
				       EEXIST, EPERM, EACCES, EMEDIUMTYPE, EBUSY };

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (r == -reasons[i])
			return true;
	}
	return false;
}

static int run_step(struct apply *apply, const struct step *step, struct outcome *outcome,
		    struct error *err)
{
	struct error why = { 0 };
	size_t n = apply->effects.n;
	int r = steps[step->kind].run(apply, step, outcome, &why);

	if (r < 0 && steps[step->kind].optional && says_no_place(r)) {
		r = effects_undo(&apply->effects, n, &why);
		*outcome = (struct outcome){ 0 };
		(void)apply_note(outcome, "omitted", why.text);
	}
	if (r < 0 && err)
		*err = why;
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

int apply_run(void *arg, struct error *err)
{
	struct apply *apply = arg;
	struct error undo = { 0 };
	int r = 0;

	apply->effects.within = &apply->roots;
	apply->tree_fd = apply->tree_found = -1;
	for (size_t i = 0; r == 0 && i < apply->plan->n; i++) {
		apply->at = apply->plan->steps[i].target;
		r = run_step(apply, &apply->plan->steps[i], &apply->outcomes[i], err);
	}
	if (r < 0 && effects_undo(&apply->effects, 0, &undo) < 0)
		(void)error_wrap(err, r, "(%s)", undo.text);
	return r;
}

int apply_undo(void *arg, struct error *err)
{
	struct apply *apply = arg;

	return effects_undo(&apply->effects, 0, err);
}

void apply_done(struct apply *apply)
{
	effects_done(&apply->effects);
	place_roots_done(&apply->roots);
	cleanup_close(&apply->tree_found);
	apply->tree_found = apply->tree_fd = -1;
}
