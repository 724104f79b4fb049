/* SPDX-License-Identifier: Apache-2.0 */
/* A list of listeners, each with what it may see. The control thread's alone. */
#include "fs/events.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/counters.h"
#include "fs/daemon.h"
#include "fs/server.h"
#include "fs/store.h"
#include "nvml/node.h"

static const char *const names[EVENT_KINDS] = {
	[EVENT_INJECTED] = "injected",	   [EVENT_REFUSED] = "refused",
	[EVENT_REMOVED] = "removed",	   [EVENT_HEALED] = "healed",
	[EVENT_GENERATION] = "generation", [EVENT_FINDING] = "finding",
};

/* Who asks for injections. The last one is for all others. */
static const char *const clients[] = {
	"nvinject", "hook",	    "cdi", "nvidia-container-runtime-hook", "nvidia-container-cli",
	"nvfs",	    "nvfs-runtime", "other",
};

struct listener {
	struct listener *next;
	struct client *client;
	struct daemon_viewer viewer;
};

/* Upper bounds of the counts of injections by duration; one more is of what took longer. */
static const unsigned int bounds_ms[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000 };

#define TOOK_MAX_US 3600000000 /* the injector says it */

struct events {
	struct listener *listeners;
	uint64_t happened[EVENT_KINDS];
	uint64_t asked[ARRAY_SIZE(clients)][2]; /* of injections: injected, refused */
	uint64_t took[ARRAY_SIZE(bounds_ms) + 1], took_us; /* of injections, and of all in sum */
};

/* Whom an event is about. */
struct about {
	enum { OF_TREE, OF_HOST, OF_USER } what;
	enum event_kind kind;
	uint32_t id; /* tree, or uid */
};

int events_new(struct events **ret, struct error *err)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return error_set(err, -ENOMEM, "tell of events");
	*ret = events;
	return 0;
}

void events_free(struct events *events)
{
	while (events && events->listeners) {
		struct listener *next = events->listeners->next;

		free(events->listeners);
		events->listeners = next;
	}
	free(events);
}

static size_t client_index(const char *name)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(clients) - 1 && strcmp(clients[i], name) != 0)
		i++;
	return i;
}

const char *events_client(const char *name)
{
	return clients[client_index(name)];
}

static void count_client(struct events *events, enum event_kind kind, const json_t *client)
{
	if (json_is_string(client) && (kind == EVENT_INJECTED || kind == EVENT_REFUSED))
		events->asked[client_index(json_string_value(client))][kind == EVENT_REFUSED]++;
}

static bool may_hear(const struct daemon *daemon, const struct daemon_viewer *viewer,
		     const struct about *about)
{
	if (viewer->is_root)
		return true;
	switch (about->what) {
	case OF_TREE:
		return daemon_may_see(daemon, viewer, about->id);
	case OF_HOST: /* findings name GPUs, of which a container is to know its own alone */
		return about->kind != EVENT_FINDING || viewer->is_local;
	case OF_USER:
		return viewer->is_local && viewer->uid == about->id;
	}
	return false;
}

static json_t *with_name(const char *name, json_t *details)
{
	json_t *event = details ? details : json_object();
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)json_object_set_new(event, "event", json_string(name));
	(void)json_object_set_new(
		event, "time_us",
		json_integer((json_int_t)now.tv_sec * 1000000 + now.tv_nsec / 1000));
	return event;
}

/* @event's reference is taken over. A listener that hears no more stays until its connection ends. */
static void tell(struct daemon *daemon, const struct about *about, json_t *event)
{
	for (struct listener *l = daemon->events->listeners; l; l = l->next) {
		/* One object for all of them, which nobody changes. */
		if (may_hear(daemon, &l->viewer, about))
			(void)client_event(l->client, json_incref(event));
	}
	json_decref(event);
}

static void happen(struct daemon *daemon, const struct about *about, json_t *details)
{
	if (daemon->events) {
		daemon->events->happened[about->kind]++;
		count_client(daemon->events, about->kind, json_object_get(details, "client"));
	}
	if (daemon->events && daemon->events->listeners)
		tell(daemon, about, with_name(names[about->kind], details));
	else
		json_decref(details);
}

static void add_wishes(const struct daemon *daemon, json_t *event, const json_t *wanted,
		       const struct store_tree *tree)
{
	static const char *const keys[] = { "devices", "driver_capabilities" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (json_object_get(wanted, keys[i]))
			(void)json_object_set(event, keys[i], json_object_get(wanted, keys[i]));
	}
	(void)json_object_set_new(
		event, "generation",
		json_integer(store_snapshot(daemon->store, tree->snapshot)->generation));
}

