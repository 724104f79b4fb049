/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_INJECT_WARM_H
#define NVFS_INJECT_WARM_H

/*
 * The first touch of a page is a fault, of which an injection has some hundred in two processes. What will be
 * touched is had at once, or while we wait for others anyway.
 */

/** warm_code() - all of the program, first thing in a process: it lies in memory, and is mapped by one call */
void warm_code(void);

/** warm_stack() - as much as an injection takes, where this process is about to wait for another one */
void warm_stack(void);

#endif
