/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of the host's files: see hostread.h. */
#include "fs/hostread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/counters.h"
#include "fs/kfuse.h"
#include "fs/ops.h"
#include "fs/sandbox.h"
#include "fs/store.h"
#include "fs/thread.h"
#include "fs/tree.h"

#define THREADS_PER_FILE 2
#define WAITING_PER_FILE 256 /* reads; one more is EIO, so that one file cannot fill the store */
#define THREADS_MAX 512
#define IDLE_MAX 4           /* threads that stay for the next one */
#define STACK_SIZE (128UL * 1024)
#define STALLED_MS 2000

/* A read that waits, in line or in a thread. */
struct job {
	struct job *next;
	struct store_read *place;
	uint32_t object;
	int fd; /* its own duplicate */
	bool running;
	int64_t since_ms;
};

struct hostread {
	int fuse_fd;
	struct ops_context *context;
	struct store_read *places; /* STORE_READS_MAX of them, in the store */
	pthread_mutex_t lock;      /* of all below, and of who has which place */
	pthread_cond_t work;
	struct job *jobs, **end;
	unsigned int threads, idle;
};

/* answering */

static const struct kfuse_in_header *header_of(const void *request)
{
	return request;
}

static const struct kfuse_read_in *read_of(const void *request)
{
	return (const void *)(header_of(request) + 1);
}

/* ENOENT, ENODEV: whoever asked has gone. */
static void answer(const struct hostread *h, uint64_t unique, int error, const void *data,
		   size_t size)
{
	struct kfuse_out_header out = { .len = (uint32_t)(sizeof(out) + size),
					.error = error,
					.unique = unique };
	struct iovec iov[] = { { .iov_base = &out, .iov_len = sizeof(out) },
			       { .iov_base = (void *)(uintptr_t)data, .iov_len = size } };

	if (error)
		counters_error(-error);
	if (writev(h->fuse_fd, iov, size ? 2 : 1) < 0 && errno != ENOENT && errno != ENODEV)
		log_warning("answer a read: %s, ignoring", strerror(errno));
}

static ssize_t read_whole(int fd, char *buf, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, buf + done, size - done, offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && !done ? -errno : (ssize_t)done;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static void read_and_answer(const struct hostread *h, const void *request, int fd)
{
	size_t size = read_of(request)->size;
	auto_free char *buf = malloc(size + 1);
	ssize_t n = buf ? read_whole(fd, buf, size, (off_t)read_of(request)->offset) : -ENOMEM;

	answer(h, header_of(request)->unique, n < 0 ? (int)n : 0, buf, n < 0 ? 0 : (size_t)n);
}

/* True where all of it was in the page cache. RWF_NOWAIT, preadv2(2): no filesystem is asked. */
static bool answer_at_once(const struct hostread *h, const void *request, int fd,
			   uint64_t file_size)
{
	const struct kfuse_read_in *in = read_of(request);
	size_t size = in->offset >= file_size ? 0 : in->size;
	auto_free char *buf = NULL;
	struct iovec iov;
	ssize_t n = 0;

	if (size > file_size - in->offset)
		size = (size_t)(file_size - in->offset);
	if (size) {
		buf = malloc(size);
		iov = (struct iovec){ .iov_base = buf, .iov_len = size };
		n = buf ? preadv2(fd, &iov, 1, (off_t)in->offset, RWF_NOWAIT) : -1;
	}
	if (n < 0 || (size_t)n != size)
		return false;
	answer(h, header_of(request)->unique, 0, buf, size);
	return true;
}

/* waiting: the lock is held */

static unsigned int count_jobs(const struct hostread *h, uint32_t object, bool running)
{
	unsigned int n = 0;

	for (const struct job *job = h->jobs; job; job = job->next)
		n += job->object == object && (job->running || !running);
	return n;
}

static struct job *next_job(const struct hostread *h)
{
	for (struct job *job = h->jobs; job; job = job->next) {
		if (!job->running && count_jobs(h, job->object, true) < THREADS_PER_FILE)
			return job;
	}
	return NULL;
}

static void remove_job(struct hostread *h, struct job *job)
{
	struct job **at = &h->jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	if (h->end == &job->next)
		h->end = at;
	free(job);
}

/* While the length is set the request is in flight. */
static void set_length(struct store_read *place, uint32_t len)
{
	__atomic_store_n(&((struct kfuse_in_header *)(void *)place->bytes)->len, len,
			 __ATOMIC_RELEASE);
}

static struct store_read *find_place(const struct hostread *h)
{
	for (size_t i = 0; i < STORE_READS_MAX; i++) {
		if (!header_of(h->places[i].bytes)->len)
			return &h->places[i];
	}
	return NULL;
}

static struct store_read *take_place(const struct hostread *h, const void *request)
{
	struct store_read *place = find_place(h);

	if (!place)
		return NULL;
	memcpy(place->bytes + sizeof(uint32_t), (const char *)request + sizeof(uint32_t),
	       sizeof(place->bytes) - sizeof(uint32_t));
	set_length(place, sizeof(place->bytes));
	return place;
}

/* threads */

static void *thread_main(void *data)
{
	struct hostread *h = data;
	struct job *job;

	(void)pthread_setname_np(pthread_self(), "nvfs-read");
	if (sandbox_limit_thread(SANDBOX_READ_THREAD) < 0)
		log_warning("a thread that reads host files keeps its capabilities, ignoring");
	(void)pthread_mutex_lock(&h->lock);
	while ((job = next_job(h)) || h->idle < IDLE_MAX) {
		if (!job) {
			h->idle++;
			(void)pthread_cond_wait(&h->work, &h->lock);
			h->idle--;
			continue;
		}
		job->running = true;
		(void)pthread_mutex_unlock(&h->lock);
		read_and_answer(h, job->place->bytes, job->fd);
		set_length(job->place, 0);
		(void)close(job->fd); /* asks the filesystem too, on FUSE */
		(void)pthread_mutex_lock(&h->lock);
		remove_job(h, job);
	}
	h->threads--;
	(void)pthread_mutex_unlock(&h->lock);
	return NULL;
}

static int start_thread(struct hostread *h)
{
	int r = thread_start(thread_main, h, STACK_SIZE);

	h->threads += r == 0;
	return r;
}

/* @fd is taken over. */
static int add_job(struct hostread *h, struct store_read *place, uint32_t object, int fd)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct job){ .place = place, .object = object, .fd = fd, .since_ms = clock_ms() };
	*h->end = job;
	h->end = &job->next;
	if (!next_job(h))
		return 0; /* behind others of its file */
	if (h->idle)
		(void)pthread_cond_signal(&h->work);
	else if (h->threads < THREADS_MAX && start_thread(h) < 0 && !h->threads)
		log_error("start a thread that reads host files: reads wait");
	return 0;
}