static void note_duration(struct events *events, const json_t *took)
{
	json_int_t us = json_integer_value(took);
	size_t i = 0;

	if (!took || us < 0 || us > TOOK_MAX_US)
		return;
	while (i < ARRAY_SIZE(bounds_ms) && us > (json_int_t)bounds_ms[i] * 1000)
		i++;
	events->took[i]++;
	events->took_us += (uint64_t)us;
}

void events_of_tree(struct daemon *daemon, enum event_kind kind, uint32_t index, json_t *details)
{
	const struct store_tree *tree = store_tree(daemon->store, index);
	const char *spec = store_blob(daemon->store, tree->spec, NULL);
	json_t *event = details ? details : json_object(), *wanted = NULL;
	const char *id;

	if (daemon->events && kind == EVENT_INJECTED)
		note_duration(daemon->events, json_object_get(details, "took_us"));
	if (daemon->events && daemon->events->listeners)
		wanted = spec ? json_loads(spec, 0, NULL) : NULL;
	id = json_string_value(json_object_get(wanted, "id"));
	(void)json_object_set_new(
		event, "id", json_string(id ? id : store_blob(daemon->store, tree->name, NULL)));
	(void)json_object_set_new(event, "pid", json_integer(tree->pid));
	(void)json_object_set_new(event, "uid", json_integer(tree->owner));
	if (kind == EVENT_INJECTED && wanted)
		add_wishes(daemon, event, wanted, tree);
	json_decref(wanted);
	happen(daemon, &(struct about){ OF_TREE, kind, index }, event);
}

void events_of_host(struct daemon *daemon, enum event_kind kind, json_t *details)
{
	happen(daemon, &(struct about){ OF_HOST, kind, 0 }, details);
}

void events_finding(struct daemon *daemon, const char *what)
{
	events_of_host(daemon, EVENT_FINDING, json_pack("{s:o}", "what", node_text_json(what)));
}

void events_of_user(struct daemon *daemon, enum event_kind kind, uint32_t uid, json_t *details)
{
	happen(daemon, &(struct about){ OF_USER, kind, uid }, details);
}

int events_listen(struct daemon *daemon, struct client *client, const struct daemon_viewer *viewer,
		  struct error *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return error_set(err, -ENOMEM, "listen");
	*listener = (struct listener){ .next = daemon->events->listeners, .client = client, .viewer = *viewer };
	daemon->events->listeners = listener;
	client_listen(client);
	(void)client_event(
		client,
		with_name("listening",
			  json_pack("{s:i, s:I}", "daemon_pid", (int)daemon->self.pid, "takeovers",
				    (json_int_t)store_counters(daemon->store)->takeovers)));
	return 0;
}

void events_client_gone(struct daemon *daemon, const struct client *client)
{
	struct listener **at = &daemon->events->listeners;

	while (*at) {
		struct listener *listener = *at;

		if (listener->client != client) {
			at = &listener->next;
			continue;
		}
		*at = listener->next;
		free(listener);
	}
}

static json_t *durations(const struct events *events)
{
	json_t *bounds = json_array(), *buckets = json_array();

	for (size_t i = 0; i <= ARRAY_SIZE(bounds_ms); i++) {
		if (i < ARRAY_SIZE(bounds_ms))
			(void)json_array_append_new(bounds, json_integer(bounds_ms[i] * 1000));
		(void)json_array_append_new(buckets, json_integer((json_int_t)events->took[i]));
	}
	return json_pack("{s:o, s:o, s:I}", "bounds_us", bounds, "buckets", buckets, "sum_us",
			 (json_int_t)events->took_us);
}

static json_t *clients_json(const struct events *events)
{
	json_t *json = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		const uint64_t *asked = events->asked[i];

		if (asked[0] || asked[1])
			(void)json_object_set_new(json, clients[i],
						  json_pack("{s:I, s:I}", names[EVENT_INJECTED],
							    (json_int_t)asked[0],
							    names[EVENT_REFUSED],
							    (json_int_t)asked[1]));
	}
	return json;
}

json_t *events_status(const struct daemon *daemon)
{
	json_t *status = json_object(), *happened = json_object();
	int listeners = 0;

	for (const struct listener *l = daemon->events->listeners; l; l = l->next)
		listeners++;
	for (size_t i = 0; i < EVENT_KINDS; i++)
		(void)json_object_set_new(happened, names[i],
					  json_integer((json_int_t)daemon->events->happened[i]));
	(void)json_object_set_new(status, "listeners", json_integer(listeners));
	(void)json_object_set_new(status, "happened", happened);
	(void)json_object_set_new(status, "clients", clients_json(daemon->events));
	(void)json_object_set_new(status, "injections", durations(daemon->events));
	return status;
}
