/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, made when it is first needed and kept; changes that are under way hang on it. A
 * change goes through the states below, each one call and its reply. The second look at the list is
 * also the wait: the manager answers a message only when it has carried out what was queued before
 * (manager_loop(), src/core/manager.c: the cgroup queue comes before events).
 */
#include "fs/unitbus.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-bus.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "fs/loop.h"
#include "fs/unitlist.h"

#define LIMIT_US 5000000 /* of one call */
#define AT_A_TIME 64     /* messages, before others of the loop get their turn */

#define MANAGER "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"

enum state { ASK_POLICY, ASK_LIST, SET, LOOK_AGAIN };

struct change {
	struct unitbus *bus;
	struct change *next;
	enum state state;
	char *unit, *path;
	json_t *allow, *remove; /* one of them */
	json_t *list, *added;
	char policy[16];
	sd_bus_slot *slot; /* of the call that is under way */
	unitbus_done_fn *done;
	void *data;
};

struct unitbus {
	struct loop_source source; /* first: cast back; fd -1: not connected */
	struct loop *loop;
	sd_bus *bus;
	uint32_t events;
	struct change *changes;
};

static int step(struct change *change, struct error *err);

static void change_free(struct change *change)
{
	sd_bus_slot_unref(change->slot);
	json_decref(change->allow);
	json_decref(change->remove);
	json_decref(change->list);
	json_decref(change->added);
	free(change->unit);
	free(change->path);
	free(change);
}

static void unlink_change(struct change *change)
{
	struct change **at = &change->bus->changes;

	while (*at != change)
		at = &(*at)->next;
	*at = change->next;
}

static void finish(struct change *change, int r, const struct error *err)
{
	unlink_change(change);
	change->done(change->data, r, r < 0 ? NULL : change->added, r < 0 ? err : NULL);
	change_free(change);
}

/* the connection */

static void disconnect(struct unitbus *bus, const struct error *err)
{
	if (!bus->bus)
		return;
	loop_remove(bus->loop, &bus->source);
	bus->source.fd = -1;
	while (bus->changes) {
		bus->changes->slot = sd_bus_slot_unref(bus->changes->slot);
		finish(bus->changes, err->code, err);
	}
	bus->bus = sd_bus_close_unref(bus->bus);
}

static void watch_again(struct unitbus *bus)
{
	int events = sd_bus_get_events(bus->bus);

	if (events < 0 || (uint32_t)events == bus->events)
		return;
	bus->events = (uint32_t)events; /* POLLIN and POLLOUT are EPOLLIN and EPOLLOUT */
	(void)loop_modify(bus->loop, &bus->source, bus->events);
}

static void process(struct unitbus *bus)
{
	struct error err = { 0 };
	int r = 1;

	for (int i = 0; i < AT_A_TIME && r > 0; i++)
		r = sd_bus_process(bus->bus, NULL);
	if (r < 0) {
		(void)error_set(&err, r, "talk to the system bus");
		disconnect(bus, &err);
		return;
	}
	watch_again(bus);
}

static void on_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	process((struct unitbus *)source);
}

/* The address is sd_bus_open_system(3)'s; connecting to a socket of this machine does not wait. */
static int connect_bus(struct unitbus *bus, struct error *err)
{
	int r;

	if (bus->bus)
		return 0;
	r = sd_bus_open_system(&bus->bus);
	if (r < 0)
		return error_set(err, r, "connect to the system bus");
	(void)sd_bus_set_method_call_timeout(bus->bus, LIMIT_US);
	bus->source.fd = sd_bus_get_fd(bus->bus);
	bus->events = EPOLLIN | EPOLLOUT;
	r = bus->source.fd < 0 ? bus->source.fd : loop_add(bus->loop, &bus->source, bus->events);
	if (r < 0) {
		bus->source.fd = -1;
		bus->bus = sd_bus_close_unref(bus->bus);
		return error_set(err, r, "watch the system bus");
	}
	return 0;
}

/* calls and replies */

