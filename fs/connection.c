/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in, replies out, and the journal that lets another process go on.
 *
 * A worker reads each request straight into its place in the store, and clears
 * the place when the reply is out: there is no moment in which a request is
 * neither the kernel's nor in the store. Should the process die with it, the
 * kernel still waits for the answer: on kernels with RESEND it gives the
 * request again, on others the successor serves it from the store. A reply
 * that had just gone out when the process died is given twice then; the kernel
 * refuses the second one.
 */
#include "fs/connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"
#include "fs/counters.h"
#include "fs/hostread.h"
#include "fs/kfuse.h"
#include "fs/ops.h"
#include "fs/sandbox.h"
#include "fs/store.h"
#include "fs/tree.h"

#define INIT_TIMEOUT_MS 10000
#define DEATHS_MAX 3
#define UNIQUE_RESEND (1ULL << 63) /* set by the kernel in a request that comes again */

/* A request that was in work when the process before died. */
struct suspect {
	uint64_t unique;
	uint32_t deaths;
};

struct worker {
	struct connection *connection;
	struct store_request *place;
	pthread_t thread;
};

struct connection {
	int fuse_fd;
	struct store *store;
	struct store_session *shared; /* in the store */
	struct fuse_session *session;
	struct ops_context context;
	struct hostread *hostread; /* never freed: its threads may wait for ever */
	struct features features;
	struct features allowed; /* until INIT is answered */
	bool overlay;
	bool replaying; /* INIT is replayed: its reply goes nowhere */
	atomic_bool is_ready;
	int ready_fd, ended_fd; /* eventfds */
	struct worker workers[STORE_WORKERS_MAX];
	unsigned int n_workers;
	struct suspect suspects[STORE_WORKERS_MAX]; /* fixed before the workers start */
	unsigned int n_suspects;
};

static struct connection *userdata_connection(void *userdata)
{
	return (struct connection *)((char *)userdata - offsetof(struct connection, context));
}

/* The hooks of fuse_session_custom_io(). Reading is done by the workers themselves. */

static ssize_t io_read(int fd, void *buf, size_t size, void *userdata)
{
	(void)userdata;
	return read(fd, buf, size);
}

static ssize_t io_splice_send(int fd_in, off_t *off_in, int fd_out, off_t *off_out, size_t len,
			      unsigned int flags, void *userdata)
{
	(void)userdata;
	return splice(fd_in, off_in, fd_out, off_out, len, flags);
}

static ssize_t iov_size(const struct iovec *iov, int count)
{
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	return (ssize_t)size;
}

static bool is_init_reply(const struct connection *c, const struct iovec *iov, int count)
{
	const struct kfuse_in_header *request = (const void *)c->shared->init;
	const struct kfuse_out_header *reply = iov[0].iov_base;

	return c->shared->init_size && count == 2 && iov[0].iov_len == sizeof(*reply) &&
	       reply->unique == request->unique && reply->error == 0;
}

static void keep_features(struct connection *c)
{
	c->shared->passthrough = c->features.passthrough;
	c->shared->resend = c->features.resend;
	c->shared->idmap = c->features.idmap;
	c->shared->overlay = c->overlay;
	c->shared->epoch = c->features.epoch;
}

/* Messages that nobody asked for have no number, and in place of an error what they are. */
static void count_error(const struct iovec *iov)
{
	const struct kfuse_out_header *reply = iov[0].iov_base;

	if (iov[0].iov_len >= sizeof(*reply) && reply->unique && reply->error < 0)
		counters_error(-reply->error);
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct connection *c = userdata_connection(userdata);
	bool init = !atomic_load(&c->is_ready) && is_init_reply(c, iov, count);
	ssize_t n;

	if (c->replaying && init)
		return iov_size(iov, count);
	if (init) {
		features_negotiate(c->shared->init, c->shared->init_size, iov[1].iov_base,
				   iov[1].iov_len, &c->allowed, c->overlay, &c->features);
		keep_features(c);
	}
	count_error(iov);
	n = writev(fd, iov, count);
	if (init) {
		c->context.passthrough = c->features.passthrough;
		atomic_store(&c->is_ready, true);
		(void)eventfd_write(c->ready_fd, 1);
	}
	return n;
}

