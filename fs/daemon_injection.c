/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Injections: what a client began with io.nvfs.Inject. It is kept until Commit, or undone; the same
 * container may be injected by root and by its owner at a time, and then root's counts.
 */
#include "fs/daemon_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/seed.h"
#include "fs/server.h"
#include "fs/store.h"

static bool is_roots_injection(const struct daemon *daemon, const struct injection *injection)
{
	return peer_is_root(client_peer(injection->client), &daemon->self);
}

static bool is_about(const struct daemon *daemon, const struct injection *injection, uint32_t tree)
{
	return injection->tree == tree &&
	       injection->serial == store_tree(daemon->store, tree)->serial;
}

bool daemon_injected_by_root(const struct daemon *daemon, uint32_t tree)
{
	const struct injection *i = daemon->injections;

	while (i && !(is_about(daemon, i, tree) && is_roots_injection(daemon, i)))
		i = i->next;
	return i != NULL;
}

/* Their Commit or end finds nothing any more. */
void daemon_end_injections_of_users(struct daemon *daemon, uint32_t tree)
{
	for (struct injection *i = daemon->injections; i; i = i->next) {
		if (is_about(daemon, i, tree) && !is_roots_injection(daemon, i))
			i->tree = STORE_NONE;
	}
}

struct injection *daemon_injection_new(struct daemon *daemon, const struct client *client)
{
	struct injection *injection = calloc(1, sizeof(*injection));

	if (!injection)
		return NULL;
	/* Only its own connection may name it: nobody gains anything by guessing. */
	(void)snprintf(injection->token, sizeof(injection->token), "%016zx", seed_random());
	injection->client = client;
	injection->tree = injection->spec = STORE_NONE;
	injection->next = daemon->injections;
	daemon->injections = injection;
	return injection;
}

struct injection *daemon_injection_find(struct daemon *daemon, const struct client *client,
					const char *token)
{
	struct injection *i = daemon->injections;

	while (i && (i->client != client || strcmp(i->token, token) != 0))
		i = i->next;
	return i;
}

const struct store_tree *daemon_injection_tree(const struct daemon *daemon,
					       const struct injection *injection)
{
	const struct store_tree *tree = store_tree(daemon->store, injection->tree);

	return tree && tree->serial == injection->serial ? tree : NULL;
}

/* Is another injection about the same tree? @injection is off the list already. */
static bool is_under_way(const struct daemon *daemon, const struct injection *injection)
{
	const struct injection *i = daemon->injections;

	while (i && (i->tree != injection->tree || i->serial != injection->serial))
		i = i->next;
	return i != NULL;
}

void daemon_injection_end(struct daemon *daemon, struct injection *injection, bool keep)
{
	struct injection **at = &daemon->injections;
	const struct store_tree *tree = daemon_injection_tree(daemon, injection);

	while (*at != injection)
		at = &(*at)->next;
	*at = injection->next;
	if (keep && tree) {
		daemon_tree_set_flag(daemon, injection->tree, STORE_TREE_UNCOMMITTED, false);
		if (daemon_container(daemon, injection->tree)) {
			daemon_container(daemon, injection->tree)->commit_until = 0;
			daemon_container(daemon, injection->tree)->given_up = false;
		}
	}
	if (!keep && tree && tree->flags & STORE_TREE_UNCOMMITTED) {
		/* A second injector may have come before the first one was known to be dead. */
		if (!is_under_way(daemon, injection))
			daemon_tree_remove(daemon, injection->tree);
	} else if (!keep && tree && injection->switched) {
		uint32_t layout = store_snapshot(daemon->store, tree->snapshot)->layout;

		store_write_lock(daemon->store);
		store_layout_ref(daemon->store, layout);
		store_tree_switch_back(daemon->store, injection->tree);
		store_tree_set_spec(daemon->store, injection->tree, injection->spec);
		injection->spec = STORE_NONE;
		store_unlock(daemon->store);
		daemon_forget_tree(daemon, injection->tree, layout);
		store_write_lock(daemon->store);
		store_layout_unref(daemon->store, layout);
		store_unlock(daemon->store);
	}
	store_write_lock(daemon->store);
	store_blob_unref(daemon->store, injection->spec);
	store_unlock(daemon->store);
	free(injection);
}

void daemon_client_gone(struct daemon *daemon, const struct client *client)
{
	for (struct injection *i = daemon->injections, *next; i; i = next) {
		next = i->next;
		if (i->client == client)
			daemon_injection_end(daemon, i, false);
	}
}
