/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvinject reads what a daemon answers, of another version or not what it says
 * it is: each call ends with a plan whose every step is within its bounds, or
 * with a named error, and no descriptor stays.
 *
 * Input: how many descriptors come with the answer, then the bytes on the wire.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/error.h"
#include "common/file.h"
#include "common/varlink.h"
#include "inject/cgroup.h"
#include "inject/cgroup_record.h"
#include "inject/plan.h"
#include "inject/record.h"
#include "tests/fuzz/fuzz.h"

static void check_step(const struct step *step, bool dry_run)
{
	require(plan_path_ok(step->target) &&
		step_kind_by_name(step_name(step->kind)) == (int)step->kind);
	require(!step->alternative || plan_path_ok(step->alternative));
	require(step->kind != STEP_DEVICE || !strncmp(step->target, "/dev/", 5));
	require(step->kind != STEP_PROC || !strncmp(step->target, "/proc/", 6));
	require(step->kind != STEP_LINK || step->to[0] == '/');
	require(step->kind != STEP_FILE || step->data);
	require((step->access & ~7u) == 0);
	require(dry_run || step->fd >= 0 || step->kind == STEP_FILE || step->kind == STEP_LINK);
}

static void check_plan(struct varlink_message *reply, bool dry_run)
{
	static struct plan plan;
	struct error err = { 0 };
	FILE *out = fopen("/dev/null", "we");
	int r;

	memset(&plan, 0, sizeof(plan));
	r = plan_parse(reply, dry_run, &plan, &err);
	require(r == 0 || err.text[0]);
	require(plan.n <= PLAN_STEPS_MAX && out);
	for (size_t i = 0; r == 0 && i < plan.n; i++)
		check_step(&plan.steps[i], dry_run);
	if (r == 0)
		plan_print(&plan, out);
	(void)fclose(out);
	plan_done(&plan);
}

/* What an earlier run has recorded comes back the same way. */
static void check_record(const json_t *json)
{
	json_t *done = json_object_get(json, "done");
	json_t *merged = json_deep_copy(done);
	struct cgroup_rule rules[8];
	size_t n = cgroup_record_rules(json_object_get(cgroup_record_find(done), "added"), rules,
				       sizeof(rules) / sizeof(rules[0]));

	require(n <= sizeof(rules) / sizeof(rules[0]));
	for (size_t i = 0; i < n; i++)
		require(rules[i].access >= 1 && rules[i].access <= 7);
	require(record_merge_old(merged, done) == 0 || !json_is_array(done));
	require(json_array_size(merged) == json_array_size(done));
	json_decref(merged);
}

static void call(int sock, bool dry_run)
{
	struct varlink_message reply;
	struct error err = { 0 };
	int r = varlink_call(sock, "io.nvfs.Inject", NULL, NULL, 0, &reply, &err);

	require(r <= 0 && r > -4096 && (r == 0 || err.text[0]));
	if (r == 0) {
		check_record(reply.json);
		check_plan(&reply, dry_run);
	}
	varlink_message_done(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fds[2] = { -1, -1 };
	int sv[2], before, n;

	if (fds[0] < 0) {
		fds[0] = file_memfd("ld.so.cache", "content", 7);
		fds[1] = open("/dev/null", O_PATH | O_CLOEXEC);
	}
	if (size < 2 || size > 65536)
		return 0;
	before = fuzz_lowest_fd();
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	n = varlink_write(sv[1], (const char *)data + 1, size - 1, fds, data[0] % 3);
	require(n == (int)size - 1 && shutdown(sv[1], SHUT_WR) == 0);
	call(sv[0], data[0] % 3 == 0);
	(void)close(sv[0]);
	(void)close(sv[1]);
	require(fuzz_lowest_fd() == before);
	return 0;
}
