/* SPDX-License-Identifier: Apache-2.0 */
/* on_daemon_down of nvfs.conf(5): an injection, or none where nobody serves the driver and the admin says so. */
#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "common/log.h"
#include "common/whendown.h"
#include "inject/session.h"

/* Nobody listens: neither one who is busy, nor one who says no. */
static bool is_down(const struct session *session, int r, const struct error *err)
{
	return !session->client.met && err->class == ERROR_DAEMON &&
	       (r == -ENOENT || r == -ECONNREFUSED);
}

static bool may_skip(const struct request *req)
{
	enum when_down word = WHEN_DOWN_FAIL;
	struct error err = { 0 };

	if (!req->on_daemon_down)
		return false;
	if (strcmp(req->on_daemon_down, REQUEST_DOWN_CONFIG) != 0)
		(void)whendown_parse(req->on_daemon_down, &word, NULL);
	else if (whendown_read(REQUEST_CONFIG, &word, &err) < 0)
		log_warning("%s, ignoring", err.text);
	return word == WHEN_DOWN_SKIP;
}

/* Without a daemon nothing has been begun: the container may start as it is, where the admin has said so. */
int session_inject_or_skip(struct session *session, struct error *err)
{
	int r = session_inject(session, err);

	if (r == 0 || !is_down(session, r, err) || !may_skip(&session->request))
		return r;
	session->result = "nothing";
	session->report = json_pack("{s:s}", "why",
				    "nvfs does not answer, and " WHENDOWN_KEY " says skip");
	log_warning("%s; %s", err->text, err->remedy);
	*err = (struct error){ 0 };
	return 0;
}
