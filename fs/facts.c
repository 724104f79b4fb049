/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process at a time asks NVML (nvmlbox.h). Its life: it is started and tells; when it has told all, or
 * has ended or was killed, its answer is applied; only when it is gone for good the next one may start,
 * so that processes which no signal ends do not pile up. What comes of an answer is in facts_answer.c.
 */
#include "fs/facts.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/changeover.h"
#include "fs/daemon.h"
#include "fs/facts_impl.h"
#include "fs/filesystem.h"
#include "fs/generation.h"
#include "fs/nvmlbox.h"
#include "fs/renewal.h"
#include "fs/store.h"
#include "fs/uevent.h"
#include "nvml/answer.h"
#include "nvml/driver.h"
#include "nvml/gpu.h"

#define LIBRARY "libnvidia-ml.so.1"
#define LAST_WORDS 64 /* reads of what a process has told before its end */
#define PAUSE_MS 2000 /* between two answers: many MIG devices are made one after the other */

/* asking */

static void forget_skipped(struct facts *facts)
{
	facts->n_skipped = 0;
	finding_list_done(&facts->skips);
}

static void stop_hearing(struct facts *facts)
{
	if (facts->heard.fd < 0)
		return;
	loop_remove(facts->daemon->loop, &facts->heard);
	facts->heard.fd = -1;
}

static void drop_box(struct facts *facts)
{
	stop_hearing(facts);
	if (facts->ended.fd >= 0)
		loop_remove(facts->daemon->loop, &facts->ended);
	facts->ended.fd = -1;
	nvmlbox_free(facts->box);
	facts->box = NULL;
}

static int start_box(struct facts *facts, struct error *err)
{
	const struct config *config = &facts->daemon->config;
	const struct nvmlbox_request request = {
		.root_fd = filesystem_root(facts->daemon->fs),
		.library = IDENT_HOST "/lib64/" LIBRARY,
		.uid = config->nvml_uid,
		.gid = config->nvml_gid,
		.limit_s = config->nvml_timeout_s,
		.skipped = facts->skipped,
		.n_skipped = facts->n_skipped,
	};
	int r;

	r = nvmlbox_start(&request, &facts->box, err);
	if (r < 0)
		return r;
	facts->is_over = false;
	facts->box_generation = facts_present(facts)->number;
	facts->heard.fd = nvmlbox_fd(facts->box);
	facts->ended.fd = nvmlbox_pidfd(facts->box);
	r = loop_add(facts->daemon->loop, &facts->heard, EPOLLIN);
	r = r ? r : loop_add(facts->daemon->loop, &facts->ended, EPOLLIN);
	if (r == 0)
		return 0;
	drop_box(facts);
	return error_set(err, r, "wait for NVML");
}

static void begin(struct facts *facts)
{
	struct generation *g = facts_present(facts);
	struct finding_list findings = { 0 };
	struct error err = { 0 };

	if (!facts->is_ready || facts->box || !g || g->nvml.state != GENERATION_NVML_PENDING)
		return;
	facts->begun_ms = clock_ms();
	facts->retry_ms = 0;
	if (start_box(facts, &err) == 0)
		return;
	(void)finding_add(&findings, true, "NVML: %s", err.text);
	facts_set_findings(facts, g, &findings);
	g->nvml.state = GENERATION_NVML_FAILED;
	g->gpus->provisional = false;
	facts_retry_later(facts);
}

/* It did not come to its end: leave the GPU out where it was at one. True: that is worth another try. */
static bool skip_gpu(struct facts *facts, const char *why)
{
	const struct answer *answer = nvmlbox_answer(facts->box);

	if (answer->step_gpu == ANSWER_NO_GPU || !answer->step[0] ||
	    facts->n_skipped == NVMLBOX_SKIPPED_MAX)
		return false;
	facts->skipped[facts->n_skipped++] = answer->step_gpu;
	(void)finding_add(&facts->skips, true,
			  "GPU %u: NVML %s in %s; it is known by /proc and tables alone",
			  answer->step_gpu, why, answer->step);
	return true;
}

static void fail(struct facts *facts, const char *why)
{
	const struct answer *answer = nvmlbox_answer(facts->box);
	struct finding_list findings = { 0 };
	bool again = skip_gpu(facts, why);

	stop_hearing(facts);
	if (!again)
		(void)finding_add(&findings, true,
				  "NVML %s in %s; GPUs are known by /proc and tables alone", why,
				  answer->step[0] ? answer->step : "its start");
	facts_finish(facts, &findings, again);
}