static const char *interface_of(const struct change *change)
{
	size_t len = strlen(change->unit);

	return len > 6 && strcmp(change->unit + len - 6, ".scope") == 0 ? MANAGER ".Scope"
									: MANAGER ".Service";
}

static int read_policy(struct change *change, sd_bus_message *reply)
{
	const char *policy;
	int r = sd_bus_message_read(reply, "v", "s", &policy);

	if (r >= 0)
		(void)snprintf(change->policy, sizeof(change->policy), "%s", policy);
	return r;
}

static int read_list(struct change *change, sd_bus_message *reply)
{
	json_t *list = json_array();
	const char *path, *access;
	int r = sd_bus_message_enter_container(reply, 'v', "a(ss)");

	r = r < 0 ? r : sd_bus_message_enter_container(reply, 'a', "(ss)");
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ss)", &path, &access)) > 0) {
		if (json_array_append_new(list, json_pack("[s, s]", path, access)) < 0)
			r = -ENOMEM;
	}
	json_decref(change->list);
	change->list = list;
	return r;
}

/* What is the next state, after this one's reply? 1: none, it is done. */
static int decide(struct change *change, struct error *err)
{
	json_t *set = NULL;
	int r = 0;

	if (change->remove) {
		set = unitlist_remove(change->list, change->remove);
		change->added = json_array();
		r = set && change->added ? json_equal(set, change->list) : -ENOMEM;
	} else if (!unitlist_restricts(change->policy, change->list)) {
		change->added = json_array();
		return change->added ? 1 : -ENOMEM;
	} else {
		r = unitlist_add(change->list, change->allow, &set, &change->added);
		r = r < 0 ? r : json_array_size(set) == 0;
	}
	json_decref(change->list);
	change->list = set;
	return r < 0 ? error_set(err, r, "change DeviceAllow= of '%.80s'", change->unit) : r;
}

/* Somebody else may have set the property in the same moment. */
static int check_list(const struct change *change, struct error *err)
{
	json_t *set = NULL, *missing = NULL;
	bool bad = false;

	if (change->allow && unitlist_add(change->list, change->allow, &set, &missing) == 0)
		bad = json_array_size(set) != 0;
	if (change->remove) {
		set = unitlist_remove(change->list, change->remove);
		bad = set && !json_equal(set, change->list);
	}
	json_decref(set);
	json_decref(missing);
	return bad ? error_setc(err, ERROR_AGAIN, -EAGAIN, "DeviceAllow= of '%.80s' keeps changing",
				change->unit)
		   : 1;
}

static int take_reply(struct change *change, sd_bus_message *reply, struct error *err)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	int r = 0;

	if (error)
		return error_setc(err, ERROR_OTHER, -sd_bus_message_get_errno(reply),
				  "unit '%.60s': %s", change->unit,
				  error->message ? error->message : error->name);
	if (change->state == ASK_POLICY)
		r = read_policy(change, reply);
	else if (change->state != SET)
		r = read_list(change, reply);
	if (r < 0)
		return error_set(err, r, "read the answer of unit '%.80s'", change->unit);
	if (change->state == ASK_LIST)
		return decide(change, err);
	return change->state == LOOK_AGAIN ? check_list(change, err) : 0;
}

static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *unused)
{
	struct change *change = data;
	struct error err = { 0 };
	int r;

	(void)unused;
	r = take_reply(change, reply, &err);
	if (r == 0) {
		change->slot = sd_bus_slot_unref(change->slot);
		change->state++;
		r = step(change, &err);
	}
	if (r != 0)
		finish(change, r < 0 ? r : 0, &err);
	return 0;
}

static int ask(struct change *change, const char *property)
{
	return sd_bus_call_method_async(change->bus->bus, &change->slot, MANAGER, change->path,
					"org.freedesktop.DBus.Properties", "Get", on_reply, change,
					"ss", interface_of(change), property);
}