/* serving */

static void keep_init(struct connection *c, const void *request, size_t size)
{
	if (size > sizeof(c->shared->init))
		return;
	memcpy(c->shared->init, request, size);
	c->shared->init_size = (uint32_t)size;
}

static void reply_eio(struct connection *c, const struct kfuse_in_header *request)
{
	struct kfuse_out_header reply = { .len = sizeof(reply),
					  .error = -EIO,
					  .unique = request->unique };
	char what[PATH_MAX];

	counters_error(EIO);
	store_read_lock(c->store);
	tree_describe(c->store, request->nodeid, what, sizeof(what));
	store_unlock(c->store);
	log_error(
		"a request (FUSE opcode %u, nodeid %#llx: %s) has killed %d daemons, answering EIO",
		request->opcode, (unsigned long long)request->nodeid, what, DEATHS_MAX);
	if (write(c->fuse_fd, &reply, sizeof(reply)) < 0)
		log_warning("answer EIO: %s, ignoring", strerror(errno));
}

static uint32_t deaths_of(const struct connection *c, uint64_t unique)
{
	for (unsigned int i = 0; i < c->n_suspects; i++) {
		if (c->suspects[i].unique == (unique & ~UNIQUE_RESEND))
			return c->suspects[i].deaths;
	}
	return 0;
}

static struct kfuse_in_header *header_of(struct store_request *place)
{
	return (struct kfuse_in_header *)(void *)place->bytes;
}

/*
 * While the length is set the request is in flight. The count goes first: the next request may be
 * read into this place by a thread that is being killed, and must not inherit it.
 */
static void clear(struct store_request *place)
{
	place->deaths = 0;
	__atomic_store_n(&header_of(place)->len, 0, __ATOMIC_RELEASE);
}

static void serve(struct connection *c, struct store_request *place)
{
	const struct kfuse_in_header *header = header_of(place);
	struct fuse_buf buf = { .mem = place->bytes, .size = header->len };

	counters_begin(header->opcode);
	if (header->opcode == KFUSE_INIT)
		keep_init(c, place->bytes, header->len);
	if (place->deaths >= DEATHS_MAX)
		reply_eio(c, header);
	else if (!hostread_serve(c->hostread, place->bytes))
		fuse_session_process_buf(c->session, &buf);
	clear(place);
	counters_end();
}

static bool is_in_flight(struct store_request *place)
{
	uint32_t len = header_of(place)->len;

	return len >= sizeof(struct kfuse_in_header) && len <= sizeof(place->bytes);
}

/* ENOENT: the request was interrupted while it was read; ENODEV: unmounted. */
static bool is_passing(int error)
{
	return error == EINTR || error == EAGAIN || error == ENOENT;
}

static void *worker_main(void *data)
{
	struct worker *worker = data;
	struct connection *c = worker->connection;
	struct store_request *place = worker->place;
	ssize_t n = 1;

	(void)pthread_setname_np(pthread_self(), "nvfs-worker");
	if (sandbox_limit_thread(SANDBOX_FUSE_THREAD) < 0)
		log_warning("a thread that serves containers keeps its capabilities, ignoring");
	counters_thread(store_counters(c->store), (unsigned int)(worker - c->workers));
	if (is_in_flight(place))
		serve(c, place); /* left over by the process before; without RESEND */
	while (n > 0 && !fuse_session_exited(c->session)) {
		n = read(c->fuse_fd, place->bytes, sizeof(place->bytes));
		if (n >= (ssize_t)sizeof(struct kfuse_in_header)) {
			place->deaths = deaths_of(c, header_of(place)->unique);
			serve(c, place);
		} else if (n < 0 && is_passing(errno)) {
			n = 1;
		}
	}
	(void)eventfd_write(c->ended_fd, 1);
	return NULL;
}