static int let_wait(struct hostread *h, const void *request, struct store_read *place,
		    uint32_t object, int fd)
{
	int r = -EIO;

	(void)pthread_mutex_lock(&h->lock);
	if (!place && count_jobs(h, object, false) < WAITING_PER_FILE)
		place = take_place(h, request);
	if (place)
		r = add_job(h, place, object, fd);
	if (r < 0 && place)
		set_length(place, 0);
	(void)pthread_mutex_unlock(&h->lock);
	return r;
}

/* @place: where the request is already, NULL where it must get one */
static bool serve(struct hostread *h, const void *request, struct store_read *place)
{
	struct store *store = h->context->store;
	struct tree_file file = { .object = STORE_NONE };
	bool answered = false;
	int fd = -1, r;

	store_read_lock(store);
	r = tree_open(store, header_of(request)->nodeid, &file);
	if (r == 0 && !file.text) {
		fd = store_object_fd(store, file.object);
		answered = fd >= 0 &&
			   answer_at_once(h, request, fd, store_object(store, file.object)->size);
		/* A duplicate, so that the generation may close its own while we wait. */
		fd = fd < 0 || answered ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	store_unlock(store);
	if (r < 0 || file.text)
		return false;
	r = answered ? 0 : fd < 0 ? -ESTALE : let_wait(h, request, place, file.object, fd);
	if (r < 0)
		answer(h, header_of(request)->unique, r, NULL, 0);
	if ((answered || r < 0) && place)
		set_length(place, 0);
	return true;
}

bool hostread_serve(struct hostread *h, const void *request)
{
	return header_of(request)->opcode == KFUSE_READ &&
	       header_of(request)->len >=
		       sizeof(struct kfuse_in_header) + sizeof(struct kfuse_read_in) &&
	       serve(h, request, NULL);
}

void hostread_resume(struct hostread *h, bool resent)
{
	for (size_t i = 0; i < STORE_READS_MAX; i++) {
		struct store_read *place = &h->places[i];

		if (header_of(place->bytes)->len == 0)
			continue;
		if (resent || !serve(h, place->bytes, place))
			set_length(place, 0);
	}
}

size_t hostread_stalled(struct hostread *h, uint32_t *objects, size_t max)
{
	int64_t now = clock_ms();
	size_t n = 0;

	(void)pthread_mutex_lock(&h->lock);
	for (const struct job *job = h->jobs; job; job = job->next) {
		size_t i = 0;

		while (i < n && objects[i] != job->object)
			i++;
		if (job->running && now - job->since_ms >= STALLED_MS && i == n && n < max)
			objects[n++] = job->object;
	}
	(void)pthread_mutex_unlock(&h->lock);
	return n;
}

int hostread_new(int fuse_fd, struct ops_context *context, struct hostread **ret, struct error *err)
{
	struct hostread *h = calloc(1, sizeof(*h));

	if (!h)
		return error_set(err, -ENOMEM, "prepare to read host files");
	h->fuse_fd = fuse_fd;
	h->context = context;
	h->places = store_session(context->store)->reads;
	h->end = &h->jobs;
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_cond_init(&h->work, NULL);
	*ret = h;
	return 0;
}
