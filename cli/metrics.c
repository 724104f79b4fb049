/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics for whoever collects them. Names and labels are an interface: once
 * out, they stay. Durations are in seconds, as is the custom.
 */
#include "cli/metrics.h"

#include <stdint.h>

#include "cli/query.h"
#include "common/varlink.h"

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	(void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(FILE *out, const char *name, const char *type, const char *help, long long value)
{
	family(out, name, type, help);
	(void)fprintf(out, "%s %lld\n", name, value);
}

static void label(FILE *out, const char *name, const char *value)
{
	(void)fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			(void)fputs("\\n", out);
		else
			(void)fprintf(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
	}
	(void)fputc('"', out);
}

static void info(FILE *out, const json_t *status)
{
	family(out, "nvfs_info", "gauge", "What runs here.");
	(void)fputs("nvfs_info{", out);
	label(out, "version", varlink_string(status, "version", ""));
	(void)fputc(',', out);
	label(out, "mode", varlink_string(status, "mode", ""));
	(void)fputc(',', out);
	label(out, "driver_version", varlink_string(status, "driver_version", ""));
	(void)fputs("} 1\n", out);
}

/* One counter for each member of an object. */
static void counters(FILE *out, const char *name, const char *help, const char *key,
		     const json_t *numbers)
{
	const char *member;
	json_t *value;

	family(out, name, "counter", help);
	json_object_foreach((json_t *)(uintptr_t)numbers, member, value) {
		(void)fprintf(out, "%s{", name);
		label(out, key, member);
		(void)fprintf(out, "} %lld\n", (long long)json_integer_value(value));
	}
}

static void histogram_line(FILE *out, const char *suffix, const char *operation)
{
	(void)fprintf(out, "nvfs_request_duration_seconds_%s{", suffix);
	label(out, "operation", operation);
}

static void histogram(FILE *out, const char *operation, const json_t *values, const json_t *bounds)
{
	const json_t *buckets = json_object_get(values, "buckets");
	size_t n = json_array_size(bounds);
	long long below = 0;

	for (size_t i = 0; i <= n; i++) {
		below += json_integer_value(json_array_get(buckets, i));
		histogram_line(out, "bucket", operation);
		if (i < n)
			(void)fprintf(out, ",le=\"%g\"} %lld\n",
				      (double)json_integer_value(json_array_get(bounds, i)) / 1e6,
				      below);
		else
			(void)fprintf(out, ",le=\"+Inf\"} %lld\n", below);
	}
	histogram_line(out, "sum", operation);
	(void)fprintf(out, "} %.6f\n", (double)query_number(values, "sum_us") / 1e6);
	histogram_line(out, "count", operation);
	(void)fprintf(out, "} %lld\n", below);
}

static void latency(FILE *out, const json_t *numbers)
{
	json_t *operations = json_object_get(numbers, "operations"), *values;
	const char *operation;

	family(out, "nvfs_request_duration_seconds", "histogram",
	       "Time in the daemon until the answer.");
	json_object_foreach(operations, operation, values)
		histogram(out, operation, values, json_object_get(numbers, "bounds_us"));
}

void metrics_print(FILE *out, const json_t *status, bool degraded)
{
	const json_t *numbers = json_object_get(status, "counters");

	single(out, "nvfs_up", "gauge", "Whether the daemon answers.", status != NULL);
	if (!status)
		return;
	single(out, "nvfs_degraded", "gauge", "Whether nvfs status --check is 1.", degraded);
	info(out, status);
	single(out, "nvfs_start_time_seconds", "gauge", "Start of this daemon, seconds since 1970.",
	       query_number(status, "started"));
	single(out, "nvfs_keeper_up", "gauge", "Whether somebody would replace the daemon.",
	       query_number(status, "keeper_pid") != 0);
	single(out, "nvfs_containers", "gauge", "Containers that have a tree.",
	       query_number(status, "containers"));
	single(out, "nvfs_gpus", "gauge", "GPUs of the driver.", query_number(status, "gpus"));
	single(out, "nvfs_generation", "gauge", "Generation of the driver, 0 without one.",
	       query_number(status, "generation"));
	single(out, "nvfs_state_bytes", "gauge", "Memory of the tables that are served.",
	       query_number(status, "state_bytes"));
	single(out, "nvfs_permissions_watched", "gauge",
	       "Containers whose device cgroups are looked at.",
	       query_number(json_object_get(status, "permissions"), "watched"));
	single(out, "nvfs_permissions_healed_total", "counter",
	       "Times that a container was permitted its devices again.",
	       query_number(json_object_get(status, "permissions"), "healed"));
	single(out, "nvfs_permissions_refused_total", "counter",
	       "Times that this could not be done.",
	       query_number(json_object_get(status, "permissions"), "refused"));
	counters(out, "nvfs_events_total", "What has happened since this daemon's start.", "event",
		 json_object_get(json_object_get(status, "events"), "happened"));
	single(out, "nvfs_event_listeners", "gauge", "Who listens to events.",
	       query_number(json_object_get(status, "events"), "listeners"));
	single(out, "nvfs_reinject_waiting", "gauge", "Containers that are to be injected anew.",
	       query_number(json_object_get(status, "reinject"), "waiting"));
	single(out, "nvfs_reinject_failed", "gauge", "Containers that could not be injected anew.",
	       (long long)json_array_size(
		       json_object_get(json_object_get(status, "reinject"), "failed")));
	single(out, "nvfs_stalled_files", "gauge", "Files of the driver that do not answer.",
	       (long long)json_array_size(json_object_get(status, "stalled")));
	single(out, "nvfs_takeovers_total", "counter", "Daemons that went on for another one.",
	       query_number(numbers, "takeovers"));
	counters(out, "nvfs_requests_total", "Requests of the filesystem that were answered.",
		 "operation", json_object_get(numbers, "requests"));
	counters(out, "nvfs_errors_total", "Answers that were errors.", "errno",
		 json_object_get(numbers, "errors"));
	latency(out, json_object_get(numbers, "latency"));
}
