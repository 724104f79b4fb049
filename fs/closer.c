/* SPDX-License-Identifier: Apache-2.0 */
/* A queue and a thread that ends with it: see closer.h. */
#include "fs/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/error.h"
#include "fs/kfuse.h"
#include "fs/thread.h"

#define STACK_SIZE (64UL * 1024)

struct item {
	struct item *next;
	int fd;
	uint32_t backing_id; /* 0: the descriptor */
};

struct closer {
	int fuse_fd;
	pthread_mutex_t lock; /* of all below */
	struct item *items, **end;
	bool runs;
};

static void close_item(const struct closer *closer, const struct item *item)
{
	uint32_t id = item->backing_id;

	if (id)
		(void)ioctl(closer->fuse_fd, KFUSE_DEV_IOC_BACKING_CLOSE, &id);
	else
		(void)close(item->fd);
}

static void *thread_main(void *data)
{
	struct closer *closer = data;
	struct item *item;

	(void)pthread_setname_np(pthread_self(), "nvfs-close");
	(void)pthread_mutex_lock(&closer->lock);
	while ((item = closer->items)) {
		closer->items = item->next;
		if (!closer->items)
			closer->end = &closer->items;
		(void)pthread_mutex_unlock(&closer->lock);
		close_item(closer, item);
		free(item);
		(void)pthread_mutex_lock(&closer->lock);
	}
	closer->runs = false;
	(void)pthread_mutex_unlock(&closer->lock);
	return NULL;
}

static void add(struct closer *closer, struct item item)
{
	struct item *copy = malloc(sizeof(*copy));

	if (!copy) {
		close_item(closer, &item); /* slow is better than never */
		return;
	}
	*copy = item;
	(void)pthread_mutex_lock(&closer->lock);
	*closer->end = copy;
	closer->end = &copy->next;
	if (!closer->runs)
		closer->runs = thread_start(thread_main, closer, STACK_SIZE) == 0; /* without one they wait for the next */
	(void)pthread_mutex_unlock(&closer->lock);
}

void closer_close(struct closer *closer, int fd)
{
	if (fd >= 0)
		add(closer, (struct item){ .fd = fd });
}

void closer_close_backing(struct closer *closer, int id)
{
	if (id > 0)
		add(closer, (struct item){ .fd = -1, .backing_id = (uint32_t)id });
}

int closer_new(int fuse_fd, struct closer **ret, struct error *err)
{
	struct closer *closer = calloc(1, sizeof(*closer));

	if (!closer)
		return error_set(err, -ENOMEM, "prepare to close files");
	closer->fuse_fd = fcntl(fuse_fd, F_DUPFD_CLOEXEC, 0);
	if (closer->fuse_fd < 0) {
		free(closer);
		return error_set(err, -errno, "duplicate /dev/fuse");
	}
	closer->end = &closer->items;
	(void)pthread_mutex_init(&closer->lock, NULL);
	*ret = closer;
	return 0;
}
