/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* A pipe that is watched, and what its callback does. */
struct pipe_source {
	struct loop_source source; /* of the reading end */
	int write_fd;
	int calls;
	struct pipe_source *frees; /* another one, which goes when this one is called */
};

static struct loop *loop;

static struct pipe_source *pipe_new(void (*on_ready)(struct loop_source *source, uint32_t events))
{
	struct pipe_source *p = calloc(1, sizeof(*p));
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	p->source = (struct loop_source){ .fd = ends[0], .on_ready = on_ready };
	p->write_fd = ends[1];
	ck_assert_int_eq(loop_add(loop, &p->source, EPOLLIN), 0);
	return p;
}

static void pipe_free(struct pipe_source *p)
{
	loop_remove(loop, &p->source);
	(void)close(p->source.fd);
	(void)close(p->write_fd);
	free(p);
}

static void make_ready(const struct pipe_source *p)
{
	ck_assert_int_eq(write(p->write_fd, "x", 1), 1);
}

static void read_and_stop(struct loop_source *source, uint32_t events)
{
	struct pipe_source *p = (struct pipe_source *)source;
	char c;

	ck_assert(events & EPOLLIN);
	ck_assert_int_eq(read(source->fd, &c, 1), 1);
	p->calls++;
	loop_stop(loop);
}

static void free_another_and_stop(struct loop_source *source, uint32_t events)
{
	struct pipe_source *p = (struct pipe_source *)source;

	pipe_free(p->frees);
	read_and_stop(source, events);
}

static void count_and_stop_at_three(struct loop_source *source, uint32_t events)
{
	struct pipe_source *p = (struct pipe_source *)source;

	(void)events;
	if (++p->calls == 3)
		loop_stop(loop);
}

static void must_not_be_called(struct loop_source *source, uint32_t events)
{
	ck_abort_msg("source %d was called, events %x", source->fd, events);
}

START_TEST(who_is_ready_is_called_and_nobody_else)
{
	struct pipe_source *ready, *other;

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	ready = pipe_new(read_and_stop);
	other = pipe_new(must_not_be_called);
	make_ready(ready);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	ck_assert_int_eq(ready->calls, 1);
	pipe_free(ready);
	pipe_free(other);
	loop_free(loop);
}
END_TEST

START_TEST(what_is_not_read_is_told_again)
{
	struct pipe_source *p;

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	p = pipe_new(count_and_stop_at_three);
	make_ready(p);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	ck_assert_int_eq(p->calls, 3);
	pipe_free(p);
	loop_free(loop);
}
END_TEST

START_TEST(a_callback_may_free_another_source_that_is_ready_too)
{
	struct pipe_source *one, *two;

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	one = pipe_new(free_another_and_stop);
	two = pipe_new(must_not_be_called);
	one->frees = two;
	make_ready(one); /* first, and so called first */
	make_ready(two);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	ck_assert_int_eq(one->calls, 1);
	pipe_free(one);
	loop_free(loop);
}
END_TEST

START_TEST(a_source_that_is_watched_for_nothing_is_quiet_until_it_is_again)
{
	struct pipe_source *p, *end;

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	p = pipe_new(must_not_be_called);
	end = pipe_new(free_another_and_stop);
	make_ready(p);
	ck_assert_int_eq(loop_modify(loop, &p->source, 0), 0);
	end->frees = p;
	make_ready(end);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	pipe_free(end);
	loop_free(loop);
}
END_TEST

START_TEST(a_bad_source_is_an_error)
{
	struct loop_source bad = { .fd = -1 };

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	ck_assert_int_eq(loop_add(loop, &bad, EPOLLIN), -EBADF);
	ck_assert_int_eq(loop_modify(loop, &bad, EPOLLIN), -EBADF);
	loop_remove(loop, &bad);
	loop_free(loop);
	loop_free(NULL);
}
END_TEST

static void count(void *data)
{
	++*(int *)data;
}

START_TEST(after_each_event_comes_who_asked_for_that)
{
	struct pipe_source *p;
	int n = 0;

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	loop_after_each(loop, count, &n);
	p = pipe_new(count_and_stop_at_three);
	make_ready(p);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	ck_assert_int_eq(n, 3);
	pipe_free(p);
	loop_free(loop);
}
END_TEST

UNIT_MAIN("loop", after_each_event_comes_who_asked_for_that, who_is_ready_is_called_and_nobody_else,
	  what_is_not_read_is_told_again,
	  a_callback_may_free_another_source_that_is_ready_too,
	  a_source_that_is_watched_for_nothing_is_quiet_until_it_is_again, a_bad_source_is_an_error)
