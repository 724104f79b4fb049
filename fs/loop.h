/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_LOOP_H
#define NVFS_FS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct loop;

/* Something that gets ready; embedded in its owner. */
struct loop_source {
	int fd; /* the owner's */
	void (*on_ready)(struct loop_source *source, uint32_t events); /* EPOLLIN, ... */
};

/** loop_new() - an event loop for one thread, over epoll(7) */
int loop_new(struct loop **ret, struct error *err);
void loop_free(struct loop *loop);

/** loop_add() - watch a source for @events; 0 or the errno of epoll_ctl(2) */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
/** loop_modify() - watch it for other events */
int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events);
/** loop_remove() - watch it no more; before its fd is closed. It may be freed at once */
void loop_remove(struct loop *loop, struct loop_source *source);

/** loop_after_each() - call this after each on_ready, in loop_run() */
void loop_after_each(struct loop *loop, void (*fn)(void *data), void *data);

/** loop_run() - call on_ready of what is ready, until loop_stop() */
int loop_run(struct loop *loop, struct error *err);
void loop_stop(struct loop *loop);

#endif
