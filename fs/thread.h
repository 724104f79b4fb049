/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_FS_THREAD_H
#define NVFS_FS_THREAD_H

#include <stddef.h>

/**
 * thread_start() - a thread that nobody waits for
 * @stack_size: bytes
 *
 * Signals are the control thread's: all are blocked in it but SIGSYS, which is
 * how a refused system call is told (sandbox.h).
 *
 * Return: 0 or the errno of pthread_create(3).
 */
int thread_start(void *(*fn)(void *data), void *data, size_t stack_size);

#endif
