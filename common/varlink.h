/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_COMMON_VARLINK_H
#define NVFS_COMMON_VARLINK_H

/*
 * The varlink wire: JSON objects, each ended by a NUL byte, over a stream
 * socket (https://varlink.org/Method-Call); {"method", "parameters"} one way,
 * {"parameters"} or {"error", "parameters"} the other. Beside it, our own
 * addition: a message whose parameters say "fds": N brings N descriptors by
 * SCM_RIGHTS (unix(7)), in order. A message without fds is plain varlink, so
 * that any varlink library can send and read it.
 *
 * Everything from a peer is bounded: size, depth, descriptors. A descriptor
 * that no message announces is closed and the connection is to be dropped.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

#define VARLINK_FDS_MAX 250               /* kernel: SCM_MAX_FD 253 */
#define VARLINK_REQUEST_MAX (1024 * 1024) /* bytes of a request */
#define VARLINK_REPLY_MAX (64 * 1024 * 1024)
#define VARLINK_DEPTH_MAX 16
#define VARLINK_ERROR "io.nvfs.Error"

struct varlink_message {
	json_t *json; /* owned */
	int fds[VARLINK_FDS_MAX];
	size_t n_fds;
};

/** varlink_message_done() - release the JSON and close what fds are left (>= 0) */
void varlink_message_done(struct varlink_message *msg);

/** varlink_message_take_fd() - fd number @i, now the caller's; -EBADMSG where there is none */
int varlink_message_take_fd(struct varlink_message *msg, json_int_t i);

/* Puts messages together from whatever pieces arrive. Zero-initialise, set max. */
struct varlink_reader {
	size_t max; /* largest message accepted, in bytes */
	char *buf;
	size_t len, room;
	int fds[VARLINK_FDS_MAX];
	size_t n_fds;
};

void varlink_reader_done(struct varlink_reader *reader);

/**
 * varlink_reader_fill() - one recvmsg(2)
 * @reader: takes the bytes and the descriptors
 * @sock:   stream socket, blocking or not
 *
 * Return: bytes read, 0 at the end of the stream, -EAGAIN, -EMSGSIZE (message
 * or number of descriptors over the limit), -ENOMEM or the errno of recvmsg(2).
 */
int varlink_reader_fill(struct varlink_reader *reader, int sock);

/**
 * varlink_reader_next() - take the next whole message out of the reader
 * @ret: filled on 1; the caller releases it with varlink_message_done()
 *
 * Return: 1 (a message), 0 (none complete yet), or -EBADMSG: not a JSON object,
 * too deep, or descriptors that do not match what was announced. After an
 * error the connection is of no more use.
 */
int varlink_reader_next(struct varlink_reader *reader, struct varlink_message *ret,
			struct error *err);

/**
 * varlink_pack() - the bytes of a message, NUL included
 *
 * Return: a new buffer that the caller frees, or NULL (out of memory).
 */
char *varlink_pack(const json_t *json, size_t *ret_len);

/**
 * varlink_write() - one sendmsg(2); the descriptors go with the first byte
 *
 * Return: bytes written (maybe fewer than @len), or a negative errno.
 */
int varlink_write(int sock, const char *buf, size_t len, const int *fds, size_t n_fds);

/**
 * varlink_connect() - connect to a daemon
 * @path:       of its socket
 * @timeout_ms: for each later send and receive
 *
 * Return: the socket (the caller closes it), or a negative errno; the error
 * is of class ERROR_DAEMON and says how to start the daemon.
 */
int varlink_connect(const char *path, unsigned int timeout_ms, struct error *err);

/**
 * varlink_call() - send one method call and wait for its reply
 * @sock:   from varlink_connect()
 * @method: full name, "io.nvfs.Inject"
 * @params: borrowed; NULL for none. "fds" is added here when @n_fds is not 0
 * @fds:    borrowed
 * @reply:  json = the reply's parameters; on an error reply those of the error,
 *          else empty. Release with varlink_message_done() in every case
 * @err:    an error reply arrives here with its class, message and remedy
 *
 * Return: 0, or a negative errno (that of the error reply, -ETIME, -EBADMSG...).
 */
int varlink_call(int sock, const char *method, json_t *params, const int *fds, size_t n_fds,
		 struct varlink_message *reply, struct error *err);

/**
 * varlink_ask(), varlink_answer() - varlink_call() in two parts, for who has something to do
 * meanwhile
 *
 * One call at a time: the answer is that of the call before.
 */
int varlink_ask(int sock, const char *method, json_t *params, const int *fds, size_t n_fds,
		struct error *err);
int varlink_answer(int sock, struct varlink_message *reply, struct error *err);

/**
 * varlink_call_more() - send one method call, and take replies as long as they come
 * @sock:     from varlink_connect(); its limit of time counts for each reply
 * @params:   borrowed; NULL for none
 * @on_reply: called with the parameters of each reply, borrowed; false ends it
 *
 * Source: https://varlink.org/Method-Call, "more" and "continues".
 *
 * Return: 0 (the last reply has come, or @on_reply has had enough), the errno of an error reply,
 * -ECONNRESET where the daemon goes away, -ETIME, or another negative errno.
 */
int varlink_call_more(int sock, const char *method, json_t *params,
		      bool (*on_reply)(void *data, json_t *params), void *data, struct error *err);

/**
 * varlink_error_parameters() - {"class", "message", "remedy", "errno"} of an error
 *
 * Return: a new object, or NULL (out of memory).
 */
json_t *varlink_error_parameters(const struct error *err);

/**
 * varlink_string() - a string member of an object
 *
 * Return: the string (the object's), or @fallback where the member is absent
 * or not a string.
 */
const char *varlink_string(const json_t *object, const char *key, const char *fallback);

#endif
