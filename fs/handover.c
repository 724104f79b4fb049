/* SPDX-License-Identifier: Apache-2.0 */
/* Giving way, and making sure before that one could take over: see handover.h. */
#include "fs/handover.h"

#include <errno.h>

#include "common/error.h"
#include "common/log.h"
#include "fs/daemon.h"
#include "fs/generation.h"
#include "fs/link.h"
#include "fs/server.h"
#include "fs/store.h"

#define REHEARSALS 3 /* the writer may be in the middle of something */

int method_handover(struct daemon *daemon, struct client *client, json_t *params,
		    struct varlink_message *message, const char *trace, struct method_reply *reply,
		    struct error *err)
{
	(void)params;
	(void)message;
	(void)trace;
	if (daemon->link < 0) {
		(void)error_setc(err, ERROR_OTHER, -ENOTCONN,
				 "the keeper is gone, nobody can start another daemon");
		return error_remedy(err, -ENOTCONN, "nvfs serve takes over from this one");
	}
	if (daemon->handover)
		return error_setc(err, ERROR_AGAIN, -EBUSY, "a handover is under way");
	daemon->handover = client;
	reply->later = true;
	return link_send(daemon->link, LINK_HANDOVER, 0, -1);
}

void handover_failed(struct daemon *daemon, uint32_t status)
{
	struct error err = { 0 };

	if (!daemon->handover)
		return;
	if (status == ERROR_AGAIN)
		(void)error_setc(&err, ERROR_AGAIN, -EAGAIN,
				 "the keeper is not ready for a handover");
	else
		(void)error_setc(&err, (enum error_class)status, -ENOEXEC,
				 "the program on the disk could not take over, this one goes on");
	(void)error_remedy(&err, err.code, "the daemon's log has the reason");
	client_error(daemon->handover, &err, NULL);
	daemon->handover = NULL;
}

static void give_way(struct daemon *daemon)
{
	if (daemon->handover)
		client_reply(daemon->handover, NULL, NULL, 0);
	daemon->handover = NULL;
	daemon->gives_way = true;
	log_info("giving way to the program on the disk");
	loop_stop(daemon->loop);
}

void handover_stop(struct daemon *daemon)
{
	if (daemon->injections)
		daemon->stop_asked = true;
	else
		give_way(daemon);
}

void handover_tick(struct daemon *daemon)
{
	if (daemon->stop_asked)
		give_way(daemon);
}

void handover_client_gone(struct daemon *daemon, const struct client *client)
{
	if (daemon->handover == client)
		daemon->handover = NULL;
}

static int rehearse(int fd, struct error *err)
{
	struct generation *g = NULL, *next;
	struct store *store = NULL;
	int r = store_open_copy(fd, &store, err);

	if (r < 0)
		return r;
	r = generation_load(store, &g, err);
	for (; g; g = next) {
		next = g->older;
		generation_free(g);
	}
	store_free(store);
	return r == -ENOENT ? 0 : r; /* no driver yet */
}

int handover_rehearse(int fd, struct error *err)
{
	int r = -EBADMSG;

	for (int i = 0; i < REHEARSALS && r == -EBADMSG; i++) {
		if (err)
			*err = (struct error){ 0 };
		r = rehearse(fd, err);
	}
	return r < 0 ? error_wrap(err, r, "take over") : 0;
}
