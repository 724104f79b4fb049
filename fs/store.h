/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_STORE_H
#define NVFS_FS_STORE_H

/*
 * Everything that the filesystem serves, as tables in one mapped file: host
 * objects, links, blobs, layouts, snapshots and trees. Tables are addressed by
 * index and hold offsets, never pointers, so that another process can map the
 * file and go on where this one stopped.
 *
 *   tree -> snapshot -> layout -> nodes -> objects, blobs, links
 *
 * Identical layouts and blobs are stored once and counted. Indexes of objects
 * and links are never used again; those of trees and snapshots come back with
 * a new serial number.
 *
 * Threads: one writer (the control thread) and any number of readers. What a
 * reader gets is valid while it holds the read lock; the writer needs the
 * write lock only to change. Functions marked [w] change.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/counters.h"
#include "fs/layout.h"

struct error;
struct store;

#define STORE_NONE UINT32_MAX
#define STORE_TREES_MAX 65536 /* a nodeid has 16 bits for the index */

/* A file of the host, as it was when its generation was made. */
struct store_object {
	uint64_t dev, ino, size;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint32_t mode; /* S_IFREG and permission bits; 0 = released */
	uint32_t path; /* blob: path below the driver root */
	uint32_t generation;
	int32_t backing_id; /* of the FUSE connection; 0: reads come to us */
};

struct store_blob {
	uint32_t offset, size, hash;
	uint32_t refs; /* 0 = free */
};

struct store_layout {
	uint32_t offset, size, hash;
	uint32_t refs; /* 0 = free */
};

struct store_snapshot {
	uint32_t serial; /* 0 = free */
	uint32_t layout;
	uint32_t tree;
	uint32_t next;     /* older snapshot of the same tree, STORE_NONE at the end */
	uint32_t ino_base; /* st_ino of slot s is ino_base + s */
	uint32_t generation;
	int64_t made_ns; /* CLOCK_REALTIME */
};

struct store_tree {
	uint32_t serial; /* 0 = free */
	uint32_t name;   /* blob: file name in the top directory */
	uint32_t snapshot;
	uint32_t spec;  /* blob: JSON of the request it was made for */
	uint32_t done;  /* blob: JSON of what was done to the container; STORE_NONE before */
	uint32_t owner; /* uid that asked */
	int32_t pid;    /* 0 = no container (the reference tree) */
	uint32_t ino;
	uint64_t start_time; /* of pid: field 22 of /proc/PID/stat, clock ticks */
	uint64_t mnt_ns;     /* inode of the container's mount namespace, 0 = no container */
	int64_t made_ns;     /* CLOCK_REALTIME */
	uint32_t flags;      /* enum store_tree_flag */
	uint64_t opens;      /* files that its container has opened */
};

enum store_tree_flag {
	STORE_TREE_UNCOMMITTED = 1, /* made for an injection that has not said that it is done */
	STORE_TREE_STALE = 2,       /* the kernel may know names of an older snapshot */
	STORE_TREE_REINJECT = 4,    /* its container is to be injected anew: see reinject.h */
	STORE_TREE_BY_ROOT = 8,     /* the host's root has injected it; its owner, 0, is any container's root as well */
};

#define STORE_WORKERS_MAX 16
/* What the kernel demands of a reader of /dev/fuse: room for its largest write, and headers. */
#define STORE_REQUEST_MAX (1024 * 1024 + 4096)

/*
 * Where a worker reads its requests to, and leaves each until it is answered:
 * what is here has been read and not answered. bytes begins with the kernel's
 * header; its first field, the length, is 0 while there is no request. Only
 * pages that a request has touched take memory.
 */
struct store_request {
	uint32_t deaths; /* daemons that died with it */
	uint32_t unused;
	_Alignas(8) char bytes[STORE_REQUEST_MAX];
};

#define STORE_READS_MAX 1024

/* A READ of a host's file that waits for the host: the kernel's request, as above. */
struct store_read {
	_Alignas(8) char bytes[80];
};

/* What a process must know to go on with the FUSE connection of another one. */
struct store_session {
	uint32_t init_size; /* 0 = INIT has not been answered */
	uint32_t passthrough, resend, idmap, overlay, epoch;
	char init[256]; /* the kernel's INIT request */
	struct store_request requests[STORE_WORKERS_MAX];
	struct store_read reads[STORE_READS_MAX];
};

