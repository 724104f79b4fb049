/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread's event loop. One event is taken from the kernel at a
 * time: a callback may then free any source, for no event of it is pending in
 * our hands.
 */
#include "fs/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/error.h"

struct loop {
	int epoll_fd;
	bool stopped;
	void (*after_each)(void *data);
	void *data;
};

int loop_new(struct loop **ret, struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return error_set(err, -ENOMEM, "make the event loop");
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		free(loop);
		return error_set(err, -errno, "make the event loop");
	}
	*ret = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	(void)close(loop->epoll_fd);
	free(loop);
}

static int control(struct loop *loop, int op, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, op, source->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_ADD, source, events);
}

int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, source, events);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	(void)control(loop, EPOLL_CTL_DEL, source, 0);
}

void loop_after_each(struct loop *loop, void (*fn)(void *data), void *data)
{
	loop->after_each = fn;
	loop->data = data;
}

int loop_run(struct loop *loop, struct error *err)
{
	while (!loop->stopped) {
		struct epoll_event event;
		int n = epoll_wait(loop->epoll_fd, &event, 1, -1);

		if (n < 0 && errno != EINTR)
			return error_set(err, -errno, "wait for events");
		if (n == 1) {
			struct loop_source *source = event.data.ptr;

			source->on_ready(source, event.events);
			if (loop->after_each)
				loop->after_each(loop->data);
		}
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
