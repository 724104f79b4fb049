/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_DAEMON_H
#define NVFS_FS_DAEMON_H

/*
 * The daemon's own state, and the life of trees: who has one, since when, and
 * when it goes. One control thread owns all of this; the workers know the
 * store alone.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fs/config.h"
#include "fs/ident.h"
#include "fs/loop.h"
#include "fs/process.h"

struct cachebox;
struct client;
struct closer;
struct deriver;
struct donors;
struct ipc_looker;
struct error;
struct events;
struct facts;
struct filesystem;
struct generation;
struct injector;
struct permits;
struct reinjector;
struct renewal;
struct server;
struct store;
struct store_tree;

/* What the daemon keeps of a tree outside the store: by the tree's index. */
struct container {
	struct loop_source source; /* pidfd of the init, -1 without; first: cast back */
	struct daemon *daemon;
	uint32_t tree;
	bool init_dead;
	time_t ends; /* CLOCK_MONOTONIC; 0 = in use */
	time_t commit_until; /* likewise: made by a daemon that died before Commit; 0 = not so */
	time_t reinject_at;  /* likewise: not before */
	unsigned int reinject_failed; /* so often in a row */
	unsigned int stale_nodes; /* when it was last begun with; see nodes.h */
	bool nodes_moved;    /* it is injected anew because its device nodes are of majors before */
	bool given_up;       /* it could not be injected anew, and is not tried again */
};

/* A tree that was made or changed for a client that has not yet said Commit. */
struct injection {
	struct injection *next;
	const struct client *client;
	char token[17];
	uint32_t tree, serial; /* a tree's index comes back with another serial */
	bool switched; /* the tree got a new snapshot */
	uint32_t spec; /* blob: the spec before a switch, else STORE_NONE */
	const char *asked_by; /* of events_client() */
	char trace[8];        /* of its Inject */
};

#define DAEMON_STALLED_MAX 32 /* files that are told of */

struct daemon {
	struct config config;
	struct store *store;
	struct filesystem *fs;
	bool listings_stale; /* daemon_listings_changed() is due */
	struct loop *loop;
	struct server *server;
	struct cachebox *box;
	struct deriver *deriver;
	struct donors *donors;
	struct ipc_looker *ipc_looker;
	struct generation *generation; /* the present one, older ones behind it; NULL: no driver yet */
	uint32_t generations;          /* made so far */
	struct renewal *renewal;
	struct facts *facts;
	struct reinjector *reinjector;
	struct injector *injector;
	struct permits *permits;
	struct events *events;
	struct {
		char *text; /* of the file in config.cdi_dir, as it was written; NULL: not yet */
		char *nvinject; /* its hook's program; NULL: not looked for yet */
		bool failed;
	} cdi; /* cdi_file.h */
	struct closer *closer;
	struct process self;
	pid_t nodemaker; /* 0: none is at work */
	bool nodemaker_again;
	int link;   /* to the keeper; -1 when it is gone */
	int64_t alive_ms; /* when it was last told that we live, CLOCK_MONOTONIC */
	int dev_fd; /* O_PATH, config.dev_root */
	int watch_fd; /* inotify, of the daemon before; -1: none, or renewal.c has it */
	struct container **containers;
	uint32_t containers_room;
	struct injection *injections;
	struct client *handover; /* waits for the answer to io.nvfs.Handover; NULL: nobody */
	bool stop_asked;         /* by the keeper, when the injections that are under way have ended */
	bool gives_way;          /* a successor stands by: leave everything as it is */
	bool ends;               /* SIGTERM was here: unmount when the last container has gone */
	time_t started;      /* CLOCK_REALTIME */
	size_t stalled;      /* host files that did not answer at the last tick */
};

/* What a new or changed tree is made of. Blob and layout references are taken over. */
struct daemon_tree {
	const char *name; /* from ident_escape() */
	struct process process;
	int pidfd; /* taken over; -1 where the tree lives as long as its mount namespace */
	uint32_t owner;
	bool by_root; /* root in the daemon's own namespaces asks */
	bool for_user; /* and that for a user's container, which gets again what it has, and nothing anew */
	uint32_t layout, spec;
};

/**
 * daemon_tree_set() - make a tree, or give one that is there a new snapshot
 * @ret_new: true for a new tree
 * @err:     -EEXIST (ERROR_USAGE): the name belongs to another living container;
 *           -EPERM (ERROR_PERMISSION): to somebody else
 *
 * A tree of the same name is replaced when nothing of its container is left,
 * and by root also when a user has it. One of the same container is changed by
 * its owner or root alone; with the same layout it is left as it is. It becomes
 * root's with root's Commit, see daemon_tree_take(); until then injections of
 * its owner wait, and so do all while it is being removed (-EBUSY, ERROR_AGAIN).
 *
 * Of a new tree listings_stale tells that daemon_listings_changed() is to be called; a container
 * that waits for an answer need not wait for that.
 *
 * Return: the tree's index, or a negative errno.
 */
