/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_STORE_IMPL_H
#define NVFS_FS_STORE_IMPL_H

/*
 * The inside of a store: what is in the file, and what each process keeps
 * beside it. For store*.c alone.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "fs/heap.h"
#include "fs/store.h"

#define STATE_MAGIC 0x6e766673u /* "nvfs" */
#define STATE_VERSION 7 /* of the layout; goes up with every change */
#define INO_FIRST 16            /* below: the top directories */
#define INO_END 0x70000000u     /* above: links and host files, see tree.c */

struct table {
	uint32_t offset, count, room, element;
};

#define STATE_BOOT_ID 40 /* text of the kernel's boot id, and NULs */

/* What every version begins with, at least up to the size. */
struct state_begin {
	uint32_t magic, version, size;
	char boot_id[STATE_BOOT_ID]; /* of the start of the machine that it belongs to */
};

struct state {
	struct state_begin begin;
	uint32_t next_serial;
	uint32_t next_ino;
	uint32_t generation; /* blob: description of the present generation; STORE_NONE without */
	struct store_server server;
	struct table objects, links, blobs, layouts, snapshots, trees;
	struct store_session session;
	struct counters counters;
};

_Static_assert(COUNTERS_WORKERS == STORE_WORKERS_MAX, "each worker counts");

struct order_key {
	const char *name;
	int32_t pid;
	uint64_t mnt_ns;
	uint32_t tree;
};

/* Tree indexes in some order; the process's own. */
struct order {
	uint32_t *items;
	size_t n, room;
	int (*compare)(const struct store *store, uint32_t tree, const struct order_key *key);
};

/*
 * What makes an element count is one store, and it comes after all others: a
 * process that goes on with the file sees it whole or not at all.
 */
static inline void publish(uint32_t *where, uint32_t value)
{
	atomic_signal_fence(memory_order_seq_cst);
	__atomic_store_n(where, value, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
}

/* Elements of a counted table by their hash: chains of indexes; the process's own. */
struct chains {
	uint32_t *heads, *next;
	uint32_t n_heads; /* a power of two, above the number of elements */
	uint32_t free;            /* chain of free elements */
};

/* Which elements of a table are free; the process's own. */
struct slots {
	uint32_t used;
	uint32_t hint; /* none below is free */
};

struct store {
	struct heap heap;
	struct state *state;
	pthread_rwlock_t lock;
	struct order by_name, by_pid, by_mnt_ns;
	struct slots tree_slots, snapshot_slots;
	struct chains blob_chains, layout_chains;
	int *fds; /* by object */
	uint32_t n_fds;
};

static inline void *table_at(const struct store *store, const struct table *table, uint32_t i)
{
	if (i >= table->count)
		return NULL;
	return (char *)heap_at(&store->heap, table->offset) + (size_t)i * table->element;
}

/** table_append() - a zeroed element at the end; STORE_NONE when out of memory */
uint32_t table_append(struct store *store, struct table *table);

/** store_chains_build() - lay the chains of a counted table anew; 0 or -ENOMEM */
int store_chains_build(const struct store *store, const struct table *table, struct chains *chains,
		       uint32_t n);

/** store_boot_id() - of this start of the machine; all NUL where the kernel does not tell */
void store_boot_id(char ret[STATE_BOOT_ID]);

/** store_alloc() - a store around nothing yet, with its lock; NULL when out of memory */
struct store *store_alloc(void);

/** store_orders_init() - set the orders' comparisons */
void store_orders_init(struct store *store);
/** store_orders_add() - enter a tree that is complete into the orders; 0 or -ENOMEM */
int store_orders_add(struct store *store, uint32_t tree);

#endif
