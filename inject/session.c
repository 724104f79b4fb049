/* SPDX-License-Identifier: Apache-2.0 */
/* What an injection and a removal have in common: the pinned target. */
#include "inject/session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compatlist.h"
#include "common/error.h"
#include "common/log.h"
#include "common/sys.h"
#include "inject/enter.h"
#include "inject/imagecache.h"
#include "inject/imagecompat.h"
#include "inject/mounted.h"
#include "inject/privilege.h"
#include "inject/shared.h"
#include "inject/warm.h"

#define RETRY_PAUSE_MS 50

/* Reading one file: a container whose own FUSE does not answer costs so much and no more. */
#define PIN_TIMEOUT_MS 2000

unsigned int session_left_ms(const struct session *session)
{
	struct timespec now;
	int64_t left;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	left = (int64_t)session->request.timeout_s * 1000 -
	       (now.tv_sec - session->started.tv_sec) * 1000 -
	       (now.tv_nsec - session->started.tv_nsec) / 1000000;
	return left > 0 ? (unsigned int)left : 1;
}

bool session_lost_daemon(const struct session *session, int r, const struct error *err)
{
	return session->client.met && err->class == ERROR_DAEMON && r != -ETIME && r != -EBADMSG;
}

bool session_has_time(const struct session *session)
{
	return session_left_ms(session) > RETRY_PAUSE_MS;
}

void session_pause(struct session *session)
{
	const struct timespec pause = { .tv_nsec = RETRY_PAUSE_MS * 1000000L };

	client_done(&session->client);
	(void)nanosleep(&pause, NULL);
}

/* Half of what is left, lest nothing be left for the rest. */
static unsigned int pin_timeout_ms(const struct session *session)
{
	unsigned int half = session_left_ms(session) / 2;

	return half < PIN_TIMEOUT_MS ? half + 1 : PIN_TIMEOUT_MS;
}

/* In shared memory. */
struct pin {
	const char *rootfs;	/* NULL: the root is open */
	struct targets targets; /* a copy, whose root is filled in */
	int image_cache;
	int cache; /* what reading the ld.so.cache came to */
	struct error why;
	bool hook, is_foreign;
	bool wants_classic;
	struct classic classic;
	bool wants_compat;
	int image_compat;
	int compat; /* the same of the libraries for forward compatibility */
	struct error compat_why;
};

/* NVIDIA's tool mounts a tmpfs there, in every container that it has given anything. */
static bool has_foreign_driver(int root)
{
	auto_close int fd = sys_openat2(
		root, "proc/driver/nvidia", O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
		RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
	uint32_t magic = 0;

	return fd >= 0 && mounted_magic(fd, &magic) == 0 && magic == TMPFS_MAGIC;
}

static int pin_inside(void *arg, struct error *err)
{
	struct pin *pin = arg;
	int r = targets_open_root(&pin->targets, pin->rootfs, err);

	if (r < 0)
		return r;
	if (pin->hook && has_foreign_driver(pin->targets.root)) {
		pin->is_foreign = true;
		return 0;
	}
	if (pin->wants_classic)
		classic_find(pin->targets.root, &pin->classic);
	pin->cache = -ETIMEDOUT;
	pin->cache = imagecache_read(pin->targets.root, &pin->image_cache, &pin->why);
	if (!pin->wants_compat)
		return 0;
	pin->compat = -ETIMEDOUT;
	pin->compat = imagecompat_read(pin->targets.root, &pin->image_compat, &pin->compat_why);
	return 0;
}

/*
 * Errors that tell how the image is made: then its cache is not needed. Any other is a failure
 * of ours, and no reason to put a cache without the image's libraries in the place of its own.
 */
static bool is_images_fault(int r)
{
	static const int faults[] = { EINVAL, EFBIG, EXDEV, ELOOP, ENOTDIR, EACCES, ETIMEDOUT };

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		if (r == -faults[i])
			return true;
	}
	return false;
}