int64_t daemon_tree_set(struct daemon *daemon, struct daemon_tree *tree, bool *ret_new,
			bool *ret_switched, struct error *err);

/**
 * daemon_tree_take() - root has injected a container whose tree somebody else has: it is root's from now on
 *
 * Of the record, root goes on with what it may act on alone (record_of_user()); injections of others end.
 *
 * Return: 0 or -ENOMEM.
 */
int daemon_tree_take(struct daemon *daemon, uint32_t tree, struct error *err);

/** daemon_listings_changed() - the directories that list all trees are to be read anew */
void daemon_listings_changed(struct daemon *daemon);

/* The next snapshot of a tree; the layout's reference is taken over. */
struct daemon_next {
	uint32_t tree, layout;
	uint32_t old_layout; /* that it has now */
};

/** daemon_forget_generation() - the kernel is to ask again for all names in the directories of that generation */
void daemon_forget_generation(struct daemon *daemon, uint32_t generation);

/**
 * daemon_trees_switch() - give many trees their next snapshots, all in one moment
 *
 * No process sees one tree of before and one of after, nor half of each, where
 * the kernel has epochs (Linux 6.16); before, some names may be found a moment
 * later than others.
 */
void daemon_trees_switch(struct daemon *daemon, const struct daemon_next *next, size_t n,
			 uint32_t generation);

/** daemon_tree_remove() - a tree goes now; the kernel forgets its name */
void daemon_tree_remove(struct daemon *daemon, uint32_t tree);

/* Who looks for a tree: what it may not see is not there for it. */
struct daemon_viewer {
	bool is_root;
	uint32_t uid;
	uint64_t mnt_ns;
	bool is_local; /* in the daemon's own namespaces */
};

/** daemon_may_see() - is this tree the viewer's own, or is it root? */
bool daemon_may_see(const struct daemon *daemon, const struct daemon_viewer *viewer, uint32_t tree);

/**
 * daemon_tree_find() - by id, unique prefix of an id, or "pid:N"
 *
 * Return: the index, -ENOENT or -ENOTUNIQ.
 */
int64_t daemon_tree_find(struct daemon *daemon, const struct daemon_viewer *viewer, const char *id,
			 struct error *err);

/** daemon_trees_in_use() - trees of containers, without the reference tree */
uint32_t daemon_trees_in_use(const struct daemon *daemon);

/** daemon_trees_alive() - those of them whose container has a process left, or that are mounted elsewhere */
uint32_t daemon_trees_alive(struct daemon *daemon);

/** daemon_has_live_tree() - is there one? Without a look at mounts, where a process tells */
bool daemon_has_live_tree(struct daemon *daemon);

/**
 * daemon_resume() - take over the trees of a daemon that died
 * @connected: its FUSE connection too
 *
 * The store has been opened and is being served. Containers are found again by
 * pid and start time; a tree that was not committed waits a moment for its
 * injector to ask again. Without the connection, what containers have mounted
 * is dead: those that live are injected anew (reinject.h), and a tree that was
 * not committed, or whose container has gone, goes.
 *
 * Return: 0 or -ENOMEM.
 */
int daemon_resume(struct daemon *daemon, bool connected, struct error *err);

/** daemon_tree_set_flag() - enum store_tree_flag */
void daemon_tree_set_flag(struct daemon *daemon, uint32_t tree, uint32_t flag, bool on);

/**
 * daemon_say_alive() - tell the keeper that we are at work, if we have not for a moment
 *
 * It takes two seconds without an answer for a hang. What may take long calls
 * this on its way; the event loop does after every event, so that many short
 * ones do not look like a hang either.
 */
void daemon_say_alive(struct daemon *daemon);

/** daemon_tick() - every two seconds: silent clients, dead containers, a driver that changes */
void daemon_tick(struct daemon *daemon);

/* What io.nvfs.Inject began: kept until Commit, or undone. */
struct injection *daemon_injection_new(struct daemon *daemon, const struct client *client);
struct injection *daemon_injection_find(struct daemon *daemon, const struct client *client,
					const char *token);
/** daemon_injection_tree() - the tree that it is about, NULL when that is gone */
const struct store_tree *daemon_injection_tree(const struct daemon *daemon,
					       const struct injection *injection);
/** daemon_injection_end() - @keep: what was made stays; else as it was before */
void daemon_injection_end(struct daemon *daemon, struct injection *injection, bool keep);
/** daemon_client_gone() - a client went away: undo what it did not commit */
void daemon_client_gone(struct daemon *daemon, const struct client *client);

#endif
