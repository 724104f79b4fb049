/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting without locks: one writer for each part, so that adding is a load
 * and a store. Both are atomic in themselves, for the reader's sake alone.
 */
#include "fs/counters.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"

#define NS_PER_US 1000

static const char *const names[COUNTERS_OPS] = {
	[COUNTERS_OTHER] = "other",
	[COUNTERS_LOOKUP] = "lookup",
	[COUNTERS_FORGET] = "forget",
	[COUNTERS_GETATTR] = "getattr",
	[COUNTERS_READLINK] = "readlink",
	[COUNTERS_OPEN] = "open",
	[COUNTERS_READ] = "read",
	[COUNTERS_STATFS] = "statfs",
	[COUNTERS_RELEASE] = "release",
	[COUNTERS_GETXATTR] = "getxattr",
	[COUNTERS_OPENDIR] = "opendir",
	[COUNTERS_READDIR] = "readdir",
	[COUNTERS_ACCESS] = "access",
	[COUNTERS_INTERRUPT] = "interrupt",
};

/* By opcode of linux/fuse.h. What is not here is COUNTERS_OTHER, which is 0. */
static const unsigned char ops[] = {
	[1] = COUNTERS_LOOKUP,
	[2] = COUNTERS_FORGET,
	[3] = COUNTERS_GETATTR,
	[5] = COUNTERS_READLINK,
	[14] = COUNTERS_OPEN,
	[15] = COUNTERS_READ,
	[17] = COUNTERS_STATFS,
	[18] = COUNTERS_RELEASE,
	[22] = COUNTERS_GETXATTR,
	[23] = COUNTERS_GETXATTR, /* LISTXATTR */
	[27] = COUNTERS_OPENDIR,
	[28] = COUNTERS_READDIR,
	[29] = COUNTERS_RELEASE, /* RELEASEDIR */
	[34] = COUNTERS_ACCESS,
	[36] = COUNTERS_INTERRUPT,
	[42] = COUNTERS_FORGET,  /* BATCH_FORGET */
	[44] = COUNTERS_READDIR, /* READDIRPLUS */
	[52] = COUNTERS_GETATTR, /* STATX */
};

static const int errnos[COUNTERS_ERRNOS] = {
	0,	ENOENT,	 EIO,	  EACCES,  EPERM,  EROFS,	 ENOSYS,     ENOTDIR,
	EISDIR, EINVAL,	 ENODATA, ERANGE,  ENOMEM, ESTALE,	 EINTR,	     EAGAIN,
	EBADF,	EMFILE,	 ENFILE,  ENOTTY,  ELOOP,  ENAMETOOLONG, EOPNOTSUPP, ETIMEDOUT,
};

static _Thread_local struct counters_worker *mine;
static _Thread_local enum counters_op op_in_work;

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t get(const uint64_t *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static void set(uint64_t *number, uint64_t value)
{
	__atomic_store_n(number, value, __ATOMIC_RELAXED);
}

static void add(uint64_t *number, uint64_t value)
{
	set(number, get(number) + value);
}

void counters_init(struct counters *counters)
{
	counters->since_s = time(NULL);
}

void counters_takeover(struct counters *counters)
{
	counters->takeovers++;
	for (unsigned int i = 0; i < COUNTERS_WORKERS; i++)
		set(&counters->workers[i].begun_ns, 0);
}

void counters_thread(struct counters *counters, unsigned int number)
{
	mine = &counters->workers[number];
}

void counters_begin(uint32_t opcode)
{
	op_in_work = counters_op(opcode);
	set(&mine->begun_ns, now_ns());
}

enum counters_op counters_op(uint32_t opcode)
{
	return opcode < ARRAY_SIZE(ops) ? (enum counters_op)ops[opcode] : COUNTERS_OTHER;
}

unsigned int counters_bucket(uint64_t ns)
{
	uint64_t us = ns / NS_PER_US;
	unsigned int bits = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

	return bits < COUNTERS_BUCKETS ? bits : COUNTERS_BUCKETS - 1;
}

void counters_end(void)
{
	uint64_t took = now_ns() - get(&mine->begun_ns);

	add(&mine->requests[op_in_work][counters_bucket(took)], 1);
	add(&mine->total_ns[op_in_work], took);
	set(&mine->begun_ns, 0);
}

void counters_error(int error)
{
	size_t i = COUNTERS_ERRNOS - 1;

	while (i > 0 && errnos[i] != error)
		i--;
	if (mine)
		add(&mine->errors[op_in_work][i], 1);
}

void counters_passthrough(void)
{
	if (mine)
		add(&mine->passthrough_opens, 1);
}

static void sum_worker(const struct counters_worker *worker, struct counters_worker *ret)
{
	uint64_t begun = get(&worker->begun_ns);

	if (begun && (!ret->begun_ns || begun < ret->begun_ns))
		ret->begun_ns = begun;
	for (unsigned int op = 0; op < COUNTERS_OPS; op++) {
		for (unsigned int i = 0; i < COUNTERS_BUCKETS; i++)
			ret->requests[op][i] += get(&worker->requests[op][i]);
		ret->total_ns[op] += get(&worker->total_ns[op]);
		for (unsigned int i = 0; i < COUNTERS_ERRNOS; i++)
			ret->errors[op][i] += get(&worker->errors[op][i]);
	}
	ret->passthrough_opens += get(&worker->passthrough_opens);
}

void counters_sum(const struct counters *counters, struct counters_worker *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < COUNTERS_WORKERS; i++)
		sum_worker(&counters->workers[i], ret);
}