/* One setting of the list; an empty one takes all away. */
static int append_setting(sd_bus_message *m, const json_t *list)
{
	const json_t *item;
	size_t i;
	int r = sd_bus_message_open_container(m, 'r', "sv");

	r = r < 0 ? r : sd_bus_message_append(m, "s", "DeviceAllow");
	r = r < 0 ? r : sd_bus_message_open_container(m, 'v', "a(ss)");
	r = r < 0 ? r : sd_bus_message_open_container(m, 'a', "(ss)");
	json_array_foreach(list, i, item)
		r = r < 0 ? r
			  : sd_bus_message_append(m, "(ss)",
						  json_string_value(json_array_get(item, 0)),
						  json_string_value(json_array_get(item, 1)));
	for (int k = 0; k < 3; k++)
		r = r < 0 ? r : sd_bus_message_close_container(m);
	return r;
}

/* A list that is to be shorter: all away and the rest again, in one call. */
static int set_list(struct change *change)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(change->bus->bus, &m, MANAGER, MANAGER_PATH,
					       MANAGER ".Manager", "SetUnitProperties");

	r = r < 0 ? r : sd_bus_message_append(m, "sb", change->unit, 1);
	r = r < 0 ? r : sd_bus_message_open_container(m, 'a', "(sv)");
	if (change->remove)
		r = r < 0 ? r : append_setting(m, NULL);
	if (json_array_size(change->list))
		r = r < 0 ? r : append_setting(m, change->list);
	r = r < 0 ? r : sd_bus_message_close_container(m);
	r = r < 0 ? r
		  : sd_bus_call_async(change->bus->bus, &change->slot, m, on_reply, change,
				      LIMIT_US);
	sd_bus_message_unref(m);
	return r;
}

static int step(struct change *change, struct error *err)
{
	int r = change->state == ASK_POLICY ? ask(change, "DevicePolicy") :
		change->state == SET	    ? set_list(change) :
					      ask(change, "DeviceAllow");

	return r < 0 ? error_set(err, r, "ask for unit '%.80s'", change->unit) : 0;
}

static struct change *change_new(struct unitbus *bus, const struct unitbus_change *wanted)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	change->bus = bus;
	change->unit = strdup(wanted->unit);
	change->allow = wanted->allow ? json_deep_copy(wanted->allow) : NULL;
	change->remove = wanted->remove ? json_deep_copy(wanted->remove) : NULL;
	if (change->unit && (change->allow || change->remove) &&
	    sd_bus_path_encode(MANAGER_PATH "/unit", change->unit, &change->path) >= 0)
		return change;
	change_free(change);
	return NULL;
}

int unitbus_change(struct unitbus *bus, const struct unitbus_change *wanted, unitbus_done_fn *done,
		   void *data, struct error *err)
{
	struct change *change;
	int r = connect_bus(bus, err);

	if (r < 0)
		return r;
	change = change_new(bus, wanted);
	if (!change)
		return error_set(err, -ENOMEM, "change a unit");
	change->done = done;
	change->data = data;
	r = step(change, err);
	if (r < 0) {
		change_free(change);
		return r;
	}
	change->next = bus->changes;
	bus->changes = change;
	watch_again(bus);
	return 0;
}

void unitbus_tick(struct unitbus *bus)
{
	if (bus->bus)
		process(bus);
}

int unitbus_new(struct loop *loop, struct unitbus **ret, struct error *err)
{
	struct unitbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return error_set(err, -ENOMEM, "prepare the system bus");
	bus->loop = loop;
	bus->source = (struct loop_source){ .fd = -1, .on_ready = on_ready };
	*ret = bus;
	return 0;
}

void unitbus_free(struct unitbus *bus)
{
	if (!bus)
		return;
	while (bus->changes) {
		struct change *next = bus->changes->next;

		change_free(bus->changes);
		bus->changes = next;
	}
	if (bus->source.fd >= 0)
		loop_remove(bus->loop, &bus->source);
	bus->source.fd = -1;
	bus->bus = sd_bus_close_unref(bus->bus);
	free(bus);
}