/* Who serves from the file, and with which descriptors of its own: for a keeper that comes next. */
struct store_server {
	int32_t pid, keeper_pid;           /* 0: nobody */
	uint64_t start_time, keeper_start; /* of both: field 22 of /proc/PID/stat */
	int32_t fuse_fd, listen_fd, state_fd, unused;
};

/**
 * store_new() - map a state file and make it an empty store
 * @fd:  an empty memfd or file on tmpfs; taken over
 * @ret: new store; release with store_free()
 * @err: message chain, may be NULL
 *
 * Return: 0 or the errno of ftruncate(2) and mmap(2).
 */
int store_new(int fd, struct store **ret, struct error *err);
void store_free(struct store *store);

/**
 * store_open() - map a state file and go on where another process stopped
 * @fd:  a state file; taken over
 * @ret: release with store_free(), which leaves the file as it is
 * @err: message chain, may be NULL
 *
 * The process before may have been killed anywhere: references are counted
 * anew, what was half made is dropped, and all memory that nothing refers to
 * is free again. Nothing that counts is made anew: nodeids, inode numbers and
 * backing ids stay.
 *
 * Return: 0, -EPROTO (the layout is of another version: nothing was changed),
 * -EBADMSG (not a state file, or damaged), -ENOMEM or the errno of mmap(2).
 */
int store_open(int fd, struct store **ret, struct error *err);

/**
 * store_open_copy() - what store_open() would give, while another process serves from the file
 * @fd: stays the caller's
 *
 * Nothing in the file is changed. -EBADMSG may also mean that the other one was
 * in the middle of a change.
 */
int store_open_copy(int fd, struct store **ret, struct error *err);

/**
 * store_check() - can this file be gone on with? Nothing in it is changed
 * @fd: stays the caller's
 *
 * Return: 0; -ENODATA (empty), -EBADMSG (not a state file), -EPROTO (the layout
 * is of another version, which is named), -ESTALE (from before the machine's
 * last start) or the errno of pread(2).
 */
int store_check(int fd, struct error *err);

/**
 * store_disconnect() [w] - the FUSE connection is gone for good
 *
 * Trees, nodes and numbers stay; the kernel holds no file for us any more.
 */
void store_disconnect(struct store *store);

/** store_set_server() [w] - who serves; state_fd is filled in here */
void store_set_server(struct store *store, const struct store_server *server);

/** store_read_server() - from a file that store_check() finds good; 0 or -EBADMSG */
int store_read_server(int fd, struct store_server *ret);

/** store_session() - the FUSE session's part of the file */
struct store_session *store_session(struct store *store);

/** store_counters() - numbers of the requests served, by this process and those before it */
struct counters *store_counters(struct store *store);

/** store_generation() - blob that describes the present generation, STORE_NONE without */
uint32_t store_generation(const struct store *store);
/** store_set_generation() [w] - replace it; the reference is taken over */
void store_set_generation(struct store *store, uint32_t blob);

void store_read_lock(struct store *store);
void store_write_lock(struct store *store);
void store_unlock(struct store *store);

/** store_object_add() [w] - record a host file; STORE_NONE when out of memory */
uint32_t store_object_add(struct store *store, const struct store_object *object);
/** store_object() - NULL for an index that was never given, and for a released one */
const struct store_object *store_object(const struct store *store, uint32_t index);

/**
 * store_object_set_fd() [w] - keep a host file open for reading
 * @fd: taken over, also on failure
 *
 * Descriptors are the process's own, not in the file.
 *
 * Return: 0 or -ENOMEM.
 */
int store_object_set_fd(struct store *store, uint32_t index, int fd);
/** store_object_fd() - the store's descriptor of an object, -1 where it has none */
int store_object_fd(const struct store *store, uint32_t index);

/** store_object_is_held() - has the kernel or the store a host file open? */
bool store_object_is_held(const struct store *store, uint32_t index);

/** store_object_take_fd() [w] - the descriptor is the caller's now, and the store has none; -1 where it had none */
int store_object_take_fd(struct store *store, uint32_t index);

/**
 * store_object_release() [w] - a host file is not served any more
 *
 * Its descriptor, if it was not taken before, is closed. The index stays taken, and its nodeid is stale: it
 * can never come to mean another file, or the same in another way.
 */
void store_object_release(struct store *store, uint32_t index);

/** store_object_set_backing() [w] - before any tree shows the object, and never again */
void store_object_set_backing(struct store *store, uint32_t index, int32_t backing_id);

