/* SPDX-License-Identifier: Apache-2.0 */
/* nvfs revoke ID: who waits for which removal. */
#include "fs/revoke.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/daemon.h"
#include "fs/injector.h"
#include "fs/permit.h"
#include "fs/permit_impl.h"
#include "fs/store.h"
#include "fs/server.h"

struct revoke {
	struct revoke *next;
	struct client *client; /* NULL: gone */
	char name[IDENT_MAX + 1];
};

static void unlink_revoke(struct permits *permits, const struct revoke *revoke)
{
	struct revoke **at = &permits->revokes;

	while (*at != revoke)
		at = &(*at)->next;
	*at = revoke->next;
}

/* The tree has gone, if all is well. */
static void ended(struct daemon *daemon, uint32_t tree, void *data, const json_t *report,
		  const struct error *err)
{
	auto_free struct revoke *revoke = data;
	struct error why = { 0 };

	(void)tree;
	unlink_revoke(daemon->permits, revoke);
	if (!err) {
		log_info("revoked '%s'", revoke->name);
		if (revoke->client)
			client_reply(revoke->client,
				     json_pack("{s:s, s:b}", "id", revoke->name, "ended",
					       json_is_true(json_object_get(report, "ended"))),
				     NULL, 0);
		return;
	}
	why = *err;
	(void)error_wrap(&why, why.code, "revoke '%.64s'", revoke->name);
	(void)error_remedy(&why, why.code, "try again; nvfs show has what is left");
	log_error("%s", why.text);
	if (revoke->client)
		client_error(revoke->client, &why, NULL);
}

int method_revoke(struct daemon *daemon, uint32_t tree, struct client *client,
		  struct method_reply *reply, struct error *err)
{
	struct injector_job job = { .action = "--remove", .tree = tree, .done = ended };
	struct revoke *revoke = calloc(1, sizeof(*revoke));
	int r;

	if (!revoke)
		return error_set(err, -ENOMEM, "revoke");
	(void)snprintf(revoke->name, sizeof(revoke->name), "%s", permit_name(daemon, tree));
	job.data = revoke; /* without a pid: nvinject asks for one, and is told of another where
			      that has ended */
	r = injector_run(daemon->injector, &job, err);
	if (r < 0) {
		(void)error_wrap(err, r, "revoke '%.64s'", revoke->name);
		free(revoke);
		return error_remedy(err, r, "try again");
	}
	revoke->client = client;
	revoke->next = daemon->permits->revokes;
	daemon->permits->revokes = revoke;
	reply->later = true;
	return 0;
}

void revoke_client_gone(struct daemon *daemon, const struct client *client)
{
	for (struct revoke *r = daemon->permits ? daemon->permits->revokes : NULL; r; r = r->next) {
		if (r->client == client)
			r->client = NULL;
	}
}

void revokes_free(struct revoke *revokes)
{
	while (revokes) {
		struct revoke *next = revokes->next;

		free(revokes);
		revokes = next;
	}
}
