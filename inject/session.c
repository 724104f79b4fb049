/* SPDX-License-Identifier: Apache-2.0 */
/* What an injection and a removal have in common: the pinned target. */
#include "inject/session.h"

#include <errno.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
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

static int pin_inside(void *arg, struct error *err)
{
	struct session *session = arg;
	int r = targets_open_root(&session->targets, session->request.rootfs, err);

	return r ? r : imagecache_read(session->targets.root, &session->image_cache, err);
}

int session_pin(struct session *session, struct error *err)
{
	struct error why = { 0 };
	int r;

	r = privilege_enter(PRIVILEGE_PIN, err);
	r = r ? r : targets_open(&session->targets, &session->request, session->hook, err);
	r = r ? r : privilege_enter(PRIVILEGE_START, err);
	if (r < 0)
		return r;
	r = enter_run(session->targets.mntns, pin_timeout_ms(session), pin_inside, session, &why);
	if (r == -ETIMEDOUT)
		(void)error_wrap(&why, r, "'/" IMAGECACHE_PATH "'");
	if (r < 0 && (session->targets.root < 0 || enter_left_behind())) {
		if (err)
			*err = why;
		return error_classify(err, r, ERROR_MOUNT);
	}
	if (r < 0)
		log_warning("ld.so.cache of the container: %s, using the driver's entries only",
			    why.text);
	return 0;
}
