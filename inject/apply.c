/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a plan, done inside the container's mount namespace. One
 * function a kind, one table. Each finds its place (place.h), looks at what
 * stands there, and changes it only through effect.h, which records the undo.
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
#include "common/file.h"
#include "common/sys.h"
#include "inject/mounted.h"
#include "inject/regular.h"

#define HERE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
#define OTHER_TREES_MAX 16

static int note(struct outcome *outcome, const char *result, const char *why)
{
	outcome->result = result;
	(void)snprintf(outcome->note, sizeof(outcome->note), "%s", why);
	return 0;
}

/* It is there already, and is what we would make. */
static int note_already(const struct apply *apply, struct outcome *outcome, const char *made)
{
	return note(outcome, apply->adopt ? made : "already", "");
}

static int find(struct apply *apply, const struct step *step, bool make, struct place *ret,
		struct outcome *outcome, struct error *err)
{
	int r = place_find(&apply->roots, step->target, make ? &apply->effects : NULL, ret, err);

	outcome->dirs = ret->made;
	return r;
}

static void cleanup_place(struct place *place)
{
	place_done(place);
}
#define auto_place __attribute__((cleanup(cleanup_place)))

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
	return place_is_same(theirs, ours) ||
	       (mounted_describe(fd, &mounted) == 0 &&
		(ends_with(mounted.root, "//deleted") || ends_with(mounted.root, "/proc/driver/nvidia")));
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
		outcome->made = fstat(fd, &st) == 0 && st.st_mode == (S_IFDIR | EFFECT_MOUNT_POINT_DIR);
	}
	return fd;
}

/*
 * Such trees give way: ours on top of one would do, but one more would be left after each death
 * of everybody. Several may lie on each other; what cannot be taken away stays.
 */
