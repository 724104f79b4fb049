/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both threads know is one look. It has its own copy of the request, since who asked may have gone on
 * without it; then the thread throws away what it has found. The looker is freed by the last of the two.
 */
#include "fs/ipc_looker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "fs/thread.h"
#include "nvml/finding.h"

#define STACK_SIZE (64 * 1024)

enum state {
	IDLE,
	ASKED, /* the thread is to look, or does so */
	FOUND, /* for who asked to take */
	LEFT,  /* asked, and nobody waits for it any more */
};

struct ipc_looker {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* lock */
	enum state state;
	bool has_thread, ends;
	/* who asks writes it while the state is IDLE or FOUND; the thread, otherwise */
	char *root, *without;
	struct ipc_request request;
	struct ipc_list list;
	struct finding_list findings;
	struct error err;
	int result;
};

static void forget(struct ipc_looker *looker)
{
	free(looker->root);
	free(looker->without);
	looker->root = looker->without = NULL;
	ipc_list_done(&looker->list);
	finding_list_done(&looker->findings);
}

static void destroy(struct ipc_looker *looker)
{
	forget(looker);
	(void)pthread_cond_destroy(&looker->changed);
	(void)pthread_mutex_destroy(&looker->lock);
	free(looker);
}

/* the thread */

static void look(struct ipc_looker *looker)
{
	(void)pthread_mutex_unlock(&looker->lock);
	looker->err = (struct error){ 0 };
	looker->result = ipc_find(&looker->request, &looker->list, &looker->findings, &looker->err);
	(void)pthread_mutex_lock(&looker->lock);
	if (looker->state == LEFT)
		forget(looker);
	looker->state = looker->state == LEFT ? IDLE : FOUND;
	(void)pthread_cond_broadcast(&looker->changed);
}

static void *run(void *data)
{
	struct ipc_looker *looker = data;

	(void)pthread_mutex_lock(&looker->lock);
	while (!looker->ends) {
		if (looker->state == LEFT) { /* before we came to it */
			forget(looker);
			looker->state = IDLE;
		}
		if (looker->state == ASKED)
			look(looker);
		else
			(void)pthread_cond_wait(&looker->changed, &looker->lock);
	}
	(void)pthread_mutex_unlock(&looker->lock);
	destroy(looker);
	return NULL;
}

/* who asks */

int ipc_looker_new(struct ipc_looker **ret, struct error *err)
{
	struct ipc_looker *looker = calloc(1, sizeof(*looker));
	pthread_condattr_t attr;

	if (!looker)
		return error_set(err, -ENOMEM, "look for sockets");
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&looker->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&looker->lock, NULL);
	*ret = looker;
	return 0;
}

void ipc_looker_free(struct ipc_looker *looker)
{
	bool has_thread;

	if (!looker)
		return;
	(void)pthread_mutex_lock(&looker->lock);
	has_thread = looker->has_thread;
	looker->ends = true;
	(void)pthread_cond_broadcast(&looker->changed);
	(void)pthread_mutex_unlock(&looker->lock);
	if (!has_thread)
		destroy(looker);
}

static int copy_request(struct ipc_looker *looker, const struct ipc_request *request)
{
	forget(looker);
	looker->request = *request;
	looker->request.root = looker->root = strdup(request->root);
	looker->request.without = looker->without = request->without ? strdup(request->without)
								     : NULL;
	return looker->root && (looker->without || !request->without) ? 0 : -ENOMEM;
}

static int start(struct ipc_looker *looker, const struct ipc_request *request)
{
	int r = copy_request(looker, request);

	if (r == 0 && !looker->has_thread)
		r = thread_start(run, looker, STACK_SIZE);
	if (r < 0)
		return r;
	looker->has_thread = true;
	looker->state = ASKED;
	(void)pthread_cond_broadcast(&looker->changed);
	return 0;
}

static void wait_moment(struct ipc_looker *looker)
{
	struct timespec end;
	int r = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += IPC_LOOKER_LIMIT_MS * 1000000L;
	end.tv_sec += end.tv_nsec / 1000000000L;
	end.tv_nsec %= 1000000000L;
	while (looker->state == ASKED && r == 0)
		r = pthread_cond_timedwait(&looker->changed, &looker->lock, &end);
	if (looker->state == ASKED)
		looker->state = LEFT;
}

static int take(struct ipc_looker *looker, struct ipc_list *ret, struct finding_list *findings,
		struct error *err)
{
	for (size_t i = 0; i < looker->findings.n; i++)
		(void)finding_add(findings, looker->findings.items[i].problem, "%s",
				  looker->findings.items[i].text);
	*ret = looker->list;
	looker->list.n = 0;
	looker->state = IDLE;
	if (looker->result < 0 && err)
		*err = looker->err;
	return looker->result;
}

static bool is_asked(const struct ipc_looker *looker, const struct ipc_request *request)
{
	const struct ipc_request *asked = &looker->request;
	const char *without = request->without ? request->without : "";

	return strcmp(asked->root, request->root) == 0 && asked->caps == request->caps &&
	       asked->uid == request->uid && asked->by_root == request->by_root &&
	       strcmp(asked->without ? asked->without : "", without) == 0;
}

/* What somebody else asked, and never took, answers nobody. */
static int ask(struct ipc_looker *looker, const struct ipc_request *request)
{
	if (looker->state == FOUND && !is_asked(looker, request))
		looker->state = IDLE;
	if (looker->state == ASKED && !is_asked(looker, request))
		looker->state = LEFT;
	return looker->state == IDLE ? start(looker, request) : 0;
}

void ipc_looker_ask(struct ipc_looker *looker, const struct ipc_request *request)
{
	(void)pthread_mutex_lock(&looker->lock);
	(void)ask(looker, request);
	(void)pthread_mutex_unlock(&looker->lock);
}

int ipc_looker_find(struct ipc_looker *looker, const struct ipc_request *request,
		    struct ipc_list *ret, struct finding_list *findings, struct error *err)
{
	int r;

	(void)pthread_mutex_lock(&looker->lock);
	r = ask(looker, request);
	if (r == 0 && looker->state == ASKED)
		wait_moment(looker);
	if (r < 0)
		r = error_set(err, r, "look for the sockets of the driver's daemons");
	else if (looker->state == FOUND)
		r = take(looker, ret, findings, err);
	else
		(void)finding_add(findings, true,
				  "below '%s' of the host the sockets of the driver's daemons "
				  "cannot be looked for: "
				  "it does not answer, ignoring",
				  looker->root);
	(void)pthread_mutex_unlock(&looker->lock);
	return r;
}