static void on_heard(struct loop_source *source, uint32_t events)
{
	struct facts *facts = (struct facts *)((char *)source - offsetof(struct facts, heard));
	struct finding_list findings = { 0 };

	(void)events;
	switch (nvmlbox_receive(facts->box)) {
	case NVMLBOX_ASKS:
		return;
	case NVMLBOX_DONE:
		stop_hearing(facts);
		facts_finish(facts, &findings, false);
		return;
	case NVMLBOX_ENDED: /* how, on_ended() says */
		stop_hearing(facts);
		return;
	case NVMLBOX_BABBLES:
		nvmlbox_kill(facts->box);
		fail(facts, "gives no answer that can be read");
		return;
	}
}

static void on_ended(struct loop_source *source, uint32_t events)
{
	struct facts *facts = (struct facts *)((char *)source - offsetof(struct facts, ended));
	struct finding_list findings = { 0 };
	char how[80] = "";

	(void)events;
	for (int i = 0; i < LAST_WORDS && !facts->is_over && facts->heard.fd >= 0; i++)
		on_heard(&facts->heard, EPOLLIN);
	if (!nvmlbox_reap(facts->box, how, sizeof(how)))
		return;
	if (!facts->is_over && nvmlbox_answer(facts->box)->whole)
		facts_finish(facts, &findings, false);
	else if (!facts->is_over)
		fail(facts, how);
	drop_box(facts);
	begin(facts);
}

/* The process may stay for good, as a GPU that does not answer makes it; nobody waits for it any more. */
static void check_stall(struct facts *facts)
{
	int64_t limit_ms = (int64_t)facts->daemon->config.nvml_timeout_s * 1000;
	struct generation *g = facts_present(facts);
	char why[64];

	if (!facts->box || nvmlbox_since_ms(facts->box) < limit_ms)
		return;
	if (!facts->is_over) {
		nvmlbox_kill(facts->box);
		(void)snprintf(why, sizeof(why), "has not answered within %u s",
			       facts->daemon->config.nvml_timeout_s);
		fail(facts, why);
		return;
	}
	nvmlbox_kill(facts->box);
	if (g && g->gpus->provisional && nvmlbox_since_ms(facts->box) > 2 * limit_ms) {
		log_warning("the process that asks NVML does not end, which no signal can help, "
			    "ignoring");
		g->gpus->provisional = false;
	}
}

/* what changes */

static bool has_library(const struct generation *g)
{
	for (size_t i = 0; i < g->driver->n_files; i++) {
		const struct driver_file *file = &g->driver->files[i];

		if (file->soname && strcmp(file->soname, LIBRARY) == 0 &&
		    file->elf_class == (int)sizeof(void *) * 8)
			return true;
	}
	return false;
}

static void set_off(struct facts *facts, struct generation *g, enum generation_nvml_state state)
{
	struct finding_list findings = { 0 };

	if (state == GENERATION_NVML_FAILED)
		(void)finding_add(&findings, true,
				  "NVML: no '" LIBRARY "' among the driver's files; GPUs are known "
				  "by /proc and tables alone");
	facts_set_findings(facts, g, &findings);
	g->nvml.state = state;
	g->gpus->provisional = false;
}

/* NVML is to be asked, if it can be. */
static void want(struct facts *facts, bool provisional)
{
	struct generation *g = facts_present(facts);

	facts->retry_ms = facts->retry_after_ms = 0;
	forget_skipped(facts);
	if (!facts->daemon->config.nvml) {
		set_off(facts, g, GENERATION_NVML_OFF);
	} else if (!has_library(g)) {
		set_off(facts, g, GENERATION_NVML_FAILED);
	} else {
		g->nvml.state = GENERATION_NVML_PENDING;
		g->gpus->provisional = provisional || g->gpus->provisional;
	}
	/* Of another generation, or of MIG devices before: nobody wants to hear it any more. */
	if (facts->box && !facts->is_over) {
		stop_hearing(facts);
		facts->is_over = true;
		nvmlbox_kill(facts->box);
	}
	begin(facts);
}