static int pin_begin(struct session *session, struct pin *pin, struct error *err)
{
	*pin = (struct pin){ .rootfs = session->request.rootfs,
			     .targets = session->targets,
			     .hook = session->hook,
			     .image_cache = -1,
			     .image_compat = -1 };
	pin->wants_classic = session->request.action == REQUEST_INJECT &&
			     session->request.classic_paths;
	pin->wants_compat = session->request.action == REQUEST_INJECT &&
			    (!session->request.compat_mode ||
			     strcmp(session->request.compat_mode, REQUEST_COMPAT_DISABLED) != 0);
	return enter_begin(&session->enter, &session->targets.ns, session_left_ms(session),
			   pin_inside, pin, err);
}

/* What was being read when the time was up is told, and done without. */
static int take_timeout(struct pin *pin, struct error *why)
{
	bool compat = pin->compat == -ETIMEDOUT;

	(void)error_wrap(why, -ETIMEDOUT, "'/%s'", compat ? COMPATLIST_DIR : IMAGECACHE_PATH);
	if (enter_left_behind() || (!compat && pin->cache != -ETIMEDOUT))
		return -ETIMEDOUT;
	*(compat ? &pin->compat_why : &pin->why) = *why;
	return 0; /* slow, but it can be left */
}

static int pin_end(struct session *session, struct pin *pin, struct error *err)
{
	struct error why = { 0 };
	int r = enter_end(&session->enter, pin_timeout_ms(session), &why);

	session->targets.root = pin->targets.root;
	session->is_foreign = pin->is_foreign;
	session->classic = pin->classic;
	session->image_cache = pin->image_cache;
	session->image_compat = pin->image_compat;
	if (r == -ETIMEDOUT)
		r = take_timeout(pin, &why);
	if (r < 0)
		pin->why = why;
	/* A removal leaves alone what it cannot read. */
	if (r == 0 && session->request.action != REQUEST_REMOVE && !is_images_fault(pin->cache))
		r = pin->cache;
	if (r < 0 && err)
		*err = pin->why;
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

static int pin_all(struct session *session, struct pin *pin, struct error *err)
{
	int r = privilege_enter(PRIVILEGE_PIN, err);

	r = r ? r : targets_open(&session->targets, &session->request, session->hook, err);
	if (r == 0 && session->shares_json && shared_json() < 0)
		r = error_set(err, -ENOMEM, "pin the container");
	r = r ? r : pin_begin(session, pin, err);
	r = r ? r : privilege_filter(err);
	r = r ? r : targets_name(&session->targets, &session->request, err);
	if (r < 0)
		return r;
	/*
	 * Meanwhile, outside: the daemon looks at who we are while we look at the container. Not before
	 * the process is pinned, whose number could be another's by then. No daemon is an error later.
	 */
	if (session->client.sock < 0)
		(void)client_connect(&session->client, session->request.socket,
				     session_left_ms(session), NULL);
	warm_stack();
	if (session->shares_json)
		shared_json_warm();
	r = pin_end(session, pin, err);
	return r ? r : privilege_enter(PRIVILEGE_START, err);
}

int session_pin(struct session *session, struct error *err)
{
	struct pin *pin = shared_new(sizeof(*pin));
	int r;

	if (!pin)
		return error_set(err, -ENOMEM, "pin the container");
	r = pin_all(session, pin, err);
	if (r == 0 && pin->cache < 0)
		memcpy(session->cache_why, pin->why.text, sizeof(session->cache_why));
	if (r == 0 && pin->compat < 0)
		log_warning("CUDA compatibility libraries of the container: %s, using the driver's",
			    pin->compat_why.text);
	return r;
}

int session_open_cgroup(struct session *session, struct error *err)
{
	int r, back;

	if (session->targets.cgroup)
		return 0;
	r = privilege_enter(PRIVILEGE_PIN, err);
	r = r ? r : targets_open_cgroup(&session->targets, &session->request, err);
	back = privilege_enter(PRIVILEGE_START, r ? NULL : err);
	return r ? r : back;
}
