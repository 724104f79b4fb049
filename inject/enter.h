/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_ENTER_H
#define NVFS_INJECT_ENTER_H

#include <stdbool.h>

struct error;

/**
 * enter_run() - call a function inside a mount namespace
 * @mntns_fd:   the namespace, or -1 for our own
 * @timeout_ms: the call is ended after so long: whatever lies in a container,
 *              a FUSE mount for one, may never answer
 * @fn:         returns 0 or a negative errno and fills @err itself
 * @err:        message chain, may be NULL
 *
 * The call runs in a child that ends with it, so nobody has to find the way
 * back. The child shares our memory and our descriptor table, as a vfork(2)
 * child does, while we stand still: what it stores and opens is ours, also
 * when it was ended half way. Its namespace, working directory, capabilities
 * and fsuid are its own.
 * Single-threaded; SIGALRM and SIGCHLD are at their defaults, as privilege_init()
 * leaves them. @fn must not block signals or leave by exit(3).
 *
 * Return: what @fn returned, -ETIMEDOUT (ended by the time limit, or left behind),
 * -ECHILD (ended otherwise), or the errno of clone(2) or setns(2).
 */
int enter_run(int mntns_fd, unsigned int timeout_ms, int (*fn)(void *arg, struct error *err),
	      void *arg, struct error *err);

/**
 * enter_left_behind() - is there a child that SIGKILL does not end?
 *
 * It holds our descriptors open until what serves the container's filesystem
 * answers or ends: whoever waits for the end of our output would wait for it.
 */
bool enter_left_behind(void);

#endif
