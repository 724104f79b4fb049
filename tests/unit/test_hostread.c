/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/hostread.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/kfuse.h"
#include "fs/ops.h"
#include "fs/store.h"
#include "fs/tree.h"
#include "tests/unit/unit.h"

static const char content[] = "the host's own file";

static struct store *store;
static struct ops_context context;
static struct hostread *hostread;
static int kernel; /* the other end of /dev/fuse */
static uint32_t object;
static uint64_t file_nodeid, text_nodeid;

static int content_fd(void)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, content, strlen(content)), (int)strlen(content));
	return fd;
}

static void add_tree(void)
{
	struct store_tree tree = { .name = store_blob_put(store, "t", 1),
				   .spec = STORE_NONE,
				   .done = STORE_NONE };
	struct layout_builder *builder = layout_builder_new();
	struct tree_inode root, inode;
	struct layout *layout;

	ck_assert_int_eq(layout_add(builder, "lib", LAYOUT_HOST, object, 0444, NULL), 0);
	ck_assert_int_eq(
		layout_add(builder, "text", LAYOUT_TEXT, store_blob_put(store, "x", 1), 0444, NULL),
		0);
	layout = layout_finish(builder);
	layout_builder_free(builder);
	(void)store_tree_add(store, &tree, store_layout_put(store, layout), 1);
	free(layout);
	ck_assert_int_eq(tree_lookup(store, TREE_TOP, "t", &root), 0);
	ck_assert_int_eq(tree_lookup(store, root.nodeid, "lib", &inode), 0);
	file_nodeid = inode.nodeid;
	ck_assert_int_eq(tree_lookup(store, root.nodeid, "text", &inode), 0);
	text_nodeid = inode.nodeid;
}

/* @fd: what the store has of the file; taken over */
static void open_world(int fd)
{
	struct store_object host = { .size = strlen(content),
				     .mode = S_IFREG | 0444,
				     .path = STORE_NONE };
	int ends[2];

	ck_assert_int_eq(store_new(memfd_create("state", MFD_CLOEXEC), &store, NULL), 0);
	object = store_object_add(store, &host);
	if (fd >= 0)
		ck_assert_int_eq(store_object_set_fd(store, object, fd), 0);
	add_tree();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	kernel = ends[0];
	context.store = store;
	ck_assert_int_eq(hostread_new(ends[1], &context, &hostread, NULL), 0);
}

struct request {
	struct kfuse_in_header header;
	struct kfuse_read_in in;
};

static struct request request_of(uint64_t nodeid, uint64_t unique, uint64_t offset, uint32_t size)
{
	return (struct request){ .header = { .len = sizeof(struct request), .opcode = KFUSE_READ,
					     .unique = unique, .nodeid = nodeid },
				 .in = { .offset = offset, .size = size } };
}

/* The next answer: its bytes, and errno in @ret_error. */
static const char *answer(uint64_t unique, int *ret_error)
{
	static struct {
		struct kfuse_out_header header;
		char bytes[4096];
	} out;
	struct pollfd p = { .fd = kernel, .events = POLLIN };
	ssize_t n;

	memset(&out, 0, sizeof(out));
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	n = recv(kernel, &out, sizeof(out), 0);
	ck_assert_int_eq(n, out.header.len);
	ck_assert_uint_eq(out.header.unique, unique);
	*ret_error = -out.header.error;
	return out.bytes;
}

static bool is_silent(void)
{
	struct pollfd p = { .fd = kernel, .events = POLLIN };

	return poll(&p, 1, 50) == 0;
}

static void ck_read(uint64_t offset, uint32_t size, const char *wanted)
{
	const struct request request = request_of(file_nodeid, 7 + offset, offset, size);
	int error;

	ck_assert(hostread_serve(hostread, &request));
	ck_assert_str_eq(answer(7 + offset, &error), wanted);
	ck_assert_int_eq(error, 0);
}

