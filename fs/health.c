/* SPDX-License-Identifier: Apache-2.0 */
/* Facts from the daemon's state, and what they mean to an operator. */
#include "fs/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "fs/counters.h"
#include "fs/daemon.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/renewal.h"
#include "fs/store.h"
#include "nvml/driver.h"

#define REASON_MAX 300

static const char *missing_library(const struct driver *driver)
{
	static const char *const sonames[] = { "libcuda.so.1", "libnvidia-ml.so.1" };

	for (size_t i = 0; i < ARRAY_SIZE(sonames); i++) {
		if (!driver_find_soname(driver, sonames[i]))
			return sonames[i];
	}
	return NULL;
}

static unsigned int count_by_reads(const struct daemon *daemon)
{
	const struct generation *g = daemon->generation;
	unsigned int n = 0;

	for (size_t i = 0; i < g->driver->n_files; i++) {
		const struct store_object *object = store_object(daemon->store, g->objects[i]);

		n += object && object->backing_id <= 0;
	}
	return n;
}

static unsigned int count_given_up(const struct daemon *daemon)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < daemon->containers_room; i++)
		n += daemon->containers[i] && daemon->containers[i]->given_up;
	return n;
}

static bool is_odd_fallback(const struct daemon *daemon)
{
	const struct store_session *session = store_session(daemon->store);
	struct features allowed;

	features_allowed(getenv("NVFS_DISABLE"), &allowed);
	return allowed.passthrough && !filesystem_features(daemon->fs)->passthrough &&
	       features_passthrough_expected(session->init, session->init_size);
}

void health_look(const struct daemon *daemon, struct health_facts *ret)
{
	const struct finding_list *rewritten = renewal_findings(daemon->renewal);

	*ret = (struct health_facts){
		.has_driver = daemon->generation != NULL,
		.note = renewal_note(daemon->renewal),
		.missing = daemon->generation ? missing_library(daemon->generation->driver) : NULL,
		.rewritten = rewritten->n ? rewritten->items[0].text : NULL,
		.given_up = count_given_up(daemon),
		.odd_fallback = is_odd_fallback(daemon),
		.has_keeper = daemon->link >= 0,
		.is_mounted = filesystem_is_mounted(daemon->fs),
		.longest_ms = counters_longest_ms(store_counters(daemon->store)),
	};
	if (daemon->generation && filesystem_features(daemon->fs)->passthrough)
		ret->by_reads = count_by_reads(daemon);
}

static void say(json_t *reasons, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(json_t *reasons, const char *fmt, ...)
{
	char text[REASON_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)json_array_append_new(reasons, json_string(text));
}

json_t *health_reasons(const struct health_facts *facts)
{
	json_t *reasons = json_array();
	const char *note = facts->note ? facts->note : "";

	if (!reasons)
		return NULL;
	if (!facts->is_mounted)
		say(reasons, "the filesystem is not mounted any more where it was, or something "
			     "lies over it");
	if (!facts->has_driver)
		say(reasons, "no driver%s%s", *note ? ": " : "", note);
	else if (*note)
		say(reasons, "%s", note);
	if (facts->missing)
		say(reasons, "the driver has no %s", facts->missing);
	if (facts->rewritten)
		say(reasons, "%s", facts->rewritten);
	if (facts->longest_ms >= HEALTH_SLOW_MS)
		say(reasons, "a request has been in work for %" PRIu64 " s",
		    facts->longest_ms / 1000);
	if (facts->odd_fallback)
		say(reasons,
		    "reads pass the daemon: this kernel was built without FUSE passthrough");
	if (facts->by_reads)
		say(reasons, "reads of %u driver file%s pass the daemon: passthrough was refused",
		    facts->by_reads, facts->by_reads == 1 ? "" : "s");
	if (facts->given_up)
		say(reasons, "%u container%s could not be injected anew, nvfs status names %s",
		    facts->given_up, facts->given_up == 1 ? "" : "s",
		    facts->given_up == 1 ? "it" : "them");
	if (!facts->has_keeper)
		say(reasons, "the keeper is gone: nobody replaces this daemon if it dies");
	return reasons;
}