static void clear_other_trees(const struct place *place, const struct place_identity *ours)
{
	struct place_identity theirs;

	for (int i = 0; i < OTHER_TREES_MAX; i++) {
		auto_close int fd = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

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
	clear_other_trees(place, &outcome->identity);
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

	r = find(apply, step, true, &place, outcome, err);
	if (r < 0)
		return r;
	r = open_mount_point(apply, step, &place, true, outcome, &point);
	if (r == -EALREADY) {
		apply->tree_fd = apply->tree_found = take_fd(&point);
		return note(outcome, "already", "");
	}
	if (r == -EXDEV)
		return error_setc(err, ERROR_MOUNT, r, "something else is mounted on '%s'",
				  step->target);
	if (r == 0)
		r = effect_mount(&apply->effects, place.dirfd, place.name, step->fd, point);
	if (r < 0)
		return error_set(err, r, "mount the driver on '%s'", step->target);
	apply->tree_fd = step->fd;
	return note(outcome, "mounted", "");
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

	r = find(apply, step, false, &place, outcome, err);
	if (r < 0)
		return r;
	r = open_mount_point(apply, step, &place, false, outcome, &point);
	if (r == -EALREADY)
		return note(outcome, "already", "");
	if (r == 0 || r == -EXDEV) /* over somebody else's: ours shows less */
		r = effect_mount(&apply->effects, place.dirfd, place.name, step->fd, point);
	return r < 0 ? error_set(err, r, "mount on '%s'", step->target)
		     : note(outcome, "mounted", "");
}

/* An empty file to bind over: the one that is there (no mount on it), or a new one. */
static int open_bind_point(struct apply *apply, const struct place *place, int there,
			   const struct place_identity *id, struct outcome *outcome)
{
	int fd;

	if (there >= 0 && S_ISREG(id->mode) && !id->mount_root) {
		outcome->made = apply->adopt && !place->is_host && id->mode == (S_IFREG | EFFECT_MOUNT_POINT_FILE);
		fd = fcntl(there, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	if (there >= 0)
		return -EEXIST;
	if (place->is_host)
		return -ENOENT;
	fd = effect_file(&apply->effects, place->dirfd, place->name);
	outcome->made = fd >= 0;
	return fd;
}

/* Bind a device node or socket, unless @is_there says that what stands there is it. */
static int bind_file(struct apply *apply, const struct step *step, struct outcome *outcome,
		     bool (*is_there)(const struct place_identity *there,
				      const struct place_identity *ours),
		     struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	auto_close int there = -1, point = -1;
	struct place_identity id = { 0 };
	int r;

	r = find(apply, step, true, &place, outcome, err);
	if (r < 0)
		return r;
	r = place_identify(step->fd, &outcome->identity);
	if (r < 0)
		return error_set(err, r, "stat the source of '%s'", step->target);
	there = openat(place.dirfd, place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (there < 0 && errno != ENOENT)
		return error_set(err, -errno, "open '%s'", step->target);
	if (there >= 0 && place_identify(there, &id) == 0 && is_there(&id, &outcome->identity)) {
		/* The very inode that the daemon binds; a runtime's own node is another. */
		outcome->made = apply->adopt && id.mount_root && place_is_same(&id, &outcome->identity);
		return note(outcome, outcome->made ? "mounted" : "already", "");
	}
	r = point = open_bind_point(apply, &place, there, &id, outcome);
	if (r == -EEXIST)
		return error_setc(err, ERROR_MOUNT, r, "'%s' is there and is something else",
				  step->target);
	if (r == -ENOENT && place.is_host) {
		(void)error_setc(err, ERROR_DEVICE, r,
				 "no '%s' in the host's /dev, which the container shows",
				 step->target);
		return error_remedy(err, r, "make it on the host: nvidia-modprobe");
	}
	if (r < 0)
		return error_set(err, r, "make '%s'", step->target);
	r = effect_mount(&apply->effects, place.dirfd, place.name, step->fd, point);
	return r < 0 ? error_set(err, r, "bind '%s'", step->target) : note(outcome, "mounted", "");
}

static bool same_device(const struct place_identity *there, const struct place_identity *ours)
{
	return S_ISCHR(there->mode) && there->rdev_major == ours->rdev_major &&
	       there->rdev_minor == ours->rdev_minor;
}

static bool same_socket(const struct place_identity *there, const struct place_identity *ours)
{
	return S_ISSOCK(there->mode) && place_is_same(there, ours);
}

static int apply_device(struct apply *apply, const struct step *step, struct outcome *outcome,
			struct error *err)
{
	struct place_identity node;
	int r = place_identify(step->fd, &node);

	/* What is mounted and what the cgroup allows must be one and the same device. */
	if (r < 0 || !S_ISCHR(node.mode) || node.rdev_major != step->major ||
	    node.rdev_minor != step->minor)
		return error_setc(err, ERROR_DEVICE, -ENODEV,
				  "'%s' from the daemon is not device %u:%u", step->target,
				  step->major, step->minor);
	return bind_file(apply, step, outcome, same_device, err);
}

static int apply_socket(struct apply *apply, const struct step *step, struct outcome *outcome,
			struct error *err)
{
	return bind_file(apply, step, outcome, same_socket, err);
}

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
			return note(outcome, "already", "");
		return note_already(apply, outcome, step->kind == STEP_CACHE ? "replaced" : "created");
	}
	if (step->only_if_absent && anything_there(place))
		return note(outcome, "kept", "");
	r = effect_replace(&apply->effects, place->dirfd, place->name, step->data, step->len);
	if (r < 0)
		return r;
	return note(outcome, apply->effects.list[n].old < 0 ? "created" : "replaced", "");
}

static int apply_file(struct apply *apply, const struct step *step, struct outcome *outcome,
		      struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	int r = find(apply, step, true, &place, outcome, err);

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
		clear_other_trees(place, &outcome->identity);
	point = openat(place->dirfd, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (point < 0)
		return -errno;
	r = r ? r : place_identify(point, &id);
	if (r < 0 || !S_ISREG(id.mode))
		return r < 0 ? r : -EMEDIUMTYPE;
	if (place_is_same(&id, &outcome->identity))
		return note(outcome, "already", "");
	r = effect_mount(&apply->effects, place->dirfd, place->name, mount, point);
	return r < 0 ? r : note(outcome, "bound", "the root cannot be written");
}

/* The plan was read by our parent, into whose memory its mapping belongs: this is ours. */
static int put_cache(struct apply *apply, const struct step *step, const struct place *place,
		     struct outcome *outcome)
{
	void *data = mmap(NULL, step->len, PROT_READ, MAP_PRIVATE, step->fd, 0);
	struct step own = *step;
	int r;

	if (data == MAP_FAILED)
		return -errno;
	own.data = data;
	r = put_content(apply, &own, place, outcome);
	(void)munmap(data, step->len);
	return r;
}

static int apply_cache(struct apply *apply, const struct step *step, struct outcome *outcome,
		       struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	int r = find(apply, step, true, &place, outcome, err);

	if (r < 0)
		return r;
	r = put_cache(apply, step, &place, outcome);
	if (r == -EROFS || r == -EBUSY || r == -EXDEV)
		r = bind_cache(apply, &place, outcome);
	return r < 0 ? error_set(err, r, "replace '%s'", step->target) : 0;
}

static int apply_link(struct apply *apply, const struct step *step, struct outcome *outcome,
		      struct error *err)
{
	auto_place struct place place = PLACE_EMPTY;
	char to[PATH_MAX];
	ssize_t n;
	int r = find(apply, step, false, &place, outcome, err);

	if (r < 0)
		return r;
	n = readlinkat(place.dirfd, place.name, to, sizeof(to));
	if (n >= 0 && (size_t)n == strlen(step->to) && memcmp(to, step->to, (size_t)n) == 0)
		return note_already(apply, outcome, "created");
	r = effect_link(&apply->effects, place.dirfd, place.name, step->to);
	if (r == -EEXIST)
		return note(outcome, "kept", "");
	return r < 0 ? error_set(err, r, "link '%s'", step->target) : note(outcome, "created", "");
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
		(void)note(outcome, "omitted", why.text);
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