/** store_link_put() [w] - index of a link with this target; STORE_NONE when out of memory */
uint32_t store_link_put(struct store *store, const char *target);
/** store_link() - a link's target, NULL for an index that was never given */
const char *store_link(const struct store *store, uint32_t index);

/** store_blob_put() [w] - store bytes or count the same once more; STORE_NONE when out of memory */
uint32_t store_blob_put(struct store *store, const void *data, size_t size);
/** store_blob_ref() [w] - count one reference more; STORE_NONE is fine */
void store_blob_ref(struct store *store, uint32_t index);
/** store_blob_unref() [w] - give one reference back; STORE_NONE is fine */
void store_blob_unref(struct store *store, uint32_t index);
/** store_blob() - a blob's bytes, always followed by a NUL; NULL for a free index */
const char *store_blob(const struct store *store, uint32_t index, size_t *ret_size);

/**
 * store_layout_put() [w] - store a layout or count the same once more
 * @layout: borrowed; brings one reference to each blob that it names, which
 *          the store keeps or gives back
 *
 * Return: its index, STORE_NONE when out of memory.
 */
uint32_t store_layout_put(struct store *store, const struct layout *layout);
/** store_layout_ref() [w] - count one reference more */
void store_layout_ref(struct store *store, uint32_t index);
void store_layout_unref(struct store *store, uint32_t index);
/** store_layout() - NULL for a free index */
const struct layout *store_layout(const struct store *store, uint32_t index);

/**
 * store_tree_add() [w] - a new tree with its first snapshot
 * @tree:   name, spec, done (blob references, taken over), owner, pid,
 *          start_time, mnt_ns and flags are read
 * @layout: reference taken over
 *
 * Return: its index, or STORE_NONE: out of memory or STORE_TREES_MAX reached.
 * References are given back then.
 */
uint32_t store_tree_add(struct store *store, const struct store_tree *tree, uint32_t layout,
			uint32_t generation);

/**
 * store_tree_switch() [w] - give a tree a new snapshot
 * @layout: reference taken over, also on failure
 *
 * The old one is kept as long as the tree: its nodes may be open.
 *
 * Return: the snapshot's index or STORE_NONE (out of memory).
 */
uint32_t store_tree_switch(struct store *store, uint32_t tree, uint32_t layout,
			   uint32_t generation);

/** store_tree_switch_back() [w] - drop the newest snapshot, the one before it counts again */
void store_tree_switch_back(struct store *store, uint32_t tree);

/** store_tree_forget_old() [w] - drop a tree's snapshots of a generation, but not the newest one */
void store_tree_forget_old(struct store *store, uint32_t tree, uint32_t generation);

/** store_tree_set_done() [w] - replace done or spec; references are taken over */
void store_tree_set_done(struct store *store, uint32_t tree, uint32_t done);
void store_tree_set_spec(struct store *store, uint32_t tree, uint32_t spec);

/** store_tree_set_flags() [w] - enum store_tree_flag */
void store_tree_set_flags(struct store *store, uint32_t tree, uint32_t flags);

/** store_tree_set_by_root() [w] - from now on the tree is the host's root's: STORE_TREE_BY_ROOT, owner 0 */
void store_tree_set_by_root(struct store *store, uint32_t tree);

/** store_tree_remove() [w] - a tree and its snapshots are no more */
void store_tree_remove(struct store *store, uint32_t tree);

/** store_tree() - NULL for a free index */
const struct store_tree *store_tree(const struct store *store, uint32_t index);
/** store_snapshot() - NULL for a free index */
const struct store_snapshot *store_snapshot(const struct store *store, uint32_t index);
/** store_trees_end() - trees have indexes below this; some are free */
uint32_t store_trees_end(const struct store *store);
/** store_trees_count() - trees that are there */
uint32_t store_trees_count(const struct store *store);

/** store_tree_find() - the tree with this name, STORE_NONE if there is none */
uint32_t store_tree_find(const struct store *store, const char *name);
/** store_tree_find_pid() - the tree of this container init, root's before others'; STORE_NONE if
 * there is none */
uint32_t store_tree_find_pid(const struct store *store, int32_t pid);

/**
 * store_tree_count_open() - a process in this mount namespace has opened a file
 *
 * For any thread that holds the read lock. Counted for every tree of the
 * namespace; for none where it has no tree.
 */
void store_tree_count_open(const struct store *store, uint64_t mnt_ns);

/** store_memory() - bytes of the file in use for tables and their contents */
size_t store_memory(const struct store *store);

#endif
