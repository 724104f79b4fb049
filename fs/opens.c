/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which container opens files, without asking /proc at every open: each thread
 * remembers the namespaces of a few processes for a moment. That is shorter
 * than a pid needs to come back on a machine that is not out of them.
 */
#include "fs/opens.h"

#include <stdint.h>
#include <time.h>

#include "fs/process.h"
#include "fs/store.h"

#define REMEMBERED 64 /* a power of two */
#define MOMENT_MS 250

struct known {
	pid_t pid;
	int64_t until_ms; /* CLOCK_MONOTONIC */
	uint64_t mnt_ns;
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t mnt_ns_of(pid_t pid)
{
	static _Thread_local struct known table[REMEMBERED];
	struct known *known = &table[(unsigned int)pid % REMEMBERED];
	int64_t now = now_ms();

	if (known->pid != pid || known->until_ms < now)
		*known = (struct known){ .pid = pid, .until_ms = now + MOMENT_MS,
					 .mnt_ns = process_mnt_ns(pid) };
	return known->mnt_ns;
}

void opens_count(struct store *store, pid_t pid)
{
	uint64_t mnt_ns = pid > 0 ? mnt_ns_of(pid) : 0;

	if (!mnt_ns)
		return;
	store_read_lock(store);
	store_tree_count_open(store, mnt_ns);
	store_unlock(store);
}
