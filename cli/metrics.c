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

/* What does not count anything: its labels say it. @labels ends with NULL: name, value, ... */
static void info(FILE *out, const char *name, const char *help, const char *const *labels)
{
	family(out, name, "gauge", help);
	(void)fprintf(out, "%s", name);
	for (size_t i = 0; labels[i]; i += 2) {
		(void)fputc(i ? ',' : '{', out);
		label(out, labels[i], labels[i + 1]);
	}
	(void)fputs("} 1\n", out);
}

static void infos(FILE *out, const json_t *status)
{
	const char *const build[] = { "version", varlink_string(status, "version", ""), "mode",
				      varlink_string(status, "mode", ""), NULL };
	const char *const driver[] = { "version", varlink_string(status, "driver_version", ""),
				       "cuda", varlink_string(status, "cuda", ""), NULL };

	info(out, "nvfs_build_info", "What runs here.", build);
	if (json_object_get(status, "driver_version"))
		info(out, "nvfs_driver_info", "The driver that new containers get.", driver);
}

static void seconds(FILE *out, const char *name, const char *help, long long us)
{
	family(out, name, "counter", help);
	(void)fprintf(out, "%s %.6f\n", name, (double)us / 1e6);
}

/* One sample for each member of an object. */
static void samples(FILE *out, const char *name, const char *type, const char *help,
		    const char *key, const json_t *numbers)
{
	const char *member;
	json_t *value;

	family(out, name, type, help);
	json_object_foreach((json_t *)(uintptr_t)numbers, member, value) {
		(void)fprintf(out, "%s{", name);
		label(out, key, member);
		(void)fprintf(out, "} %lld\n", (long long)json_integer_value(value));
	}
}

/* @op: NULL for a histogram without labels */
static void histogram_line(FILE *out, const char *name, const char *suffix, const char *op,
			   const char *le)
{
	(void)fprintf(out, "%s_%s", name, suffix);
	if (op || le)
		(void)fputc('{', out);
	if (op)
		label(out, "op", op);
	if (op && le)
		(void)fputc(',', out);
	if (le)
		label(out, "le", le);
	(void)fputs(op || le ? "} " : " ", out);
}

static void histogram(FILE *out, const char *name, const char *op, const json_t *values,
		      const json_t *bounds)
{
	const json_t *buckets = json_object_get(values, "buckets");
	size_t n = json_array_size(bounds);
	long long below = 0;
	char le[32] = "+Inf";

	for (size_t i = 0; i < n; i++) {
		below += json_integer_value(json_array_get(buckets, i));
		(void)snprintf(le, sizeof(le), "%g",
			       (double)json_integer_value(json_array_get(bounds, i)) / 1e6);
		histogram_line(out, name, "bucket", op, le);
		(void)fprintf(out, "%lld\n", below);
	}
	below += json_integer_value(json_array_get(buckets, n));
	histogram_line(out, name, "bucket", op, "+Inf");
	(void)fprintf(out, "%lld\n", below);
	histogram_line(out, name, "sum", op, NULL);
	(void)fprintf(out, "%.6f\n", (double)query_number(values, "sum_us") / 1e6);
	histogram_line(out, name, "count", op, NULL);
	(void)fprintf(out, "%lld\n", below);
}

/* One sample for each member of each member. */
static void samples_of_two(FILE *out, const char *name, const char *type, const char *help,
			   const char *outer_key, const char *inner_key, const json_t *numbers)
{
	const char *outer, *inner;
	json_t *members, *number;

	family(out, name, type, help);
	json_object_foreach((json_t *)(uintptr_t)numbers, outer, members)
		json_object_foreach(members, inner, number) {
			(void)fprintf(out, "%s{", name);
			label(out, outer_key, outer);
			(void)fputc(',', out);
			label(out, inner_key, inner);
			(void)fprintf(out, "} %lld\n", (long long)json_integer_value(number));
		}
}

static void latency(FILE *out, const json_t *numbers)
{
	static const char name[] = "nvfs_fuse_request_seconds";
	json_t *operations = json_object_get(numbers, "operations"), *values;
	const char *operation;

	family(out, name, "histogram", "Time in the daemon until the answer.");
	json_object_foreach(operations, operation, values)
		histogram(out, name, operation, values, json_object_get(numbers, "bounds_us"));
}

static void injections(FILE *out, const json_t *events)
{
	static const char name[] = "nvfs_inject_seconds";
	const json_t *took = json_object_get(events, "injections");

	samples_of_two(out, "nvfs_inject_total", "counter", "Injections since this daemon's start.",
		       "client", "result", json_object_get(events, "clients"));
	family(out, name, "histogram", "Time of an injection, as nvinject tells it.");
	histogram(out, name, NULL, took, json_object_get(took, "bounds_us"));
}

