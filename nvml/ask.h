/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NVFS_NVML_ASK_H
#define NVFS_NVML_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer_message;
struct nvml_api;

struct ask {
	const struct nvml_api *api;
	const uint32_t *skipped; /* GPUs by NVML's index that are not to be touched */
	size_t n_skipped;
	void (*tell)(void *data, const struct answer_message *message);
	void *data;
};

/**
 * nvml_ask() - ask NVML all that is wanted of it, and shut it down
 * @ask: borrowed for the call
 *
 * Whatever fails is told and left out; the rest goes on. Every function is told
 * before it is called, so that one which never comes back is known.
 * For a process of its own: NVML opens devices, and may do anything.
 */
void nvml_ask(const struct ask *ask);

#endif