static int workers_start(struct connection *c, unsigned int n, struct error *err)
{
	sigset_t all, before;
	int r = 0;

	/* Signals are the control thread's, but for that of a refused system call: see sandbox.h. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGSYS);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	while (c->n_workers < n && c->n_workers < STORE_WORKERS_MAX && r == 0) {
		struct worker *worker = &c->workers[c->n_workers];

		worker->connection = c;
		worker->place = &c->shared->requests[c->n_workers];
		/*
		 * Its page is mapped before it is read into: a thread that is being killed gets no
		 * page any more, and the kernel would answer the request with EIO.
		 */
		if (!is_in_flight(worker->place))
			clear(worker->place);
		r = -pthread_create(&worker->thread, NULL, worker_main, worker);
		c->n_workers += r == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r < 0 ? error_set(err, r, "start a worker thread") : 0;
}

/* a new connection */

static int session_open(struct connection *c, struct error *err)
{
	static const struct fuse_custom_io io = {
		.writev = io_writev,
		.read = io_read,
		.splice_send = io_splice_send,
	};
	char *argv[] = { (char[]){ "nvfs" }, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int fd, r;

	c->session = fuse_session_new(&args, ops_table(), sizeof(*ops_table()), &c->context);
	fuse_opt_free_args(&args);
	if (!c->session)
		return error_setc(err, ERROR_OTHER, -EINVAL, "libfuse refuses the session");
	/* The session closes its descriptor at its end; the connection's is the caller's. */
	fd = dup(c->fuse_fd);
	if (fd < 0)
		return error_set(err, -errno, "duplicate /dev/fuse");
	r = fuse_session_custom_io(c->session, &io, fd);
	if (r < 0)
		(void)close(fd);
	return r < 0 ? error_set(err, r, "hand /dev/fuse to libfuse") : 0;
}

int connection_new(int fuse_fd, struct store *store, struct connection **ret, struct error *err)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return error_set(err, -ENOMEM, "open the connection");
	c->fuse_fd = fuse_fd;
	c->store = c->context.store = store;
	c->shared = store_session(store);
	c->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = c->ready_fd < 0 || c->ended_fd < 0 ? error_set(err, -errno, "make an eventfd") :
						 session_open(c, err);
	r = r ? r : hostread_new(fuse_fd, &c->context, &c->hostread, err);
	if (r < 0) {
		connection_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void connection_free(struct connection *c)
{
	if (!c)
		return;
	for (unsigned int i = 0; i < c->n_workers; i++)
		(void)pthread_join(c->workers[i].thread, NULL);
	if (c->session)
		fuse_session_destroy(c->session);
	cleanup_close(&c->ready_fd);
	cleanup_close(&c->ended_fd);
	if (!c->hostread) /* else its threads may still count in our context */
		free(c);
}

int connection_start(struct connection *c, unsigned int n_workers, const struct features *allowed,
		     bool overlay, struct error *err)
{
	struct pollfd ready = { .fd = c->ready_fd, .events = POLLIN };
	int r;

	c->allowed = *allowed;
	c->overlay = overlay;
	r = workers_start(c, n_workers, err);
	if (r < 0)
		return r;
	if (poll(&ready, 1, INIT_TIMEOUT_MS) != 1)
		return error_setc(err, ERROR_MOUNT, -ETIME,
				  "the kernel did not answer on '/dev/fuse'");
	return 0;
}

/* going on */

static void replay_init(struct connection *c)
{
	char copy[sizeof(c->shared->init)];
	struct fuse_buf buf = { .mem = copy, .size = c->shared->init_size };

	memcpy(copy, c->shared->init, sizeof(copy));
	c->replaying = true;
	fuse_session_process_buf(c->session, &buf);
	c->replaying = false;
	c->features = (struct features){ .passthrough = c->shared->passthrough,
					 .resend = c->shared->resend,
					 .idmap = c->shared->idmap,
					 .epoch = c->shared->epoch,
					 .statmount = c->allowed.statmount,
					 .pidfd_ns = c->allowed.pidfd_ns };
	c->overlay = c->shared->overlay;
	c->context.passthrough = c->features.passthrough;
	atomic_store(&c->is_ready, true);
}

/* What the process before was at when it died has one death more. */
static void collect_suspects(struct connection *c)
{
	for (unsigned int i = 0; i < STORE_WORKERS_MAX; i++) {
		struct store_request *place = &c->shared->requests[i];

		if (!is_in_flight(place))
			continue;
		place->deaths++;
		c->suspects[c->n_suspects++] = (struct suspect){
			.unique = header_of(place)->unique & ~UNIQUE_RESEND,
			.deaths = place->deaths,
		};
	}
}

/* fuse.h: an unasked message with error = code, without payload. */
static int notify(struct connection *c, int32_t code)
{
	struct kfuse_out_header message = { .len = sizeof(message), .error = code };

	return write(c->fuse_fd, &message, sizeof(message)) < 0 ? -errno : 0;
}

static int ask_again(struct connection *c, struct error *err)
{
	int r;

	for (unsigned int i = 0; i < STORE_WORKERS_MAX; i++)
		clear(&c->shared->requests[i]);
	r = notify(c, KFUSE_NOTIFY_RESEND);
	return r < 0 ? error_set(err, r, "ask the kernel for the requests of the daemon before")
		     : 0;
}

/* Without RESEND each worker begins with what is in its place; here what is in no worker's. */
static void serve_left_over(struct connection *c, unsigned int n_workers)
{
	counters_thread(store_counters(c->store), 0);
	for (unsigned int i = n_workers; i < STORE_WORKERS_MAX; i++) {
		if (is_in_flight(&c->shared->requests[i]))
			serve(c, &c->shared->requests[i]);
	}
}

int connection_resume(struct connection *c, unsigned int n_workers, const struct features *allowed,
		      struct error *err)
{
	int r = 0;

	c->allowed = *allowed;
	if (!c->shared->init_size || c->shared->init_size > sizeof(c->shared->init))
		return error_set(err, -EBADMSG, "the state has no connection");
	replay_init(c);
	counters_takeover(store_counters(c->store));
	collect_suspects(c);
	hostread_resume(c->hostread, c->features.resend);
	if (c->features.resend)
		r = ask_again(c, err);
	else
		serve_left_over(c, n_workers);
	return r < 0 ? r : workers_start(c, n_workers, err);
}

const struct features *connection_features(const struct connection *c)
{
	return &c->features;
}

int connection_ended_fd(const struct connection *c)
{
	return c->ended_fd;
}

void connection_forget_name(struct connection *c, uint64_t parent, const char *name)
{
	/* -ENOENT: the kernel does not have it, which is what we want */
	(void)fuse_lowlevel_notify_inval_entry(c->session, parent, name, strlen(name));
}

void connection_forget_attr(struct connection *c, uint64_t nodeid)
{
	(void)fuse_lowlevel_notify_inval_inode(c->session, nodeid, 0, 0);
}

bool connection_is_known(struct connection *c, uint64_t nodeid)
{
	/* Attributes alone, for which an offset below 0 stands: -ENOENT where there is no such inode. */
	return fuse_lowlevel_notify_inval_inode(c->session, nodeid, -1, 0) != -ENOENT;
}

int connection_forget_all(struct connection *c)
{
	return c->features.epoch ? notify(c, KFUSE_NOTIFY_INC_EPOCH) : -EOPNOTSUPP;
}

size_t connection_stalled(const struct connection *c, uint32_t *objects, size_t max)
{
	return hostread_stalled(c->hostread, objects, max);
}