void facts_of_generation(struct facts *facts)
{
	const struct generation *g = facts_present(facts);

	if (!g)
		return;
	if (g->nvml.state == GENERATION_NVML_PENDING || g->nvml.state == GENERATION_NVML_OFF ||
	    !facts->daemon->config.nvml)
		want(facts, true);
	else if (g->nvml.state == GENERATION_NVML_FAILED)
		facts_retry_later(facts);
}

void facts_again(struct facts *facts)
{
	if (facts_present(facts))
		want(facts, false);
}

/* Either makes another generation. Where GPUs are others, drivers may be: that is renewal.h's matter. */
static void look(struct facts *facts)
{
	const struct generation *g = facts_present(facts);
	struct mig_print print;
	struct error err = { 0 };

	if (!g || g->damaged)
		return;
	if (mig_print_read(facts->daemon->config.proc_root, &print) < 0)
		return; /* not all was seen: the next look is soon */
	if (facts->gpus_seen && print.gpus != facts->gpus_seen)
		renewal_poke(facts->daemon->renewal);
	facts->gpus_seen = print.gpus;
	if (print.migs == g->nvml.print.migs || clock_ms() - facts->begun_ms < PAUSE_MS)
		return;
	facts->begun_ms = clock_ms(); /* also where nobody can be asked */
	log_info("MIG devices have come or gone");
	if (changeover_migs(facts->daemon, &err) < 0)
		log_warning("%s: not all MIG devices are known, ignoring", err.text);
}

void facts_tick(struct facts *facts)
{
	struct generation *g = facts_present(facts);

	check_stall(facts);
	look(facts);
	if (g && facts->retry_ms && facts->retry_ms <= clock_ms() &&
	    g->nvml.state == GENERATION_NVML_FAILED) {
		g->nvml.state = GENERATION_NVML_PENDING;
		forget_skipped(facts);
	}
	begin(facts);
}

static void on_uevents(struct loop_source *source, uint32_t events)
{
	struct facts *facts = (struct facts *)((char *)source - offsetof(struct facts, uevents));

	(void)events;
	if (!uevent_receive(source->fd))
		return;
	look(facts);
	renewal_tick(facts->daemon->renewal);
}

void facts_ready(struct facts *facts)
{
	facts->is_ready = true;
	look(facts);
	begin(facts);
}

/* up and down */

int facts_new(struct daemon *daemon, struct facts **ret, struct error *err)
{
	struct facts *facts = calloc(1, sizeof(*facts));
	int r;

	if (!facts)
		return error_set(err, -ENOMEM, "ask NVML");
	facts->daemon = daemon;
	facts->heard = (struct loop_source){ .fd = -1, .on_ready = on_heard };
	facts->ended = (struct loop_source){ .fd = -1, .on_ready = on_ended };
	facts->uevents = (struct loop_source){ .fd = uevent_open(), .on_ready = on_uevents };
	if (facts->uevents.fd < 0) {
		log_warning("uevents: %s, changes of devices are found within seconds, ignoring",
			    strerror(-facts->uevents.fd));
		facts->uevents.fd = -1;
	}
	r = facts->uevents.fd < 0 ? 0 : loop_add(daemon->loop, &facts->uevents, EPOLLIN);
	if (r < 0) {
		facts_free(facts);
		return error_set(err, r, "watch uevents");
	}
	*ret = facts;
	return 0;
}

void facts_free(struct facts *facts)
{
	if (!facts)
		return;
	nvmlbox_free(facts->box);
	cleanup_close(&facts->uevents.fd);
	finding_list_done(&facts->skips);
	free(facts);
}

json_t *facts_status(const struct daemon *daemon, bool with_findings)
{
	static const char *const names[] = {
		[GENERATION_NVML_PENDING] = "pending",
		[GENERATION_NVML_TOLD] = "told",
		[GENERATION_NVML_FAILED] = "failed",
		[GENERATION_NVML_OFF] = "off",
	};
	const struct generation *g = daemon->generation;
	json_t *findings = json_array();

	if (!g)
		return json_pack("{s:s, s:o}", "state", daemon->config.nvml ? "pending" : "off",
				 "findings", findings);
	for (size_t i = 0; with_findings && i < g->nvml.findings.n; i++)
		(void)json_array_append_new(findings, json_string(g->nvml.findings.items[i].text));
	return json_pack("{s:s, s:i, s:o}", "state", names[g->nvml.state], "took_ms",
			 (int)g->nvml.took_ms, "findings", findings);
}