START_TEST(a_host_file_is_read_to_its_end_and_not_beyond)
{
	open_world(content_fd());
	ck_read(0, 4096, content);
	ck_read(0, 3, "the");
	ck_read(4, 4, "host");
	ck_read(strlen(content) - 4, 100, "file");
	ck_read(strlen(content), 100, "");
	ck_read(UINT64_MAX, 100, "");
}
END_TEST

START_TEST(what_is_no_read_of_a_host_file_is_left_to_others)
{
	struct request request = request_of(text_nodeid, 1, 0, 10);

	open_world(content_fd());
	request.header.nodeid = text_nodeid;
	ck_assert(!hostread_serve(hostread, &request));
	request = request_of(file_nodeid, 1, 0, 10);
	request.header.opcode = KFUSE_INIT;
	ck_assert(!hostread_serve(hostread, &request));
	request = request_of(file_nodeid, 1, 0, 10);
	request.header.len = sizeof(request.header);
	ck_assert(!hostread_serve(hostread, &request));
	request = request_of(4711, 1, 0, 10);
	ck_assert(!hostread_serve(hostread, &request));
	ck_assert(is_silent());
}
END_TEST

START_TEST(a_file_that_nobody_holds_is_stale)
{
	struct request request;
	int error;

	open_world(-1);
	request = request_of(file_nodeid, 3, 0, 10);
	ck_assert(hostread_serve(hostread, &request));
	(void)answer(3, &error);
	ck_assert_int_eq(error, ESTALE);
}
END_TEST

/* A read of a pipe is an error, and RWF_NOWAIT of it is not known: a thread finds out. */
START_TEST(an_error_of_the_host_is_answered_and_its_place_is_free_again)
{
	struct request request;
	int error, pipefd[2];

	ck_assert_int_eq(pipe(pipefd), 0);
	open_world(pipefd[0]);
	request = request_of(file_nodeid, 5, 0, 10);
	for (int i = 0; i < 3 * STORE_READS_MAX / 2; i++) {
		ck_assert(hostread_serve(hostread, &request));
		(void)answer(5, &error);
		ck_assert_int_eq(error, ESPIPE);
	}
}
END_TEST

/* A thread clears the place when the answer is out. */
static bool becomes_free(const struct store_read *place)
{
	const struct kfuse_in_header *header = (const void *)place->bytes;

	for (int i = 0; i < 1000; i++) {
		if (__atomic_load_n(&header->len, __ATOMIC_ACQUIRE) == 0)
			return true;
		(void)usleep(10 * 1000);
	}
	return false;
}

START_TEST(what_another_process_left_is_answered_unless_the_kernel_asks_again)
{
	struct store_read *place;
	struct request request;
	int error;

	open_world(content_fd());
	place = &store_session(store)->reads[3];
	request = request_of(file_nodeid, 9, 4, 4);
	memcpy(place->bytes, &request, sizeof(request));
	hostread_resume(hostread, true);
	ck_assert(is_silent());
	ck_assert_uint_eq(((struct kfuse_in_header *)(void *)place->bytes)->len, 0);
	memcpy(place->bytes, &request, sizeof(request));
	hostread_resume(hostread, false);
	ck_assert_str_eq(answer(9, &error), "host");
	ck_assert(becomes_free(place));
}
END_TEST

START_TEST(nothing_is_stalled_that_answers)
{
	uint32_t objects[4];

	open_world(content_fd());
	ck_read(0, 3, "the");
	ck_assert_uint_eq(hostread_stalled(hostread, objects, 4), 0);
}
END_TEST

UNIT_MAIN("hostread", a_host_file_is_read_to_its_end_and_not_beyond,
	  what_is_no_read_of_a_host_file_is_left_to_others, a_file_that_nobody_holds_is_stale,
	  an_error_of_the_host_is_answered_and_its_place_is_free_again,
	  what_another_process_left_is_answered_unless_the_kernel_asks_again,
	  nothing_is_stalled_that_answers)