static void gpus(FILE *out, const json_t *status)
{
	long long all = query_number(status, "gpus"), usable = query_number(status, "gpus_usable");
	json_t *states = json_pack("{s:I, s:I}", "usable", (json_int_t)usable, "unusable",
				   (json_int_t)(all - usable));

	samples(out, "nvfs_gpus", "gauge", "GPUs of the driver.", "state", states);
	json_decref(states);
}

static void views(FILE *out, const json_t *views)
{
	json_t *states = json_copy((json_t *)(uintptr_t)views);

	(void)json_object_del(states, "stale");
	samples(out, "nvfs_views", "gauge", "Trees, of containers and for reference.", "state",
		states);
	single(out, "nvfs_views_stale", "gauge", "Trees of a generation before the present one.",
	       query_number(views, "stale"));
	json_decref(states);
}

/* As every exporter of Prometheus names them. */
static void process(FILE *out, const json_t *status)
{
	const json_t *numbers = json_object_get(status, "process");

	if (!numbers)
		return;
	seconds(out, "process_cpu_seconds_total", "Processor time of the daemon.",
		query_number(numbers, "cpu_us"));
	single(out, "process_resident_memory_bytes", "gauge", "Memory of the daemon.",
	       query_number(numbers, "resident_bytes"));
	single(out, "process_open_fds", "gauge", "Its open descriptors.",
	       query_number(numbers, "open_fds"));
	single(out, "process_max_fds", "gauge", "As many as it may have.",
	       query_number(numbers, "max_fds"));
	single(out, "process_start_time_seconds", "gauge", "Its start, seconds since 1970.",
	       query_number(status, "started"));
}

void metrics_print(FILE *out, const json_t *status, bool degraded)
{
	const json_t *numbers = json_object_get(status, "counters");

	single(out, "nvfs_up", "gauge", "Whether the daemon answers.", status != NULL);
	if (!status)
		return;
	single(out, "nvfs_degraded", "gauge", "Whether nvfs status --check is 1.", degraded);
	infos(out, status);
	single(out, "nvfs_keeper_up", "gauge", "Whether somebody would replace the daemon.",
	       query_number(status, "keeper_pid") != 0);
	single(out, "nvfs_containers", "gauge", "Containers that have a tree.",
	       query_number(status, "containers"));
	views(out, json_object_get(status, "views"));
	gpus(out, status);
	single(out, "nvfs_generation", "gauge", "Generation of the driver, 0 without one.",
	       query_number(status, "generation"));
	single(out, "nvfs_state_bytes", "gauge", "Memory of the tables that are served.",
	       query_number(status, "state_bytes"));
	single(out, "nvfs_permissions_watched", "gauge",
	       "Containers whose device cgroups are looked at.",
	       query_number(json_object_get(status, "permissions"), "watched"));
	single(out, "nvfs_heals_total", "counter",
	       "Times that a container was permitted its devices again.",
	       query_number(json_object_get(status, "permissions"), "healed"));
	single(out, "nvfs_heals_refused_total", "counter",
	       "Times that this could not be done.",
	       query_number(json_object_get(status, "permissions"), "refused"));
	injections(out, json_object_get(status, "events"));
	samples(out, "nvfs_events_total", "counter",
		"What has happened since this daemon's start.", "event",
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
	single(out, "nvfs_rescans_total", "counter",
	       "Looks at the driver since this daemon's start.",
	       query_number(json_object_get(status, "looks"), "count"));
	single(out, "nvfs_last_rescan_timestamp_seconds", "gauge",
	       "The last of them, seconds since 1970; 0 without.",
	       query_number(json_object_get(status, "looks"), "last"));
	single(out, "nvfs_takeovers_total", "counter", "Daemons that went on for another one.",
	       query_number(numbers, "takeovers"));
	samples(out, "nvfs_fuse_requests_total", "counter",
		"Requests of the filesystem that were answered.", "op",
		json_object_get(numbers, "requests"));
	samples_of_two(out, "nvfs_fuse_errors_total", "counter", "Answers that were errors.", "op",
		       "errno", json_object_get(numbers, "errors_by_operation"));
	single(out, "nvfs_passthrough_opens_total", "counter",
	       "Files opened that the kernel reads without the daemon.",
	       query_number(numbers, "passthrough_opens"));
	single(out, "nvfs_open_files", "gauge", "Files and directories of trees that are open.",
	       query_number(numbers, "open_files"));
	latency(out, json_object_get(numbers, "latency"));
	process(out, status);
}
