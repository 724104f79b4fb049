/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_DAEMON_IMPL_H
#define NVFS_FS_DAEMON_IMPL_H

/* What daemon.c, daemon_container.c, daemon_tree.c and daemon_injection.c share; nobody else includes this. */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fs/daemon.h"

/* daemon_container.c */

/** daemon_container() - of a tree; borrowed, NULL where it has none: the reference tree, or no such tree */
struct container *daemon_container(const struct daemon *daemon, uint32_t tree);

/**
 * daemon_container_new() - watch the container of a tree
 * @pidfd: of its init, taken over in any case; -1: it has none, or that is dead
 *
 * Return: 0, -ENOMEM, or what loop_add() says.
 */
int daemon_container_new(struct daemon *daemon, uint32_t tree, int pidfd);
void daemon_container_free(struct daemon *daemon, struct container *container);

/** daemon_container_is() - is the process of the container that has the tree? While its init lives, that alone is */
bool daemon_container_is(const struct daemon *daemon, uint32_t tree, const struct process *process);

/** daemon_container_is_alive() - has it an init, or any other process in its mount namespace? Looks through /proc */
bool daemon_container_is_alive(const struct daemon *daemon, uint32_t tree);

/** daemon_containers_check() - trees whose containers have ended, and their grace with them, go */
void daemon_containers_check(struct daemon *daemon);

/* daemon_tree.c */

/**
 * daemon_forget_tree() - the kernel is to look up a tree's names anew, after a switch
 * @old_layout: whose names it may know; the caller keeps a reference
 *
 * No lock of the store is held: the kernel may wait for a worker that needs it.
 */
void daemon_forget_tree(struct daemon *daemon, uint32_t tree, uint32_t old_layout);

/* daemon_injection.c */

/** daemon_injected_by_root() - is an injection of root's about this tree under way? */
bool daemon_injected_by_root(const struct daemon *daemon, uint32_t tree);

/** daemon_end_injections_of_users() - what others than root began with this tree finds nothing any more */
void daemon_end_injections_of_users(struct daemon *daemon, uint32_t tree);

#endif
