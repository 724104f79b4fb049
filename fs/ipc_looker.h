/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_IPC_LOOKER_H
#define NVFS_FS_IPC_LOOKER_H

#include "fs/ipc.h"

/*
 * ipc_find() by a thread: /run or /tmp of the host may be a filesystem that does not answer, a network's or
 * one that is mounted when it is asked for, and the control thread never asks such a one.
 *
 * One look at a time. Who asks waits a moment; while a look hangs there are no sockets to be given, and the
 * next ones find so at once.
 */
struct ipc_looker;

#define IPC_LOOKER_LIMIT_MS 100

/** ipc_looker_new() - its thread is started by the first look; 0 or -ENOMEM */
int ipc_looker_new(struct ipc_looker **ret, struct error *err);

/** ipc_looker_free() - a look that hangs is left to itself; NULL is fine */
void ipc_looker_free(struct ipc_looker *looker);

/**
 * ipc_looker_ask() - start a look that ipc_looker_find() with the same request takes
 * @request: borrowed for the call
 *
 * Where it cannot be started, that one tells. Threads: the control thread's.
 */
void ipc_looker_ask(struct ipc_looker *looker, const struct ipc_request *request);

/**
 * ipc_looker_find() - ipc_find() within IPC_LOOKER_LIMIT_MS
 *
 * Where the time was not enough nothing is found, and @findings tells so.
 * Threads: the control thread's.
 * Return: 0, -ENOMEM, or the errno of pthread_create(3).
 */
int ipc_looker_find(struct ipc_looker *looker, const struct ipc_request *request,
		    struct ipc_list *ret, struct finding_list *findings, struct error *err);

#endif
