/* SPDX-License-Identifier: Apache-2.0 */
/* What an injection and a removal have in common: the pinned target. */
#include "inject/session.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "inject/enter.h"
#include "inject/imagecache.h"
#include "inject/privilege.h"

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

/* Half of what is left, lest nothing be left for the rest. */
static unsigned int pin_timeout_ms(const struct session *session)
{
	unsigned int half = session_left_ms(session) / 2;

	return half < PIN_TIMEOUT_MS ? half + 1 : PIN_TIMEOUT_MS;
}

void session_done(struct session *session)
{
	cleanup_close(&session->image_cache);
	targets_done(&session->targets);
	client_done(&session->client);
	request_done(&session->request);
	json_decref(session->report);
	session->report = NULL;
}

struct pin {
	struct session *session;
	int cache; /* what reading the ld.so.cache came to */
	struct error why;
};

static int pin_inside(void *arg, struct error *err)
{
	struct pin *pin = arg;
	struct session *session = pin->session;
	int r = targets_open_root(&session->targets, session->request.rootfs, err);

	if (r < 0)
		return r;
	pin->cache = -ETIMEDOUT;
	pin->cache = imagecache_read(session->targets.root, &session->image_cache, &pin->why);
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

static int enter_and_pin(struct pin *pin, struct error *err)
{
	struct session *session = pin->session;
	int r = enter_run(session->targets.mntns, pin_timeout_ms(session), pin_inside, pin, &pin->why);

	if (r == -ETIMEDOUT)
		(void)error_wrap(&pin->why, r, "'/" IMAGECACHE_PATH "'");
	if (r == -ETIMEDOUT && pin->cache == r && !enter_left_behind())
		r = 0; /* slow, but it can be left */
	r = r ? r : is_images_fault(pin->cache) ? 0 : pin->cache;
	if (r < 0 && err)
		*err = pin->why;
	return r < 0 ? error_classify(err, r, ERROR_MOUNT) : 0;
}

int session_pin(struct session *session, struct error *err)
{
	struct pin pin = { .session = session };
	int r;

	r = privilege_enter(PRIVILEGE_PIN, err);
	r = r ? r : targets_open(&session->targets, &session->request, session->hook, err);
	r = r ? r : privilege_enter(PRIVILEGE_START, err);
	r = r ? r : enter_and_pin(&pin, err);
	if (r == 0 && pin.cache < 0)
		memcpy(session->cache_why, pin.why.text, sizeof(session->cache_why));
	return r;
}