uint64_t counters_longest_ms(const struct counters *counters)
{
	uint64_t now = now_ns(), longest = 0;

	for (unsigned int i = 0; i < COUNTERS_WORKERS; i++) {
		uint64_t begun = get(&counters->workers[i].begun_ns);

		if (begun && begun < now && now - begun > longest)
			longest = now - begun;
	}
	return longest / 1000000;
}

/* telling */

static uint64_t requests_of(const struct counters_worker *sum, enum counters_op op)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < COUNTERS_BUCKETS; i++)
		n += sum->requests[op][i];
	return n;
}

static json_t *requests_json(const struct counters_worker *sum)
{
	json_t *json = json_object();

	for (unsigned int op = 0; op < COUNTERS_OPS; op++)
		(void)json_object_set_new(json, names[op],
					  json_integer((json_int_t)requests_of(sum, op)));
	return json;
}

static void count_errors(json_t *json, const uint64_t errors[COUNTERS_ERRNOS])
{
	for (unsigned int i = 0; i < COUNTERS_ERRNOS; i++) {
		const char *name = i ? strerrorname_np(errnos[i]) : "other";
		json_int_t before = json_integer_value(json_object_get(json, name));

		if (errors[i])
			(void)json_object_set_new(json, name,
						  json_integer(before + (json_int_t)errors[i]));
	}
}

static json_t *errors_json(const struct counters_worker *sum)
{
	json_t *json = json_object();

	for (unsigned int op = 0; op < COUNTERS_OPS; op++)
		count_errors(json, sum->errors[op]);
	return json;
}

static json_t *errors_by_operation_json(const struct counters_worker *sum)
{
	json_t *json = json_object();

	for (unsigned int op = 0; op < COUNTERS_OPS; op++) {
		json_t *errors = json_object();

		count_errors(errors, sum->errors[op]);
		if (json_object_size(errors))
			(void)json_object_set(json, names[op], errors);
		json_decref(errors);
	}
	return json;
}

static uint64_t answered(const struct counters_worker *sum, enum counters_op op)
{
	uint64_t n = requests_of(sum, op), errors = 0;

	for (unsigned int i = 0; i < COUNTERS_ERRNOS; i++)
		errors += sum->errors[op][i];
	return n > errors ? n - errors : 0;
}

/* Numbers of one moment they are not, and a daemon that dies takes an uncounted one with it. */
static uint64_t open_files(const struct counters_worker *sum, uint64_t lost)
{
	uint64_t opened = answered(sum, COUNTERS_OPEN) + answered(sum, COUNTERS_OPENDIR);
	uint64_t closed = requests_of(sum, COUNTERS_RELEASE) + lost;

	return opened > closed ? opened - closed : 0;
}

void counters_disconnect(struct counters *counters)
{
	struct counters_worker sum;

	counters_sum(counters, &sum);
	counters->lost += open_files(&sum, counters->lost);
}

static json_t *buckets_json(const uint64_t buckets[COUNTERS_BUCKETS])
{
	json_t *json = json_array();

	for (unsigned int i = 0; i < COUNTERS_BUCKETS; i++)
		(void)json_array_append_new(json, json_integer((json_int_t)buckets[i]));
	return json;
}

static json_t *latency_json(const struct counters_worker *sum)
{
	json_t *bounds = json_array(), *list = json_object();

	for (unsigned int i = 0; i < COUNTERS_BUCKETS - 1; i++)
		(void)json_array_append_new(bounds, json_integer((json_int_t)1 << i));
	for (unsigned int op = 0; op < COUNTERS_OPS; op++) {
		if (sum->total_ns[op])
			(void)json_object_set_new(
				list, names[op],
				json_pack("{s:I, s:o}", "sum_us",
					  (json_int_t)(sum->total_ns[op] / NS_PER_US), "buckets",
					  buckets_json(sum->requests[op])));
	}
	return json_pack("{s:o, s:o}", "bounds_us", bounds, "operations", list);
}

json_t *counters_json(const struct counters *counters)
{
	struct counters_worker sum;

	counters_sum(counters, &sum);
	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o}", "since",
			 (json_int_t)counters->since_s, "takeovers",
			 (json_int_t)counters->takeovers, "requests", requests_json(&sum), "errors",
			 errors_json(&sum), "errors_by_operation", errors_by_operation_json(&sum),
			 "open_files", (json_int_t)open_files(&sum, counters->lost), "passthrough_opens",
			 (json_int_t)sum.passthrough_opens, "latency", latency_json(&sum));
}
