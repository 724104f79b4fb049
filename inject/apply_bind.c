/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that bind one thing of the host over an empty file: device nodes and sockets. */
#include "inject/apply_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

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

	r = apply_find(apply, step->target, true, &place, outcome, err);
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
		return apply_note(outcome, outcome->made ? "mounted" : "already", "");
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
	return r < 0 ? error_set(err, r, "bind '%s'", step->target) : apply_note(outcome, "mounted", "");
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

int apply_device(struct apply *apply, const struct step *step, struct outcome *outcome,
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

int apply_socket(struct apply *apply, const struct step *step, struct outcome *outcome,
		 struct error *err)
{
	return bind_file(apply, step, outcome, same_socket, err);
}
